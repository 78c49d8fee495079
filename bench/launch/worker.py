"""What runs in a job: one run folder, taken under its lock, to its end or to its next stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from bench.data.locate import DataError
from bench.machine import missing
from bench.spec import task_of
from bench.store import BusyError, RunFolder, StoreError

DEATHS = 3  # silent ends of one run's process (kill -9, out of memory) before it is given up
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True, slots=True)
class Seat:
    """This process's place among the `size` that train one run. start: what only they share, a job's one start."""

    rank: int = 0
    size: int = 1
    start: str = ""


ALONE = Seat()


class Stop:
    """True once a signal asked to stop or the deadline has passed.

    As a context it takes SIGTERM, SIGINT (Ctrl-C), SIGHUP, SIGUSR1 and SIGUSR2, the signals by which Slurm, submitit
    and a terminal ask, and gives them back at its end; under nohup SIGHUP stays ignored. A second Ctrl-C interrupts at
    once.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline, self.signal = deadline, 0
        self._before: dict[int, signal.Handlers | Callable[[int, FrameType | None], object] | int | None] = {}

    def __call__(self) -> bool:
        """Whether to stop."""
        return bool(self.signal) or self.late

    def ask(self) -> None:
        """Stops as a SIGTERM would."""
        self.signal = signal.SIGTERM

    @property
    def late(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.time() >= self.deadline

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            taken = [number for number in STOPPING if number != signal.SIGHUP or not nohup]
            self._before = {number: signal.signal(number, self._take) for number in taken}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, _: FrameType | None) -> None:
        if self.signal == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.signal = number


class ChildStop(Stop):
    """Stops when the process that started this one is gone, too: an orphan would hold its run where nobody sees it."""

    def __init__(self, deadline: float | None = None) -> None:
        super().__init__(deadline)
        self.parent = os.getppid()

    def __call__(self) -> bool:
        """Whether to stop."""
        return super().__call__() or os.getppid() != self.parent


def work(folder: Path, data: Path, deadline: float | None = None, devices: tuple[str, ...] = ()) -> str:
    """Runs the run in `folder` until it is "done", "stopped", "failed", or finds it "busy" elsewhere.

    Nothing but a kill ends it without a word in the folder. deadline: seconds since the epoch. devices: the CUDA
    devices that it may use, as CUDA_VISIBLE_DEVICES spells them; set here, before torch is imported.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    with Stop(deadline) as stop:
        return work_until(folder, data, stop)


def work_until(folder: Path, data: Path, stop: Callable[[], bool], seat: Seat = ALONE) -> str:
    """`work` until the caller's `stop`, and as one of several processes of the run where `seat` says so.

    The first of them has the folder: it alone holds the lock and writes. Each gets the word of what became of its own
    part; "lost" where another process ended without a word, after which all are to start again.
    """
    from bench.train.turns import Slot  # torch comes with the first run, not before

    place = RunFolder(folder)
    try:
        slot = Slot()
    except RuntimeError as error:
        return _without_device(place, error, seat)
    return slot.finish(working(place, data, stop, seat))


def _without_device(folder: RunFolder, error: RuntimeError, seat: Seat) -> str:
    """The word for a run whose GPU is there and cannot be used: such as a lost one, or another process's alone."""
    if seat.rank:
        return _failed(folder, error, seat, retry=True)
    try:
        with folder.lock():
            return "done" if folder.result() is not None else _failed(folder, error, seat, retry=True)
    except BusyError:
        return "busy"
    except StoreError as also:
        return _failed(folder, also, seat, retry=True)


def working(
    folder: RunFolder, data: Path, stop: Callable[[], bool], seat: Seat = ALONE, *, crew: bool = False
) -> Generator[Any, None, str]:
    """`work_until` in turns (bench.train.turns.Work), which others may have between its steps.

    crew: whether others train in this process. An error that leaves them no device is then raised: the process must
    end, so that each goes on from its checkpoint in another one.
    """
    if seat.rank:
        return (yield from _running(folder, data, stop, seat, crew))
    try:
        with folder.lock():
            if folder.result() is not None:
                return "done"
            folder.clear_error()
            return (yield from _running(folder, data, stop, seat, crew))
    except BusyError:
        return "busy"
    except StoreError as error:
        return _failed(folder, error, seat, retry=True)


def _running(
    folder: RunFolder, data: Path, stop: Callable[[], bool], seat: Seat, crew: bool
) -> Generator[Any, None, str]:
    from bench.tasks.job import Job
    from bench.tasks.training import MACHINE_ERRORS
    from bench.train.loop import StoppedError
    from bench.train.process_group import LostError
    from bench.train.rendezvous import joined
    from bench.train.trainer import DivergedError
    from bench.train.turns import device_is_lost

    try:
        run = folder.run()
        with joined(seat.rank, seat.size, folder.rendezvous(seat.start), stop) as processes:
            # imported with its first run: no package that only another task needs
            yield from task_of(run.task).resolve("work")(run, Job(folder, data, stop, processes))
    except StoppedError:
        return "stopped"
    except LostError as error:
        print(f"{folder.path.name}: {error}", file=sys.stderr, flush=True)
        return "lost"
    except DivergedError as error:
        return _failed(folder, error, seat, retry=False)
    except Exception as error:  # whatever a run dies of is a failed row, not the end of the sweep
        if crew and device_is_lost():
            raise
        if isinstance(error, (StoreError, DataError, OSError, MemoryError, *MACHINE_ERRORS)):
            return _failed(folder, error, seat, retry=True)
        if lacks := missing(error):
            return _failed(folder, lacks, seat, retry=True)
        return _failed(folder, error, seat, retry=False, trace=traceback.format_exc())
    return "done"


def _failed(folder: RunFolder, error: Exception, seat: Seat, *, retry: bool, trace: str = "") -> str:
    message = str(error) or type(error).__name__
    if trace:
        message = f"{type(error).__name__}: {message}"
    print(f"{folder.path.name}: {message}\n{trace}", file=sys.stderr, flush=True)
    if seat.rank == 0:
        with suppress(StoreError):  # on a full disk the words above, in the log or on the terminal, are all there is
            folder.fail(message, retry=retry, trace=trace)
    return "failed"
