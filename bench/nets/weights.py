"""Weights of others and of our own checkpoints: read as plain tensors, and what each kind takes for granted.

A file of weights does not say which pixels it was trained on, nor which convolution of a bottleneck has the stride;
both load without a word and cost points. So where weights come from is named, and what cannot be right is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

CLASSIFIERS = ("fc.", "classifier.", "head.", "pre_logits.")


@dataclass(frozen=True, slots=True)
class Pixels:
    """What a net expects of an RGB image with values in [0, 1]: minus `mean`, over `std`, one of each a channel."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Pixels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# this suite subtracts the mean of CIFAR-10's training images and does not divide; a mean a channel fits any size
CIFAR = Pixels((0.4914, 0.4822, 0.4465), (1.0, 1.0, 1.0))
# the authors' framework: BGR in [0, 255] minus a mean a channel, here in RGB; `load_weights` turns the first kernels
CAFFE = Pixels((122.7717 / 255, 115.9465 / 255, 102.9801 / 255), (1 / 255, 1 / 255, 1 / 255))


@dataclass(frozen=True, slots=True)
class Source:
    """Who trained weights: the pixels they expect, the stride's place in a bottleneck ("" for either), BGR or RGB."""

    pixels: Pixels
    stride_in: str = ""
    bgr: bool = False


# "caffe": the authors' release by torchvision's names. Its first pooling has no padding and its ResNet-50 a bias in
# conv1, which our nets do not have: features at the borders differ a little, and the bias is refused as left over
# "scale", "inception": this suite's own ImageNet runs by their crop (Section 3.4's subtracts the mean alone)
SOURCES: Mapping[str, Source] = {
    "scale": Source(Pixels(IMAGENET.mean, (1.0, 1.0, 1.0))),
    "inception": Source(IMAGENET),
    "torchvision": Source(IMAGENET, "3x3"),
    "caffe": Source(CAFFE, "1x1", bgr=True),
}


def source_of(name: str, stride_in: str, *, bottleneck: bool) -> Source:
    """The source by its name. Raises ValueError where the net's stride is not where the weights learned it."""
    if name not in SOURCES:
        raise ValueError(f"source {name!r} of the weights is not one of: {', '.join(SOURCES)}")
    source = SOURCES[name]
    if bottleneck and source.stride_in and source.stride_in != stride_in:
        raise ValueError(
            f"weights from {name} have the stride in the {source.stride_in} convolution, the net has it in the "
            f"{stride_in}: they would load, and be wrong. Build the net with stride_in={source.stride_in!r}"
        )
    return source


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint of this suite (its "net"), of a state dict, or of a safetensors file.

    Only plain tensors are read (`weights_only=True`): a file cannot run code. Raises ValueError naming the file.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, SafetensorError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as weights ({_first_line(error)})") from None
    except Exception as error:  # pickle's own errors, of several kinds
        raise ValueError(f"{path} holds more than tensors, or is damaged ({_first_line(error)})") from None
    for key in ("net", "state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ValueError(f"{path} holds no state dict: give a checkpoint of this suite or a file of tensors by name")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def load_weights(
    net: nn.Module,
    weights: Mapping[str, Tensor],
    name: str,
    *,
    bgr: bool = False,
    without: tuple[str, ...] = CLASSIFIERS,
) -> None:
    """Loads all of `net` but its classifier. Names may have underscores for dots, as timm's stages have.

    name: the net's, for the error. bgr: the weights expect BGR; the first kernels are turned to RGB: the same net.
    without: how the names of what is left out begin; () for the whole net.
    Raises ValueError naming what is missing, left over or of another shape; the net is then unchanged.
    """
    wanted = {_key(n): n for n in net.state_dict() if not _optional(n, without)}
    given = {_key(n): value for n, value in weights.items() if not _optional(n, without)}
    shapes = {key: net.state_dict()[n].shape for key, n in wanted.items()}
    found = {
        "missing": sorted(wanted.keys() - given.keys()),
        "left over": sorted(given.keys() - wanted.keys()),
        "of another shape": sorted(k for k in wanted.keys() & given.keys() if shapes[k] != given[k].shape),
    }
    parts = [f"{len(keys)} {what} ({', '.join(keys[:3])} …)" for what, keys in found.items() if keys]
    if parts:
        raise ValueError(f"these weights are of another net than {name}: {'; '.join(parts)}")
    ours = {n: given[key] for key, n in wanted.items()}
    if bgr:
        first = next(n for n, value in ours.items() if value.ndim == 4)
        ours[first] = ours[first].flip(1)
    net.load_state_dict(ours, strict=False)


def _key(name: str) -> str:
    return name.replace(".", "_")


def _optional(name: str, without: tuple[str, ...]) -> bool:
    return name.endswith("num_batches_tracked") or name.startswith(without)
