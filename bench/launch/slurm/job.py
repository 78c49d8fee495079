"""The job that Slurm runs: several runs of one sweep, one after another or side by side, each in its own process.

Runs side by side on one GPU are a crew (bench.launch.crew) instead. A pack keeps no state: whatever killed it, its next
start does what the run folders say is not done. A run that dies leaves the others alone. After a stop by signal the
pack asks Slurm for a requeue, as often as it takes.

A run of several processes has its own job, each of whose tasks is such a pack with one of the processes.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from bench.launch.crew import Crews, exit_words
from bench.launch.plan import Item
from bench.launch.progress import Lines
from bench.launch.runner import Runner
from bench.launch.slurm.commands import SlurmError, ask
from bench.launch.slurm.queue import records
from bench.launch.worker import ALONE, DEATHS, ChildStop, Seat, Stop, work_until
from bench.machine import device_tokens
from bench.store import KEPT_STARTS, RunFolder, StoreError, forget_starts, make_folder, open_log

TICK = 0.5
BUSY_SECONDS, BUSY_PATIENCE = 2.0, 600.0  # between looks at a run that another process holds, and in all
WORDS = {10: "done", 11: "failed", 12: "stopped", 13: "busy", 14: "lost"}  # a child's exit code: what `work` returned
FORK = multiprocessing.get_context("fork")  # torch is imported once for all runs
BEGINS = re.compile(r"^(?:bench:|\d\d:\d\d:\d\d ) (\S+?):? starts \(", re.MULTILINE)  # in a pack's output


@dataclass(frozen=True)
class Pack:
    """The runs `names` below `sweep`, at most `at_once` side by side. submitit calls it in each task of the job.

    tasks: of the job, `tasks_per_node` on each node; several of them train one run together.
    crew: whether all runs train in one process.
    """

    sweep: Path
    names: tuple[str, ...]
    data: Path
    at_once: int = 1
    deadline: float | None = None
    tasks: int = 1
    tasks_per_node: int = 1
    crew: bool = False

    def __call__(self) -> dict[str, str]:
        """Runs the runs that are not done; returns the state of each."""
        seat = seat_of_task(self.tasks)
        if self.tasks > 1:
            share_devices(self.tasks_per_node)
        if seat.rank == 0:
            _clear_leftovers()
        with Stop(self.deadline) as stop:  # our handlers in place of submitit's
            folders = [RunFolder(self.sweep / name) for name in self.names]
            if self.crew:
                self._run_crew(folders, stop)
            else:
                Processes(deque(folders), self.data, self.at_once, stop, seat).run()
            if self.tasks > 1 and seat.rank == 0:
                with suppress(StoreError):
                    folders[0].rendezvous(seat.start).end()  # the others need not wait for it any more
            states = {folder.path.name: folder.state() for folder in folders}
            ended = set(states.values()) <= {"done", "failed"}
            if seat.rank == 0 and stop.signal and not stop.late and not ended:
                requeue()
        return states

    def _run_crew(self, folders: Sequence[RunFolder], stop: Stop) -> None:
        items = [Item(folder.run(), folder, folder.state(), None) for folder in folders if _can_be_read(folder)]
        todo = [item for item in items if item.state not in ("done", "failed")]
        logs = Path(os.environ.get("SUBMITIT_FOLDER") or self.sweep)
        shown = Lines(todo)
        # by the job's name: the jobs of an array share the folder, and each has a device 0
        with Crews(self.data, self.at_once, self.deadline, logs, name=f"{job_id()}_crew", say=shown.say) as executor:
            Runner(executor, stop, shown, BUSY_PATIENCE, named=len(todo)).run(todo)  # `begun` reads them all

    def checkpoint(self) -> Any:
        """For a signal before `__call__` has set its handlers: submitit restarts the same pack."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass
