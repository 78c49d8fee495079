"""The structs of a MATLAB file of version 5, such as the development kit's meta.mat, in plain Python.

scipy's reader ends the whole process at some damaged files. What is read here: numbers, of which the first of an array
counts, texts, and arrays of structs of these; anything else is None.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

LARGEST = 2**24  # bytes that the file, or what is compressed in it, may have
HEADER, ORDER = 128, slice(126, 128)  # bytes before the first element, and those of them that say the byte order
ORDERS = {b"IM": "<", b"MI": ">"}
MATRIX, COMPRESSED = (
    14,
    15,
)  # kinds of elements; NUMBERS and TEXTS are others, as the module struct and Python have them
NUMBERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
TEXTS = {1: "utf-8", 2: "utf-8", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
STRUCTS, TEXT, FIRST_NUMBER, LAST_NUMBER = 2, 4, 6, 15  # classes of matrices


def structs(content: bytes, name: str) -> list[dict[str, Any]]:
    """The array of structs called `name`. A file that has none raises whatever its bytes happen to say."""
    order = ORDERS[content[ORDER]]
    for kind, data in _elements(content[HEADER:], order):
        matrix = data
        if kind == COMPRESSED:
            _, matrix = next(_elements(zlib.decompressobj().decompress(data, LARGEST), order))
        found, value = _matrix(matrix, order)
        if found == name and isinstance(value, list):
            return value
    raise ValueError(f"no structs {name!r}")


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """The elements in `data`, each its kind and its bytes; those of up to four bytes may be in the head itself."""
    position = 0
    while position < len(data):
        kind, length = struct.unpack_from(f"{order}2I", data, position)
        start = position + 8
        if kind >> 16:
            kind, length, start = kind & 0xFFFF, kind >> 16, position + 4
        if start + length > len(data):
            raise ValueError(f"{length:,} bytes, where {len(data) - start:,} are left")
        yield kind, data[start : start + length]
        position = max(start + length, position + 8)
        if kind != COMPRESSED:
            position += -position % 8


def _matrix(data: bytes, order: str) -> tuple[str, Any]:
    """The name of a matrix and what is in it; an empty one is nothing."""
    parts = _elements(data, order)
    if not data:
        return "", None
    (_, flags), _, (_, name) = (next(parts) for _ in range(3))
    kind = struct.unpack_from(f"{order}I", flags)[0] & 0xFF
    if kind == STRUCTS:
        length = _number(*next(parts), order)
        _, names = next(parts)
        fields = [names[i : i + length].rstrip(b"\0").decode() for i in range(0, len(names), length)]
        values = [_matrix(part, order)[1] for _, part in parts]
        rows = [values[i : i + len(fields)] for i in range(0, len(values), len(fields))]
        return name.decode(), [dict(zip(fields, row, strict=True)) for row in rows]
    if kind == TEXT:
        stored, raw = next(parts)
        return name.decode(), raw.decode(TEXTS[stored] + {"<": "-le", ">": "-be"}[order] * (TEXTS[stored] == "utf-16"))
    return name.decode(), _number(*next(parts), order) if FIRST_NUMBER <= kind <= LAST_NUMBER else None


def _number(stored: int, raw: bytes, order: str) -> Any:
    return struct.unpack_from(order + NUMBERS[stored], raw)[0] if raw else None
