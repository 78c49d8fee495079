"""COCO's detection metric, by the official API: AP over ten IoUs, at .5 and .75, by size, and average recall."""

from __future__ import annotations

import contextlib
import io
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

from bench.train.precision import Matches, check

# the API's twelve numbers in its own order
NUMBERS = (
    *("AP", "AP50", "AP75", "APsmall", "APmedium", "APlarge"),
    *("AR1", "AR10", "AR100", "ARsmall", "ARmedium", "ARlarge"),
)
DETECTIONS = 100  # an image; the API looks at no more


@dataclass(frozen=True, slots=True, eq=False)
class CocoResult:
    """The API's twelve numbers in percent by the names in NUMBERS, NaN where there is no object of that size.

    by_class: AP50 of each class in percent. matches: one for each class at IoU .5, for a bootstrap of AP50 with
    points "101-point".
    """

    numbers: dict[str, float]
    by_class: dict[str, float]
    matches: tuple[Matches, ...]


def coco_ap(
    truths: Sequence[Mapping[str, Tensor]], predictions: Sequence[Mapping[str, Tensor]], classes: Sequence[str]
) -> CocoResult:
    """Measures `predictions` against `truths` (see bench.train.precision for both), one of each for each image.

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
    matches = tuple(_matches(evaluation, k, len(truths)) for k in range(len(classes)))
    return CocoResult(stats, by_class, matches)


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


def _matches(evaluation: Any, k: int, images: int) -> Matches:
    """Class k's matches at IoU .5 over all sizes: what `accumulate` makes its AP50 of, in its order."""
    cells = evaluation.evalImgs[k * len(evaluation.params.areaRng) * images :][:images]
    there = [(number, cell) for number, cell in enumerate(cells) if cell is not None]
    positives = np.zeros(images, np.int64)
    for number, cell in there:
        positives[number] = int((~np.asarray(cell["gtIgnore"], bool)).sum())
    scores = np.array([s for _, cell in there for s in cell["dtScores"]])
    image = np.array([number for number, cell in there for _ in cell["dtScores"]], np.int64)
    hit, ignored = (_at_half(there, name) for name in ("dtMatches", "dtIgnore"))
    order = np.argsort(-scores, kind="mergesort")
    order = order[~ignored[order]]
    return Matches(image[order], hit[order], positives)


def _at_half(there: Sequence[tuple[int, Any]], name: str) -> NDArray[np.bool_]:
    """One of the API's arrays (IoUs, detections) at the first IoU, .5, over all images."""
    return np.concatenate([np.zeros(0, bool), *(np.asarray(cell[name][0]) > 0 for _, cell in there)])
