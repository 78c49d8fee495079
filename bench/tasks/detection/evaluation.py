"""A detector's test by COCO's rules and by VOC's, and all that either is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from bench.tasks.detection.average_precision import MatchTable
from bench.tasks.detection.coco_ap import coco_ap
from bench.tasks.detection.voc_ap import voc_ap


def measured(
    truths: Sequence[Mapping[str, Tensor]], predictions: Sequence[Mapping[str, Tensor]], classes: Sequence[str]
) -> MatchTable:
    """What became of every detection (see bench.tasks.detection.matching for both arguments). Raises ValueError."""
    official, voc = coco_ap(truths, predictions, classes).cells, voc_ap(truths, predictions, classes).matches
    return MatchTable(
        label=_labels([len(cells.image) for cells in official]),
        image=np.concatenate([cells.image for cells in official]),
        hit=np.concatenate([cells.hit for cells in official], axis=2),
        ignored=np.concatenate([cells.ignored for cells in official], axis=2),
        positives=np.stack([cells.positives for cells in official], axis=1),
        voc_label=_labels([len(one.image) for one in voc]),
        voc_image=np.concatenate([one.image for one in voc]).astype(np.uint32),
        voc_hit=np.concatenate([one.hit for one in voc]),
        voc_positives=np.stack([one.positives for one in voc]).astype(np.uint32),
    )


def _labels(counts: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Class k + 1 as often as it has detections."""
    return np.repeat(np.arange(1, len(counts) + 1), counts).astype(np.uint8)
