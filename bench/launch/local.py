"""Where runs run: in this process, or as jobs of submitit's local executor under a queue of our own."""

from __future__ import annotations

import os
import signal
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.launch.worker import HearingStop, work, work_until
from bench.machine import allocator_settings, device_tokens
from bench.spec import Run
from bench.store import RunFolder, forget_starts, make_private

YEAR_MINUTES = 60 * 24 * 365


class Executor(ABC):
    """Starts runs and says which have ended; their outcome is in their folders.

    slots: the most runs at once. crowd: runs that died with others in one process, perhaps by another's fault.
    withdrawn: runs whose job the user took away: the next start resumes them. verb: what a submitted run does.
    follows_stop: whether runs stop with this process; else `stop` says what becomes of them.
    """

    verb = "starts"
    follows_stop = True
    slots = 1
    crowd: Collection[str] = ()
    withdrawn: Collection[str] = ()

    @abstractmethod
    def submit(self, runs: Sequence[tuple[Run, RunFolder]]) -> None:
        """Starts the runs, of which never more than `slots` are running."""

    @abstractmethod
    def ended(self) -> list[RunFolder]:
        """The runs that have ended since the last call."""

    def stop(self) -> bool:
        """Asks all runs to write a checkpoint and end. False where they continue without this process instead."""
        return True

    def kill(self, runs: Collection[RunFolder]) -> None:  # noqa: B027 - jobs of a cluster end by themselves
        """Ends these runs at once, where it can; their last checkpoints stay. Called from another thread."""

    def log(self, folder: RunFolder) -> Path:
        """Where a run's output goes: a file, or a folder of files."""
        return folder.log

    def why(self, folder: RunFolder) -> str | None:  # noqa: ARG002 - for executors that know more
        """What a run of the last `ended` died of, which left no word itself; None where it had not begun."""
        return "killed, no memory, full disk"


class Inline(Executor):
    """One run after another in this process: `ended` runs what was submitted to its end, or until `stop`."""

    def __init__(self, data: Path, stop: HearingStop) -> None:
        self.data, self.halt = data, stop
        self._submitted: list[RunFolder] = []
        self._at_work: RunFolder | None = None
        self._killed = False

    def submit(self, runs: Sequence[tuple[Run, RunFolder]]) -> None:
        """Leaves them to the next `ended`."""
        self._submitted += [folder for _, folder in runs]

    def ended(self) -> list[RunFolder]:
        """The runs of the last `submit`; returns when they have ended."""
        ended, self._submitted = self._submitted, []
        for folder in ended:
            self._at_work = folder
            try:
                work_until(folder.path, self.data, self.halt)
            except KeyboardInterrupt:
                if not self._killed:
                    raise
            finally:
                self._at_work = None
        return ended

    def kill(self, runs: Collection[RunFolder]) -> None:
        """Interrupts the main thread, where it trains one of them."""
        if self._at_work in runs and not self._killed:
            self._killed = True
            self.halt.interrupt()


class Local(Executor):
    """Jobs of submitit's local executor, at most `slots` at once, spread over the CUDA devices where there are any.

    submitit's own executor starts everything at once, and everything on device 0. Runs share a device where there are
    more slots than devices.
    """

    def __init__(self, data: Path, slots: int, deadline: float | None) -> None:
        self.data, self.slots, self.deadline = data, slots, deadline
        self._jobs: dict[Path, tuple[RunFolder, Any, tuple[str, ...]]] = {}
        self._load = Counter(dict.fromkeys(device_tokens(), 0))  # runs on each device

    def submit(self, runs: Sequence[tuple[Run, RunFolder]]) -> None:
        """Starts each run as a process; its output goes to the run's log folder."""
        import submitit

        for run, folder in runs:
            forget_starts(folder.log)
            # job ids are pids, which are reused: in a folder of its own no old job's pickle is taken for this one's
            executor = submitit.LocalExecutor(make_private(folder.log / uuid.uuid4().hex[:8]))
            executor.update_parameters(timeout_min=YEAR_MINUTES, tasks_per_node=1)
            devices = self._take_devices(run.resources.gpus)
            with worker_environment(allocator_settings()):
                job = executor.submit(work, folder.path, self.data, self.deadline, devices)
            self._jobs[folder.path] = (folder, job, devices)

    def _take_devices(self, count: int) -> tuple[str, ...]:
        """Those with the fewest runs."""
        devices = tuple(sorted(self._load, key=self._load.__getitem__)[:count])
        self._load.update(devices)
        return devices

    def ended(self) -> list[RunFolder]:
        """The runs whose process has ended."""
        ended = [one for one in self._jobs.values() if one[1].done()]
        for folder, _, devices in ended:
            del self._jobs[folder.path]
            self._load.subtract(devices)
        return [folder for folder, _, _ in ended]

    def stop(self) -> bool:
        """SIGTERM to each job's controller, which passes it on to the run."""
        for _, job, _ in self._jobs.values():
            with suppress(ProcessLookupError):
                os.kill(int(job.job_id), signal.SIGTERM)
        return True

    def kill(self, runs: Collection[RunFolder]) -> None:
        """SIGKILL to each run's process; its controller then ends."""
        for folder, job, _ in list(self._jobs.values()):
            if folder in runs:
                for process in _children(int(job.job_id)) or [int(job.job_id)]:
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)


def _children(process: int) -> list[int]:
    """Its child processes, where the system says."""
    try:
        return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


@contextmanager
def worker_environment(values: Mapping[str, str]) -> Iterator[None]:
    """A process started inside inherits these variables, and a blocked SIGINT.

    A Ctrl-C is for the runner alone, which then sends SIGTERM.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with environment(values):
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Sets these environment variables, removes those that are None, and restores all at the end."""
    before = {name: os.environ.pop(name) for name in values if name in os.environ}
    os.environ.update({name: value for name, value in values.items() if value is not None})
    try:
        yield
    finally:
        for name in values:
            os.environ.pop(name, None)
        os.environ.update(before)
