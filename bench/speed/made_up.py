"""Finished runs with made-up numbers on disk, for timing and for tests. Their numbers go nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.spec import Net, Recipe, Run, Scale, Sweep, dataset_of
from bench.spec.schedule import rate_of
from bench.store import RunFolder, sha256

RECIPE = Recipe(steps=64_000, curve_every=200, test_every=1_000)
CELLS = tuple((Net("cifar", depth, s), RECIPE) for depth in (20, 32, 44, 56, 110) for s in ("none", "A"))
SWEEP = Sweep("Made up", "How long does it take?", "None.", {"paper": Scale(CELLS, (0,))})


def finished_runs(sweep_folder: Path, count: int) -> tuple[Run, ...]:
    """Writes `count` run folders with full curves (320 rows) and returns their runs."""
    runs = SWEEP.runs("paper", range(-(-count // len(CELLS))))[:count]
    for number, run in enumerate(runs):
        finish(RunFolder(sweep_folder / run.id), run, error=8 + number % 100 / 50)
    return runs


def finish(folder: RunFolder, run: Run, error: float, weights: str = "w") -> None:
    """Leaves `folder` as the worker leaves a finished run with this test error, in percent."""
    folder.create(run)
    recipe = run.recipe
    wrong = round(error / 100 * recipe.test_images)
    rows = _curve(run, wrong)
    best = min((row for row in rows if "test_error" in row), key=lambda row: (row["test_error"], row["step"]))
    last, seconds = rows[-1], 10.0 + run.net.depth
    result = {
        "id": run.id, "step": recipe.steps, "test_error": last["test_error"], "test_loss": last["test_loss"],
        "test_images": recipe.test_images, "train_error": last["error"], "train_loss": last["loss"], "val_error": None,
        "best_test_error": best["test_error"], "best_step": best["step"],
        "correct": _correct(run, wrong), "weights_sha256": sha256(f"{weights}{run.digest}".encode()),
        "curve_sha256": folder.write_curve(rows), "seconds": seconds,
        "images_per_s": recipe.steps * recipe.batch / seconds, "test_images_per_s": 100.0,
    }  # fmt: skip
    env = dict.fromkeys(("bench", "torch", "torchvision", "python", "hardware"), "made up") | {
        "commit": "c" * 40, "dirty": False, "threads": 2, "data_sha256": official_digest(run.data), "notice": "",
        "started": 0.0, "ended": max(60.0, seconds), "sessions": 1,
    }  # fmt: skip
    folder.finish(result, env)


def _curve(run: Run, wrong: int) -> list[dict[str, Any]]:
    """Rows as a training leaves them: whole images, more or fewer as chance has it, and losses that go with them.

    wrong: test images, at the end; the first test has fewer.
    """
    recipe, chance = run.recipe, np.random.default_rng(int(run.digest, 16))
    steps = sorted({*range(recipe.curve_every, recipe.steps + 1, recipe.curve_every), recipe.steps})
    rows: list[dict[str, Any]] = []
    for before, step in zip((0, *steps), steps, strict=False):
        images, share = (step - before) * recipe.batch, step / recipe.steps
        drawn, expected = int(chance.binomial(images, 0.6 - 0.5 * share)), round(images * (0.6 - 0.5 * share))
        error = (expected if step == recipe.steps else drawn) / images
        loss = 2 + 2 * (error - 0.6 + 0.5 * share) + 1e-3 * chance.random()
        rows.append({"step": step, "rate": rate_of(recipe, step - 1), "loss": loss, "error": 100 * error})
    tested = [row for row in rows if row["step"] % recipe.test_every == 0 or row["step"] == recipe.steps]
    for number, row in enumerate(tested, 1):
        more = 1 - row["step"] / recipe.steps - 1.5 * (number == 1 < len(tested))
        now = min(max(0, wrong + round(more / 100 * recipe.test_images)), recipe.test_images)
        row |= {"test_loss": 1 + 1e-3 * chance.random(), "test_error": 100 * now / recipe.test_images}
    return rows


def official_digest(data: str) -> str:
    """The official data's digest, made-up where the suite knows none."""
    return dataset_of(data).sha256 or "d" * 64


def _correct(run: Run, wrong: int) -> str:
    """Correctness of each image as hex, eight a byte: three in four of the wrong ones are the first images."""
    images, hard = run.recipe.test_images, 3 * wrong // 4
    chance = np.random.default_rng(int(run.digest, 16))
    right = np.ones(images, bool)
    right[:hard] = False
    right[hard + chance.choice(images - hard, wrong - hard, replace=False)] = False
    return np.packbits(right).tobytes().hex()
