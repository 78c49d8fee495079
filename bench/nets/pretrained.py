"""Published weights by name, or a file of one's own: the nets of Table 4's kind that need no training.

A file in the folder `weights` of the data comes first, then what torch and timm have in their caches, then their
download. Files hold tensors only (`weights_only=True`, or safetensors).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.nets.weights import IMAGENET, load_weights, read_weights
from bench.spec import Net

SUFFIXES = (".pth", ".pt", ".safetensors", ".bin")


class WeightsError(RuntimeError):
    """Weights that are not there, cannot be had, or are another net's; says which file is looked for and where."""


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A net with published weights. mean, std: of its inputs, a channel each, pixels being in [0, 1]."""

    net: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]


def pretrained(net: Net, folder: Path) -> Pretrained:
    """The net with its weights; `folder` is where local files are looked for. It classifies into 1,000 classes.

    Raises WeightsError.
    """
    source, name = net.source
    if source == "timm":
        return _of_timm(name, folder)
    file = torchvision_file(net, folder) if source == "torchvision" else local_file(folder, name)
    built = net.row.resolve("build")(net, 1000)
    return Pretrained(_with(built, _read(file), net.name), IMAGENET.mean, IMAGENET.std)


def torchvision_weights(net: Net) -> Any:
    """torchvision's entry of the net's weights: `url`, and in `meta` what they reach. Raises WeightsError."""
    from torchvision.models import get_weight

    name, model = net.source[1], f"{'VGG' if net.plain else 'ResNet'}-{net.depth}"
    try:
        return get_weight(f"{model.replace('-', '')}_Weights.{name}")
    except (ValueError, KeyError, AttributeError) as error:
        raise WeightsError(f"torchvision has no weights {name!r} of {model}: {error}") from None


def torchvision_file(net: Net, folder: Path) -> Path:
    """The file of torchvision's weights of the net: in `folder`, in torch's cache, else downloaded into that.

    Raises WeightsError.
    """
    weights = torchvision_weights(net)
    file = str(weights.url).rsplit("/", 1)[-1]
    if (folder / file).is_file():
        return folder / file
    try:
        torch.hub.load_state_dict_from_url(
            weights.url, map_location="cpu", check_hash=True, weights_only=True, progress=False
        )
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"{net.weights}: {file} is not in {folder} and cannot be downloaded ({error}). Get it from {weights.url} "
            f"and lay it there"
        ) from None
    return Path(torch.hub.get_dir(), "checkpoints", file)


def timm_file(name: str, folder: Path) -> Path | None:
    """The file of timm's weights `name` in `folder`; None where it is left to timm to get them."""
    return next((path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()), None)


def _of_timm(name: str, folder: Path) -> Pretrained:
    import timm

    local = timm_file(name, folder)
    try:
        net = timm.create_model(name, pretrained=local is None)
    except (OSError, RuntimeError, ValueError) as error:  # timm's for a name that it does not know is a RuntimeError
        raise WeightsError(
            f"timm:{name}: {folder} has no {name}.safetensors (or {', '.join(SUFFIXES[:2])}), and timm cannot make it "
            f"({str(error).splitlines()[0]}). Save the weights there, or see timm.list_pretrained() for its names"
        ) from None
    if local is not None:
        net = _with(net, _read(local), name)
    config: Any = net.pretrained_cfg
    return Pretrained(net, tuple(config["mean"]), tuple(config["std"]))


def local_file(folder: Path, name: str) -> Path:
    """A file of weights in `folder`. Raises WeightsError naming those there are."""
    path = folder / name
    if not path.is_file():
        there = sorted(p.name for p in folder.glob("*") if p.suffix in SUFFIXES) if folder.is_dir() else []
        raise WeightsError(f"no file {name} in {folder}; there are: {', '.join(there) or 'none'}")
    return path


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        return read_weights(path)
    except ValueError as error:
        raise WeightsError(str(error)) from None


def _with(net: nn.Module, state: Mapping[str, Tensor], name: str) -> nn.Module:
    """`net` with these weights, all of them and nothing else."""
    try:
        load_weights(net, state, name, without=())
    except ValueError as error:
        raise WeightsError(f"{error}. Name the net that they were trained with") from None
    return net
