"""insightface's formats: training sets packed as RecordIO (`train.rec`) and verification sets (`lfw.bin`), read
without mxnet.
"""

from __future__ import annotations

import re
import reprlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.data.listing import read_list, read_text
from bench.data.locate import DataError, notice
from bench.tasks.verification.images import MEMORY, SIDE, OnDisk
from bench.tasks.verification.people import Pairs, People
from bench.tasks.verification.pickles import unpickled

FOLDS = 10
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
    return People(x.held(memory), y, tuple(map(str, range(classes))), notice=notice(folder))


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
    number, index, same = unpickled(path)
    if len(index) != 2 * len(same) or len(same) < FOLDS:
        raise DataError(f"{path}: {len(index):,} images for {len(same):,} pairs, where two of each belong")
    named = [(f"{path}, an image of {len(blob):,} bytes", blob) for blob in number]
    x = OnDisk(len(named), named.__getitem__, side).in_memory()
    left, right = torch.tensor(index).view(-1, 2).unbind(1)
    sizes = torch.tensor([len(part) for part in torch.arange(len(same)).tensor_split(FOLDS)])
    folds = torch.arange(FOLDS).repeat_interleave(sizes)
    return Pairs(x, left, right, torch.tensor(same), folds, notice=notice(path.parent))
