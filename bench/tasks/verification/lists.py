"""Lists in LFW's formats: of people, and of pairs in one part or in folds. An image is a person and a number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.data.listing import read_list, same_form
from bench.data.locate import DataError
from bench.spec import counted
from bench.spec.advice import shown

Files = Mapping[str, Sequence[Path]]  # the images of each person


class Pair(NamedTuple):
    """Two images, each a person and a number; line: where the list has them."""

    left: tuple[str, int]
    right: tuple[str, int]
    same: bool
    line: str
    fold: int = 0


def listed_people(path: Path) -> dict[str, int]:
    """The people in a list such as `peopleDevTrain.txt`, each with the number of images that it announces.

    Its first line says how many people follow, then it has `person n` a line. Raises DataError.
    """
    (_, count), *rows = read_list(path)
    people: dict[str, int] = {}
    for where, line in rows:
        name, tab, images = line.rpartition("\t")
        name = same_form(name.strip())
        if tab and name in people:
            raise DataError(f"{where}: {name} is there twice: get the list again")
        if tab:
            people[name] = _number(images, where, line, "`person n`")
    if len(people) != len(rows) or count != str(len(people)):
        raise DataError(f"{path}: {len(people):,} people where {count} are announced: get the list again")
    return people


def listed_pairs(path: Path) -> list[Pair]:
    """The pairs of a list such as `pairsDevTest.txt` or, in folds, View 2's `pairs.txt`.

    Its first line is the number of pairs of each kind, before it that of the folds where there are some: `500`, or
    `10 300`. Then each fold has its same pairs, then its different ones.
    Raises DataError naming the line that is not `person n m` or `person n other m`, or the count that is not there.
    """
    (where, first), *rows = read_list(path)
    wanted = "the number of pairs of each kind, `500`, or of folds and pairs in each, `10 300`,"
    numbers = [_number(part, where, first, wanted) for part in first.split()]
    if len(numbers) > 2:
        raise DataError(f"{where}: {shown(first)} where {wanted} belongs")
    folds, count = numbers if len(numbers) == 2 else (1, *numbers)
    pairs = [_pair(where, line, k // (2 * count)) for k, (where, line) in enumerate(rows)]
    right = (pair.same == (k % (2 * count) < count) for k, pair in enumerate(pairs))
    if len(pairs) != 2 * count * folds or not all(right):
        same = sum(pair.same for pair in pairs)
        raise DataError(
            f"{path}: {same:,} same and {len(pairs) - same:,} different pairs, where {count:,} of each are "
            f"announced{f' in each of {folds:,} folds' * (folds > 1)}, the same ones first: correct its first line or "
            "its order, or get the list again"
        )
    return pairs


def _pair(where: str, line: str, fold: int) -> Pair:
    row = line.split("\t") if "\t" in line else line.split()
    wanted = "`person n m` or `person n other m`"
    if len(row) not in (3, 4):
        raise DataError(f"{where}: {shown(line)} where {wanted} belongs")
    numbers = row[1::2] if len(row) == 4 else row[1:]
    people = [same_form(who.strip()) for who in (row[0], row[0] if len(row) == 3 else row[2])]
    left, right = ((who, _number(n, where, line, wanted)) for who, n in zip(people, numbers, strict=True))
    if left == right:
        raise DataError(f"{where}: {shown(line)} is a pair of an image with itself, which any net judges right")
    if len(row) == 4 and people[0] == people[1]:
        raise DataError(f"{where}: {shown(line)} names one person twice, as a same pair does not: write `person n m`")
    return Pair(left, right, len(row) == 3, where, fold)


def _number(text: str, where: str, line: str, wanted: str) -> int:
    if not re.fullmatch("0*[1-9][0-9]{0,8}", text.strip()):
        raise DataError(f"{where}: {shown(line)} where {wanted} belongs: get the list again")
    return int(text)


def files_of(folder: Path, people: Files, pairs: Sequence[Pair]) -> list[tuple[Path, Path]]:
    """The two files of each pair. people: those of `folder`. Raises DataError naming images that are not there."""
    names = dict.fromkeys(who for pair in pairs for who, _ in (pair.left, pair.right))
    files = {(who, n): path for who in names for n, path in numbered(who, people.get(who, ())).items()}
    lacking = [pair for pair in pairs if not {pair.left, pair.right} <= files.keys()]
    missing: dict[tuple[str, int], str] = {}
    for pair in lacking:
        for end in pair[:2]:
            if end not in files:
                missing.setdefault(end, Path(pair.line).name)
    if missing:
        first = ", ".join(f"{who} {n} ({line})" for (who, n), line in list(missing.items())[:3])
        raise DataError(
            f"{folder}: {len(lacking):,} of the {counted(len(pairs), 'pair')} name {counted(len(missing), 'image')} "
            f"not there: {first}{', …' * (len(missing) > 3)}. Get the whole data set, or the list that goes with it"
        )
    return [(files[pair.left], files[pair.right]) for pair in pairs]


def numbered(person: str, paths: Iterable[Path]) -> dict[int, Path]:
    """A person's images by their numbers in a list.

    An image's number is that of its file's name, alone or after the person's (`7.pgm`, `Ann_Lee_0007.jpg`); where no
    file is named so, its place from 1 on in natural order. Raises DataError for two images of one number.
    """
    ordered = sorted(paths, key=natural)
    stems = [same_form(path.stem).removeprefix(f"{person}_") for path in ordered]
    if not any(re.fullmatch("[0-9]{1,9}", stem) for stem in stems):
        return dict(enumerate(ordered, 1))
    found: dict[int, Path] = {}
    for stem, path in zip(stems, ordered, strict=True):
        if re.fullmatch("[0-9]{1,9}", stem) and (other := found.setdefault(int(stem), path)) is not path:
            raise DataError(
                f"{path.parent}: {other.name} and {path.name} are both number {int(stem)}: keep one of them"
            )
    return found


def natural(path: Path) -> list[int | str]:
    """The key of natural order, in which 2.pgm comes before 10.pgm."""
    parts = re.split("([0-9]+)", same_form(path.name))
    return [int(part) if k % 2 else part.casefold() for k, part in enumerate(parts)]
