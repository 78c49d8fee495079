"""Two nets, or a net by two recipes, compared on the same test images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from bench.report.frame import Set, display_name
from bench.report.resampling import SEED, paired_bootstrap
from bench.report.stats import Interval, McNemar, mcnemar


@dataclass(frozen=True, slots=True)
class Pair:
    """Plain and residual net of one depth, or a net by its own recipe and by a variant: the second minus the first.

    A net's recipes are compared over the seeds that both have, nets over all that each has.

    names: the first's and the second's, as in ids. variant: whether they are one net. seeds: of each.
    difference: in points of test error. interval: bootstrap over images and seeds.
    first: McNemar's test of the first seed of each. runs: of both.
    """

    names: tuple[str, str]
    depth: int
    variant: bool
    seeds: tuple[int, int]
    difference: float
    interval: Interval
    first: McNemar
    runs: tuple[str, ...]

    @property
    def key(self) -> str:
        """For the number's id: `pair-20`, `pair-resnet-20-A+bf16`."""
        return f"pair-{self.names[1] if self.variant else self.depth}"

    @property
    def words(self) -> str:
        """`ResNet-20 − plain-20`."""
        first, second = map(display_name, self.names)
        return f"{second} − {first}"


def pairs(results: Set) -> tuple[Pair, ...]:
    """Those whose two nets have their per-image correctness stored, on equally many images; depths before variants."""
    found = (_pair(results, names, depth) for names, depth in (*_depths(results), *_variants(results)))
    return tuple(pair for pair in found if pair)


def _depths(results: Set) -> Iterator[tuple[tuple[str, str], int]]:
    """Each depth's plain net with its residual net, of option A where there is one."""
    names = set(results.done["net"])
    for depth in map(int, sorted(results.done["depth"].unique())):
        residual = (name for option in "ABC" if (name := f"resnet-{depth}-{option}") in names)
        for net in islice(residual, 1):
            yield (f"plain-{depth}", net), depth


def _variants(results: Set) -> Iterator[tuple[tuple[str, str], int]]:
    for net, part in results.done.groupby("net", sort=False):
        if part["variant"].iloc[0]:
            yield (str(net).partition("+")[0], str(net)), int(part["depth"].iloc[0])


def _pair(results: Set, names: tuple[str, str], depth: int) -> Pair | None:
    seeds = [set(results.done.loc[results.done["net"] == name, "seed"].astype(int)) for name in names]
    both = seeds[0] & seeds[1] if "+" in names[1] else None
    first, second = (results.correct_images(name, both) for name in names)
    if first is None or second is None or first.shape[1] != second.shape[1]:
        return None
    done = results.done[results.done["net"].isin(names)]
    return Pair(
        names=names,
        depth=depth,
        variant="+" in names[1],
        seeds=(len(first), len(second)),
        difference=100 * float(first.mean() - second.mean()),
        interval=paired_bootstrap(first, second, np.random.default_rng([SEED, depth])),
        first=mcnemar(first[0], second[0]),
        runs=tuple(done.loc[done["seed"].isin(both) if both else done["net"].notna(), "id"]),
    )
