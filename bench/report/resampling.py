"""Bootstraps over test images: where a number would lie on other images. Each is given its generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from bench.report.stats import LEVEL, Bools, Floats, Interval

SEED = 2015  # fixed, so that the same results give the same page
DRAWS = 1_000
SMALL = 20  # below this many values a percentile bootstrap is known to be too narrow


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float], images: int, rng: Generator, draws: int = DRAWS
) -> Interval:
    """Of a number that follows from how often each image was drawn; draws without that number are left out."""
    chances = np.full(images, 1 / images)
    drawn = np.array([statistic(rng.multinomial(images, chances)) for _ in range(draws)])
    return _percentiles(drawn[~np.isnan(drawn)])


def _percentiles(drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if drawn.size else (math.nan, math.nan)
    return Interval(float(low), float(high), "bootstrap")


def paired_bootstrap(first: ArrayLike, second: ArrayLike, rng: Generator, draws: int = DRAWS) -> Interval:
    """Bootstraps the second net's error minus the first's, in points, over images and seeds.

    first, second: seeds x images, True where right. Every draw takes the same images for both nets, as they saw the
    same ones, and seeds of each net on their own. With one seed of a net the interval speaks of the images alone.
    """
    a, b = np.atleast_2d(np.asarray(first, bool)), np.atleast_2d(np.asarray(second, bool))
    if a.shape[1] != b.shape[1] or not a.size or not b.size:
        raise ValueError(f"needs the same images of both nets, got {a.shape[1]} and {b.shape[1]}")
    right = _draw_images(np.concatenate([a, b]), rng, draws)
    errors = [_mean_over_seeds(part, rng) for part in (right[:, : len(a)], right[:, len(a) :])]
    difference = 100 / a.shape[1] * (errors[0] - errors[1])
    return replace(_percentiles(difference), small=min(len(a), len(b)) < SMALL)


def _draw_images(correct: Bools, rng: Generator, draws: int) -> Floats:
    """Draws x nets: how many of the images drawn with replacement each net gets right.

    Images that the same nets get right are alike and counted together. A hundred draws at a time are one product of
    matrices, exact in single precision, as the counts are whole and small.
    """
    images = correct.shape[1]
    _, first, kind = np.unique(np.packbits(correct, axis=0), axis=1, return_index=True, return_inverse=True)
    right = correct[:, first].T.astype(np.float32)
    drawn = np.empty((draws, len(correct)))
    for start in range(0, draws, 100):
        part = drawn[start : start + 100]
        counts = [np.bincount(kind[rng.integers(images, size=images)], minlength=first.size) for _ in part]
        part[:] = np.asarray(counts, np.float32) @ right
    return drawn


def _mean_over_seeds(values: Floats, rng: Generator) -> Floats:
    """Draw by draw, the mean over as many seeds, drawn with replacement."""
    chosen = rng.integers(values.shape[1], size=values.shape)
    return np.asarray(np.take_along_axis(values, chosen, axis=1).mean(axis=1), float)
