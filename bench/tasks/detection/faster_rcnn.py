"""Faster R-CNN over a backbone in two forms: the paper's (Appendix A; "C4" in the field) and the field's FPN.

The parts are torchvision's: proposal network, RoI pooling, sampling, losses, non-maximum suppression. Both forms take
a list of (3, H, W) RGB images in [0, 1] with, in training, a list of targets: `boxes` (N, 4), `labels` (N,) from 1.
They return the losses by name in training, else `boxes` (D, 4), `labels` (D,), `scores` (D,) of each image.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign, RoIAlign, RoIPool
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from bench.nets.backbone import Backbone
from bench.nets.weights import Pixels
from bench.spec import Detection

RATIOS = (0.5, 1.0, 2.0)


class GlobalAverage(nn.Module):
    """The mean over positions."""

    def forward(self, x: Tensor) -> Tensor:
        """(R, C, H, W) to (R, C)."""
        return x.mean((2, 3))


class RegionTop(nn.Module):
    """RoI pooling on the last shared map, then everything that works on each region (Appendix A: conv5_x and up).

    context: the same layers on a region that is the whole image, concatenated to each of its regions (Appendix B).
    """

    def __init__(self, pool: nn.Module, top: nn.Module, *, context: bool) -> None:
        super().__init__()
        self.pool, self.top, self.context = pool, top, context

    def forward(self, features: dict[str, Tensor], proposals: list[Tensor], sizes: list[tuple[int, int]]) -> Tensor:
        """features "0": (N, C, H, W); proposals: (R_i, 4) of each image; sizes: (height, width) of each. To (R, C')."""
        return self.finish(self.pooled(features, proposals, sizes), [len(p) for p in proposals])

    def pooled(self, features: dict[str, Tensor], proposals: list[Tensor], sizes: list[tuple[int, int]]) -> Tensor:
        """The pooled maps (R, C, s, s) of all regions; with context those of the N whole images after them."""
        x = features["0"]
        regions: Tensor = self.pool(x, proposals)
        if not self.context:
            return regions
        whole = [x.new_tensor([[0, 0, width, height]]) for height, width in sizes]
        return torch.cat((regions, self.pool(x, whole)))

    def finish(self, pooled: Tensor, counts: Sequence[int]) -> Tensor:
        """Pooled maps to one vector a region; counts: the regions of each image."""
        vectors: Tensor = self.top(pooled)
        if not self.context:
            return vectors
        regions, whole = vectors.split([sum(counts), len(counts)])
        of_its_image = whole.repeat_interleave(torch.tensor(counts, device=whole.device), dim=0)
        return torch.cat((regions, of_its_image), 1)


class Stages(nn.Module):
    """The shared stages as detectors want them: the last one's map alone."""

    def __init__(self, stages: Sequence[nn.Module], channels: int) -> None:
        super().__init__()
        self.stages, self.out_channels = nn.Sequential(*stages), channels

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """(N, 3, H, W) to {"0": (N, C, H/reduction, W/reduction)}."""
        return OrderedDict([("0", self.stages(x))])


class Pyramid(nn.Module):
    """Some of a backbone's stages through a feature pyramid (Lin et al. 2017), and coarser levels above."""

    def __init__(self, backbone: Backbone, used: Sequence[int], width: int, *, coarser: int) -> None:
        super().__init__()
        self.backbone, self.used, self.out_channels = backbone, tuple(used), width
        channels = [backbone.channels[k] for k in used]
        above = LastLevelMaxPool() if coarser == 1 else LastLevelP6P7(width, width)
        self.fpn = FeaturePyramidNetwork(channels, width, above)

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """(N, 3, H, W) to (N, width, …) maps by name, fine to coarse."""
        stages = self.backbone(x)
        maps: OrderedDict[str, Tensor] = self.fpn(OrderedDict((str(k), stages[str(k)]) for k in self.used))
        return maps


def c4(backbone: Backbone, classes: int, spec: Detection, pixels: Pixels) -> FasterRCNN:
    """The paper's form: all stages but the last are shared, and the last works on each of 300 regions.

    For a ResNet these are conv1 to conv4_x at stride 16, and conv5_x with a global average on each region. For VGG-16,
    conv1 to conv5_3, and fc6, fc7 (Faster R-CNN's own baseline, Tables 7 and 8). classes: without the background.
    pixels: what the backbone expects of them. Raises ValueError.
    """
    shared, top, width, bins = _cut(backbone)
    stride, channels = backbone.reductions[shared - 1], backbone.channels[shared - 1]
    pool = RoIPool(bins, 1 / stride) if spec.pooling == "pool" else RoIAlign(bins, 1 / stride, 2)
    predictor = FastRCNNPredictor(width * (1 + spec.context), classes + 1)
    for layer, deviation in ((predictor.cls_score, 0.01), (predictor.bbox_pred, 0.001)):  # as Fast R-CNN
        nn.init.normal_(layer.weight, std=deviation)
        nn.init.zeros_(layer.bias)
    net = _faster_rcnn(
        Stages(list(backbone.stages)[:shared], channels),
        spec,
        pixels,
        rpn_anchor_generator=AnchorGenerator((spec.anchors,), (RATIOS,)),
        box_head=nn.Identity(),
        box_predictor=predictor,
    )
    net.roi_heads.box_roi_pool = RegionTop(pool, top, context=spec.context)  # as an argument it would be refused
    return net


def _cut(backbone: Backbone) -> tuple[int, nn.Module, int, int]:
    """How many stages are shared; what works on a region, its width, and the bins that it is pooled to."""
    if backbone.top is not None:
        return len(backbone.stages), backbone.top, backbone.top_channels, 7
    if not backbone.stages:
        raise ValueError(
            "the backbone gives its maps at once and is no row of stages, of which the last could work on each region: "
            "give Detection(form='fpn'), or a net that is one, such as resnet50"
        )
    if len(backbone.stages) < 2:
        raise ValueError("a backbone of one stage leaves nothing to work on each region: give one of two or more")
    return len(backbone.stages) - 1, nn.Sequential(backbone.stages[-1], GlobalAverage()), backbone.channels[-1], 14


def fpn(backbone: Backbone, classes: int, spec: Detection, pixels: Pixels) -> FasterRCNN:
    """The field's form: a pyramid over the stages at strides 4 to 32, RoIAlign at 7x7, two fully connected layers.

    A net whose last stride is below 16, such as the CIFAR nets, gives its stages from stride 2 on and two coarser
    levels by convolutions with stride 2, so that the whole of an object is seen: strides 2, 4, 8 and 16.
    Anchors are 8 strides wide. Raises ValueError.
    """
    small = backbone.reductions[-1] < 16
    finest, coarser = (2, 2) if small else (4, 1)
    used = [k for k, stride in enumerate(backbone.reductions) if stride >= finest]
    if len(used) < 2:
        raise ValueError(f"strides {backbone.reductions}: a pyramid needs two stages at stride {finest} or more")
    strides = [backbone.reductions[k] for k in used]
    strides += [strides[-1] * 2 ** (k + 1) for k in range(coarser)]
    names = [*map(str, used), *(("p6", "p7") if small else ())]  # RoIs are not pooled from the field's max-pooled level
    parts = {  # made in this order, each with its random weights, then the pyramid
        "rpn_head": RPNHead(spec.width, len(RATIOS)),
        "box_head": TwoMLPHead(spec.width * 7 * 7, spec.hidden),
        "box_predictor": FastRCNNPredictor(spec.hidden, classes + 1),
    }
    return _faster_rcnn(
        Pyramid(backbone, used, spec.width, coarser=coarser),
        spec,
        pixels,
        rpn_anchor_generator=AnchorGenerator(tuple((8 * s,) for s in strides), (RATIOS,) * len(strides)),
        box_roi_pool=MultiScaleRoIAlign(names, 7, 2),
        **parts,
    )


def _faster_rcnn(body: nn.Module, spec: Detection, pixels: Pixels, **parts: Any) -> FasterRCNN:
    """What both forms share. All that the recipe does not say is torchvision's default, which is Faster R-CNN's [32].

    Proposals: positive from IoU .7 on, negative below .3, 256 sampled of an image, NMS at .7. Regions: positive from
    IoU .5 on, a quarter of those sampled. Detections: of a score above .05, 100 an image at most.
    """
    return FasterRCNN(
        body,
        min_size=spec.min_size,
        max_size=spec.max_size,
        image_mean=list(pixels.mean),
        image_std=list(pixels.std),
        rpn_pre_nms_top_n_train=spec.pre_nms_top_n[0],
        rpn_pre_nms_top_n_test=spec.pre_nms_top_n[1],
        rpn_post_nms_top_n_train=spec.post_nms_top_n[0],
        rpn_post_nms_top_n_test=spec.post_nms_top_n[1],
        box_batch_size_per_image=spec.regions_per_image,
        box_nms_thresh=spec.nms_threshold,
        **parts,
    )
