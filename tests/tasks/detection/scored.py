"""True and found boxes, by hand and made up, and what the official API says of them. Needs pycocotools."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.tasks.detection.average_precision import mean_ap
from bench.tasks.detection.matching import coco_evaluation, voc_matches

Rows = Sequence[Sequence[float]]
NUMBERS = (  # the API's twelve, in its own order
    *("AP", "AP50", "AP75", "APsmall", "APmedium", "APlarge"),
    *("AR1", "AR10", "AR100", "ARsmall", "ARmedium", "ARlarge"),
)


def official(truths: Any, predictions: Any, classes: Sequence[str]) -> dict[str, float]:
    """NUMBERS and each class's AP50 by its name, in percent, as the API prints them; NaN where it says -1."""
    evaluation = coco_evaluation(truths, predictions, classes)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
        evaluation.summarize()
    by_class = evaluation.eval["precision"][0, :, :, 0, -1].mean(0)  # of (recalls, classes) at IoU .5
    shares = map(float, (*evaluation.stats, *by_class))
    named = zip((*NUMBERS, *classes), shares, strict=True)
    return {name: math.nan if share < 0 else 100 * share for name, share in named}


def voc_map(truths: Any, predictions: Any, classes: Sequence[str], points: str = "every-point") -> float:
    return mean_ap(voc_matches(truths, predictions, classes), points)


def truth(
    boxes: Rows, labels: Sequence[int] | None = None, *, difficult: Sequence[int] = (), crowd: Sequence[int] = ()
) -> dict[str, Tensor]:
    b = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)
    n = range(len(b))
    return {
        "boxes": b,
        "labels": torch.tensor(labels or [1] * len(b), dtype=torch.int64),
        "difficult": torch.tensor([k in difficult for k in n], dtype=torch.bool),
        "crowd": torch.tensor([k in crowd for k in n], dtype=torch.bool),
        "area": (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]),
    }


def found(boxes: Rows, scores: Sequence[float], labels: Sequence[int] | None = None) -> dict[str, Tensor]:
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4),
        "scores": torch.tensor(scores, dtype=torch.float64),
        "labels": torch.tensor(labels or [1] * len(scores), dtype=torch.int64),
    }


A, B, C = [0, 0, 10, 10], [20, 20, 40, 40], [50, 50, 90, 90]  # three boxes that do not meet


def made_up(
    seed: int, images: int = 30, classes: int = 3, noise: float = 3.0
) -> tuple[list[dict[str, Tensor]], list[dict[str, Tensor]]]:
    """Images with up to six objects, and detections that are near them, or wrong."""
    rng = np.random.default_rng(seed)
    truths, predictions = [], []
    for _ in range(images):
        n = int(rng.integers(0, 7))
        corner = rng.uniform(0, 200, (n, 2))
        boxes = np.hstack([corner, corner + rng.uniform(15, 120, (n, 2))])
        labels = rng.integers(1, classes + 1, n)
        truths.append(truth(boxes.tolist(), labels.tolist(), crowd=[0] if n > 5 else []))
        near = np.vstack([boxes + rng.normal(0, noise, boxes.shape), boxes[: n // 2] + rng.normal(0, 9, (n // 2, 4))])
        of = np.where(rng.random(len(near)) < 0.1, 1, np.concatenate([labels, labels[: n // 2]]))
        predictions.append(found(near.tolist(), rng.random(len(near)).tolist(), of.tolist()))
    return truths, predictions


NAMES = ["a", "b", "c"]
