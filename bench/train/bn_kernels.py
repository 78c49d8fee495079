"""The Triton kernels of fused batch norm: two forward, two backward; bench.train.fused_bn launches them.

A channels-last map (N, C, H, W) is a matrix of N·H·W rows and C columns; group g has the rows g·n to (g+1)·n. The rows
of a group are cut into parts, whose means and sums of squared deviations are merged by Chan et al. 1983 in a fixed
order: no atomics, the same bits each time. All sums are fp32; what is read and written is fp32 or bf16. The constants
are the fields of bench.train.fused_bn.Plan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import triton
import triton.language as tl

INTERPRETED: bool = triton.knobs.runtime.interpret


def _inner(part: Callable[..., Any]) -> Callable[..., Any]:
    """A function that kernels call; plain in the interpreter, which would patch all of `tl` at each call."""
    return part if INTERPRETED else triton.jit(part)


@_inner
def _channels_of_program(channels: tl.constexpr, block: tl.constexpr):
    """This program's channels, and their mask."""
    c = tl.program_id(2) * block + tl.arange(0, block)
    return c, c < channels


@_inner
def _locate(first, end, c, chunk: tl.constexpr, channels: tl.constexpr):
    """Offsets and mask of the values in the rows from `first` up to `end`."""
    row = first + tl.arange(0, chunk)
    return row[:, None].to(tl.int64) * channels + c[None, :], (row < end)[:, None] & (c < channels)[None, :]


@_inner
def _read(ptr, offsets, mask, even: tl.constexpr):
    return (tl.load(ptr + offsets) if even else tl.load(ptr + offsets, mask=mask, other=0.0)).to(tl.float32)


@_inner
def _write(ptr, offsets, value, mask, even: tl.constexpr):
    tl.store(ptr + offsets, value.to(ptr.dtype.element_ty), mask=None if even else mask)


@_inner
def _read_pair(ptr, offsets, mask, channels: tl.constexpr):
    return tl.load(ptr + offsets, mask=mask, other=0.0), tl.load(ptr + offsets + channels, mask=mask, other=0.0)


@_inner
def _read_parts(parts_ptr, g, c, parts: tl.constexpr, merged: tl.constexpr, channels: tl.constexpr):
    """The two numbers of each part of group g and each channel, (merged, block); 0 beyond `parts`."""
    p = tl.arange(0, merged)
    offsets = (g * parts + p)[:, None] * (2 * channels) + c[None, :]
    return _read_pair(parts_ptr, offsets, (p < parts)[:, None] & (c < channels)[None, :], channels)


@_inner
def _write_part(parts_ptr, g, p, c, first, second, parts: tl.constexpr, channels: tl.constexpr):
    offsets = (g * parts + p) * (2 * channels) + c
    tl.store(parts_ptr + offsets, first, mask=c < channels)
    tl.store(parts_ptr + offsets + channels, second, mask=c < channels)


@_inner
def _moments(
    parts_ptr, g, c,
    n: tl.constexpr, part: tl.constexpr, parts: tl.constexpr, merged: tl.constexpr, channels: tl.constexpr,
):  # fmt: skip
    """Mean and sum of squared deviations of group g from its parts'."""
    mean_p, square_p = _read_parts(parts_ptr, g, c, parts, merged, channels)
    rows = tl.minimum(tl.maximum(n - tl.arange(0, merged) * part, 0), part).to(tl.float32)[:, None]
    mean = tl.sum(mean_p * rows, 0) / n
    centred = mean_p - mean[None, :]
    return mean, tl.sum(square_p + rows * centred * centred, 0)


@triton.jit
def measure(
    x_ptr, parts_ptr,
    n: tl.constexpr, channels: tl.constexpr, part: tl.constexpr, parts: tl.constexpr,
    chunk: tl.constexpr, block: tl.constexpr, even: tl.constexpr,
):  # fmt: skip
    """Forward, first: mean and sum of squared deviations of each part. Grid (parts, groups, blocks)."""
    p, g = tl.program_id(0), tl.program_id(1)
    c, _ = _channels_of_program(channels, block)
    first, end = g * n + p * part, (g + 1) * n
    total = tl.zeros((chunk, block), tl.float32)
    for k in range(0, part, chunk):
        offsets, mask = _locate(first + k, end, c, chunk, channels)
        total += _read(x_ptr, offsets, mask, even)
    mean = tl.sum(total, 0) / tl.minimum(n - p * part, part)
    square = tl.zeros((chunk, block), tl.float32)
    for k in range(0, part, chunk):  # the second read comes from a cache
        offsets, mask = _locate(first + k, end, c, chunk, channels)
        centred = _read(x_ptr, offsets, mask, even) - mean[None, :]
        square += centred * centred if even else tl.where(mask, centred * centred, 0.0)
    _write_part(parts_ptr, g, p, c, mean, tl.sum(square, 0), parts, channels)


