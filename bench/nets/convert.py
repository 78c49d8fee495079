"""Published CIFAR checkpoints of the common PyTorch layout, as weights of the nets of Section 4.2.

That layout names its layers `conv1, bn1, layer1.0.conv1 … linear` (or `fc`) and its projections `shortcut`. Its option
A pads a quarter of the new channels with zeros on *both* sides, where ours (and the original Torch code) puts all zeros
at the end. The two are the same function of permuted channels, so that the weights are permuted: outputs agree to
rounding. No name and no shape says which of the two a file is of: only a checkpoint of this suite says that it is ours.

Such nets were usually trained on inputs in [0, 1] normalised per channel by mean (0.485, 0.456, 0.406) and standard
deviation (0.229, 0.224, 0.225); feed them that, not this suite's mean-subtracted pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from bench.nets.resnet import ResNet, build
from bench.nets.weights import OURS, Layout
from bench.spec import Net


def pytorch_cifar(net: Net) -> Layout:
    """How the common PyTorch layout becomes this suite's, for a net of family "cifar"."""
    value = partial(_permuted, orders=_orders()) if net.shortcut == "A" else OURS.value
    return Layout(lambda name: name.replace("linear.", "fc.").replace("shortcut.", "downsample."), value)


def load_pytorch_cifar(path: Path, depth: int) -> ResNet:
    """`cifar(depth, "A")` with the weights of a checkpoint file in the common layout.

    Raises WeightsError, also for a checkpoint of this suite, which has another layout.
    """
    return build(Net("cifar", depth, "A", weights=f"pytorch-cifar:{path.name}"), 10, path)


def _stream_order(previous: list[int]) -> list[int]:
    """For each of our channels after a widening, the channel that holds it in the both-sides layout."""
    side = len(previous) // 2
    kept = [side + channel for channel in previous]
    return kept + [c for c in range(2 * len(previous)) if c not in set(kept)]


def _orders() -> dict[str, list[int]]:
    layer1 = list(range(16))
    layer2 = _stream_order(layer1)
    return {"layer1": layer1, "layer2": layer2, "layer3": _stream_order(layer2)}


def _permuted(name: str, value: Tensor, orders: Mapping[str, list[int]]) -> Tensor:
    """`value` with the channels of the residual stream in our order; channels inside a block stay."""
    layer, _, rest = name.partition(".")
    if name == "fc.weight":
        return value[:, orders["layer3"]]
    if layer not in orders:
        return value
    if rest.endswith("conv1.weight"):
        first = rest.startswith("0.") and layer != "layer1"
        return value[:, orders[f"layer{int(layer[-1]) - first}"]]
    return value[orders[layer]] if "conv2" in rest or "bn2" in rest else value
