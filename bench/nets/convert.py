"""Published CIFAR checkpoints of the common PyTorch layout, as weights of `cifar(depth, "A")`.

That layout names its layers `conv1, bn1, layer1.0.conv1 … linear`, often behind `module.` (DataParallel) and below a
key `state_dict`. Its option A pads a quarter of the new channels with zeros on *both* sides, where ours (and the
original Torch code) puts all zeros at the end. The two are the same function of permuted channels, so that the
converter permutes them: outputs agree to rounding.

Such nets were usually trained on inputs in [0, 1] normalised per channel by mean (0.485, 0.456, 0.406) and standard
deviation (0.229, 0.224, 0.225); feed them that, not this suite's mean-subtracted pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.nets.resnet import CifarNet, cifar


def _stream_order(previous: list[int]) -> list[int]:
    """For each of our channels after a widening, the channel that holds it in the both-sides layout."""
    side = len(previous) // 2
    kept = [side + channel for channel in previous]
    return kept + [c for c in range(2 * len(previous)) if c not in set(kept)]


def _orders() -> dict[str, list[int]]:
    layer1 = list(range(16))
    layer2 = _stream_order(layer1)
    return {"conv1": layer1, "layer1": layer1, "layer2": layer2, "layer3": _stream_order(layer2)}


def _flat(state: Mapping[str, Any]) -> dict[str, Tensor]:
    tensors = state.get("state_dict", state)
    return {name.removeprefix("module."): value for name, value in tensors.items()}


def _permuted(name: str, value: Tensor, orders: Mapping[str, list[int]]) -> Tensor:
    """`value` with the channels of the residual stream in our order; channels inside a block stay."""
    layer, _, rest = name.partition(".")
    order = orders.get(layer)
    if order is None or value.ndim == 0:
        return value
    if rest.endswith("conv1.weight"):
        first = rest.startswith("0.") and layer != "layer1"
        before = orders[f"layer{int(layer[-1]) - 1}"] if first else order
        return value[:, before]
    return value[order] if "conv2" in rest or "bn2" in rest else value


def from_pytorch_cifar(state: Mapping[str, Any], depth: int) -> CifarNet:
    """`cifar(depth, "A")` with the weights of a checkpoint in the common layout.

    Raises ValueError naming the entries that are missing, unexpected or of another shape.
    """
    orders, source, ours = _orders(), _flat(state), {}
    for name, value in source.items():
        if name.startswith("linear."):
            value = value[:, orders["layer3"]] if name == "linear.weight" else value
            ours[name.replace("linear", "fc")] = value
        else:
            ours[name] = _permuted(name, value, orders) if name.startswith("layer") else value
    net = cifar(depth, "A")
    _check(ours, net.state_dict(), depth)
    net.load_state_dict(ours, strict=False)
    return net


def _check(ours: Mapping[str, Tensor], wanted: Mapping[str, Tensor], depth: int) -> None:
    """Refuses a checkpoint that is not this net's, before anything is loaded."""
    optional = {name for name in wanted if name.endswith("num_batches_tracked")}
    missing = sorted(set(wanted) - set(ours) - optional)
    extra = sorted(set(ours) - set(wanted))
    shapes = sorted(n for n in set(ours) & set(wanted) if ours[n].shape != wanted[n].shape)
    found = {"missing": missing, "unexpected": extra, "of another shape": shapes}
    parts = [f"{len(names)} {what} ({', '.join(names[:3])} …)" for what, names in found.items() if names]
    if parts:
        raise ValueError(
            f"not a checkpoint of ResNet-{depth} with option A in the common PyTorch layout: {'; '.join(parts)}. "
            "Give the depth that it was trained with"
        )


def load_pytorch_cifar(path: Path, depth: int) -> CifarNet:
    """Reads a checkpoint file (tensors only: `weights_only=True`) and converts it."""
    return from_pytorch_cifar(torch.load(path, map_location="cpu", weights_only=True), depth)
