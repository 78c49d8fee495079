"""What the speed settings of a processor bring: ways to train a net, each in fresh processes, taking turns in one call.

The allocator's settings act from a process's start only, so that no process can measure itself with and without them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Any

import torch

from bench.launch.local import environment
from bench.machine import KEEPS_PAGES, TUNABLES, cuda_devices, cxx_compiler, no_compiler
from bench.spec import Net, SpecError
from bench.speed.cases import training
from bench.speed.paired import rate
from bench.speed.together import PATIENCE, images_in, side_by_side

WARM_UP = 2  # steps before the timed ones; the first of them compiles
COMPILED = "compiled"
USUAL_LOOP = "the usual loop, fp32"


@dataclass(frozen=True, slots=True)
class Way:
    """How to train: so many processes at once, each with `threads`.

    tuned: the processes start with the suite's settings of the allocator. usual: by the reference's loop.
    """

    name: str
    threads: int
    processes: int = 1
    compiled: bool = False
    tuned: bool = False
    usual: bool = False

    @property
    def environment(self) -> dict[str, str | None]:
        """What its processes start with; None for what they must not have."""
        return {TUNABLES: KEEPS_PAGES if self.tuned else None}


@dataclass(frozen=True, slots=True)
class Row:
    """A way's images/s of each round, and the median of its ratios to that round's compiled way and usual loop."""

    way: str
    rates: tuple[float, ...]
    compiled: float | None
    usual: float | None


def refuse_gpu(group: str) -> None:
    """Raises SpecError on a machine with a CUDA device, which has a group of its own."""
    if cuda_devices():
        raise SpecError(
            f"the group {group} is about CPUs, and runs train on {cuda_devices()[0]} here: `bench speed gpu` measures "
            "it, CUDA_VISIBLE_DEVICES= the processor"
        )


def ways(threads: int) -> tuple[tuple[Way, ...], str]:
    """All ways to use so many threads, and in words which are left out here and why."""
    eager, usual = Way("eager", threads), Way(USUAL_LOOP, threads, usual=True)
    if cxx_compiler() is None:
        return (eager, usual), f"; the compiled ways are left out: {no_compiler()}"
    compiled = Way(COMPILED, threads, compiled=True)
    if sys.platform != "linux":
        return (eager, compiled, usual), "; the ways with the allocator's settings are left out: they are glibc's"
    tuned = Way("compiled, allocator", threads, compiled=True, tuned=True)
    several = Way(f"compiled, allocator, {threads} side by side", 1, threads, compiled=True, tuned=True)
    return (eager, compiled, tuned, *([several] if threads > 1 else []), usual), ""


def measure(
    net: Net, precision: str, among: Sequence[Way], data: Path | None, steps: int, rounds: int
) -> list[dict[str, float]]:
    """Images/s by way of each round, all ways in turn. A way of which a process died is named and left out."""
    found: list[dict[str, float]] = []
    left = {way.name: way for way in among}
    for _ in range(rounds):
        found.append({})
        for way in tuple(left.values()):
            with environment(way.environment):
                each = side_by_side(_train, (way, net, precision, data, steps), way.processes)
            if each is None:
                print(f"  {way.name}: a process died, of memory it may be; it is left out", flush=True)
                del left[way.name]
            else:
                found[-1][way.name] = sum(each)
    return [{name: one for name, one in this.items() if name in left} for this in found]


def rows(found: Sequence[Mapping[str, float]]) -> list[Row]:
    """The table of rounds that all have the same ways."""
    return [
        Row(way, tuple(this[way] for this in found), _beside(found, way, COMPILED), _beside(found, way, USUAL_LOOP))
        for way in found[0]
    ]


def _beside(found: Sequence[Mapping[str, float]], way: str, reference: str) -> float | None:
    """The median of the rounds' ratios; None where the reference was not measured."""
    return median(this[way] / this[reference] for this in found) if reference in found[0] else None


def _train(way: Way, net: Net, precision: str, data: Path | None, steps: int, start: Barrier, found: Any) -> None:
    """One process: warms up, waits for the others, and trains for `steps`."""
    torch.set_num_threads(way.threads)
    case = training(net, images_in(data), precision, torch.device("cpu"), compiled=way.compiled, steps=1)
    step = case.reference if way.usual else case.ours
    for _ in range(WARM_UP):
        step()
    start.wait(PATIENCE)
    found.put(rate(lambda: sum(step() for _ in range(steps))))
