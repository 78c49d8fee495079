"""A test in parts: it says how far it is, is stopped between two of them, and goes on from there to the same bits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench.store import RunFolder
from bench.tasks.job import Job
from bench.train import checkpoint
from bench.train.loop import StoppedError
from bench.train.turns import Work

Test = Callable[[Sequence[slice]], Iterator[Any]]  # what is found of each slice of the test images, one after the other


def in_parts(
    job: Job, name: str, made_of: list[Any], count: int, size: int, test: Test, *, kept_every: float
) -> Work[tuple[list[Any], float]]:
    """What `test` finds of `count` images, by parts of `size` images for each process, in order; and the seconds.

    Where the parts begin follows from `size` alone, whenever it is stopped: a resumed test has the same batches.
    name: of the test, in its file and in what is said of it. made_of: what the numbers follow from; what was kept of
    others is forgotten. kept_every: at most so many seconds are lost to a kill -9. Raises StoppedError.
    """
    processes, place = job.processes, job.folder.scores(name)
    saved = processes.of_first(lambda: checkpoint.load(place))
    found, seconds, done = list[Any](), 0.0, 0
    if saved is not None and saved["of"] == made_of and "found" in saved:
        found, seconds, done = list(saved["found"]), saved["seconds"], saved["done"]
    ends = [*range(done, count, size * processes.size), count][1:]
    parts = [_own(job, start, end) for start, end in zip([done, *ends], ends, strict=False)]
    if parts and processes.any(job.should_stop()):
        raise _stopped(done, count)
    mine = test([part for part in parts if part.stop > part.start])
    begun, kept = (done, seconds), time.monotonic()
    for part, end in zip(parts, ends, strict=True):
        start = time.perf_counter()
        found += [one for one in processes.each(next(mine) if part.stop > part.start else None) if one is not None]
        done, seconds = end, seconds + time.perf_counter() - start
        stop = processes.any(job.should_stop())
        if processes.rank == 0:
            _beat(job.folder, name, done, count, (done - begun[0]) / (seconds - begun[1]))
            if stop or done == count or time.monotonic() - kept > kept_every:
                checkpoint.save(place, {"found": found, "seconds": seconds, "done": done, "of": made_of})
                kept = time.monotonic()
        if stop and done < count:
            raise _stopped(done, count)
        yield None
    return found, seconds


def _stopped(done: int, count: int) -> StoppedError:
    return StoppedError(f"stopped after {done:,} of {count:,} test images; the next start goes on from there")


def _own(job: Job, start: int, end: int) -> slice:
    """This process's part of the images from `start` to `end`."""
    own = job.processes.slice_of(end - start)
    return slice(start + own.start, start + own.stop)


def _beat(folder: RunFolder, name: str, tested: int, to_test: int, images_per_s: float) -> None:
    """A sign of life with the progress of the test, beside what the run has said of its steps."""
    about = {"test": name, "tested": tested, "to_test": to_test, "test_images_per_s": images_per_s}
    if folder.heartbeat() is None:
        folder.beat(0, **about)
    else:
        folder.beat_again(**about)
