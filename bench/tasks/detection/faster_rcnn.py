"""Faster R-CNN over a backbone in two forms: the paper's (Appendix A; "C4" in the field) and the field's FPN.

The parts are torchvision's: proposal network, RoI pooling, sampling, losses, non-maximum suppression. Both forms take
a list of (3, H, W) RGB images in [0, 1] with, in training, a list of targets: `boxes` (N, 4), `labels` (N,) from 1.
They return the losses by name in training, else `boxes` (D, 4), `labels` (D,), `scores` (D,) of each image.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign, RoIAlign, RoIPool
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from bench.nets.backbone import Backbone
from bench.nets.weights import IMAGENET, Pixels

RATIOS = (0.5, 1.0, 2.0)
POOLS = ("pool", "align")


@dataclass(frozen=True, slots=True)
class Proposals:
    """The proposal network's numbers, those of Faster R-CNN [32] by default; (training, testing) where they differ."""

    before_nms: tuple[int, int] = (12_000, 6_000)
    after_nms: tuple[int, int] = (2_000, 300)
    sampled: int = 256

    def network(self, channels: int, anchors: AnchorGenerator) -> nn.Module:
        """3x3, then a score and a box for each anchor; positive from IoU .7 on, negative below .3, NMS at .7."""
        head = RPNHead(channels, anchors.num_anchors_per_location()[0])
        before, after = (dict(zip(("training", "testing"), n, strict=True)) for n in (self.before_nms, self.after_nms))
        net: nn.Module = RegionProposalNetwork(anchors, head, 0.7, 0.3, self.sampled, 0.5, before, after, 0.7)
        return net


@dataclass(frozen=True, slots=True)
class Regions:
    """How regions are sampled in training, and which detections remain of them in testing."""

    sampled: int = 128
    positive: float = 0.25
    score: float = 0.05
    nms: float = 0.3
    detections: int = 100

    def heads(self, pool: nn.Module, head: nn.Module, predictor: nn.Module) -> nn.Module:
        """A region is positive from IoU .5 on, else background."""
        sampling = (0.5, 0.5, self.sampled, self.positive, None)
        heads: nn.Module = RoIHeads(pool, head, predictor, *sampling, self.score, self.nms, self.detections)
        return heads


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


def c4(
    backbone: Backbone,
    classes: int,
    *,
    side: int = 600,
    longest: int = 1000,
    pixels: Pixels = IMAGENET,
    anchors: Sequence[int] = (128, 256, 512),
    pooling: str = "pool",
    context: bool = False,
    proposals: Proposals | None = None,
    regions: Regions | None = None,
) -> GeneralizedRCNN:
    """The paper's form: all stages but the last are shared, and the last works on each of 300 regions.

    For a ResNet these are conv1 to conv4_x at stride 16, and conv5_x with a global average on each region. For VGG-16,
    conv1 to conv5_3, and fc6, fc7 (Faster R-CNN's own baseline, Tables 7 and 8). classes: without the background.
    side, longest: the image's sides after scaling, in pixels. pixels: what the backbone expects of them.
    anchors: in pixels of the scaled image; the COCO numbers of Faster R-CNN add 64. pooling: "pool" (the paper) or
    "align" (the field). context: Appendix B's.
    Raises ValueError.
    """
    _check(classes, side, longest)
    if pooling not in POOLS:
        raise ValueError(f"pooling {pooling!r} is not one of: {', '.join(POOLS)}")
    shared, top, width, bins = _cut(backbone)
    stride, channels = backbone.reductions[shared - 1], backbone.channels[shared - 1]
    body = Stages(list(backbone.stages)[:shared], channels)
    region = RoIPool(bins, 1 / stride) if pooling == "pool" else RoIAlign(bins, 1 / stride, 2)
    predictor = FastRCNNPredictor(width * (1 + context), classes + 1)
    _faster_rcnn_init(predictor)
    rpn = (proposals or Proposals()).network(channels, AnchorGenerator((tuple(anchors),), (RATIOS,)))
    heads = (regions or Regions()).heads(RegionTop(region, top, context=context), nn.Identity(), predictor)
    return GeneralizedRCNN(body, rpn, heads, _scaling(pixels, side, longest))


