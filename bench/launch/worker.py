"""Runs the run of one folder, under its lock, to its end or to its next stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from bench.data.locate import DataError
from bench.machine import missing, tolerate_ascii
from bench.store import BusyError, RunFolder, StoreError

DEATHS = 3  # of a run's process without an error (kill -9, out of memory) and without progress, before the run fails
UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True, slots=True)
class Seat:
    """This process's rank among the `size` that train one run. start: identifies this start of the job."""

    rank: int = 0
    size: int = 1
    start: str = ""


ALONE = Seat()


class Stop:
    """Returns True once a signal asked to stop or the deadline has passed.

    As a context it handles the signals with which Slurm, submitit and a terminal ask, and restores their handlers at
    the end; under nohup SIGHUP stays ignored. A Ctrl-C after that interrupts at once.
    limit: the seconds that `--time-limit` gave.
    """

    def __init__(self, deadline: float | None = None, limit: float | None = None) -> None:
        self.deadline, self.limit, self.signal = deadline, limit, 0
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

    @property
    def why(self) -> str:
        """What is stopping: the user, or the time limit."""
        limit = f" {as_typed(self.limit)}" if self.limit else ""
        return "stopping" if self.signal else f"--time-limit{limit} reached"

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            taken = [number for number in STOPPING if number != signal.SIGHUP or not nohup]
            self._before = {number: signal.signal(number, self._take) for number in taken}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and (self.signal or self.late):
            raise KeyboardInterrupt
        self.signal = number


class HearingStop(Stop):
    """Other threads hear of a signal at once, though the main thread may be in a step of minutes; of the command alone.

    Python calls a handler when the main thread is back from such a call. The system tells a pipe before.
    """

    def __init__(self, deadline: float | None = None, limit: float | None = None) -> None:
        super().__init__(deadline, limit)
        self._wire: tuple[int, int] | None = None
        self._wire_before = -1
        self._early: set[int] = set()  # heard of before the main thread was told
        self._interrupts = False

    def __call__(self) -> bool:
        """Whether to stop."""
        with suppress(BlockingIOError):
            for number in os.read(self._wire[0], 100) if self._wire else ():
                if not self.signal and number in self._before:
                    self._early.add(number)
                    self.signal = number
                elif number == signal.SIGINT and self._early:
                    self._interrupts = True
        return super().__call__()

    def interrupt(self) -> None:
        """Raises KeyboardInterrupt in the main thread, once."""
        self._interrupts = True
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def __enter__(self) -> HearingStop:
        super().__enter__()
        if self._before:
            self._wire = os.pipe()
            for end in self._wire:
                os.set_blocking(end, False)
            self._wire_before = signal.set_wakeup_fd(self._wire[1], warn_on_full_buffer=False)
            os.register_at_fork(after_in_child=partial(signal.set_wakeup_fd, -1))  # its signals are not ours
        return self

    def __exit__(self, *problem: object) -> None:
        super().__exit__(*problem)
        if self._wire:
            signal.set_wakeup_fd(self._wire_before)
            for end in self._wire:
                os.close(end)
            self._wire = None

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._interrupts:
            self._interrupts, self._early = False, {signal.SIGINT}
            raise KeyboardInterrupt
        if number in self._early:
            self._early.discard(number)
        else:
            super()._take(number, frame)


def as_typed(seconds: float) -> str:
    """A duration as an option gives it: `50m`, `2h`, `90s`."""
    unit, size = next((unit, size) for unit, size in UNITS.items() if size == 1 or seconds % size == 0)
    return f"{seconds / size:g}{unit}"


class ChildStop(Stop):
    """Stops also when its parent process has ended: an orphan would hold its run unnoticed."""

    def __init__(self, deadline: float | None = None) -> None:
        super().__init__(deadline)
        self.parent = os.getppid()

    def __call__(self) -> bool:
        """Whether to stop."""
        return super().__call__() or os.getppid() != self.parent


def work(folder: Path, data: Path, deadline: float | None = None, devices: tuple[str, ...] = ()) -> str:
    """Runs the run in `folder` until it is "done", "stopped" or "failed"; "busy" where another process holds it.

    Unless it is killed, the folder says how it ended. deadline: seconds since the epoch. devices: the CUDA devices that
    it may use, as CUDA_VISIBLE_DEVICES spells them; set before torch is imported.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    tolerate_ascii()
    with Stop(deadline) as stop:
        return work_until(folder, data, stop)


def work_until(folder: Path, data: Path, stop: Callable[[], bool], seat: Seat = ALONE) -> str:
    """`work` until the caller's `stop`, as one process of the run; returns the outcome of this process.

    Rank 0 alone holds the lock and writes. "lost": another process died, and all have to restart.
    """
    from bench.train.turns import Slot, finish  # torch is imported with the first run

    place = RunFolder(folder)
    try:
        slot = Slot()
    except RuntimeError as error:  # there is a GPU that cannot be used, such as a lost one or one in exclusive use
        return finish(working(place, data, stop, seat, broken=error))
    return slot.finish(working(place, data, stop, seat))


def working(
    folder: RunFolder,
    data: Path,
    stop: Callable[[], bool],
    seat: Seat = ALONE,
    *,
    crew: bool = False,
    broken: RuntimeError | None = None,
) -> Generator[Any, None, str]:
    """`work_until` as a generator (bench.train.turns.Work): other runs may have turns between its steps.

    crew: whether others train in this process. An error that loses their device is then raised: the process must end,
    so that all resume in another one. broken: why the device cannot be used; the run then fails, to be tried again.
    """
    try:
        with folder.lock() if seat.rank == 0 else nullcontext():
            if seat.rank == 0:
                if folder.result() is not None:
                    return "done"
                folder.clear_error()
            if broken is not None:
                return _failed(folder, broken, seat, retry=True)
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
            yield from run.task_row.resolve("work")(run, Job(folder, data, stop, processes))
    except StoppedError:
        return "stopped"
    except LostError as error:
        print(f"{folder.path.name}: {error}", file=sys.stderr, flush=True)
        return "lost"
    except DivergedError as error:
        return _failed(folder, error, seat, retry=False)
    except Exception as error:  # any error of a run is a failed row, not the end of the sweep
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
        with suppress(StoreError):  # on a full disk only the log has the message
            folder.fail(message, retry=retry, trace=trace)
    return "failed"
