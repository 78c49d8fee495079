"""Work in turns: generators by which one process drives several trainings, a step of each at a time.

A generator yields None after it has queued some work, or a CUDA event that it waits for: `finish`, which drives one
alone, waits for the event; bench.launch.crew, which drives several, gives the others their turns meanwhile.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
Work = Generator["torch.cuda.Event | None", None, T]
AHEAD = 8  # turns whose kernels may be queued: enough to keep the device busy while other runs have their turns


def finish(work: Work[T]) -> T:
    """All of `work` in this process; returns its result."""
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        if event is not None:
            event.synchronize()


def ready(value: T) -> Work[T]:
    """Finished work."""
    yield from ()
    return value


def on_host(tensor: Tensor) -> Work[Tensor]:
    """`tensor` on the CPU; others have their turns until the device has computed it."""
    if tensor.device.type == "cpu":
        return tensor
    host = torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    yield event
    return host


class Slot:
    """A place for one run after another in this process, with its own number of threads and on CUDA its own stream.

    The stream is the slot's for life: cuBLAS keeps a workspace for each stream, and two runs in one workspace would
    silently corrupt each other's results. It is never the default one, which cannot be captured.
    urgent: whether its kernels go before those of other slots.
    """

    def __init__(self, *, urgent: bool = False) -> None:
        on_cuda = torch.cuda.is_available()
        self.urgent = urgent
        self.stream = torch.cuda.Stream(priority=-1 if urgent else 0) if on_cuda else None
        self._threads = torch.get_num_threads()
        self._queued: deque[torch.cuda.Event] = deque()
        self._waits: torch.cuda.Event | None = None

    @contextmanager
    def here(self) -> Iterator[None]:
        """Inside, work has the slot's threads and stream."""
        before = torch.get_num_threads()
        _set_threads(self._threads)
        try:
            with torch.cuda.stream(self.stream):
                yield
        finally:
            self._threads = torch.get_num_threads()
            _set_threads(before)

    def can_run(self) -> bool:
        """Whether a turn would not have to wait for the device."""
        while self._queued and self._queued[0].query():
            self._queued.popleft()
        return len(self._queued) < AHEAD and (self._waits is None or self._waits.query())

    def turn(self, work: Work[T]) -> None:
        """One turn of `work`; raises StopIteration with its result when it has ended, and what it raises."""
        with self.here():
            self._waits = next(work)
            if self.stream is not None:
                event = torch.cuda.Event()
                event.record()
                self._queued.append(event)

    def free_memory(self) -> None:
        """Frees what an ended run held, for other runs or processes."""
        self._queued.clear()
        self._waits = None
        if self.stream is not None:
            gc.collect()
            torch.cuda.empty_cache()

    def finish(self, work: Work[T]) -> T:
        """All of `work`, one turn after the other."""
        with self.here():
            return finish(work)


def _set_threads(count: int) -> None:
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def device_is_lost() -> bool:
    """Whether an error has left CUDA unusable for this process, as most errors of a device do."""
    if not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False
