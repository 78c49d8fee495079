"""Batch norm that can be told how to be done in training: by torch, or by a kernel that also adds and clips.

A kernel is set on the layers of a net (bench.train.grouped_bn) and changes neither parameters nor buffers nor their
names: checkpoints are the same with and without one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

Kernel: TypeAlias = "Callable[[BatchNorm2d, Tensor, Tensor | None, bool], Tensor]"


class BatchNorm2d(nn.BatchNorm2d):
    """torch's, whose forward in training mode is `kernel(layer, x, shortcut, relu)` where one is set.

    A kernel normalises x (N, C, H, W) by statistics of its own choice, updates the running ones, adds the shortcut of
    the same shape (None for nothing) and applies the ReLU where `relu` is true.
    """

    kernel: Kernel | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape, without shortcut and ReLU."""
        if self.training and self.kernel is not None:
            return self.kernel(self, x, None, False)
        return super().forward(x)


def norm_relu(norm: nn.Module, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
    """`relu(norm(x) + shortcut)`, all of one shape (N, C, H, W): in one go where `norm` has a kernel and trains.

    Otherwise by the ordinary call, whose hooks see the response before the addition and the ReLU (Fig. 7).
    """
    if isinstance(norm, BatchNorm2d) and norm.training and norm.kernel is not None:
        return norm.kernel(norm, x, shortcut, True)
    y: Tensor = norm(x)
    return F.relu(y if shortcut is None else y + shortcut)
