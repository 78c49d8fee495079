"""The job that Slurm runs: several runs of one sweep, one after another or side by side, each in its own process.

A pack knows nothing but the run folders: whatever killed it, its next start does what is not done. A run that dies
does not take the others with it. After a stop by signal the pack asks Slurm for another turn, as often as it takes.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from bench.launch.worker import DEATHS, Stop, work_until
from bench.store import RunFolder, StoreError, make_folder

TICK = 0.5
BUSY_SECONDS, BUSY_PATIENCE = 2.0, 600.0  # how often to look at a run that another process has, and how long
WORDS = {10: "done", 11: "failed", 12: "stopped", 13: "busy"}  # a child's exit code for what `work` said
FORK = multiprocessing.get_context("fork")  # torch is imported once, each run is a fork of that


@dataclass(frozen=True)
class Pack:
    """The runs `names` below `sweep`, at most `at_once` side by side. submitit calls it in the job."""

    sweep: Path
    names: tuple[str, ...]
    data: Path
    at_once: int = 1
    deadline: float | None = None

    def __call__(self) -> dict[str, str]:
        """Runs what is not done; returns the state of each run."""
        _clear_leftovers()
        with Stop(self.deadline) as stop:  # our handlers in place of submitit's
            folders = [RunFolder(self.sweep / name) for name in self.names]
            Crew(deque(folders), self.data, self.at_once, stop).run()
            states = {folder.path.name: folder.state() for folder in folders}
            if stop.signal and not stop.late and not set(states.values()) <= {"done", "failed"}:
                requeue()
        return states

    def checkpoint(self) -> Any:
        """For a signal that comes before `__call__` has its own handlers: submitit starts the same pack again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass
class Crew:
    """The processes of a pack."""

    waiting: deque[RunFolder]
    data: Path
    at_once: int
    stop: Stop
    children: dict[Any, tuple[RunFolder, Any]] = field(default_factory=dict)  # by sentinel
    deaths: Counter[str] = field(default_factory=Counter)
    progress: dict[str, int] = field(default_factory=dict)
    busy_since: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Returns when all that can be run has ended, or has stopped with its checkpoint written."""
        import bench.tasks.classify  # noqa: F401 - once, before the forks

        while (self.waiting and not self.stop()) or self.children:
            if self.stop():
                for _, child in self.children.values():
                    child.terminate()
            else:
                self._start_what_fits()
            for sentinel in wait(list(self.children), TICK):
                folder, child = self.children.pop(sentinel)
                child.join()
                self._ended(folder, child.exitcode)

    def _start_what_fits(self) -> None:
        for _ in range(len(self.waiting)):
            if len(self.children) >= self.at_once:
                return
            folder = self.waiting.popleft()
            state = folder.state()
            if state == "running":
                self._wait_for(folder)
            elif state not in ("done", "failed"):
                self._start(folder)
        if self.waiting and not self.children:
            time.sleep(BUSY_SECONDS)  # nothing but runs that others have

    def _wait_for(self, folder: RunFolder) -> None:
        """Another process has it, such as this job's own orphan on a lost node: later, but not for ever."""
        since = self.busy_since.setdefault(folder.path.name, time.monotonic())
        if time.monotonic() - since < BUSY_PATIENCE:
            self.waiting.append(folder)
        else:
            print(f"bench: {folder.path.name} is left to the process that runs it", flush=True)

    def _start(self, folder: RunFolder) -> None:
        name = folder.path.name
        self.busy_since.pop(name, None)
        self.progress[name] = _mark(folder)
        child = FORK.Process(target=_child, args=(folder, self.data, self.stop.deadline))
        child.start()
        self.children[child.sentinel] = (folder, child)
        print(f"bench: {name} starts ({folder.state()}) as process {child.pid}", flush=True)

    def _ended(self, folder: RunFolder, code: int) -> None:
        name = folder.path.name
        word = WORDS.get(code)
        print(f"bench: {name}: {word or f'died ({_words(code)})'}", flush=True)
        if word in ("stopped", "busy"):
            self.waiting.append(folder)
        elif word is None:
            self._died(folder, code)

    def _died(self, folder: RunFolder, code: int) -> None:
        """Again from its checkpoint; after some deaths in a row without a new checkpoint it is given up."""
        name = folder.path.name
        self.deaths[name] = self.deaths[name] + 1 if _mark(folder) == self.progress[name] else 1
        if self.deaths[name] <= DEATHS:
            self.waiting.append(folder)
            return
        message = (
            f"its process died {self.deaths[name]} times without getting on ({_words(code)}); see {log_of(folder)}"
        )
        with suppress(StoreError):
            folder.fail(message, retry=True)


class ChildStop(Stop):
    """Stops when the pack is gone too: an orphan would hold its run where nobody sees it."""

    def __init__(self, deadline: float | None = None) -> None:
        super().__init__(deadline)
        self.parent = os.getppid()

    def __call__(self) -> bool:
        """Whether to stop."""
        return super().__call__() or os.getppid() != self.parent


def job_id() -> str:
    """This job as Slurm's commands want it: of an array `A_a`, since the number alone can mean the whole array."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def log_of(folder: RunFolder) -> Path:
    """Where this job's run writes its output."""
    return folder.log / f"{job_id()}_log.out"


def requeue() -> None:
    """Asks for another turn, unless Slurm itself is taking the job away: it then knows what it wants.

    A requeue of a job that is being cancelled would bring it back to life.
    """
    for pause in (1, 2, 4, 8, 16, 32):
        try:
            state = _slurm("squeue", "--noheader", "--jobs", job_id(), "--format=%T")
            if state == "RUNNING":
                _slurm("scontrol", "requeue", job_id())
            print(f"bench: the job was {state or 'gone'}" + ("; requeued" if state == "RUNNING" else ""), flush=True)
            return
        except (OSError, subprocess.SubprocessError) as error:
            print(f"bench: {error}; again in {pause} s", file=sys.stderr, flush=True)
            time.sleep(pause)


def _slurm(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def _child(folder: RunFolder, data: Path, deadline: float | None) -> None:
    """One run to its end, in a process of its own with its own log; the exit code says what became of it."""
    log = make_folder(folder.log) / log_of(folder).name
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    with ChildStop(deadline) as stop:
        word = work_until(folder.path, data, stop)
    sys.exit(next(code for code, meant in WORDS.items() if meant == word))


def _mark(folder: RunFolder) -> int:
    """Another number after each new checkpoint."""
    try:
        return folder.checkpoint.stat().st_mtime_ns
    except OSError:
        return 0


def _words(code: int) -> str:
    if code == -9:
        return "signal 9: killed, perhaps for its memory"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _clear_leftovers() -> None:
    """Files that a killed start of this job left half-written: submitit would refuse to write them again."""
    folder = os.environ.get("SUBMITIT_FOLDER")
    for leftover in Path(folder).glob(f"{job_id()}_*.save_tmp") if folder else ():
        leftover.unlink(missing_ok=True)
