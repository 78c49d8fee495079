"""A state from which a training cannot go on is refused before anything of it is taken."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.nets.resnet import cifar
from bench.train import resuming
from bench.train.checkpoint import newest, save, weights_digest
from tests.fuzzing import FILES, mutated
from tests.train.builders import trainer

STEPS = 9


@pytest.fixture(scope="module")
def begun() -> dict[str, Any]:
    """After three steps, with a row of the curve and a loss that waits for the next."""
    one = trainer()
    for _ in range(2):
        one.update()
    one.curve.append(one.window())
    one.update()
    return one.state_dict()


def test_a_state_of_the_training_is_taken_at_any_time(begun: dict[str, Any]) -> None:
    resuming.check(trainer(), begun, STEPS)
    resuming.check(trainer(), trainer().state_dict(), STEPS)
    light = {**begun, "step": STEPS, "batches": None, "optimizer": {**begun["optimizer"], "state": {}}}
    resuming.check(trainer(), light, STEPS)


def test_a_training_without_momentum_goes_on(tmp_path: Path) -> None:
    """Its optimizer has no state at any step."""
    one, other = trainer(momentum=0.0), trainer(momentum=0.0)
    one.update()
    save(path := tmp_path / "checkpoint.pt", one.state_dict())

    state, damage = newest(path, None, lambda state: resuming.check(other, state, STEPS))

    assert state is not None, damage
    other.load_state_dict(state)
    one.update()
    other.update()
    assert weights_digest(other.net.state_dict()) == weights_digest(one.net.state_dict())


def without(part: str, name: str) -> Callable[[dict[str, Any]], object]:
    return lambda state: state[part].pop(name)


def put(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda state: state.update({name: value})


def wide_momentum(state: dict[str, Any]) -> None:
    state["optimizer"]["state"][0]["momentum_buffer"] = torch.zeros(3)


def half(state: dict[str, Any]) -> None:
    state["net"]["conv1.weight"] = state["net"]["conv1.weight"].half()


SPOILED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "step is text": (put("step", "7"), "its step is '7', not as a int"),
    "step is NaN": (put("step", float("nan")), "its step is nan"),
    "step below 0": (put("step", -1), "its step is -1"),
    "step is true": (put("step", True), "its step is True"),
    "a step beyond the last": (put("step", 10**9), "it is of step 1,000,000,000, and the run has"),
    "no step": (lambda state: state.pop("step"), "its step is None"),
    "no curve": (lambda state: state.pop("curve"), "its curve is None"),
    "no net": (lambda state: state.pop("net"), "its net is None"),
    "no batches": (put("batches", None), "its batches is None"),
    "seconds are NaN": (put("seconds", float("nan")), "its seconds is nan"),
    "another depth": (
        put("net", cifar(14, "A").state_dict()),
        "its net is another one's, or not whole: layer1.1.bn1.bias",
    ),
    "another width": (lambda state: state["net"].update({"fc.bias": torch.zeros(5)}), "its net is .*: fc.bias"),
    "another type": (half, "its net is another one's, or not whole: conv1.weight"),
    "a weight is missing": (without("net", "bn1.weight"), "its net is another one's, or not whole: bn1.weight"),
    "another stream": (put("batches", {"position": 3}), "its batches is another one's, or not whole: place, position"),
    "a place in text": (put("batches", {"place": "3"}), "its batches is another one's"),
    "no momentum": (lambda state: state["optimizer"]["state"].clear(), "its momentum is another net's, or not whole"),
    "momentum of another shape": (wide_momentum, "its momentum is another net's"),
    "rows without steps": (put("curve", [{"loss": 1.0}]), "its curve is not made of rows"),
    "losses in text": (put("pending", ["1.0"]), "the losses since the last row"),
}


@pytest.mark.parametrize(("spoil", "words"), SPOILED.values(), ids=SPOILED)
def test_a_spoiled_state_is_refused_with_what_is_wrong(
    begun: dict[str, Any], spoil: Callable[[dict[str, Any]], object], words: str
) -> None:
    state = copy.deepcopy(begun)
    spoil(state)

    with pytest.raises(ValueError, match=words):
        resuming.check(trainer(), state, STEPS)


@pytest.mark.fuzz
def test_from_damaged_checkpoints_a_training_goes_on_from_what_was_saved_and_nothing_else(
    begun: dict[str, Any], tmp_path: Path
) -> None:
    path, previous, one = tmp_path / "checkpoint.pt", tmp_path / "checkpoint.previous.pt", trainer()
    save(previous, before := trainer().state_dict())
    save(path, begun)
    valid, older = path.read_bytes(), previous.read_bytes()
    digests = {state["step"]: weights_digest(state["net"]) for state in (before, begun)}
    for content in mutated(valid, FILES):
        path.write_bytes(content)
        previous.write_bytes(older)

        state, damage = newest(path, previous, lambda state: resuming.check(one, state, STEPS))

        assert state is not None
        one.load_state_dict(state)
        assert state["step"] == (0 if damage else 3)
        assert weights_digest(one.net.state_dict()) == digests[state["step"]]
        for aside in tmp_path.glob("*.damaged-*"):
            assert aside.read_bytes() == content
            aside.unlink()
