"""What the CIFAR nets' convolutions cost on this device: the half of a step that is the libraries'."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.speed.gpu_checks import MAPS, Bench


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution's milliseconds for a batch: forward, by its inputs, by its weights (NaN where it has no inputs)."""

    name: str
    kind: str
    forward: float
    inputs: float
    weights: float


# in, out, side; 8 to 16 is the stem with its three channels padded
CONVOLUTIONS = ((3, 16, 32), (8, 16, 32), *((channels, channels, side) for channels, side in MAPS))


def convolutions(bench: Bench, again: int) -> Iterator[Convolution]:
    """The 3x3 convolutions of the CIFAR nets, by precision, layout and whether cuDNN must be deterministic."""
    layouts = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}
    kinds = [("bf16", "channels last", True), ("bf16", "channels last", False), ("fp32", "channels last", True)]
    for precision, layout, deterministic in (*kinds, ("fp32", "contiguous", True)):
        before = torch.backends.cudnn.deterministic
        torch.backends.cudnn.deterministic = deterministic
        try:
            for c_in, c_out, side in CONVOLUTIONS:
                dtype = torch.bfloat16 if precision == "bf16" else torch.float32
                times = _convolution(bench, (c_in, c_out, side), dtype, layouts[layout], again)
                kind = f"{precision}, {layout}{'' if deterministic else ', any kernel'}"
                yield Convolution(f"{c_in} to {c_out}, {side}x{side}", kind, *times)
        finally:
            torch.backends.cudnn.deterministic = before


def _convolution(
    bench: Bench, shape: tuple[int, int, int], dtype: torch.dtype, layout: torch.memory_format, again: int
) -> tuple[float, float, float]:
    c_in, c_out, side = shape
    x, w = (
        torch.randn(size, device=bench.device).to(dtype).contiguous(memory_format=layout).requires_grad_()
        for size in ((bench.recipe.batch, c_in, side, side), (c_out, c_in, 3, 3))
    )
    y = F.conv2d(x, w, padding=1)
    dy = torch.randn_like(y)

    def by(what: Tensor) -> None:
        torch.autograd.grad(y, what, dy, retain_graph=True)

    works: tuple[Callable[[], object], ...] = (lambda: F.conv2d(x, w, padding=1), lambda: by(x), lambda: by(w))
    first, second, third = (_milliseconds(bench, work, again) for work in works)
    return first, second, third


def _milliseconds(bench: Bench, work: Callable[[], object], again: int) -> float:
    work()
    bench.wait()
    start = perf_counter()
    for _ in range(again):
        work()
    bench.wait()
    return 1e3 * (perf_counter() - start) / again
