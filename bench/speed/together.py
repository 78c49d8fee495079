"""What small nets gain from training at once on one processor, each run in a process of its own, as runs are."""

from __future__ import annotations

import multiprocessing
import queue
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import takewhile
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from bench.data import locate
from bench.data.cifar_files import cifar
from bench.launch.concurrency import Measurement
from bench.machine import cores
from bench.nets.counts import multiply_adds
from bench.spec import Net, Recipe, Resources, Run
from bench.tasks.classification import cifar as cifar_data
from bench.tasks.classification import synthetic
from bench.tasks.classification.cifar import Images, Prepare
from bench.tasks.provenance import device_of
from bench.tasks.training import trainer_of
from bench.train.metrics import evaluate
from bench.train.turns import finish

SECONDS = 15.0  # of each measurement, and the patience for what comes before
PATIENCE = 300.0
TESTED = 1_000  # test images looked at first, so that the peak memory is a run's


def counts() -> tuple[int, ...]:
    """Powers of two up to the cores."""
    return tuple(takewhile(lambda n: n <= cores(), (2**k for k in range(16))))


def measure(
    net: Net,
    precision: str,
    at_once: Sequence[int],
    data: Path | None,
    seconds: float = SECONDS,
) -> Iterator[tuple[Measurement, tuple[float, ...], float]]:
    """So many runs of `net` at once, each count twice, the second time in the opposite order.

    Yields the measurement, its two rates, and a run's peak memory in GiB. A count at which a run died is left out.
    """
    rates, peaks = defaultdict[int, list[float]](list), defaultdict[int, list[float]](list)
    died = set[int]()
    for count in (*at_once, *reversed(at_once)):
        if count in died:
            continue
        found = _at_once(net, precision, count, data, seconds)
        if found is None:
            print(f"  {count:>3}: a run died, of memory it may be; {net.name} is not measured so", flush=True)
            died.add(count)
            continue
        rates[count].append(sum(rate for rate, _ in found))
        peaks[count].append(max(peak for _, peak in found))
    for count in at_once:
        if count not in died:
            about = (net.name, multiply_adds(net), Recipe().batch, precision, count, _threads(count), cores())
            yield Measurement(*about, fmean(rates[count])), tuple(rates[count]), max(peaks[count])


def _threads(count: int) -> int:
    return max(1, cores() // count)


def _at_once(
    net: Net, precision: str, count: int, data: Path | None, seconds: float
) -> list[tuple[float, float]] | None:
    """Each run's images/s and peak GiB; None where one died."""
    return side_by_side(_train, (net, precision, _threads(count), data, seconds), count)


def side_by_side(target: Callable[..., None], arguments: tuple[Any, ...], count: int) -> list[Any] | None:
    """What each of `count` fresh processes puts into its queue; None where one died.

    target: called there with `arguments`, a barrier at which they wait for each other, and the queue.
    """
    context = multiprocessing.get_context("spawn")
    start, found = context.Barrier(count), context.Queue()
    processes = [context.Process(target=target, args=(*arguments, start, found)) for _ in range(count)]
    values: list[Any] = []
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


def images_in(data: Path | None) -> Images:
    """CIFAR-10 where it is below `data`, else a few made-up images."""
    with suppress(locate.AbsentError):
        if data:
            return cifar_data.load(cifar(data, "cifar10"))
    return synthetic.stand_in(5_000, TESTED)


def _train(
    net: Net,
    precision: str,
    threads: int,
    data: Path | None,
    seconds: float,
    start: Barrier,
    found: Any,
) -> None:
    """One run: warms up, waits for the others, and trains for `seconds`."""
    recipe = Recipe(precision=precision, test_images=TESTED)
    run = Run("paper", net, "cifar10", recipe, 0, resources=Resources(cpus=threads, gpus=0))
    place = device_of(run)
    images = images_in(data)
    prepare = Prepare.of(images.train_x)
    torch.manual_seed(run.seed)
    stream = cifar_data.Batches(images, prepare, recipe.batch, torch.Generator().manual_seed(run.seed))
    trainer = trainer_of(net.row.resolve("build")(net, 10).to(place), stream, recipe)
    finish(evaluate(trainer.net, prepare, images.test_x[:TESTED], images.test_y[:TESTED], precision=precision))
    for _ in range(2):
        trainer.update()
    start.wait(PATIENCE)
    begin, steps = time.perf_counter(), 0
    while (passed := time.perf_counter() - begin) < seconds:
        trainer.update()
        trainer.window()
        steps += 1
    found.put((steps * recipe.batch / passed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20))
