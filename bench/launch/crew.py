"""A crew: one process that trains several runs on one device, a step of each in turn.

Small nets leave most of a GPU idle, and processes that share one take turns on it; several streams of one process fill
it. On a CPU a crew gains nothing and gives each run the bits that it has alone, which is how crews are tested.

A run that diverges, raises, or finds the disk full or no memory fails alone. What ends the process, an error of the
device or a kill -9, ends all of them: the runner restarts them from their checkpoints, fewer at once, until the one
that causes it is alone.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.launch.local import Executor, worker_environment
from bench.launch.plan import Item
from bench.launch.worker import ChildStop, working
from bench.machine import allocator_settings, device_tokens, tolerate_ascii
from bench.nets.counts import multiply_adds_of
from bench.spec import Run, counted
from bench.store import RunFolder, StoreError, make_folder, open_log

DEEP = 110  # layers from which on a net's kernels go first: the longest runs decide when all have ended
QUEUES = {"CUDA_DEVICE_MAX_CONNECTIONS": "32"}  # else streams beyond the eighth wait for each other
IDLE_SECONDS = 1e-4
LOOK_SECONDS = 0.1
END_SECONDS = 60.0
DEVICE_LOST = 20  # exit code
SPAWN = multiprocessing.get_context("spawn")  # CUDA does not survive a fork


class Crew:
    """Runs that train in this process, each in its own slot (bench.train.turns.Slot), until `stop`."""

    def __init__(self, data: Path, stop: Callable[[], bool]) -> None:
        self.data, self.stop = data, stop
        self._at_work: list[tuple[RunFolder, Any, Any]] = []  # with its slot and its work
        self._free: dict[bool, list[Any]] = {True: [], False: []}  # slots, by whether they are urgent

    def __len__(self) -> int:
        return len(self._at_work)

    def take(self, folder: RunFolder, stop: Callable[[], bool] | None = None) -> None:
        """Starts or resumes the run. stop: the run's own, in place of the crew's."""
        from bench.train.turns import Slot  # torch comes with the first run

        urgent = _is_deep(folder)
        slot = self._free[urgent].pop() if self._free[urgent] else Slot(urgent=urgent)
        self._at_work.append((folder, slot, working(folder, self.data, stop or self.stop, crew=True)))

    def turn(self) -> Iterator[RunFolder]:
        """A step of each run that would not have to wait for the device; yields the runs that end with it.

        Raises an error that has lost the device.
        """
        ready = [each for each in self._at_work if each[1].can_run()]
        for folder, slot, work in ready:
            if self._ends(folder, slot, work):
                self._at_work = [each for each in self._at_work if each[1] is not slot]
                self._free[slot.urgent].append(slot)
                slot.free_memory()
                yield folder
        if not ready:
            time.sleep(IDLE_SECONDS)

    @staticmethod
    def _ends(folder: RunFolder, slot: Any, work: Any) -> bool:
        from bench.train.turns import device_is_lost

        try:
            slot.turn(work)
        except StopIteration:
            return True
        except Exception:  # such as a file system that is gone: treated as if its process had died
            if device_is_lost():
                raise
            print(f"{folder.path.name}: {traceback.format_exc()}", file=sys.stderr, flush=True)
            return True
        return False


def _is_deep(folder: RunFolder) -> bool:
    with suppress(StoreError):  # the run itself will report it
        return folder.run().net.depth >= DEEP
    return False


@dataclass
class Member:
    """A crew's process as the runner sees it, the connection to it, and its runs."""

    device: str
    process: Any
    line: Connection
    runs: dict[str, RunFolder] = field(default_factory=dict)


def longest_first(items: Sequence[Item]) -> list[Item]:
    """Seed by seed, the runs with the most to compute first, so that none of them is left to train alone at the end."""
    return sorted(items, key=lambda item: (item.run.seed, -item.run.recipe.steps * multiply_adds_of(item.run)))


