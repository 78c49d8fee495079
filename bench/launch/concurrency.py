"""How many runs this machine trains at once, and the resources of each: as measured, as asked for, or as fits.

`bench speed together` measures what small nets gain from sharing a processor, `bench speed gpu` what they gain from
sharing a GPU and the fastest way to train there; plans read it. No torch here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.machine import cache_folder, cores, cuda_devices, hardware, memory_gib
from bench.nets.counts import multiply_adds_of
from bench.spec import Resources, Run, SpecError, Way, counted
from bench.store import StoreError, make_folder, read_json, write_json

LEAST_GAIN = 1.03  # in throughput, for more runs at once: above the noise of the measurements


@dataclass(frozen=True, slots=True)
class Measurement:
    """`at_once` runs of a net train `images_per_s` images a second in total.

    threads: of each run on a CPU with `cores`; on a GPU they share one device. work: multiply-adds of an image.
    """

    net: str
    work: int
    batch: int
    precision: str
    at_once: int
    threads: int
    cores: int
    images_per_s: float


def measurements() -> Path:
    """The file of all measurements, by hardware."""
    return cache_folder() / "together.json"


def keep(rows: Sequence[Measurement], **about: Any) -> Path:
    """Replaces this hardware's measurements; `about`: further values to keep with them."""
    path = measurements()
    make_folder(path.parent)
    values = {"measured": date.today().isoformat(), **about, "rows": [asdict(row) for row in rows]}
    write_json(path, {**_kept(), hardware(): values})
    return path


def measured() -> tuple[Measurement, ...]:
    """This hardware's measurements with as many cores as this process has; none where the file is damaged."""
    try:
        rows = [Measurement(**row) for row in _kept()[hardware()]["rows"]]
        for row in rows:
            counts = (row.work, row.batch, row.at_once, row.threads, row.cores)
            positive = all(type(n) is int and n > 0 for n in counts) and 0 < row.images_per_s < math.inf
            if not (positive and isinstance(row.net, str)):
                return ()
    except (KeyError, TypeError):
        return ()
    return tuple(row for row in rows if cuda_devices() or row.cores == cores())


def measured_way() -> Way | None:
    """The fastest way to train on this hardware whose checks passed (`bench speed gpu`); None where unknown."""
    try:
        return Way(**_kept()[hardware()]["way"])
    except (KeyError, TypeError, SpecError):
        return None


def _kept() -> dict[str, Any]:
    try:
        value = read_json(measurements())
    except StoreError:
        return {}
    return value if isinstance(value, dict) else {}


def gains(rows: Sequence[Measurement]) -> dict[int, float]:
    """Throughput by runs at once, relative to one: the mean over the nets, where none of them died."""
    alone = {(row.net, row.precision): row.images_per_s for row in rows if row.at_once == 1}
    found = defaultdict(list)
    for row in rows:
        if (row.net, row.precision) in alone:
            found[row.at_once].append(row.images_per_s / alone[row.net, row.precision])
    return {count: fmean(values) for count, values in sorted(found.items()) if len(values) == len(alone)}


def part_of(resources: Resources, rows: Sequence[Measurement]) -> float:
    """The fraction of this machine's speed that a run gets: as measured, else by threads or by its share of a GPU."""
    known = gains(rows)
    if resources.gpus and cuda_devices():
        # more runs at once are at least as fast in total as fewer
        return max([1.0, *(gain for count, gain in known.items() if count <= resources.share)]) / resources.share
    counts = {} if cuda_devices() else {row.threads: row.at_once for row in rows if row.at_once in known}
    count = counts.get(resources.cpus)
    return known[count] / count if count else min(1.0, resources.cpus / cores())


def best(rows: Sequence[Measurement]) -> int:
    """How many runs at once are fastest; fewer where more gain less than LEAST_GAIN."""
    found = gains(rows) or {1: 1.0}
    chosen = min(found)
    for count, gain in found.items():
        if gain > LEAST_GAIN * found[chosen]:
            chosen = count
    return chosen


