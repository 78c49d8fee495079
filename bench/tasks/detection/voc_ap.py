"""Pascal VOC's detection metric, as its development kit measures it (VOCevaldet.m)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bench.tasks.detection.average_precision import Matches, average_precision
from bench.tasks.detection.matching import check

HIT, MISS, NEITHER = 1, 0, -1


@dataclass(frozen=True, slots=True, eq=False)
class VocResult:
    """One Matches for each class at one IoU, and from it AP (percent) by both of VOC's definitions.

    The paper does not say which its VOC 2007 numbers use; Faster R-CNN [32] has 11 points for 2007 and every
    point for 2012, as the years' kits do.
    """

    classes: tuple[str, ...]
    matches: tuple[Matches, ...]

    def by_class(self, points: str) -> dict[str, float]:
        """AP of each class in percent, NaN where it has no object: Tables 10 and 11."""
        each = (average_precision(m, points) for m in self.matches)
        return dict(zip(self.classes, each, strict=True))

    def mean(self, points: str) -> float:
        """mAP in percent over the classes that have an object (Table 7)."""
        there = [ap for ap in self.by_class(points).values() if not math.isnan(ap)]
        return sum(there) / len(there) if there else math.nan


def voc_ap(
    truths: Sequence[Mapping[str, Tensor]],
    predictions: Sequence[Mapping[str, Tensor]],
    classes: Sequence[str],
    *,
    iou: float = 0.5,
) -> VocResult:
    """Measures `predictions` against `truths` (see `matching` for both), one of each for each image.

    By falling score over all images, each detection goes to the object of its class that it overlaps most: from
    `iou` on it is a hit if the object is still free and false if it is taken; it counts neither way if the object
    is difficult. Raises ValueError.
    """
    check(truths, predictions, classes)
    matches = tuple(_matches(truths, predictions, label, iou) for label in range(1, len(classes) + 1))
    return VocResult(tuple(classes), matches)


def _matches(
    truths: Sequence[Mapping[str, Tensor]], predictions: Sequence[Mapping[str, Tensor]], label: int, iou: float
) -> Matches:
    scores, images, verdicts, positives = [], [], [], []
    for number, (truth, found) in enumerate(zip(truths, predictions, strict=True)):
        wanted, mine = truth["labels"] == label, found["labels"] == label
        score = found["scores"][mine].double().cpu().numpy()
        order = np.argsort(-score, kind="stable")
        difficult = truth["difficult"][wanted].cpu().numpy()
        overlaps = box_iou(found["boxes"][mine], truth["boxes"][wanted])[order]
        scores.append(score[order])
        images.append(np.full(len(order), number))
        verdicts.append(_verdicts(overlaps, difficult, iou))
        positives.append(int((~difficult).sum()))
    verdict, image = np.concatenate(verdicts), np.concatenate(images)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    order = order[verdict[order] != NEITHER]
    return Matches(image[order], verdict[order] == HIT, np.array(positives))


def _verdicts(overlaps: NDArray[np.float64], difficult: NDArray[np.bool_], iou: float) -> NDArray[np.int64]:
    """HIT, MISS or NEITHER for each of an image's detections; overlaps: (detections by falling score, objects)."""
    taken: set[int] = set()
    verdicts = np.full(len(overlaps), MISS)
    for k, row in enumerate(overlaps):
        best = int(row.argmax()) if row.size else -1
        if best < 0 or row[best] < iou:
            continue
        if difficult[best]:
            verdicts[k] = NEITHER
        elif best not in taken:
            taken.add(best)
            verdicts[k] = HIT
    return verdicts


def box_iou(a: Tensor, b: Tensor) -> NDArray[np.float64]:
    """(A, 4) and (B, 4) boxes to (A, B) intersections over unions, in double precision; 0 for empty boxes.

    torchvision's is in the boxes' own precision, and a threshold decides by the last bit.
    """
    p, q = a.double().cpu().numpy()[:, None], b.double().cpu().numpy()[None]
    sides = np.minimum(p[..., 2:], q[..., 2:]) - np.maximum(p[..., :2], q[..., :2])
    common = sides.clip(min=0).prod(-1)
    union = (p[..., 2:] - p[..., :2]).prod(-1) + (q[..., 2:] - q[..., :2]).prod(-1) - common
    shares: NDArray[np.float64] = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return shares
