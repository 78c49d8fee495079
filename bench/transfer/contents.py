"""What of a run travels, and whether what has arrived is that run."""

from __future__ import annotations

import io
import json
import zipfile
from contextlib import suppress
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
    its next start needs. Raises StoreError for a folder that holds another run, or a checkpoint that cannot be used.
    """
    run, files, diverged = folder.run(), folder.contents(), folder.diverged()
    if run.id != folder.path.name:
        raise StoreError(f"{folder.path} holds the run {run.id}; move it away")
    sweep = folder.path.parent.name
    if RESULT in files:
        files.pop(CHECKPOINT, None)
        return Parcel(sweep, run.id, "done", int(json.loads(files[RESULT]).get("step", 0)), files)
    state = _state(run.id, files[CHECKPOINT], folder.checkpoint) if CHECKPOINT in files else {"step": 0}
    begun = CHECKPOINT in files or "error.json" in files or any(name.startswith("scores-") for name in files)
    if diverged:
        files.pop(CHECKPOINT, None)
    how_far = "diverged" if diverged else "begun" if begun else "pending"
    return Parcel(sweep, run.id, how_far, int(state["step"]), files)


def _state(run_id: str, content: bytes, where: object, result: bytes | None = None) -> dict[str, Any]:
    """The state in a checkpoint of this run. Raises StoreError, also where it has not the weights of the result."""
    try:
        _refuse_compressed(content)
        return checkpoint.of_run(content, run_id, json.loads(result)["weights_sha256"] if result else None)
    except ValueError as error:
        raise StoreError(f"{where}: {error}") from None


def _refuse_compressed(content: bytes) -> None:
    """Raises ValueError for a checkpoint that grows when it is read, by a thousand times: torch compresses nothing."""
    with suppress(zipfile.BadZipFile, NotImplementedError), zipfile.ZipFile(io.BytesIO(content)) as parts:
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts.infolist()):
            raise ValueError("it is compressed, as no checkpoint of torch's is")


def with_weights(parcel: Parcel, folder: RunFolder) -> Parcel | None:
    """The done run with its checkpoint, without the optimizer's part; None where it has none.

    Raises StoreError where that does not hold the weights of the result.
    """
    try:
        content = folder.checkpoint.read_bytes()
    except FileNotFoundError:
        return None
    try:
        light = checkpoint.finished(content, parcel.id, json.loads(parcel.files[RESULT])["weights_sha256"])
    except ValueError as error:
        raise StoreError(f"{folder.checkpoint}: {error}") from None
    return replace(parcel, files={CHECKPOINT: light, **parcel.files})


def check(parcel: Parcel) -> None:
    """Raises StoreError where the files of an arriving run are not of that run, or not as far as it says.

    A forged one may raise any of DAMAGE of `bench.transfer.archive`.
    """
    files, name, result = parcel.files, parcel.name, parcel.files.get(RESULT)
    try:
        run = run_from_json(files["run.json"])
    except SpecError as error:
        raise StoreError(f"run.json of {name}: {error}") from None
    if run.id != parcel.id:
        raise StoreError(f"{name} holds the run {run.id}")
    if (result is not None) != (parcel.state == "done"):
        raise StoreError(f"{name} is said to be {parcel.state}, and its files say otherwise")
    if result is not None and json.loads(result)["id"] != run.id:
        raise StoreError(f"result.json of {name} is of another run")
    if CHECKPOINT in files:
        where = f"{CHECKPOINT} of {name}"
        step = _state(parcel.id, files[CHECKPOINT], where, result)["step"]
        if step != parcel.step:
            raise StoreError(f"{where}: it is of step {step:,}, not {parcel.step:,}")


def continues(later: Parcel, earlier: bytes) -> bool:
    """Whether a run's checkpoint continues this earlier one: the same curve to the bit, as far as that goes."""
    try:
        before = checkpoint.loads(earlier)["curve"]
        return bool(checkpoint.loads(later.files[CHECKPOINT])["curve"][: len(before)] == before)
    except (ValueError, KeyError):
        return False  # damaged, or none arrives: what is here is not replaced
