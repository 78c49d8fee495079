"""LFW's lists of pairs of faces (Huang et al. 2007).

View 1 (`pairsDevTrain.txt`, `pairsDevTest.txt`) is for choosing, View 2 (`pairs.txt`, ten folds) for the number
that is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.data.locate import DataError

FOLDS = 10


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures by their paths below the set's folder, as line `line` of a list has them."""

    left: str
    right: str
    same: bool
    fold: int
    line: str


def lfw_people(path: Path) -> tuple[str, ...]:
    """The names in LFW's `peopleDevTrain.txt`, `peopleDevTest.txt` or `people.txt`. Raises DataError."""
    rows = [line.split("\t") for _, line in _lines(path)]
    names = tuple(row[0] for row in rows if len(row) == 2)
    numbers = [int(row[0]) for row in rows if len(row) == 1 and row[0].isdigit()]
    announced = numbers[0] if len(numbers) == 1 else sum(numbers[1:])  # people.txt: the folds, then each one's people
    if len(names) != announced or len(names) + len(numbers) != len(rows):
        raise DataError(f"{path}: {len(names):,} people where {announced:,} are announced: get the list again")
    return names


def lfw_pairs(path: Path) -> list[Pair]:
    """LFW's `pairs.txt` (ten folds) or `pairsDevTest.txt`, `pairsDevTrain.txt` (one): same first, then different.

    Raises DataError naming the line that is not `person n m` or `person n other m`, or the count that is not there.
    """
    lines = _lines(path)
    head = lines[0][1].split()
    if not 1 <= len(head) <= 2 or not all(number.isdigit() and int(number) for number in head):
        raise DataError(f"{lines[0][0]}: {lines[0][1]!r} where the numbers of folds and pairs belong")
    folds, count = (1, int(head[0])) if len(head) == 1 else (int(head[0]), int(head[1]))
    pairs = [_lfw_pair(where, line, number // (2 * count)) for number, (where, line) in enumerate(lines[1:])]
    wanted = folds * 2 * count
    right_kind = [pair.same == (number // count % 2 == 0) for number, pair in enumerate(pairs)]
    if len(pairs) != wanted or not all(right_kind):
        same = sum(pair.same for pair in pairs)
        raise DataError(
            f"{path}: {same:,} same and {len(pairs) - same:,} different pairs, where {folds} x {count:,} of each are "
            "announced, the same ones of a fold first: get the list again"
        )
    return pairs


def _lfw_pair(where: str, line: str, fold: int) -> Pair:
    row = line.split("\t") if "\t" in line else line.split()
    numbers = row[1::2] if len(row) == 4 else row[1:]
    if len(row) not in (3, 4) or not all(number.isdigit() for number in numbers):
        raise DataError(f"{where}: {line!r} is neither `person n m` nor `person n other m`")
    other = row[0] if len(row) == 3 else row[2]
    left, right = (f"{who}/{who}_{int(n):04d}" for who, n in zip((row[0], other), numbers, strict=True))
    return Pair(left, right, len(row) == 3, fold, where)


def lfw_person(path: str) -> str:
    """Whose picture an LFW path is: the name of its folder."""
    return path.partition("/")[0]


def _lines(path: Path) -> list[tuple[str, str]]:
    """The lines of a list that are not empty, each with where it stands. Raises DataError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}): it belongs to the data set") from None
    lines = list(_numbered(path, text))
    if not lines:
        raise DataError(f"{path} is empty: get the list again")
    return lines


def _numbered(path: Path, text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield f"{path.name} line {number}", line.strip()
