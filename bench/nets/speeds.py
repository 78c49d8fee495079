"""How long a run takes by the speed of others, by arithmetic: no torch, so that plans and reports can ask."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.nets.counts import multiply_adds_of
from bench.spec import Run, dataset_of

LEAST = 0.1  # of a run's time that training has at least
FORWARD = 1 / 3  # of a training step's multiply-adds a test needs, where its speed was not measured


@dataclass(frozen=True, slots=True)
class Speed:
    """A measured speed of a net in one process on some hardware; work: multiply-adds an image.

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
        net, work, batch, row["precision"], rate / processes, chip, tested, tested_per_s / processes, part, whole
    )


def fewest(count: object) -> int:
    """The fewest threads or processes of a run that was resumed with another number ("2; 1"); 1 if unknown."""
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
    scale = [(part / s.part if s.part else 1.0) * (s.work / work if s.work and work else 1.0) for s in found]
    rate = median(s.images_per_s * k for s, k in zip(found, scale, strict=True))
    seconds = (recipe.steps - done) * recipe.batch / rate
    tests = math.ceil(recipe.steps / recipe.test_every) - done // recipe.test_every
    return seconds + tests * _test_seconds(run, found, scale, rate)


def _nearest(run: Run, work: int, speeds: Sequence[Speed]) -> list[Speed]:
    recipe = run.recipe
    for pool in ([s for s in speeds if (s.batch, s.precision) == (recipe.batch, recipe.precision)], speeds):
        same = [s for s in pool if (s.net, s.work) == (run.net.name, work)]
        counted = [s for s in pool if s.work and work]  # that of VGG-16 and of timm's nets is not counted
        if same or counted:
            return list(same or counted)
    return []


def _test_seconds(run: Run, found: Sequence[Speed], scale: Sequence[float], rate: float) -> float:
    """One test: the timed ones' images at their speed, else those of a known number by the work of a forward pass.

    0 where the speeds have tests in them.
    """
    if all(s.whole for s in found):
        return 0.0
    timed = [(s, k) for s, k in zip(found, scale, strict=True) if s.tested and s.tested_per_s]
    if known := dataset_of(run.data).test_images:
        images = min(run.recipe.test_images, known)
        return images / (median(s.tested_per_s * k for s, k in timed) if timed else rate / FORWARD)
    return median(s.tested / (s.tested_per_s * k) for s, k in timed) if timed else 0.0
