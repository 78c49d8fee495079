"""What the tests of nets share."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def counted_multiply_adds(net: nn.Module, side: int) -> int:
    """Multiply-adds by hooks on the layers of a real forward pass (on the meta device: shapes only)."""
    total = 0

    def count(layer: nn.Module, _: object, out: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            total += layer.weight.numel() * out.shape[2] * out.shape[3]
        if isinstance(layer, nn.Linear):
            total += layer.weight.numel()

    for layer in net.modules():
        layer.register_forward_hook(count)
    net.eval()(torch.empty(1, 3, side, side, device="meta"))  # in which batch norm takes less than in training
    return total
