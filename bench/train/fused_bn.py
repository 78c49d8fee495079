"""Batch norm in groups, the shortcut's addition and the ReLU as four Triton kernels: two forward, two backward.

A channels-last map (N, C, H, W) is a matrix of N·H·W rows and C columns; group g has the rows g·n to (g+1)·n. The rows
of a group are cut into parts, whose means and sums of squared deviations are merged by Chan et al. 1983 in a fixed
order: no atomics, the same bits each time. All sums are fp32; what is read and written is fp32 or bf16.

Each shape has a variant of its own, compiled at its first call, or with others in parallel (`compile_ahead`): one eager
step, forward and backward, before a CUDA graph is captured loads them all. Nothing here waits for the device.

To run on a CPU set TRITON_INTERPRET=1 before Triton is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from time import perf_counter
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bench.machine import cores
from bench.train.grouped_bn import grouped

BLOCK = 64  # channels of a program, at most
CELLS = 2048  # values that a program holds of a map: 16 a thread
MERGED = 4096  # values that it holds of the parts' moments
FEW, MANY = 64, 1024  # programs a group where there is little to do, programs in all where there is much
TURNS = 8  # a program goes through that many times CELLS values before there are more than FEW


@dataclass(frozen=True, slots=True)
class Plan:
    """How a map is cut: the kernels' constants.

    n: rows of a group. each: rows of a part, `parts` a group; merged: the next power of two. tile: rows of a
    program that writes a map, `tiles` a group. turn: rows that are held at once. block: channels of a program.
    even: whether all of that divides without a rest, so that nothing need be masked.
    """

    n: int
    channels: int
    groups: int
    each: int
    parts: int
    merged: int
    tile: int
    tiles: int
    turn: int
    block: int
    even: bool


@cache
def plan(n: int, channels: int, groups: int) -> Plan:
    """How `groups` groups of n rows are cut; n is 1 or more."""
    block = min(BLOCK, triton.next_power_of_2(channels))
    blocks = triton.cdiv(channels, block)
    turn = min(CELLS // block, triton.next_power_of_2(n))
    turns = triton.cdiv(n, turn)
    wanted = max(1, FEW // blocks, min(turns // TURNS, MANY // (groups * blocks)))
    tile = turn * triton.cdiv(turns, wanted)
    each = turn * triton.cdiv(turns, min(wanted, MERGED // block))
    parts = triton.cdiv(n, each)
    return Plan(
        n=n,
        channels=channels,
        groups=groups,
        each=each,
        parts=parts,
        merged=triton.next_power_of_2(parts),
        tile=tile,
        tiles=triton.cdiv(n, tile),
        turn=turn,
        block=block,
        even=n % each == 0 and n % tile == 0 and channels % block == 0,
    )


INTERPRETED: bool = triton.knobs.runtime.interpret
_only_compiles = False  # whether kernels are compiled instead of launched


def _inner(part: Callable[..., Any]) -> Callable[..., Any]:
    """A function that kernels call. The interpreter would prepare its whole language anew for each such call."""
    return part if INTERPRETED else triton.jit(part)


@_inner
def _own_channels(channels: tl.constexpr, block: tl.constexpr):
    """This program's channels, and which of them there are."""
    c = tl.program_id(2) * block + tl.arange(0, block)
    return c, c < channels


@_inner
def _cells(first, end, c, turn: tl.constexpr, channels: tl.constexpr):
    """Where the values of the rows from `first` lie, and which are there: none from row `end` on."""
    row = first + tl.arange(0, turn)
    return row[:, None].to(tl.int64) * channels + c[None, :], (row < end)[:, None] & (c < channels)[None, :]


@_inner
def _read(ptr, at, there, even: tl.constexpr):
    return (tl.load(ptr + at) if even else tl.load(ptr + at, mask=there, other=0.0)).to(tl.float32)


@_inner
def _write(ptr, at, value, there, even: tl.constexpr):
    tl.store(ptr + at, value.to(ptr.dtype.element_ty), mask=None if even else there)


@_inner
def _read_parts(parts_ptr, g, c, parts: tl.constexpr, merged: tl.constexpr, channels: tl.constexpr):
    """The two numbers of each part of group g and each channel; 0 for parts that there are not."""
    p = tl.arange(0, merged)
    at = (g * parts + p)[:, None] * (2 * channels) + c[None, :]
    there = (p < parts)[:, None] & (c < channels)[None, :]
    return tl.load(parts_ptr + at, mask=there, other=0.0), tl.load(parts_ptr + at + channels, mask=there, other=0.0)


