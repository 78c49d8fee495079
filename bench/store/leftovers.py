"""What the folder of a sweep holds that no start needs any more, by kind: what `python -m bench clean` goes through.

Never results, run.json, curves, or the checkpoints of a run that is not done. Standard library only.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bench.store.lock import STALE_SECONDS
from bench.store.logs import starts
from bench.store.run_folder import RunFolder

LOGS = "logs of runs that are done"
STARTS = "logs of earlier starts of the others"
PREVIOUS = "their checkpoints before the last"
HALF = "files that killed processes left half-written"
ASIDE = "what was set aside"
WEIGHTS = "weights of runs that are done"
HALF_WRITTEN = re.compile(r"\.(?:.+\.tmp\d*|writable)")  # as atomic, beat and make_folder name their files


def of_run(folder: RunFolder) -> Iterator[tuple[str, Path]]:
    """Of a run that nobody trains, each file or folder with its kind."""
    logs, done = starts(folder.log), folder.result() is not None
    if done:
        yield from ((LOGS, path) for path in logs)
        yield from ((PREVIOUS, path) for path in (folder.previous, *folder.path.glob("scores-*.pt")))
        yield WEIGHTS, folder.checkpoint
    else:  # the last start, and the logs of Slurm's jobs, say why it ended
        yield from ((STARTS, path) for path in logs[:-1] if path.is_dir())
    yield from half_written(folder.path)
    yield from ((ASIDE, path) for path in folder.path.glob("checkpoint.pt.*-*"))


def of_sweep(sweep: Path, *, done: bool) -> Iterator[tuple[str, Path]]:
    """Beside the runs' folders. done: whether all runs are; else nobody may yet know what is in the common logs."""
    if done:
        yield from ((LOGS, path) for name in ("sweep.log*", "crew-*.log*") for path in sorted(sweep.glob(name)))
    yield from half_written(sweep)
    yield from ((ASIDE, path) for path in sorted((sweep / "aside").glob("*")))


def half_written(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files that no process will finish; younger ones may still be written."""
    for path in sorted(folder.glob(".*")):
        with suppress(OSError):
            if HALF_WRITTEN.fullmatch(path.name) and time.time() - path.lstat().st_mtime > STALE_SECONDS:
                yield HALF, path
