"""Lists of pairs of faces: of LFW (Huang et al. 2007), CFP (Sengupta et al. 2016), AgeDB (Moschoglou et al. 2017).

LFW's View 1 (`pairsDevTrain.txt`, `pairsDevTest.txt`) is for choosing, View 2 (`pairs.txt`, ten folds) for the number
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


def cfp_pairs(folder: Path, protocol: str = "FP") -> list[Pair]:
    """CFP's ten folds of 350 same and 350 different pairs (Sengupta et al. 2016), frontal against profile.

    folder: holds `Protocol/Pair_list_{F,P}.txt` and `Protocol/Split/<protocol>/NN/{same,diff}.txt`.
    protocol: "FP", or "FF" for frontal against frontal. Raises DataError, ValueError at another protocol.
    """
    if protocol not in ("FP", "FF"):
        raise ValueError(f"protocol {protocol!r} is not one of: FP, FF")
    home = folder / "Protocol"
    lists = [dict(_cfp_entry(*line) for line in _lines(home / f"Pair_list_{kind}.txt")) for kind in protocol]
    splits = sorted(path for path in (home / "Split" / protocol).glob("*") if path.is_dir())
    if len(splits) != FOLDS:
        raise DataError(f"{home / 'Split' / protocol}: {len(splits)} folds where {FOLDS} belong: get CFP again")
    return [
        _cfp_pair(where, line, lists, kind == "same", fold)
        for fold, split in enumerate(splits)
        for kind in ("same", "diff")
        for where, line in _lines(split / f"{kind}.txt")
    ]


def _cfp_entry(where: str, line: str) -> tuple[str, str]:
    """`17 ../Data/Images/002/frontal/07.jpg` as ("17", "Data/Images/002/frontal/07.jpg")."""
    row = line.split()
    if len(row) != 2:
        raise DataError(f"{where}: {line!r} where a number and a path belong")
    return row[0], row[1].removeprefix("../")


def _cfp_pair(where: str, line: str, lists: list[dict[str, str]], same: bool, fold: int) -> Pair:
    row = [number.strip() for number in line.split(",")]
    if len(row) != 2 or row[0] not in lists[0] or row[1] not in lists[1]:
        raise DataError(f"{where}: {line!r} is no pair of numbers from the two lists of pictures")
    return Pair(lists[0][row[0]], lists[1][row[1]], same, fold, where)


def listed_pairs(path: Path) -> list[Pair]:
    """A list `left right label` of pictures below the set's folder, as AgeDB-30's 6,000 pairs come: ten folds in order.

    label: 1 for the same person, 0 or -1 for different ones. Raises DataError naming the line.
    """
    lines = _lines(path)
    return [_listed(where, line, FOLDS * number // len(lines)) for number, (where, line) in enumerate(lines)]


def _listed(where: str, line: str, fold: int) -> Pair:
    row = line.split()
    if len(row) != 3 or row[2] not in ("1", "0", "-1"):
        raise DataError(f"{where}: {line!r} where two paths and 1, 0 or -1 belong")
    return Pair(row[0], row[1], row[2] == "1", fold, where)


def lfw_person(path: str) -> str:
    """Whose picture an LFW path is: the name of its folder."""
    return path.partition("/")[0]


def agedb_person(path: str) -> str:
    """Whose picture an AgeDB path is: `0_MariaCallas_35_f.jpg` is MariaCallas's; "" where it is not so named."""
    row = Path(path).stem.split("_")
    return row[1] if len(row) == 4 else ""


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
