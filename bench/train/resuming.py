"""Whether a training can go on from a state: asked before anything of it is taken."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bench.train.trainer import Trainer


def check(trainer: Trainer, state: Mapping[str, Any], steps: int) -> None:
    """Raises ValueError where `trainer` cannot go on from `state` to `steps`: what is in it, and what belongs there."""
    own = trainer.state_dict()
    ended = _like(state.get("step"), 0) and state["step"] >= steps
    for name, like in own.items():
        if not (_like(state.get(name), like) or (ended and name == "batches")):  # after the last step there are none
            raise ValueError(f"its {name} is {reprlib.repr(state.get(name))}, not as a {type(like).__name__} should be")
    _same("net", state["net"], own["net"])
    if not ended:
        _same("batches", state["batches"], own["batches"])
        _check_momentum(trainer, state["optimizer"].get("state"), state["step"])
    if not all(isinstance(row, dict) and _like(row.get("step"), 0) for row in state["curve"]):
        raise ValueError("its curve is not made of rows with their steps")
    if state["step"] > steps:
        raise ValueError(f"it is of step {state['step']:,}, and the run has {steps:,}")
    if not all(isinstance(part, Tensor) and part.ndim == 1 for part in state["pending"]):
        raise ValueError("the losses since the last row of its curve are no numbers")


def _same(what: str, found: Mapping[str, Any], like: Mapping[str, Any]) -> None:
    odd = sorted(map(str, found.keys() ^ like.keys())) or [n for n in like if not _like(found[n], like[n])]
    if odd:
        raise ValueError(f"its {what} is another one's, or not whole: {', '.join(odd[:3])} …")


def _check_momentum(trainer: Trainer, found: Any, step: int) -> None:
    parameters = dict(enumerate(trainer.net.parameters()))
    some = step > 0 and trainer.optimizer.param_groups[0]["momentum"] > 0  # without momentum torch keeps none
    whole = isinstance(found, Mapping) and found.keys() <= parameters.keys() and bool(found) >= some
    if not whole or not all(
        isinstance(entry, Mapping) and _like(entry.get("momentum_buffer"), parameters[k]) for k, entry in found.items()
    ):
        raise ValueError("its momentum is another net's, or not whole")


def _like(found: Any, like: Any) -> bool:
    """Whether a value can stand where `like` stands: of its type, shape and range; of mappings and lists the type."""
    if isinstance(like, Tensor):
        return isinstance(found, Tensor) and found.shape == like.shape and found.dtype == like.dtype
    if isinstance(like, int):
        return type(found) is int and found >= 0
    if isinstance(like, float):
        return type(found) in (int, float) and math.isfinite(found)
    return isinstance(found, Mapping if isinstance(like, Mapping) else type(like))
