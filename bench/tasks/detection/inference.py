"""Table 9's test-time options on a detector: box refinement with voting, and testing in several scales (Appendix B).

Scored regions are `boxes` (R, K, 4), one for each of K classes, with `scores` (R, K), without the background;
detections are boxes (D, 4), labels (D,) from 1 and scores (D,) of one image.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softmax
from torchvision.models.detection.transform import resize_boxes
from torchvision.ops import batched_nms, box_iou, clip_boxes_to_image, remove_small_boxes

from bench.tasks.detection.faster_rcnn import RegionTop

VOTE = 0.5  # IoU of box voting
WANTED = 224  # pixels: as wide as a region should be in the scale in which it is pooled
Detections = dict[str, Tensor]
Scored = tuple[Tensor, Tensor]
View = tuple[dict[str, Tensor], tuple[int, int]]  # one image at one scale: its maps, and its scaled (height, width)


@torch.inference_mode()
def detect(model: Any, image: Tensor, *, refine: bool = False, sides: Sequence[int] = ()) -> Detections:
    """The detections in one (3, H, W) image by `model` with the options of Table 9; none is the plain test.

    refine: box refinement pools again from the regressed boxes, of each region that of its most likely class (which
    the paper leaves open), classifies again, and lets the boxes of both passes vote. sides: the shorter sides of
    several scales; each region is pooled in two neighbours and the larger value of each kept ("maxout"); proposals come
    from the model's own scale. Only the C4 form has the one map that this needs.
    Leaves the model's mode as it was.
    """
    training = model.training
    model.eval()
    try:
        return _detect(model, image, refine, sides)
    finally:
        model.train(training)


def _detect(model: Any, image: Tensor, refine: bool, sides: Sequence[int]) -> Detections:
    heads, own = model.roi_heads, (int(image.shape[1]), int(image.shape[2]))
    batch, _ = model.transform([image])
    features, size = model.backbone(batch.tensors), batch.image_sizes[0]
    proposals, _ = model.rpn(batch, features)
    views = [_view(model, image, side) for side in sides]

    def score(boxes: Tensor) -> Scored:
        if views:
            vectors = _maxout(heads, views, boxes, size, own, sides)
        else:
            vectors = heads.box_head(heads.box_roi_pool(features, [boxes], [size]))
        logits, deltas = heads.box_predictor(vectors)
        decoded = clip_boxes_to_image(heads.box_coder.decode(deltas, [boxes]), size)
        return decoded[:, 1:], softmax(logits, -1)[:, 1:]

    boxes, scores = score(proposals[0])
    if refine:
        again = score(best_boxes(boxes, scores))
        boxes, scores = torch.cat((boxes, again[0])), torch.cat((scores, again[1]))
    most = heads.detections_per_img
    found = detections(boxes, scores, nms=heads.nms_thresh, vote=refine, least_score=heads.score_thresh, most=most)
    return {**found, "boxes": resize_boxes(found["boxes"], size, own)}


def _view(model: Any, image: Tensor, side: int) -> View:
    """The image with its shorter side scaled to `side`, the longer one as it comes."""
    scaling = model.transform
    height, width = image.shape[1:]
    ratio = side / min(height, width)
    size = (round(height * ratio), round(width * ratio))
    scaled = nn.functional.interpolate(scaling.normalize(image)[None], size=size, mode="bilinear")
    return model.backbone(scaling.batch_images([scaled[0]])), size


def _maxout(
    heads: Any, views: Sequence[View], boxes: Tensor, at: tuple[int, int], own: tuple[int, int], sides: Sequence[int]
) -> Tensor:
    """Each box's vector from the larger of its two scales' pooled values; boxes are of the scale `at`."""
    top: RegionTop = heads.box_roi_pool
    lower = adjacent_scales(resize_boxes(boxes, at, own), min(own), sides)
    parts = []
    for k, pair in enumerate(pairwise(views)):
        mine = boxes[lower == k]
        pooled = [top.pooled(features, [resize_boxes(mine, at, size)], [size]) for features, size in pair]
        parts.append(top.finish(torch.maximum(*pooled), [len(mine)]))
    order = torch.cat([(lower == k).nonzero()[:, 0] for k in range(len(views) - 1)])
    return torch.cat(parts)[order.argsort()]


def adjacent_scales(boxes: Tensor, image_side: int, sides: Sequence[int]) -> Tensor:
    """(R,): the lower of the two neighbouring scales in which a region is pooled.

    boxes: (R, 4) in the image's own pixels; image_side: its shorter side; sides: the scales' shorter sides, rising.
    Of all neighbours, those between or nearest to which the region is WANTED pixels wide, by the root of its area
    (SPP-net's rule; the paper says "two adjacent scales").
    """
    extent = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).clamp(min=1).sqrt()
    best = WANTED * image_side / extent
    rising = torch.tensor(sides, dtype=best.dtype, device=best.device)
    return (torch.searchsorted(rising, best, right=True) - 1).clamp(0, len(sides) - 2)


def best_boxes(boxes: Tensor, scores: Tensor) -> Tensor:
    """(R, 4): each region's box of its most likely class."""
    return boxes[torch.arange(len(boxes), device=boxes.device), scores.argmax(1)]


def detections(
    boxes: Tensor, scores: Tensor, *, nms: float, vote: bool, least_score: float = 0.05, most: int = 100
) -> Detections:
    """Of scored regions: suppression within each class at IoU `nms`, then box voting if that is asked.

    least_score: a box below it is dropped and does not vote. most: detections that remain.
    """
    row, label = (scores > least_score).nonzero(as_tuple=True)
    flat = {"boxes": boxes[row, label], "labels": label + 1, "scores": scores[row, label]}
    flat = _chosen(flat, remove_small_boxes(flat["boxes"], 1e-2))
    found = _chosen(flat, batched_nms(flat["boxes"], flat["scores"], flat["labels"], nms)[:most])
    return {**found, "boxes": voted(found, flat)} if vote else found


def _chosen(found: Detections, index: Tensor) -> Detections:
    return {name: value[index] for name, value in found.items()}


def voted(found: Detections, voters: Detections) -> Tensor:
    """(D, 4): each found box, a voter itself, as the mean by score of those of its class that overlap it by VOTE."""
    close = box_iou(found["boxes"], voters["boxes"]) >= VOTE
    weight = (close & (found["labels"][:, None] == voters["labels"])) * voters["scores"]
    means: Tensor = weight @ voters["boxes"] / weight.sum(1, keepdim=True)
    return means
