"""Evaluation: every image once, in order, with the correctness of each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.train.team import ALONE, Team


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a net does on a set: `correct` is a bool tensor (N,) on the CPU, `loss` the mean cross-entropy.

    seconds: how long it took, preparation included. correct5: whether the label is among the five best, None where
    that was not asked.
    """

    correct: Tensor
    loss: float
    seconds: float = math.nan
    correct5: Tensor | None = None

    @property
    def error(self) -> float:
        """Top-1 error in percent."""
        return error_of(self.correct)


def error_of(correct: Tensor) -> float:
    """Percent of False in a bool tensor (N,); computed in whole images, so that it is exact."""
    wrong = int((~correct).sum())
    return 100 * wrong / len(correct)


@torch.inference_mode()
def evaluate(
    net: nn.Module,
    prepare: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    *,
    batch: int = 500,
    precision: str = "fp32",
    team: Team = ALONE,
) -> Evaluation:
    """Top-1 on all of `images` (N, 3, H, W) uint8 with `labels` (N,), single view, net in evaluation mode.

    `prepare` makes net inputs of a batch of images. `batch` bounds memory only. Each process of `team` takes a slice
    of its own and gets the whole. Leaves the net's mode as it was.
    """
    start = time.perf_counter()
    was_training = net.training
    net.eval()
    correct, losses = [], []
    own = team.slice_of(len(labels))
    for x, y in zip(images[own].split(batch), labels[own].split(batch), strict=True):
        with autocast(x.device, precision):
            logits = net(prepare(x)).float()
        correct.append(logits.argmax(1) == y)
        losses.append(F.cross_entropy(logits, y, reduction="sum").double())
    net.train(was_training)
    loss = float(team.sum(torch.stack(losses).sum())) / len(labels)
    return Evaluation(torch.cat(team.each(torch.cat(correct).cpu())), loss, time.perf_counter() - start)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bf16 autocast where the recipe says so; weights, BN statistics and updates stay in fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
