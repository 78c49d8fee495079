"""One published run trained once more: the run of a row, and whether the second result agrees with the first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import special

from bench.report.rows import Row, read_rows, run_of
from bench.report.stats import LEVEL, sample
from bench.spec import Run
from bench.store import StoreError


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
