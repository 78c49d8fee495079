"""A run's Faster R-CNN before its first step: its net as a backbone, with the weights it starts from (Appendix A)."""

from __future__ import annotations

import torch
from torch import nn

from bench.nets.backbone import Backbone, fix_batch_norm
from bench.nets.pretrained import WeightsError
from bench.spec import Detection, Run
from bench.tasks.detection.annotations import DetectionSet
from bench.tasks.detection.checks import refuse_small_groups
from bench.tasks.detection.faster_rcnn import Proposals, Regions, c4, fpn, scaled
from bench.tasks.job import Job
from bench.tasks.weights import source_run, weights_file


def detector(run: Run, job: Job, training: DetectionSet) -> nn.Module:
    """From the run's seed. Raises WeightsError for weights that are not there, or are another net's."""
    torch.manual_seed(run.seed)
    try:
        net = _faster_rcnn(_backbone(run, job, training), detection_of(run), len(training.classes))
        refuse_small_groups(net, run.recipe.bn_group)
    except ValueError as error:
        raise WeightsError(str(error)) from None
    return net


def detection_of(run: Run) -> Detection:
    """The part of a detector's recipe that is about detection."""
    assert run.recipe.detection is not None
    return run.recipe.detection


def _faster_rcnn(backbone: Backbone, spec: Detection, classes: int) -> nn.Module:
    proposals = Proposals(spec.before_nms, spec.after_nms)
    regions = Regions(sampled=spec.sampled, nms=spec.nms)
    if spec.form == "c4":
        net: nn.Module = c4(
            backbone,
            classes,
            side=spec.side,
            longest=spec.longest,
            anchors=spec.anchors,
            pooling=spec.pooling,
            context=spec.context,
            proposals=proposals,
            regions=regions,
        )
    else:
        net = fpn(
            backbone,
            classes,
            side=spec.side,
            longest=spec.longest,
            width=spec.width,
            hidden=spec.hidden,
            proposals=proposals,
            regions=regions,
        )
    return net


def _backbone(run: Run, job: Job, training: DetectionSet) -> Backbone:
    """The run's net in stages, its batch norms fixed."""
    net, spec = run.net, detection_of(run)
    trained, path = source_run(net, job), weights_file(net, job)
    kept = spec.settle == 0
    source = trained.recipe.views.crop if trained and trained.recipe.views else "torchvision"
    backbone: Backbone = net.row.resolve("backbone")(net, path, source=source, fix_bn=kept)
    if not kept:
        some = [image.pixels().float() / 255 for image in training.trainable()[: spec.settle]]
        fix_batch_norm(backbone, scaled(some, backbone, spec.side, spec.longest))
    return backbone
