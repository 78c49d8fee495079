"""Detectors of three classes on small nets, and two images to train them on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.nets import resnet
from bench.nets.backbone import Backbone, fix_batch_norm
from bench.nets.weights import Pixels
from bench.spec import Detection, Net
from bench.tasks.detection.faster_rcnn import c4, fpn

SMALL: dict[str, Any] = {
    "min_size": 64, "max_size": 96, "pre_nms_top_n": (200, 100), "post_nms_top_n": (50, 20), "regions_per_image": 8,
}  # fmt: skip
MEAN = Pixels((0.49, 0.48, 0.45))
Targets = list[dict[str, Tensor]]


def scene() -> tuple[list[Tensor], Targets]:
    """Two images of different size; the second has no box."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, h, w, generator=generator) for h, w in ((64, 80), (70, 60))]
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    return images, [{"boxes": torch.tensor([[10.0, 10, 50, 60]]), "labels": torch.tensor([2])}, none]


def small_c4(backbone: Backbone, **options: Any) -> Any:
    return c4(backbone, 3, Detection(anchors=(16, 32), **{**SMALL, **options}), MEAN)


def small_fpn(backbone: Backbone, **options: Any) -> Any:
    return fpn(backbone, 3, Detection(form="fpn", width=32, hidden=64, nms_threshold=0.5, **{**SMALL, **options}), MEAN)


def trained(model: Any, steps: int = 1, lr: float = 1e-4) -> list[dict[str, float]]:
    """The losses of some SGD steps on the scene."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=lr, momentum=0.9)
    seen = []
    for _ in range(steps):
        losses = model(*scene())
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        seen.append({name: float(loss.detach()) for name, loss in losses.items()})
    return seen


def fixed(net: Net) -> Backbone:
    """With batch norm as it is in a new net, of which deep ones' values are out of all bounds."""
    backbone = resnet.backbone(net)
    fix_batch_norm(backbone)
    return backbone


def of_cifar(shortcut: str = "A") -> Backbone:
    return fixed(Net("cifar", 8, shortcut))
