"""What was seen of the layers, collected: a row a layer, and the change of the gradient over them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.report import frame
from bench.report.collect import collect
from bench.report.page import write_report
from bench.report.rows import read_rows
from bench.report.stored import read_table
from bench.spec import Scale
from bench.store import StoreError
from bench.tasks.diagnosis import layers
from tests.tasks.diagnosis.builders import DIVERGES, SCALES, SWEEP, fake, growth, made_up


def test_every_layer_is_a_row_of_failed_runs_as_well(tmp_path: Path) -> None:
    one = made_up(tmp_path)

    assert one.runs["state"].value_counts().to_dict() == {"done": 14, "failed": 2}
    for run in SWEEP.runs("quick"):
        assert (one.layers["id"] == run.id).sum() == (run.net.depth - 1) * (1 if run.net == DIVERGES else 3)
    assert list(one.layers.columns) == [
        "id", "step", "layer", "name", "response_std", "batch_std", "response_grad_norm", "grad_norm", "weight_norm",
    ]  # fmt: skip
    assert one.layers[one.layers["step"] == 0]["response_std"].count() == 0


def test_runs_csv_says_task_and_norm(tmp_path: Path) -> None:
    made_up(tmp_path)

    found = {(row["net"], row["norm"], row["task"]) for row in read_rows(tmp_path / "results" / "runs.csv")}

    assert ("plain-20", "bn", "diagnose") in found
    assert ("plain-20-nobn", "none", "diagnose") in found


def test_layers_of_runs_on_another_machine_stay_and_a_run_done_again_replaces_its_own(tmp_path: Path) -> None:
    runs, results = SWEEP.runs("quick"), tmp_path / "results"
    for name, run in (("one", runs[0]), ("two", runs[1])):
        fake(tmp_path / name, run)
        collect(results, [tmp_path / name], runs)
    before = (results / "layers.parquet").read_bytes()
    collect(results, [tmp_path / "two"], runs)
    assert (results / "layers.parquet").read_bytes() == before

    fake(tmp_path / "three", runs[1], grad_norm=7.0)
    collect(results, [tmp_path / "three"], runs)

    seen = read_table(results / "layers.parquet").groupby("id")["grad_norm"].agg(["min", "max", "size"])
    assert list(seen.loc[runs[1].id]) == [7.0, 7.0, 57]
    assert seen.loc[runs[0].id, "size"] == 57
    assert seen.loc[runs[0].id, "max"] != 7.0


def test_a_damaged_table_of_layers_is_named(tmp_path: Path) -> None:
    made_up(tmp_path)
    (tmp_path / "results" / "layers.parquet").write_bytes(b"PAR1")

    with pytest.raises(StoreError, match=r"layers\.parquet is damaged"):
        frame.load(tmp_path / "results", SWEEP)


def test_results_of_before_layers_were_looked_at_have_their_page(tmp_path: Path) -> None:
    sweep = replace(SWEEP, task="classify", scales={"quick": Scale(SCALES["quick"].cells[:4], (0,))})
    made_up(tmp_path, sweep)
    (tmp_path / "results" / "layers.parquet").unlink()
    csv = pd.read_csv(tmp_path / "results" / "runs.csv").drop(columns=["norm", "task"])
    csv.to_csv(tmp_path / "results" / "runs.csv", index=False)

    written = write_report("made_up", sweep, tmp_path / "results", tmp_path / "reports")

    assert written is not None
    assert "](curves-quick.svg)" in written.read_text()
    assert "## Layer responses" not in written.read_text()
    assert {p.name for p in (tmp_path / "reports").glob("*.svg")} == {"curves-quick.svg", "tradeoff-quick.svg"}


def test_the_change_of_the_gradient_is_first_over_last_layer(tmp_path: Path) -> None:
    seen = layers.changes(layers.gradients(made_up(tmp_path)))

    at_start = seen[seen["step"] == 0].set_index(["net", "seed"])["change"]
    for run in SWEEP.runs("quick"):
        assert at_start[run.net.name, run.seed] == pytest.approx(growth(run.net) ** (run.net.depth - 2), rel=1e-9)
    assert set(seen.loc[seen["net"] == DIVERGES.name, "step"]) == {0}


def test_a_change_of_which_an_end_is_missing_is_missing(tmp_path: Path) -> None:
    one = made_up(tmp_path)
    first = one.layers["layer"] == 1
    one.layers.loc[first & (one.layers["step"] == 100), "response_grad_norm"] = np.nan

    assert not layers.changes(layers.gradients(one))["last"].any()
