"""Jobs that wait for no good reason: Slurm holds them, or puts them off, or can never start them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from bench.launch.slurm.commands import NEVER, SlurmError, ask
from bench.launch.slurm.fate import log_of
from bench.launch.slurm.queue import Job

HELD = "launch failed requeued held"  # squeue's reason


class Waiting:
    """The jobs of the sweep in this folder that wait. `say` gets lines on them."""

    def __init__(self, sweep: Path, say: Callable[[str], None]) -> None:
        self.sweep, self.say = sweep, say
        self._stuck: set[tuple[str, str]] = set()  # arrays that can never start, with the reason
        self._released: dict[str, float] = {}
        self._hastened: set[str] = set()

    def look(self, jobs: Collection[Job]) -> None:
        """Does for each of the queue's jobs what helps it, or says what would."""
        self._release_held(jobs)
        self._start_requeued(jobs)
        self._say_stuck(jobs)

    def _release_held(self, jobs: Collection[Job]) -> None:
        """Releases jobs, at most once a minute, that Slurm holds for ever after a failed start on a bad node."""
        now = time.monotonic()
        for job in jobs:
            if job.reason == HELD and now - self._released.get(job.id, -60.0) >= 60:
                self._released[job.id] = now
                self.say(f"slurm: job {job.id} is held ({job.reason}); it is released")
                with suppress(SlurmError):
                    ask("scontrol", "release", job.id)

    def _start_requeued(self, jobs: Collection[Job]) -> None:
        """Starts jobs that were requeued: Slurm lets each wait for two minutes. One that has not begun is as asked."""
        self._hastened -= {job.id for job in jobs if job.state == "RUNNING"}
        late = {job.id for job in jobs if job.reason == "BeginTime" and log_of(self.sweep, job).exists()}
        if late := late - self._hastened:
            self._hastened |= late  # once, also where that is refused: the user may put one off after that
            with suppress(SlurmError):
                ask("scontrol", "update", f"JobId={','.join(sorted(late))}", "StartTime=now")

    def _say_stuck(self, jobs: Collection[Job]) -> None:
        """Says once of each array that it can never start."""
        for job in jobs:
            found = (job.name, job.reason)
            if NEVER.fullmatch(job.reason) and found not in self._stuck:
                self._stuck.add(found)
                self.say(
                    f"slurm: job {job.id} can never start as it is: {job.reason}; `python -m bench cancel "
                    f"{self.sweep.name}` cancels it, then start with another profile"
                )
