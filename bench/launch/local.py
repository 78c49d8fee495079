"""Where runs run: in this process, or as jobs of submitit's local executor under a queue of our own."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from bench.launch.worker import Stop, work, work_until
from bench.machine import allocator_settings, device_tokens
from bench.spec import Resources, Run
from bench.store import RunFolder, make_folder

YEAR_MINUTES = 60 * 24 * 365


class Executor(Protocol):
    """Starts runs and says which have ended; what became of them is in their folders."""

    verb: str  # what a submitted run does: it starts, or goes to a queue

    @property
    def slots(self) -> int:
        """So many runs may be under way at once."""

    @property
    def crowd(self) -> Collection[str]:
        """Runs that died with others in one process: perhaps of another's doing."""

    def submit(self, runs: Sequence[tuple[Run, RunFolder]]) -> None:
        """Starts the runs. Never more than `slots` are under way."""

    def ended(self) -> list[RunFolder]:
        """The runs that have ended since the last call."""

    def stop(self) -> bool:
        """Asks all that is under way to write a checkpoint and end. False where it goes on without us instead."""

    def log(self, folder: RunFolder) -> Path:
        """Where a run's output goes: a file, or a folder of files."""


class Inline:
    """One run after another in this process."""

    slots, crowd = 1, ()
    verb = "starts"

    def __init__(self, data: Path, stop: Stop) -> None:
        self.data, self.halt = data, stop
        self._ended: list[RunFolder] = []

    def submit(self, runs: Sequence[tuple[Run, RunFolder]]) -> None:
        """Runs them to their end before it returns."""
        for _, folder in runs:
            work_until(folder.path, self.data, self.halt)
            self._ended.append(folder)

    def ended(self) -> list[RunFolder]:
        """What the last `submit` ran."""
        ended, self._ended = self._ended, []
        return ended

    def stop(self) -> bool:
        """Nothing to ask: `submit` has returned."""
        return True

    def log(self, folder: RunFolder) -> Path:
        """Where it would go if the runs were processes."""
        return folder.log


class Local:
    """Jobs of submitit's local executor, at most `slots` at once, spread over the CUDA devices where there are any.

    submitit's own executor starts everything at once, and everything on device 0. Runs share a device where `slots` are
    more than the devices.
    """

    verb, crowd = "starts", ()

    def __init__(self, data: Path, slots: int, deadline: float | None) -> None:
        self.data, self.slots, self.deadline = data, slots, deadline
        self._jobs: dict[Path, tuple[RunFolder, Any, tuple[str, ...]]] = {}
        self._load = dict.fromkeys(device_tokens(), 0)  # runs on each device

    def submit(self, runs: Sequence[tuple[Run, RunFolder]]) -> None:
        """Starts each run as a process of its own; its output goes to the run's log folder."""
        for run, folder in runs:
            self._submit(run, folder)

    def _submit(self, run: Run, folder: RunFolder) -> None:
        import submitit

        # job ids are pids, which come again: a folder of its own keeps an old job's pickle from being read as ours
        executor = submitit.LocalExecutor(make_folder(folder.log / uuid.uuid4().hex[:8]))
        devices = self._take_devices(run.resources)
        executor.update_parameters(timeout_min=YEAR_MINUTES, tasks_per_node=1)
        # a Ctrl-C is for the runner, which then asks each job by SIGTERM: a blocked SIGINT is inherited by the job
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with environment(allocator_settings()):
                job = executor.submit(work, folder.path, self.data, self.deadline, devices)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._jobs[folder.path] = (folder, job, devices)

    def _take_devices(self, resources: Resources) -> tuple[str, ...]:
        taken = tuple(sorted(self._load, key=self._load.__getitem__)[: resources.gpus])
        for device in taken:
            self._load[device] += 1
        return taken

    def ended(self) -> list[RunFolder]:
        """The runs whose process is gone."""
        over = [path for path, (_, job, _) in self._jobs.items() if job.done()]
        ended = []
        for path in over:
            folder, _, devices = self._jobs.pop(path)
            for device in devices:
                self._load[device] -= 1
            ended.append(folder)
        return ended

    def stop(self) -> bool:
        """SIGTERM to each job's controller, which passes it on to the run."""
        for _, job, _ in self._jobs.values():
            with suppress(ProcessLookupError):
                os.kill(int(job.job_id), signal.SIGTERM)
        return True

    def log(self, folder: RunFolder) -> Path:
        """See Executor."""
        return folder.log


@contextmanager
def environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """These in the environment that a new process inherits, without those that are None; as before afterwards."""
    before = {name: os.environ.get(name) for name in values}
    _put(values)
    try:
        yield
    finally:
        _put(before)


def _put(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