@_inner
def _write_part(parts_ptr, g, p, c, first, second, parts: tl.constexpr, channels: tl.constexpr):
    at = (g * parts + p) * (2 * channels) + c
    tl.store(parts_ptr + at, first, mask=c < channels)
    tl.store(parts_ptr + at + channels, second, mask=c < channels)


@_inner
def _moments(
    parts_ptr,
    g,
    c,
    n: tl.constexpr,
    each: tl.constexpr,
    parts: tl.constexpr,
    merged: tl.constexpr,
    channels: tl.constexpr,
):
    """Mean and sum of squared deviations of group g from its parts'."""
    mean_p, square_p = _read_parts(parts_ptr, g, c, parts, merged, channels)
    rows = tl.minimum(tl.maximum(n - tl.arange(0, merged) * each, 0), each).to(tl.float32)[:, None]
    mean = tl.sum(mean_p * rows, 0) / n
    off = mean_p - mean[None, :]
    return mean, tl.sum(square_p + rows * off * off, 0)


@triton.jit
def measure(
    x_ptr,
    parts_ptr,
    n: tl.constexpr,
    channels: tl.constexpr,
    each: tl.constexpr,
    parts: tl.constexpr,
    turn: tl.constexpr,
    block: tl.constexpr,
    even: tl.constexpr,
):
    """Forward, first: mean and sum of squared deviations of each part. Grid (parts, groups, blocks)."""
    p, g = tl.program_id(0), tl.program_id(1)
    c, _ = _own_channels(channels, block)
    first, end = g * n + p * each, (g + 1) * n
    total = tl.zeros((turn, block), tl.float32)
    for k in range(0, each, turn):
        at, there = _cells(first + k, end, c, turn, channels)
        total += _read(x_ptr, at, there, even)
    mean = tl.sum(total, 0) / tl.minimum(n - p * each, each)
    square = tl.zeros((turn, block), tl.float32)
    for k in range(0, each, turn):  # the second look comes from a cache
        at, there = _cells(first + k, end, c, turn, channels)
        off = _read(x_ptr, at, there, even) - mean[None, :]
        square += off * off if even else tl.where(there, off * off, 0.0)
    _write_part(parts_ptr, g, p, c, mean, tl.sum(square, 0), parts, channels)


@triton.jit
def normalise(
    x_ptr,
    shortcut_ptr,
    y_ptr,
    weight_ptr,
    bias_ptr,
    parts_ptr,
    saved_ptr,
    running_mean_ptr,
    running_var_ptr,
    momentum,
    eps,
    add: tl.constexpr,
    relu: tl.constexpr,
    n: tl.constexpr,
    channels: tl.constexpr,
    groups: tl.constexpr,
    each: tl.constexpr,
    parts: tl.constexpr,
    merged: tl.constexpr,
    tile: tl.constexpr,
    tiles: tl.constexpr,
    turn: tl.constexpr,
    block: tl.constexpr,
    even: tl.constexpr,
):
    """Forward, second: y. Grid (tiles + 1, groups, blocks): the last one keeps the statistics."""
    t, g = tl.program_id(0), tl.program_id(1)
    c, ours = _own_channels(channels, block)
    mean, square = _moments(parts_ptr, g, c, n, each, parts, merged, channels)
    inverse = 1.0 / tl.sqrt(square / n + eps)
    if t == tiles:
        _write_part(saved_ptr, g, 0, c, mean, inverse, 1, channels)
        if g == 0:
            running_mean = tl.load(running_mean_ptr + c, mask=ours, other=0.0)
            running_var = tl.load(running_var_ptr + c, mask=ours, other=0.0)
            for h in range(groups):
                mean, square = _moments(parts_ptr, h, c, n, each, parts, merged, channels)
                running_mean = running_mean * (1 - momentum) + mean * momentum
                running_var = running_var * (1 - momentum) + square / (n - 1) * momentum
            tl.store(running_mean_ptr + c, running_mean, mask=ours)
            tl.store(running_var_ptr + c, running_var, mask=ours)
    else:
        scale = inverse * tl.load(weight_ptr + c, mask=ours, other=0.0)
        bias = tl.load(bias_ptr + c, mask=ours, other=0.0)
        for k in range(0, tile, turn):
            at, there = _cells(g * n + t * tile + k, (g + 1) * n, c, turn, channels)
            y = (_read(x_ptr, at, there, even) - mean[None, :]) * scale[None, :] + bias[None, :]
            if add:
                y += _read(shortcut_ptr, at, there, even)
            if relu:
                y = tl.maximum(y, 0.0, propagate_nan=tl.PropagateNan.ALL)  # as torch's: a diverged run must show
            _write(y_ptr, at, y, there, even)


