"""LFW (Huang et al. 2007): folders of images, one a person, and the lists of its two views.

View 1 is for choosing between nets, View 2 for the numbers that the field reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from bench.data.images import ENDINGS
from bench.data.listing import by_form, files_in, folders_in, same_form
from bench.data.locate import DataError, notice
from bench.spec import counted
from bench.tasks.verification.images import Region, of_files
from bench.tasks.verification.lists import Pair, files_of, listed_pairs, listed_people
from bench.tasks.verification.people import Pairs, People, pairs_of_files

VIEW_2 = (10, 300)  # folds, and pairs of each kind in each
# of the deep-funneled images. On the mean of their faces the eyes are at row 111, columns 104 and 146, and the mouth at
# row 158: resized to 112 pixels this square has them within 1.5 pixels of where ArcFace's alignment puts them
REGION = Region(of=250, top=49, left=58, side=134)


def lfw_view1(folder: Path, side: int) -> tuple[People, Pairs]:
    """View 1's training people with ten images or more, and its test pairs. Raises DataError."""
    people = load_people(folder, listed_people(folder / "peopleDevTrain.txt"), at_least=10, side=side)
    return people, load_pairs(folder, listed_pairs(folder / "pairsDevTest.txt"), side=side)


def lfw_view2(folder: Path, side: int) -> Pairs:
    """View 2's 6,000 pairs in their ten folds. Raises DataError naming images that are not there."""
    return load_pairs(folder, listed_view2(folder), side=side)


def listed_view2(folder: Path) -> list[Pair]:
    """View 2's pairs as `pairs.txt` lists them. Raises DataError where it is another list."""
    pairs = listed_pairs(folder / "pairs.txt")
    folds, count = len({pair.fold for pair in pairs}), sum(pair.same for pair in pairs)
    if (folds, count) != (VIEW_2[0], VIEW_2[0] * VIEW_2[1]):
        raise DataError(
            f"{folder / 'pairs.txt'}: {counted(folds, 'fold')} with {count:,} pairs of each kind, where View 2 has "
            f"{VIEW_2[0]} with {VIEW_2[1]} each: get LFW's own pairs.txt"
        )
    return pairs


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
    found = images_of(folder, sorted(listed))
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


def images_of(folder: Path, names: Sequence[str]) -> dict[str, list[Path]]:
    """The images of each of these people; none of those who have no folder."""
    homes = by_form(folders_in(folder))
    return {name: files_in(homes[form], ENDINGS) if (form := same_form(name)) in homes else [] for name in names}


def load_pairs(folder: Path, pairs: Sequence[Pair], *, side: int, region: Region | None = REGION) -> Pairs:
    """The images of `pairs` below `folder`, in memory, each once, and the people in them.

    side, region: see bench.tasks.verification.images.decode. Raises DataError naming images that are not there.
    """
    names = sorted({who for pair in pairs for who, _ in (pair.left, pair.right)})
    files = files_of(folder, images_of(folder, names), pairs)
    same, fold = [pair.same for pair in pairs], [pair.fold for pair in pairs]
    return pairs_of_files(files, same, fold, names, side, region, notice(folder))
