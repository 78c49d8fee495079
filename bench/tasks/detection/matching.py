"""Which detections are hits: by COCO's rules, as its official API judges, and by VOC's, as its development kit does.

Truths and predictions are dicts of tensors, one for each image, in the same order of images:
    truth: boxes (N, 4), labels (N,) from 1, difficult (N,), crowd (N,) bool, area (N,)
    prediction: boxes (D, 4), labels (D,), scores (D,)
"""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from torchvision.ops import box_iou

from bench.tasks.detection.annotations import LARGEST
from bench.tasks.detection.average_precision import AREAS, IOUS, Matches, MatchTable

Images = Sequence[Mapping[str, Tensor]]
HIT, MISS, NEITHER = 1, 0, -1
BEYOND = 2 * LARGEST  # pixels^2
FLAGS, WHOLE, NUMBERS = ("flags",), ("whole numbers",), ("numbers", "whole numbers")
TRUTH = {"boxes": NUMBERS, "labels": WHOLE, "difficult": FLAGS, "crowd": FLAGS, "area": NUMBERS}
FOUND = {"boxes": NUMBERS, "labels": WHOLE, "scores": NUMBERS}


def matched(truths: Images, predictions: Images, classes: Sequence[str]) -> MatchTable:
    """The outcome of every detection by both sets of rules.

    Raises ValueError for what would give a wrong number: lists of different length, labels outside the classes, a score
    or a box that is not finite.
    """
    _check(truths, predictions, classes)
    evaluation = coco_evaluation(truths, predictions, classes)
    of_class = [_coco_matches(evaluation, k, len(truths)) for k in range(len(classes))]
    image, hit, ignored, positives = zip(*of_class, strict=True)
    voc = voc_matches(truths, predictions, classes)
    return MatchTable(
        label=_labels(image),
        image=np.concatenate(image),
        hit=np.concatenate(hit, axis=2),
        ignored=np.concatenate(ignored, axis=2),
        positives=np.stack(positives, axis=1),
        voc_label=_labels([one.image for one in voc]),
        voc_image=np.concatenate([one.image for one in voc]).astype(np.uint32),
        voc_hit=np.concatenate([one.hit for one in voc]),
        voc_positives=np.stack([one.positives for one in voc]).astype(np.uint32),
    )


def _check(truths: Images, predictions: Images, classes: Sequence[str]) -> None:
    if len(truths) != len(predictions):
        raise ValueError(
            f"{len(predictions):,} predictions for {len(truths):,} images: give one for each image, an empty one where "
            "nothing was found"
        )
    for what, parts, columns in (("truth", truths, TRUTH), ("prediction", predictions, FOUND)):
        for number, part in enumerate(parts):
            if words := _fault(part, columns):
                raise ValueError(f"{what} {number}: {words}")
    for part in (*truths, *predictions):
        labels = part["labels"].long()
        wrong = labels[(labels < 1) | (labels > len(classes))]
        if len(wrong):
            raise ValueError(f"label {int(wrong[0])} is not one of 1 to {len(classes)}: the classes are another set's")


def _fault(part: Mapping[str, Tensor], columns: Mapping[str, Sequence[str]]) -> str:
    """What is wrong with an image's truth or prediction: each column is (N,) of its kind, the boxes (N, 4)."""
    missing = [name for name in columns if name not in part]
    if missing:
        return f"{', '.join(missing)} missing"
    count = part["labels"].numel()
    for name, kinds in columns.items():
        column, shape = part[name], (count, 4) if name == "boxes" else (count,)
        if tuple(column.shape) != shape or _kind(column) not in kinds:
            return f"{name}: {_kind(column)} {tuple(column.shape)}, where {kinds[0]} {shape} belong"
    endless = [name for name in ("boxes", "scores") if name in columns and not part[name].isfinite().all()]
    return f"{' and '.join(endless)} not finite: the net has diverged" if endless else ""


def _kind(column: Tensor) -> str:
    return "flags" if column.dtype == torch.bool else "numbers" if column.is_floating_point() else "whole numbers"


def _labels(of_class: Sequence[NDArray[Any]]) -> NDArray[np.unsignedinteger[Any]]:
    """Class k + 1 as often as it has detections, in the smallest type that holds the last class."""
    smallest = np.min_scalar_type(len(of_class))
    return np.repeat(np.arange(1, len(of_class) + 1, dtype=smallest), [len(one) for one in of_class])


