"""What a detector found, held against what is there.

Truths and predictions are dicts of tensors, one for each image, in the same order of images:
    truth: boxes (N, 4), labels (N,) from 1, difficult (N,), crowd (N,) bool, area (N,)
    prediction: boxes (D, 4), labels (D,), scores (D,)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor


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
