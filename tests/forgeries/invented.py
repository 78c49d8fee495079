"""What a careful forger invents: a run after the model of a real one, with noise where real runs differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.spec import Run
from bench.spec.schedule import rate_at
from tests.forgeries.base import Forged
from tests.forgeries.left import Left

Rng = np.random.Generator


def fresh_digest(rng: Rng) -> str:
    """What no file has: 64 random hexadecimal digits."""
    return rng.bytes(32).hex()


def flipped(right: NDArray[np.bool_], wrong: int, rng: Rng, swapped: int = 0) -> NDArray[np.bool_]:
    """The images with as many wrong ones as asked, and `swapped` more right ones and wrong ones that change places."""
    new = right.copy()
    for value in (True, False):
        places = np.flatnonzero(right == value)
        new[rng.choice(places, min(swapped, len(places)), replace=False)] = not value
    surplus = int((~new).sum()) - wrong
    places = np.flatnonzero(~new if surplus > 0 else new)
    new[rng.choice(places, abs(surplus), replace=False)] = surplus > 0
    return new


def with_error(left: Left, error: float, rng: Rng, swapped: int = 0) -> None:
    """The run with this test error: images and the last row of the curve follow."""
    right = left.right()
    left.judge(flipped(right, round(error / 100 * len(right)), rng, swapped))
    left.settle()


def noise(count: int, rng: Rng, smooth: float = 0.0) -> NDArray[np.float64]:
    """Standard normal numbers; smooth: how much of each is the one before."""
    values = rng.standard_normal(count)
    for i in range(1, count):
        values[i] = smooth * values[i - 1] + np.sqrt(1 - smooth**2) * values[i]
    return values


def wiggle(left: Left, rng: Rng, points: float, share: float, smooth: float = 0.0) -> None:
    """Noise on a curve: errors by `points`, losses by a `share`, errors such as whole numbers of images give."""
    seen = left.run.recipe.curve_every * left.run.recipe.batch
    tested = left.result["test_images"]
    by_error, by_loss, by_test = (noise(len(left.curve), rng, smooth) for _ in range(3))
    for row, e, loss, test in zip(left.curve, by_error, by_loss, by_test, strict=True):
        row["loss"] *= 1 + share * float(loss)
        row["error"] = on_grid(row["error"] + points * float(e) * row["error"] / 50, seen)
        if "test_error" in row:
            row["test_error"] = on_grid(row["test_error"] + points * float(test), tested)
            row["test_loss"] *= 1 + share * float(test)
    left.settle()


def on_grid(error: float, images: int) -> float:
    """The nearest error that a whole number of images gives."""
    return 100 * min(max(round(error / 100 * images), 0), images) / images


def invent(model: Left, run: Run, rng: Rng, error: float | None = None, train: float | None = None) -> Left:
    """A run that never happened: the model's curve and layers with noise, images as hard as the model's, new digests.

    error, train: in percent; without them those of the model with some noise.
    """
    left = model.copy()
    left.run = replace(run, resources=left.run.resources)
    left.result |= {"weights_sha256": fresh_digest(rng), "id": run.id}
    images = left.result["test_images"]
    wanted = error if error is not None else left.result["test_error"] + 0.2 * float(rng.standard_normal())
    if train is not None:
        shift_training(left, train)
    wiggle(left, rng, points=0.8, share=0.01)
    for row in (row for row in left.curve if "test_error" in row):
        row["test_error"] = on_grid(row["test_error"] + wanted - model.result["test_error"], images)
    for row in left.curve:
        row["rate"] = _rate(run, row["step"])
    with_error(left, wanted, rng, swapped=images // 40)
    if run.net.depth != model.run.net.depth:
        left.layers = stretched(model.layers, run.net.depth)
    for row in left.layers:
        row |= {k: v * float(1 + 0.03 * rng.standard_normal()) for k, v in row.items() if isinstance(v, float)}
    left.lasts(left.result["seconds"] * run.net.depth / model.run.net.depth * float(1 + 0.02 * rng.standard_normal()))
    left.result["test_images_per_s"] *= float(1 + 0.02 * rng.standard_normal())
    return left


def shift_training(left: Left, last: float) -> None:
    """Training errors moved so that the last one is `last`, early ones less; losses by the same share."""
    end = left.curve[-1]["error"]
    for row in left.curve:
        by = (last - end) * (row["step"] / left.curve[-1]["step"]) ** 0.5
        row["loss"] *= max(row["error"] + by, 0.05) / max(row["error"], 0.05)
        row["error"] = max(row["error"] + by, 0.05)


def stretched(layers: Iterable[dict[str, Any]], depth: int) -> list[dict[str, Any]]:
    """The layers of a net of another depth, each with the numbers of the model's at its place."""
    known, blocks = list(layers), (depth - 2) // 6
    names = ["conv1", *(f"layer{s}.{b}.conv{c}" for s in (1, 2, 3) for b in range(blocks) for c in (1, 2))]
    places = np.linspace(0, len(known) - 1, len(names)).round().astype(int)
    return [{**known[p], "layer": k, "name": name} for k, (p, name) in enumerate(zip(places, names, strict=True), 1)]


def _rate(run: Run, step: int) -> float:
    recipe = run.recipe
    given = {"lr": recipe.lr, "drops": recipe.drops, "warmup_steps": recipe.warmup_steps, "warmup_lr": recipe.warmup_lr}
    return rate_at(step - 1, **given)  # type: ignore[arg-type]  # each has its own type


def one_after_another(base: Forged, runs: Iterable[Left], first: str, at_once: int = 2) -> Iterator[Left]:
    """The runs with dates as if so many had trained at once from `first` on."""
    free: list[float] = []
    for left in runs:
        left.starts(first)
        if len(free) >= at_once:
            free.sort()
            began, lasted = free.pop(0) + float(base.rng.integers(1, 4)), left.env["ended"] - left.env["started"]
            left.env |= {"started": began, "ended": began + lasted}
        free.append(left.env["ended"])
        yield left