@_inner
def _behind(dy_ptr, y_ptr, at, there, relu: tl.constexpr, even: tl.constexpr):
    """The gradient behind the ReLU; it passes where y is NaN, as torch's does."""
    dz = _read(dy_ptr, at, there, even)
    if relu:
        dz = tl.where(_read(y_ptr, at, there, even) <= 0, 0.0, dz)
    return dz


@_inner
def _saved(saved_ptr, g, c, channels: tl.constexpr):
    """Mean and inverse deviation of group g."""
    at, ours = g * (2 * channels) + c, c < channels
    return tl.load(saved_ptr + at, mask=ours, other=0.0), tl.load(saved_ptr + at + channels, mask=ours, other=0.0)


@_inner
def _sums(parts_ptr, g, c, parts: tl.constexpr, merged: tl.constexpr, channels: tl.constexpr):
    first, second = _read_parts(parts_ptr, g, c, parts, merged, channels)
    return tl.sum(first, 0), tl.sum(second, 0)


@triton.jit
def sum_gradients(
    x_ptr,
    y_ptr,
    dy_ptr,
    saved_ptr,
    parts_ptr,
    relu: tl.constexpr,
    n: tl.constexpr,
    channels: tl.constexpr,
    each: tl.constexpr,
    parts: tl.constexpr,
    turn: tl.constexpr,
    block: tl.constexpr,
    even: tl.constexpr,
):
    """Backward, first: each part's sums of the gradient and of its product with the normalised x. Grid as measure's."""
    p, g = tl.program_id(0), tl.program_id(1)
    c, _ = _own_channels(channels, block)
    mean, inverse = _saved(saved_ptr, g, c, channels)
    total, product = tl.zeros((turn, block), tl.float32), tl.zeros((turn, block), tl.float32)
    for k in range(0, each, turn):
        at, there = _cells(g * n + p * each + k, (g + 1) * n, c, turn, channels)
        dz = _behind(dy_ptr, y_ptr, at, there, relu, even)
        total += dz
        product += dz * ((_read(x_ptr, at, there, even) - mean[None, :]) * inverse[None, :])
    _write_part(parts_ptr, g, p, c, tl.sum(total, 0), tl.sum(product, 0), parts, channels)


@triton.jit
def differentiate(
    x_ptr,
    y_ptr,
    dy_ptr,
    dx_ptr,
    dshortcut_ptr,
    weight_ptr,
    dweight_ptr,
    dbias_ptr,
    saved_ptr,
    parts_ptr,
    add: tl.constexpr,
    relu: tl.constexpr,
    n: tl.constexpr,
    channels: tl.constexpr,
    groups: tl.constexpr,
    parts: tl.constexpr,
    merged: tl.constexpr,
    tile: tl.constexpr,
    tiles: tl.constexpr,
    turn: tl.constexpr,
    block: tl.constexpr,
    even: tl.constexpr,
):
    """Backward, second: all gradients. Grid as normalise's: the last one makes those of weight and bias."""
    t, g = tl.program_id(0), tl.program_id(1)
    c, ours = _own_channels(channels, block)
    if t == tiles:
        if g == 0:
            dbias, dweight = tl.zeros((block,), tl.float32), tl.zeros((block,), tl.float32)
            for h in range(groups):
                total, product = _sums(parts_ptr, h, c, parts, merged, channels)
                dbias += total
                dweight += product
            tl.store(dbias_ptr + c, dbias, mask=ours)
            tl.store(dweight_ptr + c, dweight, mask=ours)
    else:
        total, product = _sums(parts_ptr, g, c, parts, merged, channels)
        mean, inverse = _saved(saved_ptr, g, c, channels)
        scale = tl.load(weight_ptr + c, mask=ours, other=0.0) * inverse
        for k in range(0, tile, turn):
            at, there = _cells(g * n + t * tile + k, (g + 1) * n, c, turn, channels)
            dz = _behind(dy_ptr, y_ptr, at, there, relu, even)
            normal = (_read(x_ptr, at, there, even) - mean[None, :]) * inverse[None, :]
            dx = scale[None, :] * (dz - total[None, :] / n - normal * (product[None, :] / n))
            _write(dx_ptr, at, dx, there, even)
            if add:
                _write(dshortcut_ptr, at, dz, there, even)


