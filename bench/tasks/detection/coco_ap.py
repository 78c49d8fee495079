"""COCO's detection metric, by the official API: AP over ten IoUs, at .5 and .75, by size, and average recall."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from bench.tasks.detection.average_precision import AREAS, IOUS, Matches
from bench.tasks.detection.matching import check

# the API's twelve numbers in its own order
NUMBERS = (
    *("AP", "AP50", "AP75", "APsmall", "APmedium", "APlarge"),
    *("AR1", "AR10", "AR100", "ARsmall", "ARmedium", "ARlarge"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """One class's D detections by falling score, as the API judged them.

    image: (D,). hit, ignored: (AREAS, IOUS, D). positives: (AREAS, images).
    """

    image: NDArray[np.uint32]
    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    positives: NDArray[np.uint32]

    def matches(self) -> Matches:
        """At IoU .5 over all sizes."""
        kept = ~self.ignored[0, 0]
        return Matches(self.image[kept].astype(np.int64), self.hit[0, 0][kept], self.positives[0].astype(np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class CocoResult:
    """The API's twelve numbers in percent by the names in NUMBERS, NaN where there is no object of that size.

    by_class: AP50 of each class in percent. cells: of each class what became of its detections.
    """

    numbers: dict[str, float]
    by_class: dict[str, float]
    cells: tuple[Cells, ...]

    @property
    def matches(self) -> tuple[Matches, ...]:
        """One for each class at IoU .5 over all sizes: what AP50 is made of, with points "101-point"."""
        return tuple(cells.matches() for cells in self.cells)


def coco_ap(
    truths: Sequence[Mapping[str, Tensor]], predictions: Sequence[Mapping[str, Tensor]], classes: Sequence[str]
) -> CocoResult:
    """Measures `predictions` against `truths` (see `matching` for both), one of each for each image.

    Crowds are the API's: a detection inside one counts neither way. So does one that falls on a difficult box,
    which the API does not know; it is given no size that is measured. Raises ValueError.
    """
    check(truths, predictions, classes)
    with contextlib.redirect_stdout(io.StringIO()):  # the API prints its progress
        truth = _api(_truth(truths, classes))
        found = _results(truth, predictions)
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats = dict(zip(NUMBERS, map(_percent, evaluation.stats), strict=True))
    precision = evaluation.eval["precision"][0, :, :, 0, -1]  # (recalls, classes) at IoU .5, all sizes, 100 detections
    by_class = {name: _percent(precision[:, k].mean()) for k, name in enumerate(classes)}
    return CocoResult(stats, by_class, tuple(_cells(evaluation, k, len(truths)) for k in range(len(classes))))


def _percent(share: float) -> float:
    """The API says -1 where there is nothing to find."""
    return math.nan if share < 0 else 100 * float(share)


def _api(dataset: dict[str, Any]) -> Any:
    api = COCO()
    api.dataset = dataset
    api.createIndex()
    return api


def _truth(truths: Sequence[Mapping[str, Tensor]], classes: Sequence[str]) -> dict[str, Any]:
    rows = (row for number, truth in enumerate(truths) for row in _truth_rows(number, truth))
    return {
        "info": {},
        "images": [{"id": number} for number in range(len(truths))],
        "categories": [{"id": k, "name": name} for k, name in enumerate(classes, start=1)],
        "annotations": [{"id": k, **row} for k, row in enumerate(rows, start=1)],  # the API takes id 0 for no match
    }


def _truth_rows(number: int, truth: Mapping[str, Tensor]) -> Iterator[dict[str, Any]]:
    parts = (_xywh(truth["boxes"]), *(truth[name].tolist() for name in ("labels", "difficult", "crowd", "area")))
    for box, label, difficult, crowd, area in zip(*parts, strict=True):
        size = math.inf if difficult else area
        yield {"image_id": number, "bbox": box, "category_id": label, "iscrowd": int(crowd), "area": size}


def _results(truth: Any, predictions: Sequence[Mapping[str, Tensor]]) -> Any:
    rows = [
        {"image_id": number, "bbox": box, "category_id": label, "score": score}
        for number, found in enumerate(predictions)
        for box, label, score in zip(
            _xywh(found["boxes"]), found["labels"].tolist(), found["scores"].tolist(), strict=True
        )
    ]
    return truth.loadRes(rows) if rows else _api({**truth.dataset, "annotations": []})


def _xywh(boxes: Tensor) -> list[list[float]]:
    corner, end = boxes.double().split(2, dim=1)
    rows: list[list[float]] = torch.cat((corner, end - corner), 1).tolist()
    return rows


def _cells(evaluation: Any, k: int, images: int) -> Cells:
    """Class k's detections in the order in which the API accumulates them; it judges the same ones at every size."""
    each = [evaluation.evalImgs[(k * len(AREAS) + a) * images :][:images] for a in range(len(AREAS))]
    there = [number for number in range(images) if each[0][number] is not None]
    positives = np.zeros((len(AREAS), images), np.uint32)
    for area, number in itertools.product(range(len(AREAS)), there):
        positives[area, number] = int((~np.asarray(each[area][number]["gtIgnore"], bool)).sum())
    scores = np.array([score for number in there for score in each[0][number]["dtScores"]])
    order = np.argsort(-scores, kind="mergesort")
    image = np.array([number for number in there for _ in each[0][number]["dtScores"]], np.uint32)

    def flags(name: str) -> NDArray[np.bool_]:
        planes = [[np.zeros((len(IOUS), 0)), *(each[a][number][name] for number in there)] for a in range(len(AREAS))]
        return np.stack([np.concatenate(plane, axis=1) > 0 for plane in planes])[:, :, order]

    return Cells(image[order], flags("dtMatches"), flags("dtIgnore"), positives)
