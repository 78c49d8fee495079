"""What a task gets besides its Run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.store import RunFolder
from bench.train.process_group import ALONE, ProcessGroup


@dataclass(frozen=True, slots=True)
class Job:
    """A run's folder, the folder of the data sets, what stops it, and its processes.

    Only the first process reads and writes the folder.
    """

    folder: RunFolder
    data: Path
    should_stop: Callable[[], bool]
    processes: ProcessGroup = ALONE
