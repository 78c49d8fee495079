"""A small set of images in memory."""

from __future__ import annotations

import torch

from bench.tasks.classification.cifar import Images, make_images


def small(n: int = 50) -> Images:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (n, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return make_images(x, torch.arange(n) % 10, x[:10], torch.arange(10))
