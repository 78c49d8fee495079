"""LFW (Huang et al. 2007): folders of images, one a person, and the lists of its View 1.

View 1 is for choosing between nets. The field reports numbers of View 2, whose lists are not read here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from bench.data.listing import by_form, files_in, folders_in, read_list, same_form
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
    people = load_people(folder, listed_people(folder / "peopleDevTrain.txt"), at_least=10, side=side)
    return people, load_pairs(folder, listed_pairs(folder / "pairsDevTest.txt"), side=side)


def load_people(
    folder: Path, listed: Mapping[str, int], *, at_least: int, side: int, region: Region | None = REGION
) -> People:
    """The people of a list from their folders of images, sorted by name.

    listed: how many images the list has of each; the set's notice says how many of them are here, where that is not
    all of them.
    at_least: people with fewer images are left out, and counted if they have any, as the field's training sets are
    cleaned: one image teaches a margin nothing about how a face varies.
    side, region: see bench.tasks.verification.images.decode.
    Raises DataError where fewer than two people are left, or at an image that cannot be read.
    """
    homes = by_form(folders_in(folder))
    found = {name: _images(homes, name) for name in sorted(listed)}
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
    said = " ".join(filter(None, (notice(folder), _difference(found, listed, at_least))))
    return People(x, y, tuple(kept), few, said)


def _difference(found: Mapping[str, Sequence[Path]], listed: Mapping[str, int], at_least: int) -> str:
    """In which number of images a set differs from its list, over the people whom the list would train on, or ""."""
    counts = [(len(found[name]), count) for name, count in listed.items() if count >= at_least]
    total = sum(count for _, count in counts)
    missing, more = (sum(max(0, sign * (count - here)) for here, count in counts) for sign in (1, -1))
    who = f"of the listed people with {at_least} or more"
    lines = [f"{total - missing:,} of {counted(total, 'image')} {who} are here: an incomplete set."] * bool(missing)
    lines += [f"{counted(more, 'image')} {who} beyond the list: another set than the list's."] * bool(more)
    return " ".join(lines)


def _images(homes: Mapping[str, Path], name: str) -> list[Path]:
    home = homes.get(same_form(name))
    return files_in(home, SUFFIXES) if home else []


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
    names = sorted({path.partition("/")[0] for path in number})
    files = _files(by_form(folders_in(folder)), names)
    missing = [f"{p.line}: {q}" for p in pairs for q in (p.left, p.right) if q not in files]
    if missing:
        raise DataError(
            f"{folder}: {counted(len(missing), 'file')} of the pairs missing: {'; '.join(missing[:3])}. Get the whole "
            "data set, or the list that goes with it"
        )
    x = of_files([files[path] for path in number], side, region).in_memory()
    left, right = (torch.tensor([number[getattr(p, end)] for p in pairs]) for end in ("left", "right"))
    same, fold = torch.tensor([p.same for p in pairs]), torch.zeros(len(pairs), dtype=torch.int64)
    return Pairs(x, left, right, same, fold, tuple(names), notice(folder))


def _files(homes: Mapping[str, Path], names: Sequence[str]) -> dict[str, Path]:
    """The images of these people as `name/stem`: of any suffix, the first of SUFFIXES where there are several."""
    ordered = (
        (name, path)
        for name in names
        for path in sorted(_images(homes, name), key=lambda path: -SUFFIXES.index(path.suffix.lower()))
    )
    return {f"{name}/{same_form(path.stem)}": path for name, path in ordered}


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
    """The pairs of a list such as `pairsDevTest.txt`: how many of each kind, then same ones, then different ones.

    Raises DataError naming the line that is not `person n m` or `person n other m`, or the count that is not there.
    """
    (where, first), *rows = read_list(path)
    count = _number(first, where, first, "the number of pairs")
    pairs = [_pair(where, line) for where, line in rows]
    if [pair.same for pair in pairs] != [True] * count + [False] * count:
        same = sum(pair.same for pair in pairs)
        raise DataError(
            f"{path}: {same:,} same and {len(pairs) - same:,} different pairs, where {count:,} of each are "
            "announced, the same ones first: get the list again"
        )
    return pairs


def _pair(where: str, line: str) -> Pair:
    row = line.split("\t") if "\t" in line else line.split()
    wanted = "`person n m` or `person n other m`"
    if len(row) not in (3, 4):
        raise DataError(f"{where}: {line!r} where {wanted} belongs")
    numbers = row[1::2] if len(row) == 4 else row[1:]
    people = [same_form(who.strip()) for who in (row[0], row[0] if len(row) == 3 else row[2])]
    ends = zip(people, numbers, strict=True)
    left, right = (f"{who}/{who}_{_number(number, where, line, wanted):04d}" for who, number in ends)
    if left == right:
        raise DataError(f"{where}: {line!r} is a pair of an image with itself, which any net judges right")
    return Pair(left, right, len(row) == 3, where)


def _number(text: str, where: str, line: str, wanted: str) -> int:
    if not re.fullmatch("0*[1-9][0-9]{0,8}", text.strip()):
        raise DataError(f"{where}: {line!r} where {wanted} belongs: get the list again")
    return int(text)
