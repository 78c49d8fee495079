"""How long a run takes by the speed of others, by arithmetic: no torch, so that plans and reports can ask.

Whoever says a time asks `predicted_seconds`: plan, status, progress, pages, the index, reports/nets.md. What differs is
only which speeds are known: a machine's own, or those of the published results, which `published_speeds` reads.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.nets.counts import multiply_adds_of
from bench.spec import Run

LEAST = 0.1  # of a run's time that training has at least
FORWARD = 1 / 3  # of a training step's multiply-adds a test needs, where its speed was not measured


@dataclass(frozen=True, slots=True)
class Speed:
    """A measured speed of a net in one process on some hardware; work: multiply-adds an image at the side it had.

    images_per_s: in training, with the tests' time if `whole`. tested, tested_per_s: images of one test, and images/s
    in it; 0 if no test was timed. part: of this machine that the run had, 1 if it was alone; None on another machine.
    """

    net: str
    work: int
    batch: int
    precision: str
    images_per_s: float
    hardware: str
    tested: int = 0
    tested_per_s: float = 0.0
    part: float | None = 1.0
    whole: bool = False
    task: str = "classify"
    family: str = ""

    @property
    def throughput(self) -> float:
        """Multiply-adds a second of its images forward, in training."""
        return self.images_per_s * self.work


def published_speeds(
    results: Path, task: str, here: str = "", part: Callable[[Mapping[str, Any]], float | None] = lambda _: None
) -> list[Speed]:
    """The speeds of a task's finished runs in the results of all sweeps, those on one hardware.

    That is `here` where some of them ran there, else what most of them ran on. results: the folder of those of all
    sweeps; damaged ones, which `bench verify` names, have no speeds. part: of this machine that a row's run had.
    """
    speeds: dict[str, Speed] = {}
    for path in sorted(results.glob("*/runs.csv")):
        try:
            rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
            done = [row for row in rows if row["state"] == "done" and _task(row) == task]
            speeds |= {
                row["id"]: speed_of(row["net"], int(row["multiply_adds"] or 0), row, row["hardware"], part(row))
                for row in done
            }
        except (OSError, ValueError, KeyError, csv.Error):
            continue
    counts = Counter(speed.hardware for speed in speeds.values())
    chip = here if here in counts else max(sorted(counts), key=counts.__getitem__, default="")
    return [speed for speed in speeds.values() if speed.hardware == chip]


def speed_of(net: str, work: int, row: Mapping[str, Any], chip: str, part: float | None) -> Speed:
    """Of a finished run, without the time of its tests where that is known and plausible."""
    batch, rate, processes = int(row["batch"]), float(row["images_per_s"]), fewest(row.get("processes"))
    tested, tested_per_s = int(row.get("test_images") or 0), float(row.get("test_images_per_s") or 0)
    seconds, steps, every = (float(row.get(name) or 0) for name in ("seconds", "steps", "test_every"))
    left = seconds - math.ceil(steps / every) * tested / tested_per_s if tested_per_s and every else 0.0
    whole = left < LEAST * seconds or not left  # the last test was far slower than the others
    if whole:
        tested, tested_per_s = 0, 0.0
    else:
        rate = steps * batch / left
    return Speed(
        net, work, batch, row["precision"], rate / processes, chip, tested, tested_per_s / processes, part, whole,
        _task(row), row.get("family") or "",
    )  # fmt: skip


def speed_of_result(run: Run, result: Mapping[str, Any], chip: str, part: float | None = None) -> Speed:
    """Of a finished run by its result, with the processes of its env.json where they are among it."""
    about = {name: getattr(run.recipe, name) for name in ("steps", "batch", "test_every", "precision")}
    about |= {"task": run.task, "family": run.net.family}
    return speed_of(run.net.name, multiply_adds_of(run), {**about, **result}, chip, part)


def _task(row: Mapping[str, Any]) -> str:
    """What a row's run did; rows older than the column are of classification."""
    return row.get("task") or "classify"


def fewest(count: object) -> int:
    """The fewest threads or processes of a run that was resumed with another number ("2; 1"); 1 if unknown."""
    return min((int(word) for word in str(count or "").split("; ") if word.isdigit()), default=1)


def predicted_seconds(run: Run, done: int, speeds: Sequence[Speed], part: float = 1.0) -> float | None:
    """Seconds that a run still takes after `done` steps, as `part` of this machine; None where nothing is known.

    By the median of the nearest speeds (see `nearest`), each by the multiply-adds of the run's input and of its own.
    """
    recipe, work = run.recipe, multiply_adds_of(run)
    found = nearest(run, speeds)
    if not found or not recipe.steps:
        return None
    scale = [(part / s.part if s.part else 1.0) * (s.work / work if s.work and work else 1.0) for s in found]
    rate = median(s.images_per_s * k for s, k in zip(found, scale, strict=True))
    seconds = (recipe.steps - done) * recipe.batch / rate
    tests = math.ceil(recipe.steps / recipe.test_every) - done // recipe.test_every
    return seconds + tests * _test_seconds(run, found, scale, rate)


def nearest(run: Run, speeds: Sequence[Speed]) -> list[Speed]:
    """The speeds that say most of a run: those of its batch and precision, its net, its input's size, its family.

    The first of these counts most. Runs of another task say nothing. A net whose multiply-adds nobody counts (VGG-16,
    timm's) is told by runs of itself alone; a detector, whose regions nobody counts, by those of a backbone as large.
    """
    work, recipe, by_image = multiply_adds_of(run), run.recipe, run.task_row.by_image

    def distance(speed: Speed) -> tuple[bool, ...]:
        return (
            (speed.batch, speed.precision) != (recipe.batch, recipe.precision),
            speed.net != run.net.name,
            speed.work != work,
            speed.family != run.net.family,
        )

    def tells(speed: Speed) -> bool:
        itself, counted = (speed.net, speed.work) == (run.net.name, work), bool(speed.work and work)
        return speed.task == run.task and (itself or (counted and (by_image or speed.work == work)))

    usable = list(filter(tells, speeds))
    least = min(map(distance, usable), default=())
    return [speed for speed in usable if distance(speed) == least]


def _test_seconds(run: Run, found: Sequence[Speed], scale: Sequence[float], rate: float) -> float:
    """One test: the timed ones' images at their speed, else those of a known number by the work of a forward pass.

    0 where the speeds have tests in them.
    """
    if all(s.whole for s in found):
        return 0.0
    timed = [(s, k) for s, k in zip(found, scale, strict=True) if s.tested and s.tested_per_s]
    if known := run.dataset.test_images:
        images = min(run.recipe.test_images, known)
        return images / (median(s.tested_per_s * k for s, k in timed) if timed else rate / FORWARD)
    return median(s.tested / (s.tested_per_s * k) for s, k in timed) if timed else 0.0
