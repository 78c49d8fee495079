"""What a declaration is: a frozen dataclass whose types and ranges pydantic checks; its errors in our words.

Nothing is coerced, since that would change ids: "3", 3.0 and True are no whole numbers. Only 10 is 10.0 where a number
need not be whole, so that both are one recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, field, fields
from functools import partial, wraps
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, WrapValidator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from bench.spec.words import SpecError

T = TypeVar("T")


def one_of(*words: str) -> AfterValidator:
    """Allows these words alone. (A Literal would refuse every `str` that a sweep file or a row of results holds.)"""

    def check(value: str) -> str:
        if value not in words:
            raise PydanticCustomError("one_of", "is another word", {"words": ", ".join(filter(None, words))})
        return value

    return AfterValidator(check)


def _as_written(value: Any, check: Callable[[Any], float]) -> float:
    checked = check(value)
    return value if type(value) is int else checked


# Keeps 0 apart from 0.0, for fields that had no common form when the first ids and digests were made of them.
AS_WRITTEN = WrapValidator(_as_written)
Count = Annotated[int, Field(ge=1)]

# Fields that got another name: the old ones are the keys in digests, in run.json and in columns, so that ids stay.
RENAMED: Mapping[str, Mapping[str, str]] = {
    "Detection": {
        "min_size": "side", "max_size": "longest", "pre_nms_top_n": "before_nms", "post_nms_top_n": "after_nms",
        "regions_per_image": "sampled", "nms_threshold": "nms", "max_grad_norm": "clip",
        "recalibration_images": "settle",
    },
    "Faces": {"embedding_size": "size"},
}  # fmt: skip


def stored_name(declared: type, field_name: str) -> str:
    """The name of a declaration's field in digests and on disk."""
    return RENAMED.get(declared.__name__, {}).get(field_name, field_name)


CONFIG = ConfigDict(
    strict=True,
    extra="forbid",
    allow_inf_nan=False,
    validate_by_name=True,
    validate_by_alias=False,
)
RANGES = {
    "greater_than_equal": "must be {ge:,.10g} or more",
    "greater_than": "must be above {gt:,.10g}",
    "less_than_equal": "must be {le:,.10g} or less",
    "less_than": "must be below {lt:,.10g}",
    "too_short": "must have {min_length} or more",
    "too_long": "must have {max_length} or less",
    "string_too_short": "must not be empty",
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
    "dict_type": "must be a dict",
    "mapping_type": "must be a dict",
    "dataclass_type": "must be a {class_name}",
    "dataclass_exact_type": "must be a {class_name}",
    "value_error": "{error}",
}


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def declaration(cls: type[T]) -> type[T]:
    """Makes the class a frozen dataclass that is checked as it is made. Raises SpecError with every mistake at once.

    What depends on several fields is checked by its __post_init__, with `require`.
    """
    config = CONFIG | ConfigDict(alias_generator=partial(stored_name, cls))
    checked: Any = dataclass(frozen=True, slots=True, config=config)(cls)
    check = checked.__init__

    @wraps(check)
    def init(self: Any, /, *args: Any, **values: Any) -> None:
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
    given = {**dict(zip(names, args, strict=False)), **values}
    named = given.get("id") or given.get("title")
    what = type(one).__name__.lower() + (f" {named!r}: " if isinstance(named, str) else ": ")
    mistakes = sentences(error, names)
    if {found["type"] for found in error.errors()} <= RANGES.keys():  # types are right, so that the rest can be asked
        for f in fields(one):
            usual = f.default if f.default_factory is MISSING else f.default_factory()
            object.__setattr__(one, f.name, given.get(f.name, usual))
        try:
            getattr(one, "__post_init__", tuple)()
        except SpecError as more:
            mistakes.append(str(more))
        except TypeError:  # a value that would have been converted, such as a profile's "4h"
            pass
    return what + "; ".join(dict.fromkeys(mistake.removeprefix(what) for mistake in mistakes))


def sentences(error: ValidationError, names: Sequence[str] = ()) -> list[str]:
    """What pydantic found, in our words. names: the fields of what was made, none where it was read."""
    return [_sentence(found, names) for found in error.errors(include_url=False)]


def _sentence(found: Any, names: Sequence[str]) -> str:
    kind, given, context = found["type"], found["input"], found.get("ctx", {})
    if isinstance(context.get("error"), SpecError):  # of `require`
        return str(context["error"])
    first, *rest = found["loc"] or ("it",)
    name = ".".join(map(str, (names[first] if isinstance(first, int) and first < len(names) else first, *rest)))
    if kind == "json_invalid":
        return f"no JSON: {context['error']}"
    if kind == "unexpected_positional_argument":
        return f"there are more values than fields ({', '.join(names)})"
    if kind in ("missing", "missing_argument"):
        return f"{name} is missing"
    if kind == "unexpected_keyword_argument":
        now = next((new for its in RENAMED.values() for new, old in its.items() if old == name and new in names), None)
        allowed = f" (allowed: {', '.join(names)})" if names else ""
        return f"{name} is called {now} now" if now else f"unknown key {name!r}{allowed}"
    rule = RULES.get(kind, found["msg"]).format(**context)
    return f"{name} {given!r} {rule}" if kind == "one_of" else f"{name} {rule}, got {given!r}"
