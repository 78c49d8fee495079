"""What a declaration is: a frozen dataclass whose types and ranges pydantic checks; its errors in our words.

Nothing is coerced, since that would change ids: "3", 3.0 and True are no whole numbers. Only 10 is 10.0 where a number
need not be whole, so that both are one recipe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import MISSING, field, fields
from functools import wraps
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import AfterValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from bench.spec.words import SpecError

T = TypeVar("T")


def one_of(*words: str) -> AfterValidator:
    """Allows these words alone. (A Literal would refuse every `str` that a sweep file or a row of results holds.)"""

    def check(value: str) -> str:
        if value not in words:
            raise PydanticCustomError("one_of", "is another word", {"words": ", ".join(words)})
        return value

    return AfterValidator(check)


Count = Annotated[int, Field(ge=1)]

# Fields that got another name: the old ones are the keys in digests, in run.json and in columns, so that ids stay.
RENAMED = {
    "min_size": "side", "max_size": "longest", "pre_nms_top_n": "before_nms", "post_nms_top_n": "after_nms",
    "regions_per_image": "sampled", "nms_threshold": "nms", "max_grad_norm": "clip", "recalibration_images": "settle",
    "embedding_size": "size",
}  # fmt: skip


def stored_name(field_name: str) -> str:
    """The name of a field in digests and on disk."""
    return RENAMED.get(field_name, field_name)


CONFIG = ConfigDict(
    strict=True,
    extra="forbid",
    allow_inf_nan=False,
    validate_by_name=True,
    validate_by_alias=False,
    alias_generator=stored_name,
)
RANGES = {
    "greater_than_equal": "must be {ge:,.10g} or more",
    "greater_than": "must be above {gt:,.10g}",
    "less_than_equal": "must be {le:,.10g} or less",
    "less_than": "must be below {lt:,.10g}",
    "too_short": "must have {min_length} or more",
    "finite_number": "must be finite",
    "one_of": "is not one of: {words}",
}
RULES = {
    **RANGES,
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be True or False",
    "string_type": "must be a text",
    "tuple_type": "must be a tuple",
    "dataclass_type": "must be a {class_name}",
    "dataclass_exact_type": "must be a {class_name}",
    "value_error": "{error}",
}


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def declaration(cls: type[T]) -> type[T]:
    """Makes the class a frozen dataclass that is checked as it is made. Raises SpecError with every mistake at once.

    What depends on several fields is checked by its __post_init__, with `require`.
    """
    checked: Any = dataclass(frozen=True, slots=True, config=CONFIG)(cls)
    check = checked.__init__

    @wraps(check)
    def init(self: Any, *args: Any, **values: Any) -> None:
        try:
            check(self, *args, **values)
        except ValidationError as error:
            raise SpecError(_refusal(self, error, args, values)) from None

    checked.__init__ = init
    made: type[T] = checked
    return made


def _refusal(one: Any, error: ValidationError, args: Iterable[Any], values: dict[str, Any]) -> str:
    """All that is wrong with a declaration that was refused."""
    names = [f.name for f in fields(one)]
    mistakes, what = sentences(error, names), f"{type(one).__name__.lower()}: "
    if {found["type"] for found in error.errors()} <= RANGES.keys():  # types are right, so that the rest can be asked
        given = {**dict(zip(names, args, strict=False)), **values}
        for f in fields(one):
            usual = f.default if f.default_factory is MISSING else f.default_factory()
            object.__setattr__(one, f.name, given.get(f.name, usual))
        try:
            getattr(one, "__post_init__", tuple)()
        except SpecError as more:
            mistakes.append(str(more).removeprefix(what))
    return what + "; ".join(mistakes).removeprefix(what)


def sentences(error: ValidationError, names: Sequence[str] = ()) -> list[str]:
    """What pydantic found, in our words. names: the fields of what was made, none where it was read."""
    return [_sentence(found, names) for found in error.errors(include_url=False)]


def _sentence(found: Any, names: Sequence[str]) -> str:
    kind, given, context = found["type"], found["input"], found.get("ctx", {})
    if isinstance(context.get("error"), SpecError):  # of `require`
        return str(context["error"])
    first, *rest = found["loc"] or ("it",)
    name = ".".join(map(str, (names[first] if isinstance(first, int) and names else first, *rest)))
    if kind in ("missing", "missing_argument"):
        return f"{name} is missing"
    if kind == "unexpected_keyword_argument":
        now = next((new for new, old in RENAMED.items() if old == name and new in names), None)
        allowed = f" (allowed: {', '.join(names)})" if names else ""
        return f"{name} is called {now} now" if now else f"unknown key {name!r}{allowed}"
    rule = RULES.get(kind, found["msg"]).format(**context)
    return f"{name} {given!r} {rule}" if kind == "one_of" else f"{name} {rule}, got {given!r}"