class Processes:
    """Trains the runs of a pack, each in its own process."""

    waiting: deque[RunFolder]
    data: Path
    at_once: int
    stop: Stop
    seat: Seat = ALONE
    children: dict[Any, tuple[RunFolder, Any]] = field(default_factory=dict)  # by sentinel
    deaths: Counter[str] = field(default_factory=Counter)
    progress: dict[str, int] = field(default_factory=dict)
    busy_since: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Returns when all runs have ended, or have stopped with a checkpoint."""
        import bench.tasks.training  # noqa: F401 - once, before the forks

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
            if state == "running" and self.seat.rank == 0:
                self._wait_for(folder)
            elif state not in ("done", "failed"):
                self._start(folder)
        if self.waiting and not self.children:
            time.sleep(BUSY_SECONDS)  # other processes hold all of them

    def _wait_for(self, folder: RunFolder) -> None:
        """Tries a run later, for a while, that another process holds, such as this job's orphan on a lost node."""
        since = self.busy_since.setdefault(folder.path.name, time.monotonic())
        if time.monotonic() - since < BUSY_PATIENCE:
            self.waiting.append(folder)
        else:
            print(f"bench: {folder.path.name}: left to the process that holds it", flush=True)

    def _start(self, folder: RunFolder) -> None:
        name = folder.path.name
        self.busy_since.pop(name, None)
        self.progress[name] = folder.mark()
        child = FORK.Process(target=_child, args=(folder, self.data, self.stop.deadline, self.seat))
        child.start()
        self.children[child.sentinel] = (folder, child)
        print(f"bench: {name} starts ({folder.state()}) as process {child.pid}", flush=True)

    def _ended(self, folder: RunFolder, code: int) -> None:
        name = folder.path.name
        word = WORDS.get(code)
        print(f"bench: {name}: {word or f'died ({_words(code)})'}", flush=True)
        if word in ("stopped", "busy"):
            self.waiting.append(folder)
        elif word in (None, "lost"):
            self._died(folder, code)
        if word == "stopped" and self.seat.size > 1:
            self.stop.ask()  # perhaps only another task got the signal: it will not restart

    def _died(self, folder: RunFolder, code: int) -> None:
        """Restarts it from its checkpoint; after some deaths in a row without a new checkpoint it fails."""
        name = folder.path.name
        self.deaths[name] = self.deaths[name] + 1 if folder.mark() == self.progress[name] else 1
        if self.deaths[name] <= DEATHS:
            self.waiting.append(folder)
            return
        if self.seat.rank:
            return  # the first process writes the error
        message = (
            f"its process died {self.deaths[name]} times without a new checkpoint ({_words(code)}); "
            f"see {log_of(folder, self.seat)}"
        )
        with suppress(StoreError):
            folder.fail(message, retry=True)


def begun(output: str) -> frozenset[str]:
    """The runs that a pack has started, as its output says, whether one by one or in a crew."""
    return frozenset(BEGINS.findall(output))


def _can_be_read(folder: RunFolder) -> bool:
    try:
        folder.run()
    except StoreError as error:
        with suppress(StoreError):
            folder.fail(str(error), retry=True)
        return False
    return True


def job_id() -> str:
    """This job's id for Slurm's commands: in an array `A_a`, as the number alone can mean the whole array."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def seat_of_task(tasks: int) -> Seat:
    """This task's rank among the job's; each requeue is another start."""
    if tasks == 1:
        return ALONE
    start = f"{job_id()}.{os.environ.get('SLURM_RESTART_COUNT', '0')}"
    return Seat(int(os.environ["SLURM_PROCID"]), tasks, start)


def share_devices(tasks_per_node: int) -> None:
    """Gives this task its part of the node's CUDA devices; all that it sees where Slurm has divided them."""
    tokens, local = device_tokens(), int(os.environ["SLURM_LOCALID"])
    if share := len(tokens) // tasks_per_node:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(tokens[local * share : (local + 1) * share])


def log_of(folder: RunFolder, seat: Seat = ALONE) -> Path:
    """The file of this job's output for the run, one for each of its processes."""
    return folder.log / (f"{job_id()}_{seat.rank}_log.out" if seat.rank else f"{job_id()}_log.out")


def requeue() -> None:
    """Asks for a requeue, unless Slurm itself is ending the job: that would revive a job that is being cancelled."""
    for pause in (1, 2, 4, 8, 16, 32):
        try:
            state = next((job.state for job in records(job_id())), "")
            if state == "RUNNING":
                ask("scontrol", "requeue", job_id())
            print(f"bench: the job was {state or 'gone'}" + ("; requeued" if state == "RUNNING" else ""), flush=True)
            return
        except SlurmError as error:
            print(f"bench: {error}; again in {pause} s", file=sys.stderr, flush=True)
            time.sleep(pause)


def _child(folder: RunFolder, data: Path, deadline: float | None, seat: Seat) -> None:
    """A process that runs one run to its end, with its own log; the exit code is the outcome."""
    make_folder(folder.log)
    if seat.rank == 0:
        forget_starts(folder.log, KEPT_STARTS * seat.size)
    with open_log(log_of(folder, seat)) as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    with ChildStop(deadline) as stop:
        word = work_until(folder.path, data, stop, seat)
    sys.exit(next(code for code, meant in WORDS.items() if meant == word))


def _words(code: int) -> str:
    if WORDS.get(code) == "lost":
        return "another process of the run was lost"
    return exit_words(code) + (": raise memory_gib in the profile" if code == -signal.SIGKILL else "")


def _clear_leftovers() -> None:
    """Removes files that a killed start of this job left half-written: submitit would refuse to write them again."""
    folder = os.environ.get("SUBMITIT_FOLDER")
    for leftover in Path(folder).glob(f"{job_id()}_*.save_tmp") if folder else ():
        leftover.unlink(missing_ok=True)
