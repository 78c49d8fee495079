"""A net's weights in bf16 by one copy of them all, and their gradients in fp32 by another.

Autocast casts them one by one, forward and backward: 222 small kernels a step in a plain net of 110 layers. The bits
are the same.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call

ALIGNED = 8  # tensor cores take a multiple of so many channels without changing the layout


class Copy(torch.autograd.Function):
    """Copies fp32 tensors to bf16."""

    @staticmethod
    def forward(_: Any, *weights: Tensor) -> tuple[Tensor, ...]:
        """In the order given."""
        return _copied(weights, torch.bfloat16)

    @staticmethod
    @once_differentiable
    def backward(_: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        """In fp32."""
        return _copied(gradients, torch.float32)


def _copied(tensors: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """With the same strides: on CUDA a single other one would cost a kernel for each tensor."""
    copies = tuple(torch.empty_like(tensor, dtype=dtype) for tensor in tensors)
    torch._foreach_copy_(copies, tensors)
    return copies


class CopiedWeights(nn.Module):
    """A net under bf16 autocast whose convolutions and linear layers find their weights in bf16 already.

    Only a pass through this module sees the copies: the net keeps its fp32 weights, which get the gradients.
    padded_stem: the first convolution's copy and the images have ALIGNED channels, of which those added are zeros.
    """

    def __init__(self, net: nn.Module, *, padded_stem: bool = False) -> None:
        super().__init__()
        layers = {name for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
        self.net = net
        self.own = {name: own for name, own in net.named_parameters() if name.rpartition(".")[0] in layers}
        self.stem = next(iter(self.own)) if padded_stem else None

    def forward(self, x: Tensor) -> Tensor:
        """The net's outputs."""
        copies = dict(zip(self.own, Copy.apply(*self.own.values()), strict=True))
        if self.stem is not None:
            copies[self.stem], x = _padded(copies[self.stem]), _padded(x.to(torch.bfloat16))
        y: Tensor = functional_call(self.net, copies, (x,), tie_weights=False)
        return y


def _padded(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, ALIGNED, H, W)."""
    return F.pad(x, (0, 0, 0, 0, 0, ALIGNED - x.shape[1]))
