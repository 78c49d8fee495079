"""Who of a set's people is tested, and in which pairs, where no list says so: drawn from one seed for all runs.

Only `random.random` is drawn from, whose numbers Python promises to keep: every version draws the same pairs.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import comb
from pathlib import Path
from typing import NamedTuple, TypeVar

from bench.data.locate import DataError
from bench.tasks.verification.lists import Files

SEED = 0
FOLDS = 10
SHARE = 5  # one of so many people is for the test
MOST = 300  # pairs of each kind in a fold, as in LFW's View 2
T = TypeVar("T")


class FilePair(NamedTuple):
    """Two image files that a test compares."""

    files: tuple[Path, Path]
    same: bool
    fold: int


class _Dice:
    def __init__(self) -> None:
        self.random = random.Random(SEED)

    def below(self, count: int) -> int:
        return int(self.random.random() * count)

    def order(self, items: Sequence[T]) -> list[T]:
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in items]

    def two(self, items: Sequence[T]) -> tuple[T, T]:
        """Two different items, in their order."""
        one, other = self.below(len(items)), self.below(len(items) - 1)
        other += other >= one
        return items[min(one, other)], items[max(one, other)]


def divided(folder: Path, people: Files) -> tuple[Files, Files]:
    """Those to train on and those to test on: by a seed a fifth, at least two, of those who have two images or more.

    Raises DataError for fewer than four of these.
    """
    names = _Dice().order(sorted(name for name, images in people.items() if len(images) > 1))
    if len(names) < 4:
        raise DataError(
            f"{folder}: {len(names)} of {len(people)} people have two images or more, where four must: two to train on "
            "and two to test on"
        )
    test = set(names[: max(2, len(names) // SHARE)])
    train, tested = ({who: own for who, own in people.items() if (who in test) == kept} for kept in (False, True))
    return train, tested


def drawn(folder: Path, people: Files) -> list[FilePair]:
    """As many same as different pairs of these people, none twice, as LFW's authors drew theirs.

    A same pair is a person, then two images; a different one is two people, then an image of each. Ten folds of
    different people, with at most 300 of each kind, where there are 20 people or more and ten of them have two images;
    else one of 3,000, same pairs first. A fold has no more of either kind than of the rarer.
    Raises DataError for fewer than ten of each.
    """
    dice = _Dice()
    several, one = ([n for n in sorted(people) if (len(people[n]) > 1) == more and people[n]] for more in (True, False))
    names = [*dice.order(several), *dice.order(one)]
    apart = len(several) >= FOLDS and len(names) >= 2 * FOLDS
    folds = [names[k::FOLDS] for k in range(FOLDS)] if apart else [names]
    pairs = []
    for fold, own in enumerate(folds):
        most = MOST if apart else MOST * FOLDS
        pairs += _of_fold(dice, [people[name] for name in own], fold, most)
    if len(pairs) < 2 * FOLDS:
        raise DataError(
            f"{folder}: {len(names)} people to test on, {len(several)} of them with two images or more, make "
            f"{len(pairs) // 2} pairs of one person and of two, where {FOLDS} of each must be: add images or people"
        )
    return pairs


def _of_fold(dice: _Dice, people: Sequence[Sequence[Path]], fold: int, most: int) -> list[FilePair]:
    several = [images for images in people if len(images) > 1]
    sizes = [len(images) for images in people]
    alike = sum(comb(n, 2) for n in sizes)
    count = min(most, alike, comb(sum(sizes), 2) - alike)
    same: dict[tuple[Path, Path], None] = {}
    while len(same) < count:
        same[dice.two(several[dice.below(len(several))])] = None
    different: dict[tuple[Path, Path], None] = {}
    while len(different) < count:
        left, right = dice.two(people)
        different[left[dice.below(len(left))], right[dice.below(len(right))]] = None
    return [FilePair(files, kind is same, fold) for kind in (same, different) for files in kind]
