"""What a CPU's settings bring, and several runs at once: trainings in fresh processes, which take turns.

The allocator's settings act from a process's start only, so no process can measure itself with and without them.
"""

from __future__ import annotations

import multiprocessing
import queue
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Any

import torch

from bench.launch.local import environment
from bench.machine import KEEPS_PAGES, TUNABLES, cores, cuda_devices, cxx_compiler, no_compiler
from bench.nets.resnet import cifar
from bench.spec import Net, SpecError
from bench.speed.cases import images_in, our_training, usual_training
from bench.tasks.classification.cifar import Prepare
from bench.train.metrics import evaluate
from bench.train.turns import finish

WARM_UP = 2  # steps before the timed ones; the first of them compiles
PATIENCE = 300.0  # seconds that processes wait for each other
TESTED = 1_000  # test images of the evaluation that comes first
COMPILED = "compiled"
USUAL_LOOP = "the usual loop, fp32"
Measured = dict[str, list[tuple[float, float]]]  # of each setting and round: images/s in all, a process's peak GiB


@dataclass(frozen=True, slots=True)
class Setting:
    """How to train: so many processes at once, each with `threads`.

    tuned: the processes start with the suite's settings of the allocator, else without any. usual: by the reference's
    loop. as_run: as runs are: the environment is this process's, and an evaluation comes first, for the peak memory.
    """

    name: str
    threads: int
    processes: int = 1
    compiled: bool = False
    tuned: bool = False
    usual: bool = False
    as_run: bool = False

    @property
    def environment(self) -> dict[str, str | None]:
        """What its processes start with; None for what they must not have."""
        return {} if self.as_run else {TUNABLES: KEEPS_PAGES if self.tuned else None}


@dataclass(frozen=True, slots=True)
class Row:
    """A setting's images/s of each round, and the median of its ratios to that round's compiled and usual training."""

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


def settings(threads: int) -> tuple[tuple[Setting, ...], str]:
    """All settings for so many threads, and in words which are left out here and why."""
    eager, usual = Setting("eager", threads), Setting(USUAL_LOOP, threads, usual=True)
    if cxx_compiler() is None:
        return (eager, usual), f"; the compiled ways are left out: {no_compiler()}"
    compiled = Setting(COMPILED, threads, compiled=True)
    if sys.platform != "linux":
        return (eager, compiled, usual), "; the ways with the allocator's settings are left out: they are glibc's"
    tuned = Setting("compiled, allocator", threads, compiled=True, tuned=True)
    several = Setting(f"compiled, allocator, {threads} side by side", 1, threads, compiled=True, tuned=True)
    return (eager, compiled, tuned, *([several] if threads > 1 else []), usual), ""


def counts() -> tuple[int, ...]:
    """Powers of two up to the cores."""
    return tuple(2**k for k in range(cores().bit_length()))


def at_once(count: int) -> Setting:
    """So many runs side by side, which share the cores."""
    return Setting(f"{count:>3} at once", max(1, cores() // count), count, as_run=True)


def measure(
    net: Net, precision: str, among: Sequence[Setting], data: Path, *, rounds: int, steps: int = 1, seconds: float = 0.0
) -> Measured:
    """Every setting in turn, the order changing every round; so many steps and seconds each.

    A setting of which a process died is named and left out.
    """
    found: Measured = defaultdict(list)
    left = {setting.name: setting for setting in among}
    for turn in range(rounds):
        for setting in list(left.values())[:: -1 if turn % 2 else 1]:
            with environment(setting.environment):
                each = _side_by_side(setting, (net, precision, data, steps, seconds))
            if each is None:
                print(f"  {setting.name}: a process died, perhaps out of memory; it is left out", flush=True)
                del left[setting.name]
            else:
                found[setting.name].append((sum(rate for rate, _ in each), max(peak for _, peak in each)))
    return {name: found[name] for name in left}


def rows(found: Mapping[str, Sequence[tuple[float, float]]]) -> list[Row]:
    """The table of settings, each of which has all rounds."""
    rates = {name: tuple(rate for rate, _ in each) for name, each in found.items()}
    compiled, usual = rates.get(COMPILED), rates.get(USUAL_LOOP)
    return [Row(name, own, _beside(own, compiled), _beside(own, usual)) for name, own in rates.items()]


def _beside(own: Sequence[float], reference: Sequence[float] | None) -> float | None:
    """The median of the rounds' ratios; None where the reference was not measured."""
    return median(a / b for a, b in zip(own, reference, strict=True)) if reference else None


def _side_by_side(setting: Setting, arguments: tuple[Any, ...]) -> list[tuple[float, float]] | None:
    """What `_train` measures in each of the setting's processes; None where one died."""
    context, count = multiprocessing.get_context("spawn"), setting.processes
    start, found = context.Barrier(count), context.Queue()
    processes = [context.Process(target=_train, args=(setting, *arguments, start, found)) for _ in range(count)]
    values: list[tuple[float, float]] = []
    try:
        for process in processes:
            process.start()
        while len(values) < count:
            try:
                values.append(found.get(timeout=1))
            except queue.Empty:
                if any(process.exitcode for process in processes):
                    return None
        return values
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill() if len(values) < count else process.join()


def _train(
    setting: Setting, net: Net, precision: str, data: Path, steps: int, seconds: float, start: Barrier, found: Any
) -> None:
    """One process: warms up, waits for the others, and trains for so many steps and seconds."""
    torch.set_num_threads(setting.threads)
    images, place = images_in(data), torch.device("cpu")
    if setting.usual:
        step = usual_training(net, images, place, steps=1)
    else:
        step = our_training(net, images, precision, place, compiled=setting.compiled, steps=1)
    if setting.as_run:
        tested = cifar(net.depth, net.shortcut).to(memory_format=torch.channels_last)
        prepare = Prepare.of(images.train_x)
        finish(evaluate(tested, prepare, images.test_x[:TESTED], images.test_y[:TESTED], precision=precision))
    for _ in range(WARM_UP):
        step()
    start.wait(PATIENCE)
    begin, done, count = time.perf_counter(), 0.0, 0
    while count < steps or time.perf_counter() - begin < seconds:
        done += step()
        count += 1
    rate = done / (time.perf_counter() - begin)
    found.put((rate, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20))
