"""What in a row contradicts the row, its curve, its layers or its images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.rows import RESULT_COLUMNS, Row, classes_of, counts_of, run_of, task_in
from bench.spec import PROTOCOLS
from bench.store import curve_text, sha256
from bench.store.manifest import layers_digest

BY_IMAGE = ("test_error", *PROTOCOLS, "fixed_threshold_error", "pixels_error", "untrained_error")


def row_problems(
    row: Row,
    curve: pd.DataFrame | None,
    layers: pd.DataFrame | None,
    bits: Mapping[str, NDArray[np.uint8] | None],
    arrays: Mapping[str, NDArray[Any]],
) -> Iterator[str]:
    """What contradicts itself in a row and what was kept of its run. bits: each image's correctness, by metric."""
    try:
        yield from settings_problems(row)
        task = task_in(row)
        digest = layers_digest(layers.to_dict("records")) if layers is not None else None
        if row.get("layers_sha256", "") != (digest or ""):
            yield "the rows of its layers are not those that the run wrote (SHA-256)"
        if row["state"] == "done":
            yield from number_problems(row)
            for metric in BY_IMAGE if task.by_image else ():
                if row.get(metric):
                    yield from _image_problems(row, metric, bits[metric])
            if task.problems:
                yield from task.resolve("problems")(row, arrays)
            if int(row["steps"]):
                yield from _curve_problems(row, curve)
        elif any(row[column] for column in RESULT_COLUMNS if column != "test_images"):
            yield f"it is {row['state']} and has numbers"
    except (ValueError, KeyError) as error:
        yield f"a value cannot be read: {error}"


def settings_problems(row: Row) -> Iterator[str]:
    """Which settings are not those of the run that the row's id says."""
    run = run_of(row)
    if run.id != row["id"]:
        yield f"its settings are those of {run.id}"
    expected = {"net": run.net.name, **counts_of(run, classes_of(row))}
    for name, value in expected.items():
        if value and row[name] != str(value):  # None: the module alone can tell
            yield f"{name} is {row[name]}, not {value}"


def number_problems(row: Row) -> Iterator[str]:
    """Which of the times and speeds of a finished run contradict each other."""
    speed = int(row["steps"]) * int(row["batch"]) / float(row["seconds"])
    if int(row["steps"]) and not math.isclose(speed, float(row["images_per_s"]), rel_tol=1e-9):
        yield f"images_per_s is {row['images_per_s']}, and steps times batch over seconds {speed}"
    if not row["started"] <= row["ended"]:
        yield f"it ended ({row['ended']}) before it started ({row['started']})"


def _image_problems(row: Row, metric: str, bits: NDArray[np.uint8] | None) -> Iterator[str]:
    if bits is None:
        yield f"its per-image correctness ({metric}) is missing"
        return
    images = int(row["test_images"])
    right = np.unpackbits(bits)
    if len(bits) != -(-images // 8) or right[images:].any():
        yield f"its per-image correctness is not of {images:,} images"
    error = 100 * (images - int(right.sum())) / images
    if float(row[metric]) != error:
        yield f"{metric} is {row[metric]}, and its images say {error}"


def _curve_problems(row: Row, curve: pd.DataFrame | None) -> Iterator[str]:
    if curve is None:
        yield "its curve is missing"
        return
    # as the rows stood in the run's file: the same order, and no test where there was none
    columns = curve.drop(columns="id").to_dict("records")
    rows = [{str(name): value for name, value in one.items() if not math.isnan(value)} for one in columns]
    if sha256(curve_text(rows).encode()) != row["curve_sha256"]:
        yield "its curve is not the one that the run wrote (SHA-256)"
    last, tested = rows[-1], [one for one in rows if "test_error" in one]
    best = min(tested, key=lambda one: (one["test_error"], one["step"]), default=dict[str, Any]())
    expected = {
        "steps": last["step"], "train_error": last.get("error"), "train_loss": last["loss"],
        "test_error": last.get("test_error"), "test_loss": last.get("test_loss"),
        "best_test_error": best.get("test_error"), "best_step": best.get("step"),
    }  # fmt: skip
    for name, value in expected.items():
        if (float(row[name]) if row[name] else None) != value:
            yield f"{name} is {row[name]}, and its curve says {value}"
