"""How long a run will take: by the speed of runs that have ended, or by what was measured on this machine."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.launch.room import Together, gains, measured
from bench.machine import cores, cuda_devices, hardware
from bench.nets.counts import multiply_adds_of
from bench.spec import Resources, Run
from bench.store import folders

CIFAR_TEST = 10_000
FORWARD = 1 / 3  # of a training step's multiply-adds a test needs, where its speed was not measured


@dataclass(frozen=True, slots=True)
class Speed:
    """A measured speed of a net in one process on some hardware; work: multiply-adds an image.

    images_per_s: in training, tests not counted. tested, tested_per_s: images of one test, and images/s in it; 0 where
    no test was timed. part: of the machine that the run had, 1 where it was alone.
    """

    net: str
    work: int
    batch: int
    precision: str
    images_per_s: float
    hardware: str
    tested: int = 0
    tested_per_s: float = 0.0
    part: float = 1.0


@dataclass(frozen=True, slots=True)
class Speeds:
    """What is known of speeds, nearest first: of runs, and of this machine. basis: in words, where it comes from."""

    known: tuple[Speed, ...]
    basis: str


def known_speeds(sweep_folder: Path, committed: Path, *, anywhere: bool) -> Speeds:
    """Speeds on this hardware (`anywhere`: on any), else those of the committed results."""
    here, together = hardware(), measured()
    own = [speed for speed in _own(sweep_folder, together) if anywhere or speed.hardware == here]
    machine = [] if anywhere else list(_of_machine(together, here))
    if own:
        words = "by the speed measured in these runs' folders" if anywhere else "by the speed measured here"
        return Speeds((*own, *machine), words)
    if machine:
        return Speeds(tuple(machine), "by `bench speed together` on this machine")
    other = list(_committed(committed))
    if not other:
        return Speeds((), "not known before the first run here")
    same = [speed for speed in other if speed.hardware == here]
    if same:
        return Speeds(tuple(same), "by the committed results' speed on this hardware")
    names = sorted({speed.hardware for speed in other})
    return Speeds(
        tuple(other), f"by the speed measured on {' and '.join(names)}; this machine has not been measured yet"
    )


def part_of(resources: Resources, together: Sequence[Together]) -> float:
    """The part of this machine's speed that a run gets, as far as was measured, else by threads or turns."""
    known = gains(together)
    if resources.gpus and cuda_devices():
        return known.get(resources.share, 1.0) / resources.share
    counts = {row.threads: row.at_once for row in reversed(together)}
    if resources.cpus in counts and counts[resources.cpus] in known:
        count = counts[resources.cpus]
        return known[count] / count
    return min(1.0, resources.cpus / cores())


def _own(sweep_folder: Path, together: Sequence[Together]) -> Iterable[Speed]:
    for folder in folders(sweep_folder.parent, sweep_folder.name).values():
        result, env = folder.result(), folder.env()
        if result and env:
            run = folder.run()
            had = replace(
                run.resources, cpus=_fewest(env.get("threads")), share=_fewest(env.get("share")), memory_gib=1.0
            )
            about = {name: getattr(run.recipe, name) for name in ("steps", "batch", "test_every", "precision")}
            row = {**about, **result, "processes": env.get("processes")}
            yield _speed(run.net.name, multiply_adds_of(run), row, env["hardware"], part_of(had, together))


def _committed(committed: Path) -> Iterable[Speed]:
    try:
        rows = list(csv.DictReader((committed / "runs.csv").read_text(encoding="utf-8").splitlines()))
        for row in rows:
            if row["state"] == "done":
                yield _speed(row["net"], int(row["multiply_adds"] or 0), row, row["hardware"], 1.0)
    except (OSError, ValueError, KeyError):  # no results, or damaged ones, which `collect` will say: no prediction
        return


def _of_machine(together: Sequence[Together], here: str) -> Iterable[Speed]:
    """One run by itself."""
    for row in together:
        if row.at_once == 1:
            yield Speed(row.net, row.work, row.batch, row.precision, row.images_per_s, here)


def _speed(net: str, work: int, row: Mapping[str, Any], chip: str, part: float) -> Speed:
    """Of a finished run. What its tests took is taken off, as far as their time is known."""
    batch, rate = int(row["batch"]), float(row["images_per_s"])
    tested, tested_per_s = int(row.get("test_images") or 0), float(row.get("test_images_per_s") or 0)
    seconds, steps, every = (float(row.get(name) or 0) for name in ("seconds", "steps", "test_every"))
    if tested_per_s and seconds and every:
        left = seconds - math.ceil(steps / every) * tested / tested_per_s
        if left > seconds / 2:  # else the last test was far slower than the others
            rate = steps * batch / left
        else:
            tested = 0
    fewest = _fewest(row.get("processes"))
    return Speed(net, work, batch, row["precision"], rate / fewest, chip, tested, tested_per_s, part)


def _fewest(count: object) -> int:
    """Of a run that went on with another number of threads or processes ("2; 1"), the fewest; 1 where nobody knows."""
    return min((int(word) for word in str(count or "").split("; ") if word.isdigit()), default=1)


def predicted_seconds(run: Run, done: int, speeds: Sequence[Speed], part: float = 1.0) -> float | None:
    """Seconds that a run still takes after `done` steps, as `part` of this machine; None where nothing is known.

    By its own net's speed at its batch and precision, else by multiply-adds from other nets', else from other batches'.
    """
    recipe, work = run.recipe, multiply_adds_of(run)
    if not speeds or not recipe.steps:
        return None
    found = _nearest(run, work, speeds)
    if not found:
        return None
    scale = [(part / s.part) * (s.work / work if s.work and work else 1.0) for s in found]
    rate = median(s.images_per_s * k for s, k in zip(found, scale, strict=True))
    seconds = (recipe.steps - done) * recipe.batch / rate
    tests = math.ceil(recipe.steps / recipe.test_every) - done // recipe.test_every
    return seconds + tests * _test_seconds(run, found, scale, rate)


def _nearest(run: Run, work: int, speeds: Sequence[Speed]) -> list[Speed]:
    recipe = run.recipe
    for pool in ([s for s in speeds if (s.batch, s.precision) == (recipe.batch, recipe.precision)], speeds):
        same = [s for s in pool if (s.net, s.work) == (run.net.name, work)]
        counted = [s for s in pool if s.work and work]  # nobody counts the work of VGG-16 and of timm's nets
        if same or counted:
            return list(same or counted)
    return []


def _test_seconds(run: Run, found: Sequence[Speed], scale: Sequence[float], rate: float) -> float:
    """One test: the timed ones' images at their speed, else CIFAR-10's by the work of a forward pass."""
    timed = [(s, k) for s, k in zip(found, scale, strict=True) if s.tested and s.tested_per_s]
    if run.net.family == "cifar" and not (run.recipe.faces or run.recipe.detection):
        images = min(run.recipe.test_images, CIFAR_TEST)
        return images / (median(s.tested_per_s * k for s, k in timed) if timed else rate / FORWARD)
    return median(s.tested / (s.tested_per_s * k) for s, k in timed) if timed else 0.0
