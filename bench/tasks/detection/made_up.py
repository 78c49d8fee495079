"""Made-up detectors whose AP on very many images is known, to try the intervals of AP and of gains in AP on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.report.resampling import jackknife
from bench.report.stats import Interval
from bench.tasks.detection.average_precision import Matches, mean_ap

MANY = 300_000  # images
CLASSES = 3
ONE, TWO = (1.0,), (0.5, 1.0)  # skills of one detector, and of two on the same images


def detections(images: int, skills: Sequence[float], rng: Generator) -> list[list[Matches]]:
    """Of each detector and class, by falling score: objects are found more often, and surer, on easy images."""
    hard = rng.normal(0, 0.7, images)
    found: list[list[Matches]] = [[] for _ in skills]
    for _ in range(CLASSES):
        positives = rng.poisson(0.7, images)
        for skill, own in zip(skills, found, strict=True):
            hits, false = rng.binomial(positives, 1 / (1 + np.exp(hard - skill))), rng.poisson(0.6 * np.exp(hard / 2))
            image = np.concatenate([np.repeat(np.arange(images), count) for count in (hits, false)])
            hit = np.arange(image.size) < hits.sum()
            order = np.argsort(-rng.normal(np.where(hit, 1 - 0.5 * hard[image], -0.5)), kind="stable")
            own.append(Matches(image[order], hit[order], positives))
    return found


def ap_of(found: Sequence[Sequence[Matches]], times: NDArray[np.int64] | None = None) -> float:
    """AP50 in percent of one detector, or what the second has over the first."""
    first, *more = (mean_ap(classes, "101-point", times) for classes in found)
    return more[0] - first if more else first


def intervals(images: int, skills: Sequence[float], draws: int, rng: Generator) -> Iterator[Interval | None]:
    """The interval that pages give, on so many test sets."""
    for _ in range(draws):
        found = detections(images, skills, rng)
        yield jackknife(partial(ap_of, found), images)
