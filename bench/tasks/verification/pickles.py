"""The pickles of insightface's verification sets, without numpy or any class they name.

A pickle can call anything that it may import, so that nothing is imported.
"""

from __future__ import annotations

import pickle
import reprlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.data.listing import first_line
from bench.data.locate import DataError


def unpickled(path: Path) -> tuple[dict[bytes, int], list[int], list[bool]]:
    """The images, each once with its number; the number of each in its turn; whether each pair is of one person.

    Raises DataError where the file is cut short, names anything else, or holds something else.
    """
    number: dict[bytes, int] = {}
    try:
        with path.open("rb") as file:
            images, same = _Plain(file, encoding="bytes").load()
        index = [number.setdefault(_bytes(image), len(number)) for image in _items(images)]
        return number, index, [_bool(value) for value in _items(same)]
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to say
        raise DataError(
            f"{path} cannot be read as insightface's (images, is_same) ({first_line(error)}): it is cut short or "
            "something else"
        ) from None


class _Array:
    """What a pickled numpy array, dtype or scalar is made of, without numpy."""

    def __init__(self, *parts: Any) -> None:
        self.parts, self.state = parts, ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def content(self) -> tuple[str, Any]:
        """How an element is stored, as the module struct has it, and the elements of an array or scalar, row by row."""
        if len(self.state) == 5:  # an array: version, shape, dtype, whether by columns, bytes or a list of objects
            _, _, dtype, _, data = self.state
        elif len(self.parts) == 4:  # an array of protocol 5: bytes, dtype, shape, order
            data, dtype, _, _ = self.parts
        else:
            dtype, data = self.parts
        code, order = (x.decode() if isinstance(x, bytes) else x for x in (dtype.parts[0], dtype.state[1]))
        return ("=" if order == "|" else order) + CODES[code], data

    def values(self) -> list[Any]:
        """The elements of an array or scalar."""
        form, data = self.content()
        return data if isinstance(data, list) else [value for (value,) in struct.iter_unpack(form, data)]


CODES = {  # of numpy's dtypes, as the module struct has them; objects are a list
    **dict(zip(("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"), "?bhiqBHIQfd", strict=True)),
    **dict.fromkeys(("O", "O8"), "O"),
}


def _latin1(text: str | bytes, encoding: str = "latin1") -> bytes:
    """Bytes, as pickles before protocol 3 and bytearrays have them."""
    if isinstance(text, bytes):
        return text
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


# names in pickles of bytes, bytearrays, numpy arrays and numpy scalars, by numpy 1 and 2, Python 2 and 3; what stands
# in for them
_STAND_INS: dict[str, Any] = {
    **dict.fromkeys(("_codecs.encode", "builtins.bytearray", "__builtin__.bytearray"), _latin1),
    **{f"numpy.{name}": _Array for name in ("ndarray", "dtype")},
    **{
        f"numpy.{core}.{name}": _Array
        for core in ("core", "_core")
        for name in ("multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer")
    },
}


def _build(reader: Any) -> None:
    """Gives an array its state, and nothing else: a stand-in that one file may change would be another for the next."""
    if not isinstance(reader.stack[-2], _Array):
        raise pickle.UnpicklingError("it gives a state to what is no array")
    reader.load_build()


def _bytearray(reader: Any) -> None:
    """A bytearray as far as there are bytes: pickle's own method fills as many with zeros as the file says, first."""
    (length,) = struct.unpack("<Q", reader.read(8))
    reader.append(bytearray(reader.read(length)))


class _Plain(pickle._Unpickler):
    """Reads numbers, strings, bytes, lists, tuples, and stand-ins for numpy's; imports nothing.

    Python's own unpickler: the one in C makes room in memory for as many objects as a file says that it has.
    """

    dispatch = pickle._Unpickler.dispatch | {pickle.BUILD[0]: _build, pickle.BYTEARRAY8[0]: _bytearray}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in _STAND_INS:
            raise pickle.UnpicklingError(f"it names {full!r}, which no such file needs")
        return _STAND_INS[full]


def _items(value: Any) -> Sequence[Any]:
    """A row of images or of truths: a list, a tuple, or an array."""
    found = value.values() if isinstance(value, _Array) else value
    if not isinstance(found, list | tuple):
        raise pickle.UnpicklingError(f"a {type(found).__name__} where a list belongs")
    return found


def _bytes(value: Any) -> bytes:
    """An image: bytes, or an array of bytes."""
    form, found = value.content() if isinstance(value, _Array) else ("=B", value)
    if form not in ("=B", "=b"):
        raise pickle.UnpicklingError(f"an array of {form} where an encoded image belongs")
    if not isinstance(found, bytes | bytearray):
        raise pickle.UnpicklingError(f"a {type(found).__name__} where an encoded image belongs")
    return bytes(found)


def _bool(value: Any) -> bool:
    """A bool or a number that is one, Python's or numpy's."""
    found = value.values() if isinstance(value, _Array) else value
    if isinstance(found, list) and len(found) == 1:
        (found,) = found
    if not isinstance(found, int | float) or found not in (0, 1):
        raise pickle.UnpicklingError(f"{reprlib.repr(found)} where True or False belongs")
    return bool(found)