def coco_evaluation(truths: Images, predictions: Images, classes: Sequence[str]) -> Any:
    """The API's COCOeval after its `evaluate`.

    Crowds are the API's: a detection inside one counts neither way. So does one that falls on a difficult box,
    which the API does not know; it is given a size that is not measured.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # the API prints its progress
        truth = _api(coco_truth(truths, classes))
        rows = list(coco_rows(predictions))
        found = truth.loadRes(rows) if rows else _api({**truth.dataset, "annotations": []})
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
    return evaluation


def missed(truth: Mapping[str, Tensor], found: Mapping[str, Tensor], classes: Sequence[str]) -> list[int]:
    """The places of the objects of one image that no detection hits at IoU .5, by COCO's rules."""
    evaluation = coco_evaluation([truth], [found], classes)
    of_classes = [one for one in evaluation.evalImgs[:: len(AREAS)] if one]  # objects of all sizes
    ends = (zip(one["gtIds"], one["gtMatches"][0], one["gtIgnore"], strict=True) for one in of_classes)
    return sorted(int(name) - 1 for of_class in ends for name, hit, ignored in of_class if not hit and not ignored)


def _api(dataset: dict[str, Any]) -> Any:
    api = COCO()
    api.dataset = dataset
    api.createIndex()
    return api


def coco_truth(truths: Images, classes: Sequence[str]) -> dict[str, Any]:
    """The API's data set; images count from 0, categories from 1."""
    annotations: list[dict[str, Any]] = []
    for number, truth in enumerate(truths):
        parts = (truth[name].tolist() for name in ("labels", "difficult", "crowd", "area"))
        for box, label, difficult, crowd, area in zip(_xywh(truth["boxes"]), *parts, strict=True):
            size = BEYOND if difficult else area
            row = {"image_id": number, "bbox": box, "category_id": label, "iscrowd": int(crowd), "area": size}
            annotations.append({"id": len(annotations) + 1, **row})  # the API takes id 0 for no match
    return {
        "info": {},
        "images": [{"id": number} for number in range(len(truths))],
        "categories": [{"id": k, "name": name} for k, name in enumerate(classes, start=1)],
        "annotations": annotations,
    }


def coco_rows(predictions: Images) -> Iterator[dict[str, Any]]:
    """The API's results."""
    for number, found in enumerate(predictions):
        parts = (found["labels"].tolist(), found["scores"].tolist())
        for box, label, score in zip(_xywh(found["boxes"]), *parts, strict=True):
            yield {"image_id": number, "bbox": box, "category_id": label, "score": score}


def _xywh(boxes: Tensor) -> list[list[float]]:
    corner, end = boxes.double().split(2, dim=1)
    rows: list[list[float]] = torch.cat((corner, end - corner), 1).tolist()
    return rows


def _coco_matches(evaluation: Any, k: int, images: int) -> tuple[NDArray[Any], ...]:
    """Class k's D detections as the API judged them: image (D,), hit and ignored (AREAS, IOUS, D), and positives.

    They are in the order in which the API accumulates them, by falling score, and the same ones at every size.
    positives: (AREAS, images), the objects to find.
    """
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

    return image[order], flags("dtMatches"), flags("dtIgnore"), positives


def voc_matches(
    truths: Images, predictions: Images, classes: Sequence[str], *, iou: float = 0.5
) -> tuple[Matches, ...]:
    """The matches of each class by VOC's rules (VOCevaldet.m).

    By falling score over all images, each detection goes to the object of its class that it overlaps most: from
    `iou` on it is a hit if the object is still free and false if it is taken; it counts neither way if the object
    is difficult.
    """
    return tuple(_voc_matches(truths, predictions, label, iou) for label in range(1, len(classes) + 1))


def _voc_matches(truths: Images, predictions: Images, label: int, iou: float) -> Matches:
    scores, images, verdicts, positives = [], [], [], []
    for number, (truth, found) in enumerate(zip(truths, predictions, strict=True)):
        wanted, mine = truth["labels"] == label, found["labels"] == label
        score = found["scores"][mine].double().cpu().numpy()
        order = np.argsort(-score, kind="stable")
        difficult = truth["difficult"][wanted].cpu().numpy()
        overlaps = box_iou(found["boxes"][mine].double(), truth["boxes"][wanted].double()).cpu().numpy()
        scores.append(score[order])
        images.append(np.full(len(order), number))
        verdicts.append(_verdicts(overlaps[order], difficult, iou))
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
