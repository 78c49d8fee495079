"""Repeats a published run, to check whether its result is reproduced."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bench.launch.local import Inline
from bench.launch.plan import Item
from bench.launch.progress import display
from bench.launch.runner import Runner
from bench.launch.worker import HearingStop
from bench.spec import Run
from bench.store import RunFolder, StoreError, make_folder


def rerun(run: Run, place: Path, data: Path) -> dict[str, Any] | None:
    """Trains `run` below `place` and returns its result with the digest of its data.

    None where it was stopped; the same call then resumes it. An earlier result there is deleted first. Raises
    StoreError where the run fails.
    """
    folder = RunFolder(place / run.id)
    if folder.result() is not None:
        shutil.rmtree(folder.path)
    make_folder(place)
    folder.create(run)
    todo = [Item(run, folder, folder.state(), None)]
    with HearingStop() as stop:
        Runner(Inline(data, stop), stop, display(todo)).run(todo)
    error = folder.error()
    if error is not None:
        raise StoreError(f"{run.id} failed: {error['message']}; see {folder.path}")
    result, env = folder.result(), folder.env()
    return {**result, "data_sha256": env["data_sha256"]} if result and env else None
