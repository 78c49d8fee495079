"""Repeats a published run, to check whether its result is reproduced."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.launch.local import Inline
from bench.launch.plan import Item
from bench.launch.progress import display
from bench.launch.runner import Runner
from bench.launch.worker import HearingStop
from bench.spec import Run
from bench.store import RunFolder, StoreError, make_folder


def rerun(run: Run, place: Path, data: Path) -> bool:
    """Trains `run` in a folder of its name below `place`; whether it is done.

    Where it was stopped the same call resumes it. An earlier result there is deleted first. Raises StoreError where the
    run fails.
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
    return folder.result() is not None
