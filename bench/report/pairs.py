"""The plain and the residual net of one depth compared on the same test images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.report.frame import Set
from bench.report.stats import Interval, McNemar, mcnemar, paired_bootstrap

SEED = 2015  # fixed, so that the same results give the same page
DRAWS = 1_000


@dataclass(frozen=True, slots=True)
class Pair:
    """Two nets on the same images: plain first. Differences are residual minus plain, in points of test error.

    interval: bootstrap over images and seeds. first: McNemar's test of the first seed of each. runs: of both nets.
    """

    depth: int
    seeds: tuple[int, int]
    difference: float
    interval: Interval
    first: McNemar
    runs: tuple[str, ...]


def pairs(results: Set) -> tuple[Pair, ...]:
    """A pair for each depth whose two nets have their per-image correctness stored, on equally many images."""
    found = (_pair(results, int(depth)) for depth in sorted(results.done["depth"].unique()))
    return tuple(pair for pair in found if pair)


def _pair(results: Set, depth: int) -> Pair | None:
    nets = f"plain-{depth}", f"resnet-{depth}-{'B' if depth >= 50 and results.pictures else 'A'}"
    plain, residual = map(results.correct_images, nets)
    if plain is None or residual is None or plain.shape[1] != residual.shape[1]:
        return None
    return Pair(
        depth=depth,
        seeds=(len(plain), len(residual)),
        difference=100 * float(plain.mean() - residual.mean()),
        interval=paired_bootstrap(plain, residual, np.random.default_rng([SEED, depth]), draws=DRAWS),
        first=mcnemar(plain[0], residual[0]),
        runs=tuple(results.done.loc[results.done["net"].isin(nets), "id"]),
    )
