"""Batch norm in groups, the shortcut's addition and the ReLU as four Triton kernels (bench.train.bn_kernels).

Each shape has a variant of its own, compiled at its first call, or with others in parallel (`compile_ahead`): one eager
step, forward and backward, before a CUDA graph is captured loads them all. Nothing here waits for the device.

To run on a CPU set TRITON_INTERPRET=1 before Triton is imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from time import perf_counter
from typing import Any

import torch
import triton
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bench.machine import cores
from bench.train.bn_kernels import INTERPRETED, differentiate, measure, normalise, sum_gradients
from bench.train.grouped_bn import grouped

BLOCK = 64  # channels of a program, at most
CELLS = 2048  # values of a map that a program holds: 16 a thread
MERGED = 4096  # values of the parts' moments that it holds
FEW, MANY = 64, 1024  # programs a group where there is little to do, programs in all where there is much
CHUNKS = 8  # a program goes through so many chunks of CELLS values before there are more than FEW
_only_compiles = False  # whether kernels are compiled instead of launched


@dataclass(frozen=True, slots=True)
class Plan:
    """How a map is cut: the kernels' constants.

    n: rows of a group. part: rows of a part, of which a group has `parts`; merged: the next power of two.
    tile: rows that one program writes; a group has `tiles`. chunk: rows held at once. block: channels of a program.
    even: whether all of that divides without a rest, so that nothing need be masked.
    """

    n: int
    channels: int
    groups: int
    part: int
    parts: int
    merged: int
    tile: int
    tiles: int
    chunk: int
    block: int
    even: bool


@cache
def plan(n: int, channels: int, groups: int) -> Plan:
    """How `groups` groups of n rows are cut; n is 1 or more."""
    block = min(BLOCK, triton.next_power_of_2(channels))
    blocks = triton.cdiv(channels, block)
    chunk = min(CELLS // block, triton.next_power_of_2(n))
    chunks = triton.cdiv(n, chunk)
    wanted = max(1, FEW // blocks, min(chunks // CHUNKS, MANY // (groups * blocks)))
    tile = chunk * triton.cdiv(chunks, wanted)
    part = chunk * triton.cdiv(chunks, min(wanted, MERGED // block))
    parts, tiles = triton.cdiv(n, part), triton.cdiv(n, tile)
    even = n % part == 0 and n % tile == 0 and channels % block == 0
    merged = triton.next_power_of_2(parts)
    return Plan(n, channels, groups, part, parts, merged, tile, tiles, chunk, block, even)


class Fused(torch.autograd.Function):
    """The kernels with their derivative; call it through `fused`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        shortcut: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        running: tuple[Tensor, Tensor],
        groups: int,
        momentum: float,
        eps: float,
        relu: bool,
    ) -> Tensor:
        """Y of x and shortcut (N, C, H, W), channels last; updates `running` mean and variance (C,) in place."""
        x, cut = _channels_last(x), plan(_values_per_channel(x, groups), x.shape[1], groups)
        added = x if shortcut is None else _channels_last(shortcut)
        y, parts, saved = torch.empty_like(x), _empty_pairs(x, groups, cut.parts), _empty_pairs(x, groups, 1)
        with torch.cuda.device_of(x):
            _launch(measure, cut, cut.parts, x, parts)
            maps, kept = (x, added, y, weight, bias), (parts, saved, *running)
            _launch(normalise, cut, cut.tiles + 1, *maps, *kept, momentum, eps, shortcut is not None, relu)
        ctx.save_for_backward(x, y, weight, saved)
        ctx.plan, ctx.relu = cut, relu
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of x, shortcut, weight and bias."""
        x, y, weight, saved = ctx.saved_tensors
        cut, dy, add = ctx.plan, _channels_last(dy), ctx.needs_input_grad[1]
        parts = _empty_pairs(x, cut.groups, cut.parts)
        dx, dweight, dbias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
        dshortcut = torch.empty_like(x) if add else dx
        _launch(sum_gradients, cut, cut.parts, x, y, dy, saved, parts, ctx.relu)
        made = (dx, dshortcut, weight, dweight, dbias)
        _launch(differentiate, cut, cut.tiles + 1, x, y, dy, *made, saved, parts, add, ctx.relu)
        return dx, dshortcut if add else None, dweight, dbias, None, None, None, None, None


def _launch(kernel: Any, cut: Plan, programs: int, *arguments: object) -> None:
    """Runs so many programs a group and block of channels, with what of the plan the kernel takes."""
    constants = {name: value for name, value in asdict(cut).items() if name in kernel.arg_names}
    grid = (programs, cut.groups, triton.cdiv(cut.channels, cut.block))
    if _only_compiles:
        kernel.warmup(*arguments, grid=grid, **constants)
    else:
        kernel[grid](*arguments, **constants)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _values_per_channel(x: Tensor, groups: int) -> int:
    """Of one group."""
    return len(x) // groups * x.shape[2] * x.shape[3]


def _empty_pairs(x: Tensor, groups: int, parts: int) -> Tensor:
    """Two numbers of each part and channel."""
    return torch.empty((groups, parts, 2, x.shape[1]), dtype=torch.float32, device=x.device)


def fused(layer: nn.BatchNorm2d, x: Tensor, shortcut: Tensor | None, relu: bool, *, groups: int) -> Tensor:
    """What bench.train.grouped_bn.grouped gives, by the kernels; y is channels last. Raises ValueError as it does.

    The sums of bf16 maps are rounded once, at the end. `grouped` does what the kernels cannot: a map that is not on a
    CUDA device, is neither fp32 nor bf16 or is not like its shortcut, weights that are not fp32, eval mode.
    """
    if not _can_fuse(layer, x, shortcut, groups):
        return grouped(layer, x, shortcut, relu, groups=groups)
    assert layer.num_batches_tracked is not None
    layer.num_batches_tracked += groups
    running = (layer.running_mean, layer.running_var)
    y: Tensor = Fused.apply(x, shortcut, layer.weight, layer.bias, running, groups, layer.momentum, layer.eps, relu)
    return y


def _can_fuse(layer: nn.BatchNorm2d, x: Tensor, shortcut: Tensor | None, groups: int) -> bool:
    """Whether the kernels can; unequal groups and single values are left to `grouped` to refuse."""
    active = (x.is_cuda or INTERPRETED) and layer.training
    typed = x.dtype in (torch.float32, torch.bfloat16) and layer.weight.dtype == torch.float32
    alike = shortcut is None or (shortcut.shape == x.shape and shortcut.dtype == x.dtype)
    return active and typed and alike and len(x) % groups == 0 and _values_per_channel(x, groups) > 1


def compile_ahead(maps: Iterable[tuple[int, ...]], groups: int, dtype: torch.dtype) -> float:
    """Compiles the kernels for maps (N, C, H, W) with and without a shortcut, one per core; returns the seconds.

    Triton's compiler holds Python's lock for a small part of its time, and keeps what it compiles in its folder for
    other processes. What cannot be compiled fails when it is first called.
    """
    global _only_compiles
    start = perf_counter()
    with ThreadPoolExecutor(cores()) as pool, triton.AsyncCompileMode(pool, ignore_errors=True):
        _only_compiles = True
        try:
            for shape in maps:
                for with_shortcut in (False, True):
                    _forward_backward(shape, groups, dtype, with_shortcut=with_shortcut)
        finally:
            _only_compiles = False
    return perf_counter() - start


def _forward_backward(shape: tuple[int, ...], groups: int, dtype: torch.dtype, *, with_shortcut: bool) -> None:
    """Forward and backward on the CPU: there autograd stays in this thread, the only one that Triton compiles for."""
    x = torch.empty(shape, dtype=dtype, memory_format=torch.channels_last).requires_grad_()
    weight, bias, mean, var = (torch.empty(shape[1]) for _ in range(4))
    y = Fused.apply(x, x if with_shortcut else None, weight, bias, (mean, var), groups, 0.1, 1e-5, True)
    y.backward(torch.empty_like(y))