def slots(resources: Resources) -> int:
    """How many such runs fit at once: by CUDA devices and their shares, else by cores and main memory.

    Main memory does not limit runs that share a device, as they are one process.
    """
    if resources.gpus and cuda_devices():
        return max(1, len(cuda_devices()) // resources.gpus) * resources.share
    return max(1, min(cores() // resources.cpus, int(memory_gib() / resources.memory_gib)))


def alone(run: Run) -> Run:
    """The run with a CUDA device of its own."""
    return replace(run, resources=replace(run.resources, share=1))


def refuse_crowd(at_once: int, runs: Sequence[Run]) -> None:
    """Raises SpecError where so many runs at once do not fit."""
    if _on_gpu(runs):
        return
    need = max(run.resources.memory_gib for run in runs)
    if at_once > 1 and at_once * need > memory_gib():
        raise SpecError(
            f"--at-once {at_once}: runs of {need:g} GiB each need {at_once * need:g} GiB, and this machine has "
            f"{memory_gib():.0f}: at most {max(1, int(memory_gib() / need))}"
        )
    if at_once > cores():
        raise SpecError(f"--at-once {at_once}: this process may use {counted(cores(), 'core')}, and each run needs one")


def shared(runs: Sequence[Run], waiting: int, at_once: int | None) -> tuple[tuple[Run, ...], int, str]:
    """The runs with the resources of each, how many at once, and the reason in words; `waiting` are still to do.

    at_once: as asked for; 0 for one after another with the resources that each declares. None: as measured, if all are
    trainings of nets no larger than the measured ones with default resources; else as many as fit: on a CPU a core for
    each run, unless a run declares fewer threads than the default.
    """
    if at_once == 0:
        return tuple(runs), 1, ""
    why = ", as asked for"
    if at_once is None:
        known = measured()
        if known and all(_is_like(run, known) for run in runs):
            at_once = best(known) * (len(cuda_devices()) or 1)
            if not _on_gpu(runs):
                at_once = min(at_once, int(memory_gib() / Resources().memory_gib))
            why = f", as measured on this machine ({measurements()})"
        elif _on_gpu(runs) or any(run.resources.cpus < Resources().cpus for run in runs):
            return tuple(runs), min((slots(resources) for resources in {run.resources for run in runs}), default=1), ""
        else:  # two runs of one thread are faster than one of two threads: bench/speed/README.md
            at_once = min(cores(), int(memory_gib() / max((run.resources.memory_gib for run in runs), default=1.0)))
            why = ", as there is room for: runs side by side gain more than threads inside one (else say --at-once N)"
    at_once = max(1, min(at_once, waiting))
    devices, threads = counted(len(cuda_devices()), "CUDA device"), counted(max(1, cores() // at_once), "thread")
    each = f"on {devices}" if _on_gpu(runs) else f"with {threads} each"
    given = [replace(run, resources=_part(run.resources, at_once)) for run in runs]
    return tuple(given), at_once, f"{at_once} runs at once {each}{why}" if at_once > 1 else ""


def _is_like(run: Run, known: Sequence[Measurement]) -> bool:
    """Whether the measurements hold for the run."""
    usual = not run.dataset.part and run.task_row.only_trains and run.resources.made(Way()) == Resources()
    return usual and any(row.work >= multiply_adds_of(run) and row.batch >= run.recipe.batch for row in known)


def _on_gpu(runs: Sequence[Run]) -> bool:
    return bool(cuda_devices()) and any(run.resources.gpus for run in runs)


def _part(own: Resources, at_once: int) -> Resources:
    """The resources of one of so many runs at once."""
    devices = len(cuda_devices())
    if own.gpus and devices:
        return replace(own, share=max(1, -(-at_once * own.gpus // devices)))
    return replace(own, cpus=max(1, cores() // at_once))
