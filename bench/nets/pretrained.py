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

from bench.nets.resnet import imagenet
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
    source, _, name = net.weights.partition(":")
    if source == "timm":
        return _of_timm(name, folder)
    state = _of_torchvision(net, name, folder) if source == "torchvision" else _read(_file(folder, name))
    built = imagenet(net.depth, net.shortcut, net.stride_in, net.norm)
    return Pretrained(_with(built, state, net.name), IMAGENET.mean, IMAGENET.std)


def _of_torchvision(net: Net, name: str, folder: Path) -> Mapping[str, Any]:
    from torchvision.models import get_weight

    try:
        weights = get_weight(f"ResNet{net.depth}_Weights.{name}")
    except (ValueError, KeyError, AttributeError) as error:
        raise WeightsError(f"torchvision has no weights {name!r} of ResNet-{net.depth}: {error}") from None
    file = weights.url.rsplit("/", 1)[-1]
    if (folder / file).is_file():
        return _read(folder / file)
    try:
        state: Mapping[str, Any] = torch.hub.load_state_dict_from_url(
            weights.url, map_location="cpu", check_hash=True, weights_only=True, progress=False
        )
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"{net.weights}: {file} is not in {folder} and cannot be downloaded ({error}). Get it from {weights.url} "
            f"and lay it there"
        ) from None
    return state


def _of_timm(name: str, folder: Path) -> Pretrained:
    import timm

    local = next((folder / f"{name}{suffix}" for suffix in SUFFIXES if (folder / f"{name}{suffix}").is_file()), None)
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


def _file(folder: Path, name: str) -> Path:
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
