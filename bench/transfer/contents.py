"""What of a run travels, and whether what has arrived is that run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.spec import SpecError, run_from_json
from bench.store import RunFolder, StoreError
from bench.train import checkpoint
from bench.transfer.archive import Parcel

CHECKPOINT, RESULT = "checkpoint.pt", "result.json"


def parcel_of(folder: RunFolder) -> Parcel:
    """The run as it is now; while it is being trained, as its last checkpoint has it. Reads each file once.

    One that has ended, with a result or without a finite loss, comes without its checkpoint; any other with all that
    its next start needs. Raises StoreError for a folder that holds another run, or a checkpoint that is no use.
    """
    run, files, diverged = folder.run(), folder.contents(), folder.diverged()
    if run.id != folder.path.name:
        raise StoreError(f"{folder.path} holds the run {run.id}; move it away")
    sweep = folder.path.parent.name
    if RESULT in files:
        files.pop(CHECKPOINT, None)
        return Parcel(sweep, run.id, "done", int(json.loads(files[RESULT]).get("step", 0)), files)
    step = int(_state(folder, files[CHECKPOINT])["step"]) if CHECKPOINT in files else 0
    if diverged:
        files.pop(CHECKPOINT, None)
        return Parcel(sweep, run.id, "diverged", step, files)
    begun = CHECKPOINT in files or "error.json" in files or any(name.startswith("scores-") for name in files)
    return Parcel(sweep, run.id, "begun" if begun else "pending", step, files)


def _state(folder: RunFolder, content: bytes) -> dict[str, Any]:
    """The state in a checkpoint of this run. Raises StoreError."""
    try:
        return _state_of(folder.path.name, content)
    except ValueError as error:
        raise StoreError(f"{folder.checkpoint}: {error}") from None


def _state_of(run_id: str, content: bytes) -> dict[str, Any]:
    """The state in a checkpoint of this run. Raises ValueError."""
    state = checkpoint.loads(content)
    if state.get("run") != run_id:
        raise ValueError(f"it is of the run {state.get('run')}")
    return state


def with_weights(parcel: Parcel, folder: RunFolder) -> Parcel | None:
    """The done run with its checkpoint, without the optimiser's part; None where it has none.

    Raises StoreError where that does not hold the weights of the result.
    """
    try:
        content = folder.checkpoint.read_bytes()
    except FileNotFoundError:
        return None
    state = _state(folder, content)
    try:
        _check_weights(parcel.files, state)
    except ValueError as error:
        raise StoreError(f"{folder.checkpoint}: {error}") from None
    light = bytes(checkpoint.dumps(checkpoint.without_momentum(state)))
    return replace(parcel, files={CHECKPOINT: light, **parcel.files})


def _check_weights(files: Mapping[str, bytes], state: Mapping[str, Any]) -> None:
    """Raises ValueError where a checkpoint does not hold the weights that the result names."""
    if checkpoint.weights_digest(state["net"]) != json.loads(files[RESULT])["weights_sha256"]:
        raise ValueError("its weights are not those that the run ended with")


def check(parcel: Parcel) -> None:
    """Raises ValueError where the files of an arriving run are not of that run, or not as far as it says.

    A forged one may raise any other of DAMAGE of `bench.transfer.archive`.
    """
    files = parcel.files
    try:
        run = run_from_json(files["run.json"])
    except (KeyError, SpecError) as error:
        raise ValueError(f"run.json of {parcel.name}: {error}") from None
    if run.id != parcel.id:
        raise ValueError(f"{parcel.name} holds the run {run.id}")
    if (RESULT in files) != (parcel.state == "done"):
        raise ValueError(f"{parcel.name} is said to be {parcel.state}, and its files say otherwise")
    if parcel.state == "done" and json.loads(files[RESULT])["id"] != run.id:
        raise ValueError(f"result.json of {parcel.name} is of another run")
    if CHECKPOINT in files:
        _check_checkpoint(parcel)


def _check_checkpoint(parcel: Parcel) -> None:
    try:
        state = _state_of(parcel.id, parcel.files[CHECKPOINT])
        if state["step"] != parcel.step:
            raise ValueError(f"it is of step {state['step']:,}, not {parcel.step:,}")
        if parcel.state == "done":
            _check_weights(parcel.files, state)
    except ValueError as error:
        raise ValueError(f"{CHECKPOINT} of {parcel.name}: {error}") from None


def continues(later: Parcel, earlier: bytes) -> bool:
    """Whether a run's checkpoint goes on from this earlier one: the same curve to the bit, as far as that goes."""
    try:
        before = checkpoint.loads(earlier)["curve"]
        return bool(checkpoint.loads(later.files[CHECKPOINT])["curve"][: len(before)] == before)
    except (ValueError, KeyError):
        return False  # damaged, or none arrives: what is here is not replaced
