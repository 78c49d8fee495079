"""Probes of a net's layers: the size of their responses (Fig. 7) and of the gradients that reach them.

A layer's response is its BN's output, before the ReLU and the addition of the shortcut (Section 4.2); without BN it is
the output of the convolution with its bias. The net names the module (`response`): where BN comes before the
convolution, it is the convolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.train.metrics import autocast

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution with its name in the net, and the module whose output is its response."""

    name: str
    conv: nn.Conv2d
    out: nn.Module


def layers_of(net: nn.Module) -> list[Layer]:
    """The convolutions of the main path in the order of the forward pass: 6n+1 3x3 layers in a CIFAR net.

    Shortcut projections are left out: Fig. 7 is about the residual functions. Of a net that does not name its
    `response`, "bn" or "conv", they are all of its convolutions in the order in which it has them, and their outputs.
    """
    modules = dict(net.named_modules())
    if not hasattr(net, "response"):
        return [Layer(name, conv, conv) for name, conv in modules.items() if isinstance(conv, nn.Conv2d)]
    response = str(net.response)
    names = [name for name in modules if name.rpartition(".")[2].startswith("conv")]
    found = [Layer(name, modules[name], modules[_beside(name, response)]) for name in names]
    assert found, "a net of bench.nets.resnet"
    return found


def _beside(conv: str, kind: str) -> str:
    """`layer1.0.bn2` of `layer1.0.conv2` and `bn`."""
    block, dot, name = conv.rpartition(".")
    return f"{block}{dot}{name.replace('conv', kind)}"


class Moments:
    """Mean and variance of a layer's responses over several batches, in fp64."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, Tensor]] = []  # values in the batch; (variance, mean)

    def add(self, values: Tensor) -> None:
        """Adds a batch: over images, positions and channels alike."""
        moments = torch.stack(torch.var_mean(values.detach().float(), correction=0)).double()
        self._parts.append((values.numel(), moments))

    def std(self) -> float:
        """The standard deviation of all values so far."""
        counts = torch.tensor([n for n, _ in self._parts], dtype=torch.float64)
        variance, mean = torch.stack([part for _, part in self._parts]).cpu().unbind(1)
        share = counts / counts.sum()
        within, centre = (share * variance).sum(), (share * mean).sum()
        return float((within + (share * (mean - centre) ** 2).sum()).sqrt())


@contextmanager
def _hooked(layers: Sequence[Layer], see: Callable[[int, Tensor], None]) -> Iterator[None]:
    """Inside, `see` gets the place and the response (N, C, H, W) of every layer that is passed."""

    def hook(place: int, _: nn.Module, __: object, out: Tensor) -> None:
        see(place, out)

    hooks = [layer.out.register_forward_hook(partial(hook, place)) for place, layer in enumerate(layers)]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


@torch.inference_mode()
def response_stds(net: nn.Module, inputs: Tensor, *, batch: int = 500, precision: str = "fp32") -> list[float]:
    """The standard deviation of each layer's responses to `inputs` (N, 3, H, W), as Fig. 7 shows it.

    One number a layer, over images, positions and channels together, the net in evaluation mode. The paper says which
    outputs they are, but not on which images, in which mode of BN, and over what the deviation is taken.
    `batch` bounds memory only. Leaves the net's mode as it was.
    """
    was_training = net.training
    net.eval()
    layers = layers_of(net)
    moments = [Moments() for _ in layers]
    with _hooked(layers, lambda place, out: moments[place].add(out)):
        for x in inputs.split(batch):
            with autocast(x.device, precision):
                net(x)
    net.train(was_training)
    return [one.std() for one in moments]


@dataclass(frozen=True, slots=True)
class Backward:
    """A layer in one backward pass. Norms are Euclidean, of gradients of the batch's mean cross-entropy.

    response: of the gradient by the layer's responses, all images and positions. He initialisation keeps this norm
    from layer to layer in a plain net without BN, across strides as well. weight: of the gradient by its kernel.
    std: of the responses in this pass, in training mode.
    """

    response: float
    weight: float
    std: float


def backward(net: nn.Module, x: Tensor, y: Tensor, *, bn_group: int, precision: str = "fp32") -> list[Backward]:
    """The gradients of an update on inputs `x` (N, 3, H, W) and labels `y` (N,), layer by layer.

    In training mode and in groups of `bn_group` images, whose gradients are averaged, as in `Trainer.update`. Leaves
    running statistics, gradients and mode of the net, and every random state, as they were.
    """
    was_training = net.training
    net.train()
    layers = layers_of(net)
    kernels = [layer.conv.weight for layer in layers]
    moments = [Moments() for _ in layers]
    squares = torch.zeros(len(layers), dtype=torch.float64, device=x.device)
    totals = [torch.zeros_like(kernel) for kernel in kernels]
    statistics = {name: buffer.clone() for name, buffer in net.named_buffers()}  # BN updates copies of its averages

    def watch(place: int, out: Tensor) -> None:
        moments[place].add(out)
        out.register_hook(partial(add_square, place))

    def add_square(place: int, gradient: Tensor) -> None:
        squares[place] += gradient.double().square().sum()

    with _hooked(layers, watch):
        for part, labels in zip(x.split(bn_group), y.split(bn_group), strict=True):
            with autocast(x.device, precision):
                logits = torch.func.functional_call(net, statistics, (part,))
            loss = F.cross_entropy(logits.float(), labels) * (len(labels) / len(y))
            for total, gradient in zip(totals, torch.autograd.grad(loss, kernels), strict=True):
                total += gradient
    net.train(was_training)
    weights = torch.stack([total.double().norm() for total in totals])
    rows = zip(squares.sqrt().tolist(), weights.tolist(), moments, strict=True)
    return [Backward(response, weight, one.std()) for response, weight, one in rows]


def layer_rows(
    net: nn.Module, step: int, *, stds: Sequence[float] | None = None, back: Sequence[Backward] | None = None
) -> list[Row]:
    """A row a layer, counted from 1, at this step, with its kernel's norm and what was measured of it.

    A value that is not finite, as in a diverged net, is None.
    """
    rows = []
    for place, layer in enumerate(layers_of(net)):
        values = {"weight_norm": float(layer.conv.weight.detach().double().norm())}
        if stds is not None:
            values["response_std"] = stds[place]
        if back is not None:
            one = back[place]
            values |= {"batch_std": one.std, "response_grad_norm": one.response, "grad_norm": one.weight}
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        rows.append({"step": step, "layer": place + 1, "name": layer.name, **finite})
    return rows