def _cut(backbone: Backbone) -> tuple[int, nn.Module, int, int]:
    """How many stages are shared; what works on a region, its width, and the bins that it is pooled to."""
    if backbone.top is not None:
        return len(backbone.stages), backbone.top, backbone.top_channels, 7
    if len(backbone.stages) < 2:
        raise ValueError("a backbone of one stage leaves nothing to work on each region: give one of two or more")
    return len(backbone.stages) - 1, nn.Sequential(backbone.stages[-1], GlobalAverage()), backbone.channels[-1], 14


def _faster_rcnn_init(predictor: Any) -> None:
    """As Fast R-CNN: normal with a deviation of 0.01 for the scores, 0.001 for the boxes; biases 0."""
    for layer, deviation in ((predictor.cls_score, 0.01), (predictor.bbox_pred, 0.001)):
        nn.init.normal_(layer.weight, std=deviation)
        nn.init.zeros_(layer.bias)


def fpn(
    backbone: Backbone,
    classes: int,
    *,
    side: int = 800,
    longest: int = 1333,
    pixels: Pixels = IMAGENET,
    width: int = 256,
    hidden: int = 1024,
    proposals: Proposals | None = None,
    regions: Regions | None = None,
) -> GeneralizedRCNN:
    """The field's form: a pyramid over the stages at strides 4 to 32, RoIAlign at 7x7, two fully connected layers.

    A net whose last stride is below 16, such as the CIFAR nets, gives its stages from stride 2 on and two coarser
    levels by convolutions with stride 2, so that the whole of an object is seen: strides 2, 4, 8 and 16.
    Anchors are 8 strides wide. width: the pyramid's channels; hidden: those of the two layers. Raises ValueError.
    """
    _check(classes, side, longest)
    small = backbone.reductions[-1] < 16
    finest = 2 if small else 4
    used = [k for k, stride in enumerate(backbone.reductions) if stride >= finest]
    if len(used) < 2:
        raise ValueError(f"strides {backbone.reductions}: a pyramid needs two stages at stride {finest} or more")
    coarser = 2 if small else 1
    strides = [backbone.reductions[k] for k in used]
    strides += [strides[-1] * 2 ** (k + 1) for k in range(coarser)]
    generator = AnchorGenerator(tuple((8 * s,) for s in strides), (RATIOS,) * len(strides))
    names = [*map(str, used), *(("p6", "p7") if small else ())]  # RoIs are not pooled from the field's max-pooled level
    pool = MultiScaleRoIAlign(names, 7, 2)
    rpn = (proposals or Proposals((2_000, 1_000), (2_000, 1_000))).network(width, generator)
    head, predictor = TwoMLPHead(width * 7 * 7, hidden), FastRCNNPredictor(hidden, classes + 1)
    heads = (regions or Regions(sampled=512, nms=0.5)).heads(pool, head, predictor)
    body = Pyramid(backbone, used, width, coarser=coarser)
    return GeneralizedRCNN(body, rpn, heads, _scaling(pixels, side, longest))


def scaled(images: Sequence[Tensor], pixels: Pixels, side: int, longest: int) -> Iterator[Tensor]:
    """Images (3, H, W) in [0, 1] as a detector's backbone gets them, one at a time: (1, 3, H', W')."""
    scaling = _scaling(pixels, side, longest)
    for image in images:
        yield scaling([image])[0].tensors


def _scaling(pixels: Pixels, side: int, longest: int) -> GeneralizedRCNNTransform:
    return GeneralizedRCNNTransform(side, longest, list(pixels.mean), list(pixels.std))


def _check(classes: int, side: int, longest: int) -> None:
    if classes < 1:
        raise ValueError(f"classes must be 1 or more (the background is not counted), got {classes}")
    if not 0 < side <= longest:
        raise ValueError(f"side {side} must be positive and at most longest {longest}")
