"""Finished runs with made-up numbers on disk, for timing and for tests. Their numbers go nowhere."""

from __future__ import annotations

from pathlib import Path

from bench.spec import Net, Recipe, Run, Scale, Sweep, dataset_of
from bench.store import RunFolder

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
    error = 100 * wrong / recipe.test_images
    rows = [
        {"step": step, "rate": recipe.lr, "loss": 2.0, "error": 60 - 50 * step / recipe.steps}
        for step in range(recipe.curve_every, recipe.steps + 1, recipe.curve_every)
    ]
    tested = [row for row in rows if row["step"] % recipe.test_every == 0]
    for row in tested:
        row |= {"test_loss": 1.0, "test_error": error + 1 - row["step"] / recipe.steps}
    tested[0]["test_error"] -= 1.5 * (len(tested) > 1)
    best = min(tested, key=lambda row: row["test_error"])
    seconds = 10.0 + run.net.depth
    result = {
        "id": run.id, "step": recipe.steps, "test_error": error, "test_loss": 1.0, "test_images": recipe.test_images,
        "train_error": rows[-1]["error"], "train_loss": 2.0, "val_error": None, "best_test_error": best["test_error"],
        "best_step": best["step"], "correct": _correct(recipe.test_images, wrong, first=run.net.plain),
        "weights_sha256": f"{weights}{run.digest}", "curve_sha256": folder.write_curve(rows), "seconds": seconds,
        "images_per_s": recipe.steps * recipe.batch / seconds, "test_images_per_s": 100.0,
    }  # fmt: skip
    env = dict.fromkeys(("bench", "torch", "torchvision", "python", "hardware"), "made up") | {
        "commit": "c" * 40, "dirty": False, "threads": 2, "data_sha256": official_digest(run.data), "notice": "",
        "started": 0.0, "ended": 60.0, "sessions": 1,
    }  # fmt: skip
    folder.finish(result, env)


def official_digest(data: str) -> str:
    """The official data's digest, made-up where the suite knows none."""
    return dataset_of(data).sha256 or "d" * 64


def _correct(images: int, wrong: int, *, first: bool) -> str:
    """Correctness of each image as hex, eight a byte, with the first or the last `wrong` images wrong."""
    right = "1" * (images - wrong)
    bits = "0" * wrong + right if first else right + "0" * wrong
    return int(bits.ljust(-(-images // 8) * 8, "0"), 2).to_bytes(-(-images // 8), "big").hex()
