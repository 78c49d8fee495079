"""VGG-16 [41] as a backbone: Faster R-CNN's own net, the detectors' baseline."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torchvision
from torch import nn

from bench.nets.backbone import Backbone, Stage
from bench.nets.weights import load_weights
from bench.spec import Net

ENDS = (4, 9, 16, 23, 30)  # after conv1_2, 2_2, 3_3, 4_3, 5_3 and their ReLUs; the last pool is the RoI's
CHANNELS, REDUCTIONS = (64, 128, 256, 512, 512), (1, 2, 4, 8, 16)


def backbone(net: Net, file: Path | None = None) -> Backbone:
    """To conv5_3 at stride 16, with fc6 and fc7 as the top; conv1 and conv2 stay as they were trained.

    file: weights with torchvision's names, fc6's and fc7's included. Raises WeightsError.
    """
    vgg = torchvision.models.vgg16()
    load_weights(vgg, file, net.name, without=("classifier.6.",))
    layers = [vgg.features[start:end] for start, end in pairwise((0, *ENDS))]
    for stage in layers[:2]:
        stage.requires_grad_(False)
    top = nn.Sequential(nn.Flatten(), *vgg.classifier[:6])
    return Backbone([Stage(*parts) for parts in zip(layers, CHANNELS, REDUCTIONS, strict=True)], (top, 4096))
