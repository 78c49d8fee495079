"""insightface's formats: training sets packed as RecordIO (`train.rec`), verification sets pickled (`lfw.bin`, …).

Both are read without mxnet, and the pickles without numpy or any class they name: a pickle can call anything that it
may import, so that nothing is imported.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.data.locate import DataError, notice
from bench.tasks.verification.images import SIDE, OnDisk
from bench.tasks.verification.people import Pairs, People

FOLDS = 10
MEMORY = 4 * 2**30  # bytes: a larger training set stays on disk
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
        except (struct.error, OSError, ValueError) as error:
            raise DataError(f"{self._name(number)}: no whole record ({error}): get the file again") from None
        return labels, data[HEADER.size + 4 * flag :]

    def _record(self, offset: int) -> bytes:
        """The record at `offset`: one part, or several where the magic number occurred in the data and was cut out."""
        parts = []
        with self.path.open("rb") as file:
            file.seek(offset)
            while True:
                magic, head = HEAD.unpack(file.read(HEAD.size))
                part, length = head >> 29, head & (1 << 29) - 1
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
    try:
        rows = sorted((int(key), int(offset)) for key, offset in map(str.split, path.read_text().splitlines()))
        size = (folder / "train.rec").stat().st_size
    except (OSError, ValueError) as error:
        raise DataError(f"{path} and train.rec beside it cannot be read ({error}): get the set again") from None
    if not rows or rows[-1][1] >= size:
        raise DataError(f"{folder}: train.rec has {size:,} bytes, fewer than train.idx points to: get it again")
    return [offset for _, offset in rows]


def _property(path: Path) -> int:
    """The number of people."""
    try:
        return int(path.read_text().split(",")[0])
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}), where `people,height,width` belongs") from None


def load_bin(path: Path, *, side: int = SIDE) -> Pairs:
    """insightface's verification set: a pickle of (2 P encoded images, P bools), neighbours are a pair.

    The ten folds are tenths in order, as insightface evaluates it. Nothing that the pickle names is imported.
    Raises DataError where it is cut short, names anything else, or holds something else.
    """
    blobs, same = _unpickled(path)
    if len(blobs) != 2 * len(same) or len(same) < FOLDS:
        raise DataError(f"{path}: {len(blobs):,} images for {len(same):,} pairs, where two of each belong")
    number: dict[bytes, int] = {}
    index = torch.tensor([number.setdefault(blob, len(number)) for blob in blobs])
    named = [(f"{path}, an image of {len(blob):,} bytes", blob) for blob in number]
    x = OnDisk(len(named), named.__getitem__, side).in_memory()
    sizes = torch.tensor([len(part) for part in torch.arange(len(same)).tensor_split(FOLDS)])
    folds = torch.arange(FOLDS).repeat_interleave(sizes)
    return Pairs(x, index[::2], index[1::2], torch.tensor(same), folds, notice=notice(path.parent))


def _unpickled(path: Path) -> tuple[list[bytes], list[bool]]:
    try:
        with path.open("rb") as file:
            blobs, same = _Plain(file, encoding="bytes").load()
        return [_bytes(blob) for blob in blobs], [_bool(value) for value in same]
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to say
        reason = str(error) or type(error).__name__
        raise DataError(
            f"{path} cannot be read as insightface's (images, is_same) ({reason}): it is cut short or something else"
        ) from None


class _Array:
    """What a pickled numpy array, dtype or scalar holds, without numpy."""

    def __init__(self, *parts: Any) -> None:
        self.data = parts

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.data = state


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


# names in pickles of bytes, numpy arrays and numpy bools, by numpy 1 and 2, Python 2 and 3; what stands in for them
_STAND_INS: dict[str, Any] = {
    "_codecs.encode": _latin1,
    **{f"numpy.{name}": _Array for name in ("ndarray", "dtype")},
    **{
        f"numpy.{core}.{name}": _Array
        for core in ("core", "_core")
        for name in ("multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer")
    },
}


class _Plain(pickle.Unpickler):
    """Reads numbers, strings, bytes, lists, tuples, and stand-ins for numpy's; imports nothing."""

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in _STAND_INS:
            raise pickle.UnpicklingError(f"it names {full}, which no such file needs")
        return _STAND_INS[full]


def _bytes(value: Any) -> bytes:
    """An image: bytes, or an array of bytes, whose state ends with them (_frombuffer begins with them)."""
    found = value
    if isinstance(value, _Array):
        found = next((part for part in (value.data[-1], value.data[0]) if isinstance(part, bytes | bytearray)), None)
    if not isinstance(found, bytes | bytearray):
        raise pickle.UnpicklingError(f"a {type(found).__name__} where an encoded image belongs")
    return bytes(found)


def _bool(value: Any) -> bool:
    """A bool, or numpy's, which is pickled as its dtype and one byte."""
    if isinstance(value, _Array) and len(value.data) == 2 and value.data[1] in (b"\0", b"\1"):
        return bool(value.data[1] == b"\1")
    if value not in (0, 1) or isinstance(value, _Array):
        raise pickle.UnpicklingError(f"{value!r} where True or False belongs")
    return bool(value)
