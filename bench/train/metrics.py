"""Evaluation: every image once, in order, with the correctness of each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.train.process_group import ALONE, ProcessGroup
from bench.train.turns import Work, on_host


class Tested(Protocol):
    """The outcome of a net's test."""

    @property
    def error(self) -> float:
        """In percent."""

    @property
    def loss(self) -> float:
        """Finite unless the net has diverged."""

    @property
    def seconds(self) -> float:
        """With preparation."""

    @property
    def count(self) -> int:
        """Images, or pairs of them."""

    def kept(self) -> dict[str, Any]:
        """Further columns of the result."""


Test = TypeVar("Test", bound=Tested)
BATCH = {"cpu": 500, "cuda": 2_500}  # images of a forward pass: CIFAR's test set on a GPU in four


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A net on a set: `correct` is a bool tensor (N,) on the CPU, `loss` the mean cross-entropy.

    seconds: with preparation. correct5: whether the label is among the five best, None where that was not asked.
    """

    correct: Tensor
    loss: float
    seconds: float = math.nan
    correct5: Tensor | None = None

    @property
    def error(self) -> float:
        """Top-1 error in percent."""
        return error_of(self.correct)

    @property
    def count(self) -> int:
        """N."""
        return len(self.correct)

    def kept(self) -> dict[str, Any]:
        """Each image's correctness."""
        return {"correct": bits(self.correct)}


def error_of(correct: Tensor) -> float:
    """Percent of False in a bool tensor (N,); counted in whole images, so that it is exact."""
    return 100 * int((~correct).sum()) / len(correct)


def bits(correct: Tensor) -> str:
    """A bool tensor (N,) as hex, the first image in the highest bit; padded with zeros to whole bytes."""
    return np.packbits(correct.numpy()).tobytes().hex()


@torch.inference_mode()
def evaluate(
    net: nn.Module,
    prepare: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    *,
    batch: int | None = None,
    precision: str = "fp32",
    processes: ProcessGroup = ALONE,
) -> Work[Evaluation]:
    """Top-1 on all of `images` (N, 3, H, W) uint8 with `labels` (N,), single view, net in evaluation mode.

    `prepare` makes net inputs of a batch of images; `batch` bounds memory only. Other runs may have a turn after each
    batch. Each of `processes` takes its own slice and gets the whole. Leaves the net's mode as it was.
    """
    start = time.perf_counter()
    was_training = net.training
    net.eval()
    found: list[Tensor] = []
    own, size = processes.slice_of(len(labels)), batch or BATCH[images.device.type]
    for x, y in zip(images[own].split(size), labels[own].split(size), strict=True):
        found.append(judged(net, prepare(x), y, precision))
        yield None
    net.train(was_training)
    total = torch.stack([part[0] for part in found]).sum()
    moved = yield from on_host(torch.cat((total[None], *(part[1:] for part in found))))
    loss = float(processes.sum(moved[0])) / len(labels)
    return Evaluation(torch.cat(processes.each(moved[1:] > 0)), loss, time.perf_counter() - start)


def judged(net: nn.Module, x: Tensor, y: Tensor, precision: str) -> Tensor:
    """Of a batch with labels `y` (N,) the sum of the cross-entropies, then whether each is right; (1 + N,) float64."""
    with autocast(x.device, precision):
        logits = net(x).float()
    loss = F.cross_entropy(logits, y, reduction="sum").double()
    return torch.cat((loss[None], (logits.argmax(1) == y).double()))


def evaluation_of(found: Sequence[Tensor], seconds: float) -> Evaluation:
    """The Evaluation of what was `judged` of all images, on the CPU."""
    correct = torch.cat([part[1:] for part in found]) > 0
    return Evaluation(correct, float(torch.stack([part[0] for part in found]).sum()) / len(correct), seconds)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bf16 autocast where the recipe says so; weights, BN statistics and updates stay in fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
