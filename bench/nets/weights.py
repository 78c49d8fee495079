"""Weights of others and of our own checkpoints: read as plain tensors, and loaded whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

CLASSIFIERS = ("fc.", "classifier.", "head.", "pre_logits.")


class WeightsError(RuntimeError):
    """Weights that are not there, cannot be had, or are another net's; says which file is looked for and where."""


class Pixels(NamedTuple):
    """What a net expects of an RGB image with values in [0, 1]: minus `mean`, over `std`, one of each a channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...] = (1.0, 1.0, 1.0)


IMAGENET = Pixels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint of this suite (its "net"), of a state dict, or of a safetensors file.

    Only plain tensors are read (`weights_only=True`): a file cannot run code. Raises WeightsError naming the file.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, SafetensorError, EOFError) as error:
        raise WeightsError(f"{path} cannot be read as weights ({_first_line(error)})") from None
    except Exception as error:  # pickle's own errors, of several kinds
        raise WeightsError(f"{path} holds more than tensors, or is damaged ({_first_line(error)})") from None
    for key in ("net", "state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{path} holds no state dict: give a checkpoint of this suite or a file of tensors by name")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def load_weights(net: nn.Module, file: Path | None, name: str, without: tuple[str, ...] = CLASSIFIERS) -> None:
    """Loads all of `net` but its classifier from a file, as load_tensors does; None leaves the net as it is."""
    if file is not None:
        load_tensors(net, read_weights(file), f"{name} ({file})", without)


def load_tensors(net: nn.Module, tensors: Mapping[str, Tensor], name: str, without: tuple[str, ...]) -> None:
    """Loads all of `net` but what `without` begins, () for the whole net.

    Names may have underscores for dots, as timm's stages have. name: the net's, for the error.
    Raises WeightsError naming what is missing, left over or of another shape; the net is then unchanged.
    """
    wanted = {_key(n): n for n in net.state_dict() if not _optional(n, without)}
    given = {_key(n): value for n, value in tensors.items() if not _optional(n, without)}
    shapes = {key: net.state_dict()[n].shape for key, n in wanted.items()}
    found = {
        "missing": sorted(wanted.keys() - given.keys()),
        "left over": sorted(given.keys() - wanted.keys()),
        "of another shape": sorted(k for k in wanted.keys() & given.keys() if shapes[k] != given[k].shape),
    }
    parts = [f"{len(keys)} {what} ({', '.join(keys[:3])} …)" for what, keys in found.items() if keys]
    if parts:
        raise WeightsError(
            f"these weights are of another net than {name}: {'; '.join(parts)}. Name the net that they "
            "were trained with"
        )
    net.load_state_dict({n: given[key] for key, n in wanted.items()}, strict=False)


def _key(name: str) -> str:
    return name.replace(".", "_")


def _optional(name: str, without: tuple[str, ...]) -> bool:
    return name.endswith("num_batches_tracked") or name.startswith(without)