class Fused(torch.autograd.Function):
    """The kernels with their derivative; `fused` is how to call it."""

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
        x, cut = _rows(x), _cut(x, groups)
        added = x if shortcut is None else _rows(shortcut)
        y, parts, saved = torch.empty_like(x), _numbers(x, groups, cut.parts), _numbers(x, groups, 1)
        with torch.cuda.device_of(x):
            _launch(measure, cut, cut.parts, x, parts)
            maps, kept = (x, added, y, weight, bias), (parts, saved, *running)
            _launch(normalise, cut, cut.tiles + 1, *maps, *kept, momentum, eps, shortcut is not None, relu)
        ctx.save_for_backward(x, y, weight, saved)
        ctx.groups, ctx.relu = groups, relu
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of x, shortcut, weight and bias."""
        x, y, weight, saved = ctx.saved_tensors
        cut, dy, add = _cut(x, ctx.groups), _rows(dy), ctx.needs_input_grad[1]
        parts = _numbers(x, ctx.groups, cut.parts)
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


def _rows(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _cut(x: Tensor, groups: int) -> Plan:
    return plan(_values(x, groups), x.shape[1], groups)


def _values(x: Tensor, groups: int) -> int:
    """How many a channel has in a group."""
    return len(x) // groups * x.shape[2] * x.shape[3]


def _numbers(x: Tensor, groups: int, parts: int) -> Tensor:
    """Room for two numbers of each part and channel."""
    return torch.empty((groups, parts, 2, x.shape[1]), dtype=torch.float32, device=x.device)


def fused(layer: nn.BatchNorm2d, x: Tensor, shortcut: Tensor | None, relu: bool, *, groups: int) -> Tensor:
    """What bench.train.grouped_bn.grouped gives, by the kernels; y is channels last. Raises ValueError as it does.

    The sums of bf16 maps are rounded once, at the end. What the kernels do not take goes by `grouped`: a map that
    lies on no CUDA device, is neither fp32 nor bf16 or is not like its shortcut, weights that are not fp32, eval mode.
    """
    if not _takes(layer, x, shortcut, groups):
        return grouped(layer, x, shortcut, relu, groups=groups)
    assert layer.num_batches_tracked is not None
    layer.num_batches_tracked += groups
    running = (layer.running_mean, layer.running_var)
    args = (layer.weight, layer.bias, running, groups, layer.momentum, layer.eps, relu)
    y: Tensor = Fused.apply(x, shortcut, *args)
    return y


def _takes(layer: nn.BatchNorm2d, x: Tensor, shortcut: Tensor | None, groups: int) -> bool:
    """Whether the kernels do; unequal groups and single values are left to `grouped` to refuse."""
    reached = (x.is_cuda or INTERPRETED) and layer.training
    typed = x.dtype in (torch.float32, torch.bfloat16) and layer.weight.dtype == torch.float32
    alike = shortcut is None or (shortcut.shape == x.shape and shortcut.dtype == x.dtype)
    return reached and typed and alike and len(x) % groups == 0 and _values(x, groups) > 1


def compile_ahead(maps: Iterable[tuple[int, ...]], groups: int, dtype: torch.dtype) -> float:
    """Compiles the kernels for maps (N, C, H, W) with and without a shortcut, one a core at once; in how many seconds.

    Triton's compiler holds Python's lock for a small part of its time. What it makes it also keeps in its folder, where
    other processes find it. What cannot be compiled fails when it is first called.
    """
    global _only_compiles
    start = perf_counter()
    with ThreadPoolExecutor(cores()) as pool, triton.AsyncCompileMode(pool, ignore_errors=True):
        _only_compiles = True
        try:
            for shape in maps:
                for with_shortcut in (False, True):
                    _pass(shape, groups, dtype, with_shortcut=with_shortcut)
        finally:
            _only_compiles = False
    return perf_counter() - start


def _pass(shape: tuple[int, ...], groups: int, dtype: torch.dtype, *, with_shortcut: bool) -> None:
    """Forward and backward on the CPU: there autograd stays in this thread, the only one that Triton compiles for."""
    x = torch.empty(shape, dtype=dtype, memory_format=torch.channels_last).requires_grad_()
    weight, bias, mean, var = (torch.empty(shape[1]) for _ in range(4))
    y = Fused.apply(x, x if with_shortcut else None, weight, bias, (mean, var), groups, 0.1, 1e-5, True)
    y.backward(torch.empty_like(y))
