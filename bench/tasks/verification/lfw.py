"""LFW (Huang et al. 2007): folders of images, one a person, and the lists of its View 1.

View 1 is for choosing between nets. The field reports numbers of View 2, whose lists are not read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from bench.data.locate import DataError, notice
from bench.spec import counted
from bench.tasks.verification.images import Region, of_files
from bench.tasks.verification.people import Pairs, People

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".pgm", ".ppm", ".webp")
# of the deep-funneled images. On the mean of their faces the eyes are at row 111, columns 104 and 146, and the mouth at
# row 158: resized to 112 pixels this square has them within 1.5 pixels of where ArcFace's alignment puts them
REGION = Region(of=250, top=49, left=58, side=134)


def lfw_view1(folder: Path, side: int) -> tuple[People, Pairs]:
    """View 1's training people with ten images or more, and its test pairs. Raises DataError."""
    names = listed_people(folder / "peopleDevTrain.txt")
    people = load_people(folder, names, at_least=10, side=side)
    return people, load_pairs(folder, listed_pairs(folder / "pairsDevTest.txt"), side=side)


def load_people(
    folder: Path, names: Sequence[str], *, at_least: int, side: int, region: Region | None = REGION
) -> People:
    """The people `names` from their folders of images, sorted by name.

    at_least: people with fewer images are left out, and counted if they have any, as the field's training sets are
    cleaned: one image teaches a margin nothing about how a face varies.
    side, region: see bench.tasks.verification.images.decode.
    Raises DataError where fewer than two people are left, or at an image that cannot be read.
    """
    found = {name: _images(folder / name) for name in sorted(set(names))}
    kept = {name: paths for name, paths in found.items() if len(paths) >= at_least}
    if len(kept) < 2:
        raise DataError(
            f"{folder}: {len(kept)} of {len(found):,} people have {at_least} images or more, where at least two must: "
            "get the whole data set"
        )
    paths = [path for own in kept.values() for path in own]
    y = torch.tensor([who for who, own in enumerate(kept.values()) for _ in own])
    x = of_files(paths, side, region).in_memory()
    few = sum(map(bool, found.values())) - len(kept)
    return People(x, y, tuple(kept), few, notice(folder))


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


class Pair(NamedTuple):
    """Two images by their paths below the set's folder, without suffix; line: where a list has them."""

    left: str
    right: str
    same: bool
    line: str


def load_pairs(folder: Path, pairs: Sequence[Pair], *, side: int, region: Region | None = REGION) -> Pairs:
    """The images of `pairs` below `folder`, in memory, each once, and the people in them.

    side, region: see bench.tasks.verification.images.decode. Raises DataError naming the pairs whose files are missing.
    """
    number: dict[str, int] = {}
    for pair in pairs:
        for path in (pair.left, pair.right):
            number.setdefault(path, len(number))
    files = {path: _file(folder / path) for path in number}
    missing = [f"{p.line}: {q}" for p in pairs for q in (p.left, p.right) if files[q] is None]
    if missing:
        raise DataError(
            f"{folder}: {counted(len(missing), 'file')} of the pairs missing: {'; '.join(missing[:3])}. Get the whole "
            "data set, or the list that goes with it"
        )
    x = of_files([path for path in files.values() if path], side, region).in_memory()
    left, right = (torch.tensor([number[getattr(p, end)] for p in pairs]) for end in ("left", "right"))
    same, fold = torch.tensor([p.same for p in pairs]), torch.zeros(len(pairs), dtype=torch.int64)
    names = sorted({path.partition("/")[0] for path in number})
    return Pairs(x, left, right, same, fold, tuple(names), notice(folder))


def _file(path: Path) -> Path | None:
    """The image at `path` with any suffix (aligned copies of LFW are often PNG)."""
    return next(filter(Path.is_file, (path.with_name(path.name + suffix) for suffix in SUFFIXES)), None)


def listed_people(path: Path) -> list[str]:
    """The names in a list such as `peopleDevTrain.txt`: how many, then `person n` a line. Raises DataError."""
    (_, count), *rows = _lines(path)
    names = [line.split("\t")[0] for _, line in rows if "\t" in line]
    if not len(names) == len(rows) == int(count if count.isdigit() else -1):
        raise DataError(f"{path}: {len(names):,} people where {count} are announced: get the list again")
    return names


def listed_pairs(path: Path) -> list[Pair]:
    """The pairs of a list such as `pairsDevTest.txt`: how many of each kind, then same ones, then different ones.

    Raises DataError naming the line that is not `person n m` or `person n other m`, or the count that is not there.
    """
    (where, count), *rows = _lines(path)
    if not count.isdigit() or not int(count):
        raise DataError(f"{where}: {count!r} where the number of pairs belongs")
    pairs = [_pair(where, line) for where, line in rows]
    if [pair.same for pair in pairs] != [True] * int(count) + [False] * int(count):
        same = sum(pair.same for pair in pairs)
        raise DataError(
            f"{path}: {same:,} same and {len(pairs) - same:,} different pairs, where {int(count):,} of each are "
            "announced, the same ones first: get the list again"
        )
    return pairs


def _pair(where: str, line: str) -> Pair:
    row = line.split("\t") if "\t" in line else line.split()
    numbers = row[1::2] if len(row) == 4 else row[1:]
    if len(row) not in (3, 4) or not all(number.isdigit() for number in numbers):
        raise DataError(f"{where}: {line!r} is neither `person n m` nor `person n other m`")
    other = row[0] if len(row) == 3 else row[2]
    left, right = (f"{who}/{who}_{int(n):04d}" for who, n in zip((row[0], other), numbers, strict=True))
    return Pair(left, right, len(row) == 3, where)


def _lines(path: Path) -> list[tuple[str, str]]:
    """The lines of a list that are not empty, each after where it stands. Raises DataError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}): it belongs to the data set") from None
    found = [(f"{path.name} line {number}", line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise DataError(f"{path} is empty: get the list again")
    return found
