"""Re-checks what is published: files against digests, numbers against what they are made of, reports against both.

Needs no torch and no run folder. Every problem is a sentence that says where it is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bench.nets.counts import multiply_adds_of, parameters_of
from bench.report import coverage, digests, readme, repeats
from bench.report.evidence import load_sets
from bench.report.page import files_of, report
from bench.report.render.html import html
from bench.report.render.style import drawn_from, pictures
from bench.report.rows import RESULT_COLUMNS, read_rows, run_of
from bench.report.stats import LEVEL, sample
from bench.report.stored import layers_digest, read_arrays, read_table
from bench.spec import PROTOCOLS, Run, SpecError, Sweep, Task, task_of
from bench.store import StoreError, curve_text, sha256
from bench.tasks.classification.imagenet.ensembles import ensemble_problems

BY_IMAGE = ("test_error", *PROTOCOLS, "fixed_threshold_error", "pixels_error", "untrained_error")
Row = Mapping[str, str]


def problems(name: str, sweep: Sweep, results: Path, reports: Path) -> Iterator[str]:
    """All that is wrong with the results and the report of one sweep; none where every digit follows from the runs.

    results, reports: the sweep's own folders. Where there are no pages, as beside an installed package, the numbers are
    checked alone.
    """
    yield from digests.differences(results)
    try:
        yield from result_problems(results)
        if reports.is_dir():
            yield from digests.differences(reports)
            yield from report_problems(name, sweep, results, reports)
    except (StoreError, SpecError) as error:
        yield f"{results}: {error}"


def result_problems(results: Path) -> Iterator[str]:
    """What does not agree within the results. Raises StoreError if a file cannot be read."""
    rows = read_rows(results / "runs.csv")
    curves = dict(iter(read_table(results / "curves.parquet").groupby("id")))
    layers = dict(iter(read_table(results / "layers.parquet").groupby("id")))
    correct = read_arrays(results / "correct.npz")
    arrays = read_arrays(results / "pairs.npz") | read_arrays(results / "matches.npz")
    ids = Counter(row["id"] for row in rows)
    yield from (f"{results}: {name} has two rows" for name in sorted(ids) if ids[name] > 1)
    stored = {*map(str, curves), *map(str, layers), *(name.split(":")[0] for name in (*correct, *arrays))}
    for stray in sorted(stored - set(ids)):
        yield f"{results}: {stray} has a curve, layers, images or detections and no row in runs.csv"
    for data in dict.fromkeys(row["data"] for row in rows):
        shas = sorted({row["data_sha256"] for row in rows if row["data"] == data} - {""})
        if len(shas) > 1:
            yield f"{results}: its runs on {data} saw different data (SHA-256 {', '.join(shas)})"
    for row in rows:
        name = row["id"]
        bits = {metric: correct.get(f"{name}:{metric}" if metric != "test_error" else name) for metric in BY_IMAGE}
        for problem in _row_problems(row, curves.get(name), layers.get(name), bits, arrays):
            yield f"{results / 'runs.csv'}: {name}: {problem}"
    yield from ensemble_problems(results, rows)
    yield from _repeat_problems(results / repeats.FILE, rows)


def _repeat_problems(path: Path, rows: Sequence[Row]) -> Iterator[str]:
    """What in repeats.csv is no further result of a run that has one, or contradicts itself."""
    results = [found for found in map(repeats.Found, rows) if found.done or found.diverged]
    seen = {(*found.key, found.row["id"]) for found in results}
    ids = {name for *_, name in seen}
    for row in read_rows(path):
        where, key = f"{path}: {row['id']}", (*repeats.Found(row).key, row["id"])
        if row["id"] not in ids:
            yield f"{where} has no result in runs.csv that it could be a further one of"
        elif key in seen or row["state"] != "done":
            yield f"{where}: it is no further result, but {row['state']} and there already"
        seen.add(key)
        try:  # its curve and images are not kept
            yield from (f"{where}: {problem}" for problem in (*_settings_problems(row), *_number_problems(row)))
            error, images = row["test_error"], row["test_images"]
            wrong = float(error) / 100 * int(images)
            if _task(row).by_image and not math.isclose(wrong, round(wrong), abs_tol=1e-6):
                yield f"{where}: test_error is {error}, which no number of {images} images gives"
        except (ValueError, KeyError) as error:
            yield f"{where}: a value cannot be read: {error}"


def _task(row: Row) -> Task:
    """What the run did; rows older than the column are of classification."""
    return task_of(row.get("task") or "classify")


def _row_problems(
    row: Row,
    curve: pd.DataFrame | None,
    layers: pd.DataFrame | None,
    bits: Mapping[str, NDArray[np.uint8] | None],
    arrays: Mapping[str, NDArray[Any]],
) -> Iterator[str]:
    try:
        yield from _settings_problems(row)
        task = _task(row)
        digest = layers_digest(layers.to_dict("records")) if layers is not None else None
        if row.get("layers_sha256", "") != (digest or ""):
            yield "the rows of its layers are not those that the run wrote (SHA-256)"
        if row["state"] == "done":
            yield from _number_problems(row)
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


def _settings_problems(row: Row) -> Iterator[str]:
    run = run_of(row)
    if run.id != row["id"]:
        yield f"its settings are those of {run.id}"
    expected = {"net": run.net.name, "params": parameters_of(run), "multiply_adds": multiply_adds_of(run)}
    for name, value in expected.items():
        if value and row[name] != str(value):  # 0: the module alone can tell
            yield f"{name} is {row[name]}, not {value}"


def _number_problems(row: Row) -> Iterator[str]:
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


def report_problems(name: str, sweep: Sweep, results: Path, reports: Path) -> Iterator[str]:
    """What in the report does not follow from the results. Raises StoreError where these cannot be read."""
    sets = load_sets(results, sweep)
    drawn, written = report(name, sweep, sets)
    for file, text in written.items():
        yield from text_problems(reports / file, text)
    for svg, (_, one) in drawn.items():
        for path in map(reports.joinpath, pictures([svg])):
            if path.exists() and drawn_from(one).encode() not in path.read_bytes():
                yield f"{path} was not drawn from these results"
    extra = set(digests.files_in(reports)) - set(files_of(drawn, written)) if reports.is_dir() else set()
    yield from (f"{reports / file} is no part of the report" for file in sorted(extra))
    if (whole := reports / digests.ON_ONE_PAGE).exists():
        yield from text_problems(whole, html(reports, sweep.title))


def index_problems(sweeps: Mapping[str, Sweep], results: Path, reports: Path) -> Iterator[str]:
    """What in the index of all reports, and in the READMEs beside them, does not follow from the results."""
    try:
        studies = coverage.load(sweeps, results)
        for file, text in coverage.index_texts(studies, coverage.coverage(studies), reports).items():
            yield from text_problems(reports / file, text)
        yield from text_problems(reports / "index.html", html(reports))
        for page, text in readme.texts(readme.Project(studies, reports.parent)):
            yield from text_problems(page, text)
    except StoreError as error:
        yield str(error)


def text_problems(path: Path, expected: str) -> Iterator[str]:
    """The first line of a generated text that is not what the results say."""
    try:
        found = path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        yield f"{path} cannot be read: {error}"
        return
    if found == expected:
        return
    lines = zip_longest(found.split("\n"), expected.split("\n"))
    number, pair = next((k, pair) for k, pair in enumerate(lines, 1) if pair[0] != pair[1])
    there, here = (line or "" for line in pair)
    differ = (k for k, (a, b) in enumerate(zip(there, here, strict=False)) if a != b)
    start = max(0, next(differ, min(len(there), len(here))) - 20)  # a little before the first difference
    yield f"{path}, line {number}: it says {there[start:][:50]!r}, and the results {here[start:][:50]!r}"


def stored_run(asked: str, results: Sequence[Path]) -> tuple[Run, Row, pd.Series[float]]:
    """The Run of a row, with the threads and kernels it had; the row; test errors of all seeds of its net and recipe.

    asked: its id, or the beginning that no other one has. results: folders; of one run in two the first counts. Raises
    StoreError naming the finished runs that it may be, or all.
    """
    done: dict[str, Row] = {}
    for folder in results:
        done = {row["id"]: row for row in read_rows(folder / "runs.csv") if row["state"] == "done"} | done
    found = [name for name in done if name == asked] or [name for name in done if name.startswith(asked)]
    if len(found) != 1:
        what = f"{len(found):,} finished runs begin with" if found else "there is no finished run"
        raise StoreError(f"{what} {asked!r}; give one of these:" + "".join(f"\n  {name}" for name in found or done))
    row = done[found[0]]
    run = run_of(row)
    alike = [one for one in done.values() if replace(run_of(one), seed=run.seed) == run]
    cpus, kernels = int(row["threads"].split(";")[0]), row.get("kernels")
    had = replace(run.resources, cpus=cpus, compile=kernels == "compiled", graph=kernels == "graph")
    return replace(run, resources=had), row, pd.Series([float(one["test_error"]) for one in alike])


def compare_rerun(rerun: Mapping[str, Any], row: Row, stored: pd.Series[float]) -> tuple[bool, str]:
    """Whether a rerun agrees with its row, and in what words.

    The same bits agree. Other bits (another machine, another torch) agree if the test error lies where 95 % of
    further seeds would: within Student's prediction interval around the mean of the `stored` seeds' test errors.
    """
    there, here = float(row["test_error"]), float(rerun["test_error"])
    if rerun["weights_sha256"] == row["weights_sha256"]:
        return there == here, f"the same weights bit for bit, test error {here:.2f} %"
    if rerun["data_sha256"] != row["data_sha256"]:
        return False, f"trained on other data (SHA-256 {rerun['data_sha256'][:12]}, not {row['data_sha256'][:12]})"
    ours = sample(stored)
    words = f"other weights; test error {here:.2f} % against {there:.2f} %"
    if not ours.std > 0:
        alike = "equal numbers" if ours.n > 1 else "one seed"
        return False, f"{words}; with {alike} stored there is no variance to judge the difference by"
    half = float(special.stdtrit(ours.n - 1, (1 + LEVEL) / 2)) * ours.std * math.sqrt(1 + 1 / ours.n)
    within = abs(here - ours.mean) <= half
    place = f"{'within' if within else 'outside'} the {ours.mean:.2f} ± {half:.2f}"
    return within, f"{words}; {place} in which 95 % of further seeds would lie"
