"""What the CIFAR nets' convolutions cost on this device: the half of a step that is up to the libraries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from bench.nets.counts import convolutions as convolutions_of
from bench.spec import Net, Recipe
from bench.speed.gpu_checks import MAPS, Bench
from bench.speed.timing import copy_rate, rate, repeated, wait
from bench.train.copied_weights import ALIGNED


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution's milliseconds for a batch: forward, and the gradients of its inputs and of its weights."""

    name: str
    kind: str
    forward: float
    inputs: float
    weights: float


STEM, PADDED = (3, 16, 32), (ALIGNED, 16, 32)  # in, out, side
CONVOLUTIONS = (STEM, PADDED, *((channels, channels, side) for channels, side in MAPS))
CLEARLY = 0.67  # of the stem's time: padding takes some small kernels that the table does not time
USUAL = "bf16, channels last"  # as in runs
KINDS = (
    (USUAL, torch.bfloat16, torch.channels_last, True),
    (f"{USUAL}, any kernel", torch.bfloat16, torch.channels_last, False),
    ("fp32, channels last", torch.float32, torch.channels_last, True),
    ("fp32, contiguous", torch.float32, torch.contiguous_format, True),
)
PASSES = 17.25  # times that a step with fused batch norm moves each convolution's output, both directions


def convolutions(bench: Bench, repeats: int) -> Iterator[Convolution]:
    """The 3x3 convolutions of the CIFAR nets, by precision, layout and whether cuDNN must be deterministic."""
    for kind, dtype, layout, deterministic in KINDS:
        before = torch.backends.cudnn.deterministic
        torch.backends.cudnn.deterministic = deterministic
        try:
            for shape in CONVOLUTIONS:
                yield Convolution(_name(*shape), kind, *_convolution(bench, shape, dtype, layout, repeats))
        finally:
            torch.backends.cudnn.deterministic = before


def _name(c_in: int, c_out: int, side: int) -> str:
    return f"{c_in} to {c_out}, {side}x{side}"


def padding_pays(found: Sequence[Convolution]) -> bool:
    """Whether the stem takes clearly less time with padded channels, as runs have it: without its inputs' gradient."""
    usual = {one.name: one.forward + one.weights for one in found if one.kind == USUAL}
    return usual.get(_name(*PADDED), math.inf) < CLEARLY * usual.get(_name(*STEM), 0.0)


def floor_seconds(bench: Bench, nets: Sequence[Net]) -> float:
    """A step of each net if nothing but memory took time: bf16 maps, PASSES of each, at the rate of a large copy."""
    outputs = sum(c.c_out * c.side**2 for net in nets for c in convolutions_of(net)[0])
    return Recipe().batch * 2 * PASSES * outputs / copy_rate(bench.device, 2**28 if bench.on_gpu else 2**22, 10)


def _convolution(
    bench: Bench, shape: tuple[int, int, int], dtype: torch.dtype, layout: torch.memory_format, repeats: int
) -> tuple[float, float, float]:
    c_in, c_out, side = shape
    x, w = (
        torch.randn(size, device=bench.device).to(dtype).contiguous(memory_format=layout).requires_grad_()
        for size in ((bench.recipe.batch, c_in, side, side), (c_out, c_in, 3, 3))
    )
    y = F.conv2d(x, w, padding=1)
    dy = torch.randn_like(y)

    def milliseconds(work: Callable[[], object]) -> float:
        work()
        wait(bench.device)
        return 1e3 / rate(repeated(work, repeats, 1, bench.device))

    return (
        milliseconds(lambda: F.conv2d(x, w, padding=1)),
        milliseconds(lambda: torch.autograd.grad(y, x, dy, retain_graph=True)),
        milliseconds(lambda: torch.autograd.grad(y, w, dy, retain_graph=True)),
    )