class Crews(Executor):
    """A crew on each CUDA device, or one on the CPU. As a context it ends them.

    A crew whose process dies is restarted with the next runs, for half as many at once.
    """

    def __init__(
        self,
        data: Path,
        slots: int,
        deadline: float | None,
        logs: Path,
        devices: Sequence[str] | None = None,
        name: str = "crew",
        say: Callable[[str], object] = print,
    ) -> None:
        """slots: runs at once, divided among the devices. logs: the folder of the crews' output, in files `name`-*.

        devices: as CUDA_VISIBLE_DEVICES spells them (default: all that this process has). `say` gets a line for each
        crew that dies.
        """
        self.data, self.deadline, self.logs, self.name, self.say = data, deadline, make_folder(logs), name, say
        tokens = tuple(device_tokens() if devices is None else devices) or ("",)
        shares = {token: slots // len(tokens) + (place < slots % len(tokens)) for place, token in enumerate(tokens)}
        self.sizes = {token: share for token, share in shares.items() if share}
        self.slots = slots
        self.crowd: set[str] = set()
        self.members: dict[str, Member] = {}
        self._devices: dict[str, str] = {}  # where each run was last
        self._ended: list[RunFolder] = []
        self._stopping = False

    def __enter__(self) -> Crews:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members.values():
            member.line.close()  # its process ends when it has no runs left
            member.process.join(END_SECONDS)
            member.process.kill()  # where CUDA's shutdown hangs; a run that has not saved by now loses a minute at most

    def submit(self, runs: Sequence[tuple[Run, RunFolder]]) -> None:
        """Gives each run to the crew with the most free slots; starts that crew where it does not run."""
        for _, folder in runs:
            device = max(self.sizes, key=lambda token: self.sizes[token] - self._busy(token))
            member = self.members.get(device) or self._start(device)
            member.runs[folder.path.name] = folder
            self._devices[folder.path.name] = device
            self.crowd.discard(folder.path.name)
            with suppress(OSError):  # its process has just ended: `ended` handles that
                member.line.send(folder.path)

    def _busy(self, device: str) -> int:
        return len(self.members[device].runs) if device in self.members else 0

    def _start(self, device: str) -> Member:
        ours, its = SPAWN.Pipe()
        about = (its, self._log(device), self.data, self.deadline, device)
        process = SPAWN.Process(target=_process, args=about)  # no daemon: daemons may not start image loaders
        resource_tracker.ensure_running()  # started by `start`, it would unblock SIGINT
        with worker_environment({**allocator_settings(), **QUEUES}):
            process.start()
        its.close()
        self.members[device] = Member(device, process, ours)
        return self.members[device]

    def _log(self, device: str) -> Path:
        return self.logs / f"{self.name}-{device or 'cpu'}.log"

    def log(self, folder: RunFolder) -> Path:
        """The crew's: one file for all of its runs."""
        return self._log(self._devices[folder.path.name])

    def ended(self) -> list[RunFolder]:
        """The runs that have ended since the last call, including those of a crew that died."""
        for member in list(self.members.values()):
            alive = member.process.is_alive()  # first, so that its last messages are read
            with suppress(EOFError, OSError):
                while member.line.poll():
                    self._ended.append(member.runs.pop(member.line.recv()))
            if not alive:
                self._remove(member)
        ended, self._ended = self._ended, []
        return ended

    def _remove(self, member: Member) -> None:
        """Its process has ended."""
        del self.members[member.device]
        member.line.close()
        if member.runs and (code := member.process.exitcode):
            self.sizes[member.device] = max(1, self.sizes[member.device] // 2)
            self.slots = sum(self.sizes.values())
            if len(member.runs) > 1:
                self.crowd |= member.runs.keys()
            if not self._stopping:
                place = f"device {member.device}" if member.device else "the CPU"
                self.say(
                    f"the process that trained {counted(len(member.runs), 'run')} on {place} died ({exit_words(code)}),"
                    f" see {self._log(member.device)}; at most {self.sizes[member.device]} at once there from now on"
                )
        self._ended += member.runs.values()

    def stop(self) -> bool:
        """SIGTERM to each crew: every run writes its checkpoint."""
        self._stopping = True
        for member in self.members.values():
            member.process.terminate()
        return True

    def kill(self, runs: Collection[RunFolder]) -> None:
        """SIGKILL to each crew that trains no other runs than these."""
        for member in list(self.members.values()):
            if all(folder in runs for folder in list(member.runs.values())):
                member.process.kill()


def exit_words(code: int) -> str:
    """A process's exit code or signal in words."""
    perhaps = {-signal.SIGKILL: ": killed, perhaps for its memory", DEVICE_LOST: ": perhaps the device is lost"}
    return f"{'signal' if code < 0 else 'exit code'} {abs(code)}{perhaps.get(code, '')}"


def _process(line: Connection, log: Path, data: Path, deadline: float | None, device: str) -> None:
    """A crew's process: trains the runs that `line` names, and answers which have ended, until it is closed."""
    os.environ["CUDA_VISIBLE_DEVICES"] = device
    with open_log(log) as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    tolerate_ascii()
    with ChildStop(deadline) as stop:
        try:
            _serve(line, Crew(data, stop), stop)
        except Exception as error:
            print(f"bench: this process ends, perhaps for a lost device: {error!r}", file=sys.stderr, flush=True)
            os._exit(DEVICE_LOST)  # the usual end would wait for the device


def _serve(line: Connection, crew: Crew, stop: Callable[[], bool]) -> None:
    more = True
    while len(crew) or (more and not stop()):
        given: list[Path] = []
        try:
            while more and line.poll(0 if len(crew) or given else LOOK_SECONDS):
                given.append(line.recv())
        except (EOFError, OSError):
            more = False  # the runner has closed it
        for path in given:
            if stop():  # it is the runner's again: what is just about to begin must not
                line.send(path.name)
            else:
                crew.take(RunFolder(path))
        for folder in crew.turn():
            with suppress(OSError):
                line.send(folder.path.name)