@triton.jit
def normalise(
    x_ptr, shortcut_ptr, y_ptr, weight_ptr, bias_ptr, parts_ptr, saved_ptr, running_mean_ptr, running_var_ptr,
    momentum, eps, add: tl.constexpr, relu: tl.constexpr,
    n: tl.constexpr, channels: tl.constexpr, groups: tl.constexpr, part: tl.constexpr, parts: tl.constexpr,
    merged: tl.constexpr, tile: tl.constexpr, tiles: tl.constexpr,
    chunk: tl.constexpr, block: tl.constexpr, even: tl.constexpr,
):  # fmt: skip
    """Forward, second: y. Grid (tiles + 1, groups, blocks): the last one keeps the statistics."""
    t, g = tl.program_id(0), tl.program_id(1)
    c, c_mask = _channels_of_program(channels, block)
    mean, square = _moments(parts_ptr, g, c, n, part, parts, merged, channels)
    inverse = 1.0 / tl.sqrt(square / n + eps)
    if t == tiles:
        _write_part(saved_ptr, g, 0, c, mean, inverse, 1, channels)
        if g == 0:
            running_mean = tl.load(running_mean_ptr + c, mask=c_mask, other=0.0)
            running_var = tl.load(running_var_ptr + c, mask=c_mask, other=0.0)
            for h in range(groups):
                mean, square = _moments(parts_ptr, h, c, n, part, parts, merged, channels)
                running_mean = running_mean * (1 - momentum) + mean * momentum
                running_var = running_var * (1 - momentum) + square / (n - 1) * momentum
            tl.store(running_mean_ptr + c, running_mean, mask=c_mask)
            tl.store(running_var_ptr + c, running_var, mask=c_mask)
    else:
        scale = inverse * tl.load(weight_ptr + c, mask=c_mask, other=0.0)
        bias = tl.load(bias_ptr + c, mask=c_mask, other=0.0)
        for k in range(0, tile, chunk):
            offsets, mask = _locate(g * n + t * tile + k, (g + 1) * n, c, chunk, channels)
            y = (_read(x_ptr, offsets, mask, even) - mean[None, :]) * scale[None, :] + bias[None, :]
            if add:
                y += _read(shortcut_ptr, offsets, mask, even)
            if relu:
                y = tl.maximum(y, 0.0, propagate_nan=tl.PropagateNan.ALL)  # as torch's, so that a diverged run shows
            _write(y_ptr, offsets, y, mask, even)


@_inner
def _relu_gradient(dy_ptr, y_ptr, offsets, mask, relu: tl.constexpr, even: tl.constexpr):
    """The gradient behind the ReLU; it passes where y is NaN, as torch's does."""
    dz = _read(dy_ptr, offsets, mask, even)
    if relu:
        dz = tl.where(_read(y_ptr, offsets, mask, even) <= 0, 0.0, dz)
    return dz


@_inner
def _saved(saved_ptr, g, c, channels: tl.constexpr):
    """Mean and inverse deviation of group g."""
    return _read_pair(saved_ptr, g * (2 * channels) + c, c < channels, channels)


@_inner
def _sums(parts_ptr, g, c, parts: tl.constexpr, merged: tl.constexpr, channels: tl.constexpr):
    first, second = _read_parts(parts_ptr, g, c, parts, merged, channels)
    return tl.sum(first, 0), tl.sum(second, 0)


@triton.jit
def sum_gradients(
    x_ptr, y_ptr, dy_ptr, saved_ptr, parts_ptr, relu: tl.constexpr,
    n: tl.constexpr, channels: tl.constexpr, part: tl.constexpr, parts: tl.constexpr,
    chunk: tl.constexpr, block: tl.constexpr, even: tl.constexpr,
):  # fmt: skip
    """Backward, first: each part's sums of the gradient and of its product with the normalised x. Grid as measure's."""
    p, g = tl.program_id(0), tl.program_id(1)
    c, _ = _channels_of_program(channels, block)
    mean, inverse = _saved(saved_ptr, g, c, channels)
    total, product = tl.zeros((chunk, block), tl.float32), tl.zeros((chunk, block), tl.float32)
    for k in range(0, part, chunk):
        offsets, mask = _locate(g * n + p * part + k, (g + 1) * n, c, chunk, channels)
        dz = _relu_gradient(dy_ptr, y_ptr, offsets, mask, relu, even)
        total += dz
        product += dz * ((_read(x_ptr, offsets, mask, even) - mean[None, :]) * inverse[None, :])
    _write_part(parts_ptr, g, p, c, tl.sum(total, 0), tl.sum(product, 0), parts, channels)


@triton.jit
def differentiate(
    x_ptr, y_ptr, dy_ptr, dx_ptr, dshortcut_ptr, weight_ptr, dweight_ptr, dbias_ptr, saved_ptr, parts_ptr,
    add: tl.constexpr, relu: tl.constexpr,
    n: tl.constexpr, channels: tl.constexpr, groups: tl.constexpr, parts: tl.constexpr, merged: tl.constexpr,
    tile: tl.constexpr, tiles: tl.constexpr, chunk: tl.constexpr, block: tl.constexpr, even: tl.constexpr,
):  # fmt: skip
    """Backward, second: all gradients. Grid as normalise's: the last one makes those of weight and bias."""
    t, g = tl.program_id(0), tl.program_id(1)
    c, c_mask = _channels_of_program(channels, block)
    if t == tiles:
        if g == 0:
            dbias, dweight = tl.zeros((block,), tl.float32), tl.zeros((block,), tl.float32)
            for h in range(groups):
                total, product = _sums(parts_ptr, h, c, parts, merged, channels)
                dbias += total
                dweight += product
            tl.store(dbias_ptr + c, dbias, mask=c_mask)
            tl.store(dweight_ptr + c, dweight, mask=c_mask)
    else:
        total, product = _sums(parts_ptr, g, c, parts, merged, channels)
        mean, inverse = _saved(saved_ptr, g, c, channels)
        scale = tl.load(weight_ptr + c, mask=c_mask, other=0.0) * inverse
        for k in range(0, tile, chunk):
            offsets, mask = _locate(g * n + t * tile + k, (g + 1) * n, c, chunk, channels)
            dz = _relu_gradient(dy_ptr, y_ptr, offsets, mask, relu, even)
            normal = (_read(x_ptr, offsets, mask, even) - mean[None, :]) * inverse[None, :]
            dx = scale[None, :] * (dz - total[None, :] / n - normal * (product[None, :] / n))
            _write(dx_ptr, offsets, dx, mask, even)
            if add:
                _write(dshortcut_ptr, offsets, dz, mask, even)
