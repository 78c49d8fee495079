"""What the tests of nets share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import timm
import torch
from torch import Tensor, nn


@contextmanager
def random_timm() -> Iterator[None]:
    """Inside, timm makes its nets with random weights where it would download its own."""
    make = timm.create_model

    def made(name: str, pretrained: bool = False, **options: Any) -> nn.Module:  # noqa: ARG001
        net: nn.Module = make(name, pretrained=False, **options)
        return net

    with mock.patch("timm.create_model", made):
        yield


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
