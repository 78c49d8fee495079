"""insightface's formats: training sets packed as RecordIO (`train.rec`), verification sets pickled (`lfw.bin`, …).

Both are read without mxnet, and the pickles without numpy or any class they name: a pickle can call anything that it
may import, so that nothing is imported.
"""

from __future__ import annotations

import pickle
import re
import reprlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.data.listing import first_line, read_list, read_text
from bench.data.locate import DataError, notice
from bench.tasks.verification.images import SIDE, OnDisk
from bench.tasks.verification.people import Pairs, People

FOLDS = 10
MEMORY = 4 * 2**30  # bytes: a larger training set stays on disk
LONGEST = 2**26  # bytes of a record, which is one image of a face
MAGIC = 0xCED7230A
HEAD = struct.Struct("<II")  # magic; 3 bits which part of a record this is, 29 bits its length
HEADER = struct.Struct("<IfQQ")  # mxnet's IRHeader: flag (labels that follow), label, id, id2


@dataclass(frozen=True, slots=True)
class _Records:
    """The images of a RecordIO file: `offsets` says where each one's record begins."""

    path: Path
    offsets: Sequence[int]

    def read(self, number: int) -> tuple[str, bytes]:
        return self._name(number), self.labelled(number)[1]

    def _name(self, number: int) -> str:
        return f"{self.path} at byte {self.offsets[number]:,}"

    def labelled(self, number: int) -> tuple[tuple[float, ...], bytes]:
        """A record's labels and what follows them. Raises DataError where there is no whole record."""
        try:
            data = self._record(self.offsets[number])
            flag, label, _, _ = HEADER.unpack_from(data)
            labels = struct.unpack_from(f"<{flag}f", data, HEADER.size) if flag else (label,)
        except (struct.error, OSError, ValueError, OverflowError) as error:
            raise DataError(f"{self._name(number)}: no whole record ({error}): get the file again") from None
        return labels, data[HEADER.size + 4 * flag :]

    def _record(self, offset: int) -> bytes:
        """The record at `offset`: one part, or several where the magic number occurred in the data and was cut out."""
        parts, total = [], 0
        with self.path.open("rb") as file:
            file.seek(offset)
            while True:
                magic, head = HEAD.unpack(file.read(HEAD.size))
                part, length = head >> 29, head & (1 << 29) - 1
                total += length
                if total > LONGEST:
                    raise struct.error(f"{total:,} bytes or more, and no image of a face has {LONGEST:,}")
                data = file.read(length)
                if magic != MAGIC or len(data) != length:
                    raise struct.error("another file's bytes" if magic != MAGIC else "the file ends in it")
                parts.append(data)
                if part in (0, 3):  # the whole, or the last part
                    return MAGIC.to_bytes(4, "little").join(parts)
                file.seek(-length % 4, 1)


def insightface(folder: Path, side: int) -> tuple[People, Pairs]:
    """A training set of insightface, and the pairs of LFW beside it. Raises DataError."""
    return load_packed(folder, side=side), load_bin(folder / "lfw.bin", side=side)


def load_packed(folder: Path, *, side: int = SIDE, memory: int = MEMORY) -> People:
    """insightface's packed training set: `train.rec`, `train.idx` and `property` (people, height, width) in `folder`.

    People with one image are kept: these sets are cleaned by their owners, and published numbers are on all of
    them. Names are the numbers of the people. Reads the whole file, for its labels and its digest; the images stay on
    disk where they would take more than `memory` bytes.
    Raises DataError naming what is missing, cut short or contradicts `property`.
    """
    records, classes = _Records(folder / "train.rec", _offsets(folder)), _property(folder / "property")
    images = _without_lists(records)
    labels = torch.tensor([images.labelled(number)[0][0] for number in range(len(images.offsets))])
    y = labels.long()
    if not len(y) or bool((y != labels).any()) or int(y.min()) < 0 or int(y.max()) >= classes:
        raise DataError(f"{folder}: labels of {len(y):,} images are not all in 0..{classes - 1:,}, as property says")
    x = OnDisk(len(y), images.read, side)
    small = len(y) * 3 * side * side <= memory
    return People(x.in_memory() if small else x, y, tuple(map(str, range(classes))), notice=notice(folder))


