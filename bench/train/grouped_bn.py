"""Batch norm in groups of the batch, each with statistics of its own, in one pass over the batch.

The paper's two GPUs normalise 64 images each (Section 4.2); others call it ghost batch norm (Hoffer et al. 2017,
arXiv:1705.08741). One such pass does the arithmetic of a pass for each group whose gradients are added up.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Kernel = Callable[[nn.BatchNorm2d, Tensor, Tensor | None, bool], Tensor]


@runtime_checkable
class TakesKernel(Protocol):
    """A layer whose forward pass in training mode is kernel(layer, x, shortcut, relu), as bench.nets.batch_norm's."""

    kernel: Kernel | None


def grouped(layer: nn.BatchNorm2d, x: Tensor, shortcut: Tensor | None, relu: bool, *, groups: int) -> Tensor:
    """The kernel in plain PyTorch: x (N, C, H, W), normalised in `groups` parts of N / `groups` images.

    The running statistics are updated as by that many passes in turn; in eval mode they are used instead. Raises
    ValueError where the groups are not equal or one has a single value a channel.
    """
    if len(x) % groups:
        raise ValueError(f"{len(x)} images cannot be normalised in {groups} groups of equal size")
    y = torch.cat([_normalised(layer, part) for part in x.chunk(groups)])
    if layer.training and layer.num_batches_tracked is not None:
        layer.num_batches_tracked += groups
    y = y if shortcut is None else y + shortcut
    return F.relu(y) if relu else y


def _normalised(layer: nn.BatchNorm2d, x: Tensor) -> Tensor:
    assert layer.momentum is not None
    mean, var = layer.running_mean, layer.running_var
    return F.batch_norm(x, mean, var, layer.weight, layer.bias, layer.training, layer.momentum, layer.eps)


def group_batch_norm(net: nn.Module, groups: int, *, fused: bool) -> None:
    """Has every batch norm of `net` normalise a batch in `groups` parts from now on, in training mode.

    fused: by the Triton kernels of bench.train.fused_bn, which also add the shortcut and apply the ReLU. One group
    that is not fused is torch's own batch norm. Raises ValueError where the net has a batch norm that cannot, where
    Triton is missing, or for less than one group.
    """
    if groups < 1:
        raise ValueError(f"a batch is normalised in 1 or more groups, not {groups}")
    norms = [_accepting_kernel(name, layer) for name, layer in net.named_modules() if isinstance(layer, _BatchNorm)]
    kernel = _fused(groups) if fused else partial(grouped, groups=groups) if groups > 1 else None
    for layer in norms:
        layer.kernel = kernel


def _accepting_kernel(name: str, layer: _BatchNorm) -> TakesKernel:
    """The layer, if it takes a kernel. Raises ValueError."""
    if layer.momentum is None or layer.running_mean is None or not layer.affine:
        raise ValueError(f"{name} cannot go by groups: it has no momentum, no running statistics or no weights")
    if isinstance(layer, nn.BatchNorm2d) and isinstance(layer, TakesKernel):
        return layer
    kind = type(layer).__name__
    raise ValueError(f"{name} is a {kind} of torch: only the batch norm of the suite's own nets goes by groups")


def _fused(groups: int) -> Kernel:
    try:
        from bench.train.fused_bn import fused  # here: only CUDA builds of torch bring Triton
    except ImportError as error:
        raise ValueError(f"fused batch norm needs Triton, which comes with torch's CUDA builds ({error})") from None
    return partial(fused, groups=groups)
