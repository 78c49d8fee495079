"""What the CIFAR nets' convolutions cost on this device: the half of a step that is the libraries'."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.nets.counts import convolutions as convolutions_of
from bench.spec import Net, Recipe
from bench.speed.gpu_checks import MAPS, Bench
from bench.train.copied_weights import ALIGNED


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution's milliseconds for a batch: forward, by its inputs, by its weights (NaN where it has no inputs)."""

    name: str
    kind: str
    forward: float
    inputs: float
    weights: float


STEM, PADDED = (3, 16, 32), (ALIGNED, 16, 32)  # in, out, side
CONVOLUTIONS = (STEM, PADDED, *((channels, channels, side) for channels, side in MAPS))
CLEARLY = 0.67  # of the stem's time: padding takes some small kernels that the table does not know
USUAL = "bf16, channels last"  # how runs have them
PASSES = 17.25  # times that a step with fused batch norm moves each convolution's output, both directions


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
                yield Convolution(_name(c_in, c_out, side), kind, *times)
        finally:
            torch.backends.cudnn.deterministic = before


def _name(c_in: int, c_out: int, side: int) -> str:
    return f"{c_in} to {c_out}, {side}x{side}"


def padding_pays(found: Sequence[Convolution]) -> bool:
    """Whether the stem takes clearly less time with padded channels, as runs have it: nobody asks for its inputs'."""
    usual = {one.name: one.forward + one.weights for one in found if one.kind == USUAL}
    return usual.get(_name(*PADDED), math.inf) < CLEARLY * usual.get(_name(*STEM), 0.0)


def floor_seconds(bench: Bench, nets: Sequence[Net]) -> float:
    """A step of each net if nothing but memory took time: bf16 maps, PASSES of each, at the rate of a large copy."""
    source = torch.zeros(2**28 if bench.device.type == "cuda" else 2**22, device=bench.device)
    target = source.clone()
    bench.wait()
    start = perf_counter()
    for _ in range(10):
        target.copy_(source)
    bench.wait()
    rate = 10 * 2 * 4 * len(source) / (perf_counter() - start)
    outputs = sum(c.c_out * c.side**2 for net in nets for c in convolutions_of(net)[0])
    return Recipe().batch * 2 * PASSES * outputs / rate


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
