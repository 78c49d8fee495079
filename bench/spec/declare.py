"""What a declaration is: a frozen dataclass whose types and ranges pydantic checks; its errors in our words.

Nothing is coerced, since that would change ids: "3", 3.0 and True are no whole numbers. Only 10 is 10.0 where a number
need not be whole, so that both are one recipe. What is refused is named with what to write, see bench.spec.advice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, field, fields
from functools import partial, wraps
from itertools import groupby
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, WrapValidator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from bench.spec.advice import advice, nearest, shown
from bench.spec.words import SpecError

T = TypeVar("T")


def one_of(*words: str) -> AfterValidator:
    """Allows these words alone. (A Literal would refuse every `str` that a sweep file or a row of results holds.)"""

    def check(value: str) -> str:
        if value not in words:
            raise PydanticCustomError("one_of", "is another word", {"words": ", ".join(filter(None, words))})
        return value

    return AfterValidator(check)


def spelled(pattern: str, words: str) -> AfterValidator:
    """Allows what the pattern fits, `words` in words: what becomes a part of ids, of names of files or of a line."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise PydanticCustomError("spelled", "is spelled in another way", {"words": words})
        return value

    return AfterValidator(check)


def _as_written(value: Any, check: Callable[[Any], float]) -> float:
    checked = check(value)
    return value if type(value) is int else checked


# Keeps 0 apart from 0.0, for fields that had no common form when the first ids and digests were made of them.
AS_WRITTEN = WrapValidator(_as_written)
Count = Annotated[int, Field(ge=1)]
Text = Annotated[str, spelled(r"(?s).*\S.*", "must not be empty")]

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
    "spelled": "{words}",
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

    What depends on several fields is checked by its __post_init__, with `require`. The mistakes are those of a Python
    file; each comes with what to write there, for which a field without a default gives an example.
    """
    return _checked(cls, python=True)


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def settings(cls: type[T]) -> type[T]:
    """As `declaration`, of what stands in a file that is not Python's."""
    return _checked(cls, python=False)


def _checked(cls: type[T], *, python: bool) -> type[T]:
    config = CONFIG | ConfigDict(alias_generator=partial(stored_name, cls))
    checked: Any = dataclass(frozen=True, slots=True, config=config)(cls)
    check = checked.__init__

    @wraps(check)
    def init(self: Any, /, *args: Any, **values: Any) -> None:
        try:
            check(self, *args, **values)
        except ValidationError as error:
            raise SpecError(_refusal(self, error, args, values, python=python)) from None

    def refuse(self: Any, name: str, value: Any) -> None:
        what = type(self).__name__.lower()
        raise SpecError(f"{what}: {name} is fixed once it is made: write replace({what}, {name}={shown(value)})")

    checked.__init__, checked.__setattr__ = init, refuse
    made: type[T] = checked
    return made


def _refusal(one: Any, error: ValidationError, args: Iterable[Any], values: dict[str, Any], *, python: bool) -> str:
    """All that is wrong with a declaration that was refused."""
    names = [f.name for f in fields(one)]
    given = {**dict(zip(names, args, strict=False)), **values}
    named = given.get("id") or given.get("title")
    what = type(one).__name__.lower() + (f" {shown(named)}: " if isinstance(named, str) else ": ")
    found = error.errors(include_url=False)
    mistakes = [
        "; ".join(_sentence(mistake, names, python=python) for mistake in of_field)
        + (
            advice(type(one), name, given, of_field[0].get("ctx", {}).get("words", ""))
            if python and not _told(of_field)
            else ""
        )
        for name, of_field in _by_field(found, names)
    ]
    if {mistake["type"] for mistake in found} <= RANGES.keys():  # types are right, so that the rest can be asked
        mistakes += _further(one, given)
    return what + "; ".join(dict.fromkeys(mistake.removeprefix(what) for mistake in mistakes))


def _told(errors: Iterable[Any]) -> bool:
    """Whether one of the errors is in our words, which say themselves what to write."""
    return any(isinstance(error.get("ctx", {}).get("error"), SpecError) for error in errors)


def _by_field(found: list[Any], names: Sequence[str]) -> list[tuple[str, list[Any]]]:
    """The errors of each field in order; that it is too short is pydantic's word for values that were refused."""
    grouped = [(name, list(errors)) for name, errors in groupby(found, lambda one: _place(one["loc"][:1], names))]
    return [(name, [one for one in errors if one["type"] != "too_short"] or errors) for name, errors in grouped]


def _further(one: Any, given: Mapping[str, Any]) -> list[str]:
    """What the __post_init__ of a declaration says of these values, which were refused, and the usual ones."""
    for f in fields(one):
        usual = f.default if f.default_factory is MISSING else f.default_factory()
        object.__setattr__(one, f.name, given.get(f.name, usual))
    try:
        getattr(one, "__post_init__", tuple)()
    except SpecError as more:
        return [str(more)]
    except (TypeError, ValueError, KeyError, AttributeError):  # of what it may take for right, such as pairs of three
        pass
    return []


def sentences(error: ValidationError) -> list[str]:
    """What pydantic found in what was read, in our words."""
    return [_sentence(found, (), python=False) for found in error.errors(include_url=False)]


def _sentence(found: Any, names: Sequence[str], *, python: bool) -> str:
    kind, given, context = found["type"], found["input"], found.get("ctx", {})
    if isinstance(context.get("error"), SpecError):  # of `require`
        return str(context["error"])
    name = _place(found["loc"], names)
    if kind == "json_invalid":
        return f"no JSON: {context['error']}"
    if kind == "unexpected_positional_argument":
        return f"there are more values than fields ({', '.join(names)})"
    if kind in ("missing", "missing_argument"):
        return f"{name} is missing"
    if kind == "unexpected_keyword_argument":
        return _unknown("field" if python else "key", name, names)
    rule = RULES.get(kind, found["msg"]).format(**context)
    return f"{name} {shown(given)} {rule}" if kind == "one_of" else f"{name} {rule}, got {shown(given)}"


def _unknown(what: str, name: str, names: Sequence[str]) -> str:
    now = next((new for its in RENAMED.values() for new, old in its.items() if old == name and new in names), None)
    if now:
        return f"{name} is called {now} now"
    near = nearest(name, names)
    allowed = f" (allowed: {', '.join(names)})" if names else ""
    return f"unknown {what} {name!r}{allowed}" + (f"; did you mean {near}?" if near else "")


def _place(loc: Sequence[int | str], names: Sequence[str]) -> str:
    """Where a value stands, as Python names it: `cells[0][1]`. names: the fields of what was made, none if it was read.

    pydantic names a positional value by its number, and adds "[key]" to a key of a dict.
    """
    first, *rest = loc or ("it",)
    place = str(names[first] if isinstance(first, int) and first < len(names) else first)
    for part in rest:
        if isinstance(part, int):
            place += f"[{part}]"
        elif part != "[key]":
            place += "." + re.sub(r"\(.*", "(…)", part)
    return place