def _without_lists(records: _Records) -> _Records:
    """Those of the records that are images.

    Record 0 of the usual files holds (n, m): images are 1 to n - 1, and what comes after lists each person's. Its
    labels are two, where an image has one; files without it have images only.
    """
    first, _ = records.labelled(0)
    if len(first) == 1:
        return records
    if not 1 < first[0] <= len(records.offsets):
        raise DataError(
            f"{records.path}: {first[0] - 1:,.0f} images announced, {len(records.offsets) - 1:,} records there"
        )
    return _Records(records.path, records.offsets[1 : int(first[0])])


def _offsets(folder: Path) -> list[int]:
    """Where the records begin, in the order of their keys."""
    path = folder / "train.idx"
    lines = [line for line in read_text(path).split("\n") if line.strip()]  # millions: no text of where each stands
    try:
        rows = {int(key): int(offset) for key, offset in map(str.split, lines)}
        size = (folder / "train.rec").stat().st_size
    except (OSError, ValueError) as error:
        raise DataError(f"{path} and train.rec beside it cannot be read ({error}): get the set again") from None
    offsets = [rows[key] for key in sorted(rows)]
    if not offsets or max(offsets) >= size:
        raise DataError(f"{folder}: train.rec has {size:,} bytes, fewer than train.idx points to: get it again")
    if len(set(offsets)) != len(lines) or min(offsets) < 0:
        raise DataError(f"{path}: two keys or offsets are one, or below 0: get the set again")
    return offsets


def _property(path: Path) -> int:
    """The number of people."""
    where, line = read_list(path)[0]
    people = line.split(",")[0].strip()
    if not re.fullmatch("[1-9][0-9]{0,6}", people):
        raise DataError(f"{where}: {reprlib.repr(line)} where `people,height,width` belongs: get the set again")
    return int(people)


def load_bin(path: Path, *, side: int = SIDE) -> Pairs:
    """insightface's verification set: a pickle of (2 P encoded images, P bools), neighbours are a pair.

    The ten folds are tenths in order, as insightface evaluates it. Nothing that the pickle names is imported.
    Raises DataError where it is cut short, names anything else, or holds something else.
    """
    number, index, same = _unpickled(path)
    if len(index) != 2 * len(same) or len(same) < FOLDS:
        raise DataError(f"{path}: {len(index):,} images for {len(same):,} pairs, where two of each belong")
    named = [(f"{path}, an image of {len(blob):,} bytes", blob) for blob in number]
    x = OnDisk(len(named), named.__getitem__, side).in_memory()
    left, right = torch.tensor(index).view(-1, 2).unbind(1)
    sizes = torch.tensor([len(part) for part in torch.arange(len(same)).tensor_split(FOLDS)])
    folds = torch.arange(FOLDS).repeat_interleave(sizes)
    return Pairs(x, left, right, torch.tensor(same), folds, notice=notice(path.parent))


def _unpickled(path: Path) -> tuple[dict[bytes, int], list[int], list[bool]]:
    """The images, each once with its number; the number of each in its turn; whether each pair is of one person."""
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


class _Plain(pickle._Unpickler):
    """Reads numbers, strings, bytes, lists, tuples, and stand-ins for numpy's; imports nothing.

    Python's own unpickler: the one in C makes room in memory for as many objects as a file says that it has.
    """

    dispatch = pickle._Unpickler.dispatch | {pickle.BUILD[0]: _build}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in _STAND_INS:
            raise pickle.UnpicklingError(f"it names {full}, which no such file needs")
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
