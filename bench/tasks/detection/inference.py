"""Table 9's test-time options on a detector: box refinement, and testing in several scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softmax
from torchvision.models.detection.transform import resize_boxes
from torchvision.ops import clip_boxes_to_image

from bench.tasks.detection.faster_rcnn import RegionTop
from bench.tasks.detection.regions import Detections, Scored, adjacent_scales, detections, refined

SIDES = (200, 400, 600, 800, 1000)  # Appendix B


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """One image at one scale: the scaled image's maps and (height, width)."""

    features: dict[str, Tensor]
    size: tuple[int, int]


@torch.inference_mode()
def detect(
    model: Any, image: Tensor, *, refine: bool = False, vote: float | None = None, sides: Sequence[int] = ()
) -> Detections:
    """The detections in one (3, H, W) image by `model` with the options of Table 9; none is the plain test.

    refine: pools again from the regressed boxes (box refinement); the paper then votes: vote=0.5. sides: the shorter
    sides of several scales, SIDES in the paper; each region is pooled in two neighbours and the larger value of each
    kept ("maxout"); proposals come from the model's own scale. Only the C4 form has the one map that this needs.
    Leaves the model's mode as it was. Raises ValueError.
    """
    if sides and not isinstance(model.roi_heads.box_roi_pool, RegionTop):
        raise ValueError("testing in several scales needs the C4 form; merge an FPN's detections with regions.merged")
    training = model.training
    model.eval()
    try:
        return _detect(model, image, refine, vote, sides)
    finally:
        model.train(training)


def _detect(model: Any, image: Tensor, refine: bool, vote: float | None, sides: Sequence[int]) -> Detections:
    heads, own = model.roi_heads, (int(image.shape[1]), int(image.shape[2]))
    batch, _ = model.transform([image])
    view = _View(model.backbone(batch.tensors), batch.image_sizes[0])
    proposals, _ = model.rpn(batch, view.features)
    views = [_view(model, image, side) for side in sides]

    def score(boxes: Tensor) -> Scored:
        vectors = _maxout(heads, views, boxes, view.size, own, sides) if views else _vectors(heads, view, boxes)
        return _scored(heads, vectors, boxes, view.size)

    regions = score(proposals[0])
    regions = refined(score, regions) if refine else regions
    found = detections(
        regions, nms=heads.nms_thresh, vote=vote, least_score=heads.score_thresh, most=heads.detections_per_img
    )
    return {**found, "boxes": resize_boxes(found["boxes"], view.size, own)}


def _view(model: Any, image: Tensor, side: int) -> _View:
    """The image with its shorter side scaled to `side`, the longer one as it comes."""
    scaling = model.transform
    height, width = image.shape[1:]
    ratio = side / min(height, width)
    size = (round(height * ratio), round(width * ratio))
    scaled = nn.functional.interpolate(scaling.normalize(image)[None], size=size, mode="bilinear")
    return _View(model.backbone(scaling.batch_images([scaled[0]])), size)


def _vectors(heads: Any, view: _View, boxes: Tensor) -> Tensor:
    vectors: Tensor = heads.box_head(heads.box_roi_pool(view.features, [boxes], [view.size]))
    return vectors


def _maxout(
    heads: Any, views: Sequence[_View], boxes: Tensor, at: tuple[int, int], own: tuple[int, int], sides: Sequence[int]
) -> Tensor:
    """Each box's vector from the larger of its two scales' pooled values; boxes are of the scale `at`."""
    top: RegionTop = heads.box_roi_pool
    lower = adjacent_scales(resize_boxes(boxes, at, own), min(own), sides)
    parts = []
    for k, pair in enumerate(pairwise(views)):
        mine = boxes[lower == k]
        pooled = [top.pooled(v.features, [resize_boxes(mine, at, v.size)], [v.size]) for v in pair]
        parts.append(top.finish(torch.maximum(*pooled), [len(mine)]))
    order = torch.cat([(lower == k).nonzero()[:, 0] for k in range(len(views) - 1)])
    return torch.cat(parts)[order.argsort()]


def _scored(heads: Any, vectors: Tensor, boxes: Tensor, size: tuple[int, int]) -> Scored:
    """The predictor's classes and boxes of the region vectors, without the background."""
    logits, deltas = heads.box_predictor(vectors)
    decoded = clip_boxes_to_image(heads.box_coder.decode(deltas, [boxes]), size)
    return Scored(decoded[:, 1:], softmax(logits, -1)[:, 1:])
