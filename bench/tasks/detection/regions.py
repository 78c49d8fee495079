"""What becomes of scored regions: suppression, box voting, and the union of several passes (Appendix B).

Pure functions of predictions. Scored regions are `boxes` (R, K, 4), one for each of K classes, with `scores` (R, K),
without the background; detections are boxes (D, 4), labels (D,) from 1 and scores (D,) of one image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms, box_iou, remove_small_boxes

Detections = dict[str, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The R regions of one image: `boxes` (R, K, 4) regressed for each class, `scores` (R, K)."""

    boxes: Tensor
    scores: Tensor

    def best(self) -> Tensor:
        """(R, 4): each region's box of its most likely class."""
        rows = torch.arange(len(self.boxes), device=self.boxes.device)
        return self.boxes[rows, self.scores.argmax(1)]


def union(parts: Sequence[Scored]) -> Scored:
    """All regions of several passes over one image, such as scales, brought to the same coordinates."""
    return Scored(torch.cat([p.boxes for p in parts]), torch.cat([p.scores for p in parts]))


def refined(score: Callable[[Tensor], Scored], first: Scored) -> Scored:
    """Box refinement: the regions, and as many again that `score` makes of their regressed boxes.

    score: boxes (R, 4) to Scored: pools again and classifies again. A region has one regressed box for each class; that
    of its most likely class is pooled, which the paper leaves open.
    """
    return union((first, score(first.best())))


def detections(
    regions: Scored, *, nms: float = 0.3, vote: float | None = None, least_score: float = 0.05, most: int = 100
) -> Detections:
    """Suppression within each class at IoU `nms`, then box voting at IoU `vote` if one is given (0.5 in [6]).

    least_score: below it a box is no candidate, nor has it a vote. most: detections that remain.
    """
    flat = _candidates(regions, least_score)
    kept = batched_nms(flat["boxes"], flat["scores"], flat["labels"], nms)[:most]
    found = {name: value[kept] for name, value in flat.items()}
    return found if vote is None else {**found, "boxes": voted(found, flat, iou=vote)}


def _candidates(regions: Scored, least_score: float) -> Detections:
    row, label = (regions.scores > least_score).nonzero(as_tuple=True)
    flat = {"boxes": regions.boxes[row, label], "labels": label + 1, "scores": regions.scores[row, label]}
    kept = remove_small_boxes(flat["boxes"], 1e-2)
    return {name: value[kept] for name, value in flat.items()}


def voted(found: Detections, voters: Detections, *, iou: float = 0.5) -> Tensor:
    """(D, 4): each found box as the mean, by score, of the voters of its class that overlap it by `iou` or more."""
    close = box_iou(found["boxes"], voters["boxes"]) >= iou
    weight = (close & (found["labels"][:, None] == voters["labels"])) * voters["scores"]
    total = weight.sum(1, keepdim=True)
    return torch.where(total > 0, weight @ voters["boxes"] / total.clamp(min=1e-12), found["boxes"])


def merged(scales: Sequence[Detections], *, nms: float = 0.3, vote: float | None = 0.5, most: int = 100) -> Detections:
    """One image's detections at several scales, in the image's own pixels, as one: union, suppression, voting."""
    every = {name: torch.cat([s[name] for s in scales]) for name in ("boxes", "labels", "scores")}
    kept = batched_nms(every["boxes"], every["scores"], every["labels"], nms)[:most]
    found = {name: value[kept] for name, value in every.items()}
    return found if vote is None else {**found, "boxes": voted(found, every, iou=vote)}


def adjacent_scales(boxes: Tensor, image_side: int, sides: Sequence[int], *, wanted: int = 224) -> Tensor:
    """(R,): the lower of the two neighbouring scales in which a region is pooled.

    boxes: (R, 4) in the image's own pixels; image_side: its shorter side; sides: the scales' shorter sides, rising.
    Of all neighbours, those between or nearest to which the region is `wanted` pixels wide, by the root of its area
    (SPP-net's rule; the paper says "two adjacent scales").
    """
    if len(sides) < 2 or list(sides) != sorted(set(sides)):
        raise ValueError(f"sides {tuple(sides)} must be two or more, rising")
    extent = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).clamp(min=1).sqrt()
    best = wanted * image_side / extent
    rising = torch.tensor(sides, dtype=best.dtype, device=best.device)
    return (torch.searchsorted(rising, best, right=True) - 1).clamp(0, len(sides) - 2)
