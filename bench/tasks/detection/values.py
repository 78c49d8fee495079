"""Values in annotations, where JSON and XML have text for numbers and numbers for flags: right, or a ValueError.

Its words say what is wrong, `iscrowd is 2, where 0 or 1 belongs`, and a reader adds the file and the entry.
"""

from __future__ import annotations

import math
import reprlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from bench.data.listing import same_form

Value = TypeVar("Value")
FLAGS = {"0": False, "0.0": False, "false": False, "unspecified": False, "1": True, "1.0": True, "true": True}


def required(entry: Any, name: str, read: Callable[[Any], Value]) -> Value:
    """`read(entry[name])`."""
    if not isinstance(entry, dict):
        raise ValueError(f"{reprlib.repr(entry)} stands where an object with {name} belongs")  # noqa: TRY004
    if name not in entry:
        raise ValueError(f"{name} is missing")
    try:
        return read(entry[name])
    except ValueError as error:
        raise ValueError(f"{name} is {reprlib.repr(entry[name])}, where {error} belongs") from None


def optional(entry: Any, name: str, read: Callable[[Any], Value]) -> Value | None:
    """The same; None where the entry has no such value, or null."""
    return None if isinstance(entry, dict) and entry.get(name) is None else required(entry, name, read)


def number(value: Any) -> float:
    """A finite one, also as text; a flag is none."""
    found = _float(value)
    if not math.isfinite(found):
        raise ValueError("a finite number")
    return found


def whole(value: Any) -> int:
    """A whole number, also as 7.0 or as text. An identity is never cut to one."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 20:
        value = int(value)
    if type(value) is int:
        return value
    found = _float(value)
    if found != found // 1:  # nor is NaN, nor infinity
        raise ValueError("a whole number")
    return int(found)


def _float(value: Any) -> float:
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def flag(value: Any) -> bool:
    """0 or 1, false or true, as numbers or as text; VOC's "Unspecified" is false."""
    found = FLAGS.get(str(value).strip().lower()) if isinstance(value, str | int | float) else None
    if found is None:
        raise ValueError("0 or 1")
    return found


def text(value: Any) -> str:
    """No number, no null."""
    if not isinstance(value, str):
        raise ValueError("text")  # noqa: TRY004
    return value


def class_name(value: Any) -> str:
    """A name as pages print it: in one Unicode form, one blank for any white space, all of it to be seen."""
    found = " ".join(same_form(str(value)).split()) if type(value) in (str, int) else ""
    if not found or not found.isprintable():
        raise ValueError("a name of characters that can be seen")
    return found


def told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """`names`, no two of which are one in results, where a blank is an underscore."""
    columns = Counter(name.replace(" ", "_") for name in names)
    alike = [name for name in names if columns[name.replace(" ", "_")] > 1]
    if alike:
        raise ValueError(f"classes {', '.join(alike[:4])} have one name in tables and results: rename or merge them")
    return tuple(names)
