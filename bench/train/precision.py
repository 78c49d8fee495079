"""Average precision from the matches of one class, by each of the field's definitions, and its bootstrap over images.

Truths and predictions are dicts of tensors, one for each image, in the same order of images:
    truth: boxes (N, 4), labels (N,) from 1, difficult (N,), crowd (N,) bool, area (N,)
    prediction: boxes (D, 4), labels (D,), scores (D,)
AP is in percent, as the paper prints it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
# the recalls at which precision is read; None: the whole area under the curve
POINTS: Mapping[str, Floats | None] = {
    "11-point": np.linspace(0, 1, 11),  # VOC 2007
    "every-point": None,  # VOC 2010 on
    "101-point": np.linspace(0, 1, 101),  # COCO
}


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """What became of one class's D detections, by falling score: `image` (D,) its index, `hit` (D,) bool.

    positives: (images,) the objects to find in each. Detections that count neither way are not among them.
    """

    image: NDArray[np.int64]
    hit: NDArray[np.bool_]
    positives: NDArray[np.int64]


def average_precision(matches: Matches, points: str, weights: NDArray[np.int64] | None = None) -> float:
    """AP of one class in percent; NaN where it has no object. points: one of POINTS.

    weights: (images,) how often each image counts, once by default. An image that counts twice is two images.
    """
    if points not in POINTS:
        raise ValueError(f"points {points!r} is not one of: {', '.join(POINTS)}")
    times = np.ones(len(matches.positives), np.int64) if weights is None else weights
    total = int(times @ matches.positives)
    if total == 0:
        return math.nan
    of_each = times[matches.image]
    seen = of_each > 0
    hits = np.cumsum(of_each * matches.hit)[seen]
    recall = hits / total
    precision = hits / np.cumsum(of_each)[seen]
    # the best precision at this recall or any higher one
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return 100 * _read_off(recall, envelope, POINTS[points])


def _read_off(recall: Floats, envelope: Floats, at: Floats | None) -> float:
    if at is None:
        return float(np.sum(np.diff(recall, prepend=0) * envelope))
    return float(np.append(envelope, 0)[np.searchsorted(recall, at, side="left")].mean())


def mean_ap(classes: Sequence[Matches], points: str, weights: NDArray[np.int64] | None = None) -> float:
    """The mean over the classes that have an object (mAP), in percent; NaN where none has."""
    each = np.array([average_precision(matches, points, weights) for matches in classes])
    there = each[~np.isnan(each)]
    return float(there.mean()) if there.size else math.nan


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """A number on all images, and the interval that other images of the same kind would give, by percentiles."""

    value: float
    low: float
    high: float
    draws: int


def bootstrap(
    classes: Sequence[Matches], points: str, generator: Generator, *, draws: int = 1_000, level: float = 0.95
) -> Bootstrap:
    """Mean AP with its interval over images drawn with replacement: what another test set would have given.

    It says nothing of another seed: that takes another training.
    """
    samples = [mean_ap(classes, points, w) for w in _weights(classes, generator, draws)]
    return _percentiles(mean_ap(classes, points), samples, level)


def paired_bootstrap(
    first: Sequence[Matches],
    second: Sequence[Matches],
    points: str,
    generator: Generator,
    *,
    draws: int = 1_000,
    level: float = 0.95,
) -> Bootstrap:
    """Mean AP of `second` minus that of `first` on the same images, in points, each draw the same images for both.

    Raises ValueError where the two were not measured against the same objects.
    """
    same = len(first) == len(second)
    if not same or not all(np.array_equal(a.positives, b.positives) for a, b in zip(first, second, strict=True)):
        raise ValueError("the two were measured on different images or classes: a paired comparison needs the same")
    samples = [mean_ap(second, points, w) - mean_ap(first, points, w) for w in _weights(first, generator, draws)]
    return _percentiles(mean_ap(second, points) - mean_ap(first, points), samples, level)


def _weights(classes: Sequence[Matches], generator: Generator, draws: int) -> list[NDArray[np.int64]]:
    images = len(classes[0].positives) if classes else 0
    if not images:
        raise ValueError("there is no image, or no class, to draw from")
    return list(generator.multinomial(images, np.full(images, 1 / images), size=draws))


def _percentiles(value: float, samples: Sequence[float], level: float) -> Bootstrap:
    there = np.array(samples)[~np.isnan(samples)]
    if not there.size:
        return Bootstrap(value, math.nan, math.nan, len(samples))
    low, high = np.quantile(there, [(1 - level) / 2, (1 + level) / 2])
    return Bootstrap(value, float(low), float(high), len(samples))


def check(
    truths: Sequence[Mapping[str, Tensor]], predictions: Sequence[Mapping[str, Tensor]], classes: Sequence[str]
) -> None:
    """Refuses (ValueError) what would give a wrong number: lists of different length, labels that are no class."""
    if len(truths) != len(predictions):
        raise ValueError(
            f"{len(predictions):,} predictions for {len(truths):,} images: give one for each image, an empty one where "
            "nothing was found"
        )
    for number, found in enumerate(predictions):
        if not found["scores"].isfinite().all() or not found["boxes"].isfinite().all():
            raise ValueError(f"prediction {number} has a score or a box that is no finite number: the net has diverged")
    for part in (*truths, *predictions):
        wrong = part["labels"][(part["labels"] < 1) | (part["labels"] > len(classes))]
        if len(wrong):
            raise ValueError(f"label {int(wrong[0])} is not one of 1 to {len(classes)}: the classes are another set's")
