"""Finished runs with made-up numbers on disk, to time what grows with their count. Their numbers go nowhere."""

from __future__ import annotations

from pathlib import Path

from bench.spec import Net, Recipe, Run, Scale, Sweep
from bench.store import RunFolder

RECIPE = Recipe(steps=64_000, curve_every=200, test_every=1_000)
CELLS = tuple((Net("cifar", depth, s), RECIPE) for depth in (20, 32, 44, 56, 110) for s in ("none", "A"))
SWEEP = Sweep("Made up", "How long does it take?", "None.", {"paper": Scale(CELLS, (0,))})


def finished_runs(sweep_folder: Path, count: int) -> tuple[Run, ...]:
    """Writes `count` run folders with full curves (320 rows) and returns their runs."""
    runs = SWEEP.runs("paper", range(-(-count // len(CELLS))))[:count]
    for number, run in enumerate(runs):
        _finish(RunFolder(sweep_folder / run.id), run, number)
    return runs


def _finish(folder: RunFolder, run: Run, number: int) -> None:
    folder.create(run)
    error = 8 + number % 100 / 50
    rows = [{"step": 200 * k, "rate": 0.1, "loss": 2 / k, "error": 90 / k} for k in range(1, 321)]
    for row in rows[4::5]:
        row |= {"test_loss": row["loss"] + 0.1, "test_error": row["error"] + error}
    result = {
        "id": run.id, "step": 64_000, "test_error": error, "test_loss": 0.4, "test_images": 10_000,
        "train_error": 0.3, "train_loss": 0.01, "val_error": None, "best_test_error": error - 0.1, "best_step": 60_000,
        "correct": "ff" * 1250, "weights_sha256": run.digest, "curve_sha256": folder.write_curve(rows),
        "seconds": 1_000.0, "images_per_s": 8_192.0,
    }  # fmt: skip
    env = dict.fromkeys(("bench", "torch", "torchvision", "python", "hardware"), "made up") | {
        "commit": None, "dirty": None, "threads": 1, "data_sha256": "0" * 64, "notice": "", "started": 0.0,
        "ended": 1.0,
    }  # fmt: skip
    folder.finish(result, env)
