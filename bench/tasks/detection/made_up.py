"""Made-up detectors whose AP on very many images is known, to try the interval of AP on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.random import Generator

from bench.report.resampling import jackknife
from bench.report.stats import Interval
from bench.tasks.detection.average_precision import Matches, mean_ap

MANY = 300_000
POINTS = "101-point"


def detections(images: int, rng: Generator, classes: int = 3) -> list[Matches]:
    """Of each class, by falling score: objects are found more often, and with higher scores, on easy images."""
    hard, found = rng.normal(0, 0.7, images), []
    for _ in range(classes):
        positives = rng.poisson(0.7, images)
        hits, false = rng.binomial(positives, 1 / (1 + np.exp(hard - 1))), rng.poisson(0.6 * np.exp(0.5 * hard))
        image = np.concatenate([np.repeat(np.arange(images), count) for count in (hits, false)])
        hit = np.arange(image.size) < hits.sum()
        order = np.argsort(-rng.normal(np.where(hit, 1 - 0.5 * hard[image], -0.5)), kind="stable")
        found.append(Matches(image[order], hit[order], positives))
    return found


def true_ap(rng: Generator) -> float:
    """AP50 in percent, to a tenth of a point."""
    return mean_ap(detections(MANY, rng), POINTS)


def intervals(images: int, draws: int, rng: Generator) -> Iterator[Interval | None]:
    """The interval that pages give a detector's AP, on so many test sets."""
    for _ in range(draws):
        found = detections(images, rng)
        yield jackknife(partial(mean_ap, found, POINTS), images)
