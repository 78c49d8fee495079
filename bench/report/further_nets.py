"""Nets on further test sets, and on the means of several: errors by seed, shares of images, intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bench.report.frame import Set
from bench.report.stats import IMAGES, LEVEL, Interval, wilson
from bench.spec.further import FURTHER, GROUPS, FurtherSet

Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Asked:
    """One test set, or the mean of several. key: in ids. keys: test sets and their parts.

    paired: whether the images are those of the runs' own test, changed.
    """

    key: str
    title: str
    keys: tuple[tuple[str, str], ...]
    paired: bool

    @classmethod
    def of(cls, rows: Sequence[FurtherSet], title: str, key: str = "", parts: Sequence[str] = ()) -> Asked:
        """The mean of these sets, of all of their parts or of some."""
        keys = tuple((row.name, part) for row in rows for part in row.parts if not parts or part in parts)
        return cls((key or rows[0].name).replace(":", "."), title, keys, rows[0].same_images)


@dataclass(frozen=True, eq=False)
class Measured:
    """A net's tested runs. errors, own: of what was asked, and of its own test, by seed.

    shares: seeds x images, of how many of the parts each image is right in.
    """

    asked: Asked
    errors: pd.Series[float]
    own: pd.Series[float]
    shares: Shares
    runs: tuple[str, ...]

    @property
    def seeds(self) -> list[int]:
        """Those tested."""
        return [int(seed) for seed in self.errors.index]

    @cached_property
    def over_images(self) -> Interval:
        """Other images, the nets as they are. Of several parts image by image, as each has the same images again."""
        error, images = float(self.errors.mean()), self.shares.shape[1]
        if len(self.asked.keys) == 1:
            return wilson(error, images)
        half = 100 * float(special.ndtri((1 + LEVEL) / 2)) * float(self.shares.mean(0).std(ddof=1)) / math.sqrt(images)
        return Interval(max(0.0, error - half), min(100.0, error + half), "normal, by image", IMAGES)

    def of_seeds(self, seeds: Sequence[int]) -> Measured:
        """These seeds alone."""
        at = [self.seeds.index(seed) for seed in seeds]
        runs = tuple(self.runs[k] for k in at)
        return Measured(self.asked, self.errors.iloc[at], self.own.iloc[at], self.shares[at], runs)


def measured(results: Set, net: str, asked: Asked) -> Measured | None:
    """None where no run of the net was tested on all of it; runs that saw fewer images than others are left out."""
    found: list[tuple[pd.Series[Any], float, Shares]] = []
    for _, run in results.done[results.done["net"] == net].sort_values("seed").iterrows():
        keys = [(str(run["id"]), *key) for key in asked.keys]
        right = [bits for key in keys if (bits := results.further.right(key, str(run["weights_sha256"]))) is not None]
        if len(right) == len(keys) and len({len(bits) for bits in right}) == 1:
            by_part = [float(results.further.by_key[key]["error"]) for key in keys]
            found.append((run, float(np.mean(by_part)), np.asarray(np.mean(right, axis=0, dtype=np.float64))))
    longest = max((len(shares) for *_, shares in found), default=0)
    found = [one for one in found if len(one[2]) == longest]
    if not found:
        return None
    seeds = [int(run["seed"]) for run, *_ in found]
    own = pd.Series([float(run["test_error"]) for run, *_ in found], seeds)
    errors = pd.Series([error for _, error, _ in found], seeds)
    return Measured(asked, errors, own, np.stack([one for *_, one in found]), tuple(str(r["id"]) for r, *_ in found))


def floor_of(first: Shares, second: Shares | None = None) -> float:
    """The standard deviation in points that coin flips give; of whole images as stats.disagreement_std has it.

    first: of one seed's error, by its own seeds; 0 for one seed. With `second`, of the difference of two.
    """
    images = first.shape[1]
    if second is None:
        variance = float(first.var(0, ddof=1).mean()) if len(first) > 1 else 0.0
        return 100 * math.sqrt(max(variance, 1 / (2 * images)) / images)
    squares = (first**2).mean(0) + (second**2).mean(0) - 2 * first.mean(0) * second.mean(0)
    return 100 * math.sqrt(max(float(squares.mean()), 1 / images) / images)


def all_asked(there: set[str]) -> Iterator[Asked]:
    """What the first two tables have rows of: a group as its mean, where all of it is there."""
    for name, row in FURTHER.items():
        rows = [one for one in FURTHER.values() if row.group and one.group == row.group and not one.extra]
        if rows and all(one.name in there for one in rows):
            if row is rows[0]:
                means = f"mean of {len(rows)} corruptions at {len(row.parts)} severities"
                yield Asked.of(rows, f"{GROUPS[row.group]}, {means}", row.group)
        elif name in there:
            yield Asked.of([row], row.title + (f", mean of {len(row.parts)} severities" if len(row.parts) > 1 else ""))
