"""A run's Faster R-CNN before its first step: its net as a backbone, with the weights it starts from (Appendix A)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bench.nets.backbone import Backbone, fix_batch_norm
from bench.nets.weights import Pixels, WeightsError
from bench.spec import Detection, Run
from bench.tasks.detection.annotations import DetectionSet
from bench.tasks.detection.checks import refuse_small_groups
from bench.tasks.detection.faster_rcnn import Proposals, Regions, c4, fpn, scaled
from bench.tasks.job import Job
from bench.tasks.weights import pixels_of, weights_file


def detector(run: Run, job: Job, training: DetectionSet) -> nn.Module:
    """From the run's seed. Raises WeightsError for weights that are not there, or are another net's."""
    torch.manual_seed(run.seed)
    spec, pixels = detection_of(run), pixels_of(run.net, job)
    backbone: Backbone = run.net.row.resolve("backbone")(run.net, weights_file(run.net, job))
    some = [image.pixels().float() / 255 for image in training.trainable()[: spec.settle]]
    fix_batch_norm(backbone, scaled(some, pixels, spec.side, spec.longest) if some else None)
    try:
        net = _faster_rcnn(backbone, spec, len(training.classes), pixels)
        refuse_small_groups(net, run.recipe.bn_group)
    except ValueError as error:
        raise WeightsError(str(error)) from None
    return net


def detection_of(run: Run) -> Detection:
    """The part of a detector's recipe that is about detection."""
    assert run.recipe.detection is not None
    return run.recipe.detection


def _faster_rcnn(backbone: Backbone, spec: Detection, classes: int, pixels: Pixels) -> nn.Module:
    usual: dict[str, Any] = {
        "side": spec.side,
        "longest": spec.longest,
        "pixels": pixels,
        "proposals": Proposals(spec.before_nms, spec.after_nms),
        "regions": Regions(sampled=spec.sampled, nms=spec.nms),
    }
    if spec.form == "c4":
        own: dict[str, Any] = {"anchors": spec.anchors, "pooling": spec.pooling, "context": spec.context}
        net: nn.Module = c4(backbone, classes, **usual, **own)
    else:
        net = fpn(backbone, classes, width=spec.width, hidden=spec.hidden, **usual)
    return net
