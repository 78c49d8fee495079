"""The stand-in for scale quick where CIFAR-10 cannot be had: ten classes of 32x32 images made from a seed.

A class is a shape (one of five) with a kind of stripes (one of two). Place, size, colours, the stripes' phase and
the noise are random, so that colour tells nothing and a net must find edges and textures. It shows that the suite
works and what a plain and a residual net do; its numbers say nothing of CIFAR-10.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from bench.tasks.classification.cifar import Images, make_images

NOTICE = (
    "Not CIFAR-10: a procedural stand-in (shapes and stripes made from a seed). "
    "It shows that everything works; its numbers cannot be compared with the paper's."
)


def load(_: Path) -> Images:
    """The data set "stand-in", which needs no folder."""
    return stand_in()


def stand_in(train: int = 5_000, test: int = 2_000, seed: int = 0) -> Images:
    """`train` and `test` images in the form of CIFAR-10; the same bits for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    x, y = _images(train + test, generator)
    return make_images(x[:train], y[:train], x[train:], y[train:], NOTICE)


def _images(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """n images (n, 3, 32, 32) uint8 and their classes (n,), as many of each class as of any other."""
    labels = torch.arange(n) % 10
    labels = labels[torch.randperm(n, generator=generator)]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand((n, *shape), generator=generator)

    axis = torch.linspace(-1, 1, 32)
    x = (axis[None, None, :] - uniform(-0.35, 0.35, 1, 1)) / uniform(0.45, 0.85, 1, 1)
    y = (axis[None, :, None] - uniform(-0.35, 0.35, 1, 1)) / uniform(0.45, 0.85, 1, 1)
    inside = _shapes(x, y)[labels // 2, torch.arange(n)]
    angle = uniform(-0.3, 0.3, 1, 1) + torch.pi / 2 * (labels % 2)[:, None, None]
    wave = axis[None, None, :] * angle.cos() + axis[None, :, None] * angle.sin()
    stripes = (wave * uniform(9, 14, 1, 1) + uniform(0, 6.3, 1, 1)).sin()
    shade = inside * (0.65 + 0.35 * stripes)
    ground, figure = uniform(0, 1, 3, 1, 1), uniform(0, 1, 3, 1, 1)
    noise = torch.randn((n, 3, 32, 32), generator=generator)
    image = ground + (figure - ground) * shade[:, None] + 0.12 * noise
    return (image.clamp(0, 1) * 255).round().to(torch.uint8), labels


def _shapes(x: Tensor, y: Tensor) -> Tensor:
    """(5, n, 32, 32) masks in [0, 1]: disc, square, ring, cross, triangle."""
    disc, box = x**2 + y**2, torch.maximum(x.abs(), y.abs())
    masks = (
        disc < 1,
        box < 0.9,
        (disc < 1) & (disc > 0.35),
        (torch.minimum(x.abs(), y.abs()) < 0.3) & (box < 1),
        (y > -0.8) & (y < 0.8) & (x.abs() < (y + 0.8) / 1.6),
    )
    return torch.stack(masks).float()
