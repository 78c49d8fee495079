"""What to write in place of a value that a declaration refused: what it seems to mean, else an example."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import is_dataclass
from itertools import islice
from reprlib import Repr
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

MOST = 20  # values of a list that are taken over


class _Short(Repr):
    """Values in a line: of a declaration its kind alone, whose fields would fill a screen."""

    def __init__(self) -> None:
        super().__init__()
        self.maxtuple = self.maxlist = MOST
        self.maxstring = self.maxother = 60
        self.fillvalue = "…"

    def repr_instance(self, x: Any, level: int) -> str:
        if isinstance(x, type):
            return f"the class {x.__name__}"
        if is_dataclass(x):
            return f"{type(x).__name__}(…)"
        return " ".join(super().repr_instance(x, level).split())


SHORT = _Short()


def shown(value: Any) -> str:
    """The value as it is written in Python, shortened to a part of a line."""
    return SHORT.repr(value)


def nearest(given: Any, words: Iterable[str]) -> str:
    """The word that is most like what was given, "" where none is."""
    known = {word.lower(): word for word in words}
    near = difflib.get_close_matches(str(given).lower(), known, 1)
    return known[near[0]] if near else ""


def advice(kind: Any, name: str, given: Mapping[str, Any], words: str = "") -> str:
    """`: write seeds=(0, 1)` where the field `name` of the class would take that, else `, such as seeds=(0, 1)`.

    given: the values of all fields. words: those of which it must be one, "" for any. "" where there is no such field.
    """
    field: FieldInfo | None = kind.__pydantic_fields__.get(name)
    if field is None:
        return ""
    for meant in _meant(given[name], words) if name in given else ():
        if _takes(field, meant):
            return f": write {name}={shown(meant)}"
    usual = example(field)
    return f", such as {name}={usual}" if usual else ""


def example(field: FieldInfo) -> str:
    """A value of the field, as it is written in a sweep file: its example, else its default; "" without either."""
    if field.examples:
        return str(field.examples[0])
    return "" if field.is_required() else shown(field.default)


def _takes(field: FieldInfo, value: Any) -> bool:
    wanted: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    try:
        TypeAdapter(wanted).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _meant(value: Any, words: str) -> Iterator[Any]:
    """What the writer of a value that was refused may have meant, the likeliest first."""
    if isinstance(value, str):
        yield nearest(value, filter(None, words.split(", ")))
        yield from _of_text(value)
    if isinstance(value, float) and value.is_integer():
        yield int(value)
    if type(value) is int and value in (0, 1):
        yield bool(value)
    if isinstance(value, Mapping):
        yield tuple(value.items())
    elif isinstance(value, Iterable) and not isinstance(value, str):
        yield _tuples(value)
    yield (value,)


def _of_text(text: str) -> Iterator[Any]:
    with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
        yield ast.literal_eval(text.strip())
    for name in (" ".join(text.split()), re.sub(r"[^A-Za-z0-9_=+-]+", "-", text.strip()).strip("-")):
        yield name
        yield name.lower()


def _tuples(value: Any) -> Any:
    """Lists and the like as tuples, also inside."""
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        return value
    return tuple(map(_tuples, islice(value, MOST + 1)))  # one more: shown as "…"
