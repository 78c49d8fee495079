"""Parameters and multiply-adds of any module, by torch; bench.nets.counts has them by arithmetic, for our nets."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def counts(built: nn.Module, side: int) -> tuple[int, int]:
    """Parameters by torch, and the multiply-adds of one image forward of (side, side) by its counter of operations."""
    device = next(built.parameters()).device
    was_training = built.training
    built.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        built(torch.zeros(1, 3, side, side, device=device))
    built.train(was_training)
    return sum(p.numel() for p in built.parameters()), counter.get_total_flops() // 2
