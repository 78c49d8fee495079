"""Weights into a net, all of them or none: a net that kept its random start must not pass for a trained one."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn


def load_weights(net: nn.Module, path: Path) -> None:
    """Gives `net` the weights under "net" of a torch file (tensors only: `weights_only=True`) but for the classifier.

    Raises ValueError naming the file and what does not fit; nothing is loaded then.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["net"]
        fill(net, state, str(path), without=("fc",))
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError, TypeError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} is no checkpoint of this suite with a net in it ({reason})") from None


def fill(net: nn.Module, state: Mapping[str, Tensor], source: str, *, without: Iterable[str]) -> None:
    """Gives `net` the weights `state` but for those of the layers `without`, which it does not have.

    Raises ValueError naming `source` and what is missing, left over or of another shape; nothing is loaded then.
    """
    dropped = tuple(f"{layer}." for layer in without)
    given = {name: value for name, value in state.items() if not name.startswith(dropped)}
    wanted = net.state_dict()
    misfits = sorted(wanted.keys() ^ given.keys())
    misfits += sorted(name for name in wanted.keys() & given.keys() if wanted[name].shape != given[name].shape)
    if misfits:
        raise ValueError(
            f"{source} is of another net: {len(misfits):,} entries are missing, left over or of another shape "
            f"({', '.join(misfits[:3])} …). Give the net that it was trained as"
        )
    net.load_state_dict(given)
