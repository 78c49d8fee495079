"""From run folders to results/: a row a run, nothing lost, the same bytes again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.report import frame
from bench.report.collect import collect
from bench.report.rows import read_rows
from bench.spec import Net, Run
from bench.store import RunFolder, StoreError
from tests.report.builders import RECIPE, SWEEP, fake, fake_sweep, made_up_set


def test_a_row_a_run_with_every_number_in_full(tmp_path: Path) -> None:
    folder = fake_sweep(tmp_path)
    runs = SWEEP.runs("quick")
    shutil.rmtree(folder / runs[-1].id)
    RunFolder(folder / runs[-2].id).path.joinpath("result.json").unlink()
    RunFolder(folder / runs[-2].id).fail("the training loss is nan at step 7", retry=False)

    rows = {r["id"]: r for r in read_rows(collect(tmp_path / "results", [folder], runs))}

    assert [r["state"] for r in rows.values()].count("done") == 6
    assert rows[runs[-1].id]["state"] == "pending"
    assert rows[runs[-2].id]["state"] == "failed"
    assert rows[runs[-2].id]["error_message"] == "the training loss is nan at step 7"
    assert rows[runs[-2].id]["test_error"] == ""
    assert float(rows[runs[0].id]["test_error"]) == 10.0
    curves = pd.read_parquet(tmp_path / "results" / "curves.parquet")
    assert curves.groupby("id").size().tolist() == [10] * 6
    with np.load(tmp_path / "results" / "correct.npz") as correct:
        assert np.unpackbits(correct[runs[0].id]).sum() == 9_000


def test_collecting_twice_changes_no_byte(tmp_path: Path) -> None:
    folder, results = fake_sweep(tmp_path), tmp_path / "results"
    collect(results, [folder], SWEEP.runs("quick"))
    before = {p.name: p.read_bytes() for p in results.iterdir()}

    collect(results, [folder], SWEEP.runs("quick"))

    assert {p.name: p.read_bytes() for p in results.iterdir()} == before


def test_numbers_of_runs_that_are_on_another_machine_stay(tmp_path: Path) -> None:
    results, runs = tmp_path / "results", SWEEP.runs("quick")
    fake(tmp_path / "one", runs[0], 11.0)
    fake(tmp_path / "two", runs[1], 12.0)
    collect(results, [tmp_path / "one"], runs)
    collect(results, [tmp_path / "two"], runs)

    done = {r["id"]: float(r["test_error"]) for r in read_rows(results / "runs.csv") if r["state"] == "done"}
    assert done == {runs[0].id: 11.0, runs[1].id: 12.0}
    assert set(pd.read_parquet(results / "curves.parquet")["id"]) == set(done)


def test_rows_of_old_recipes_alone_are_no_set(tmp_path: Path) -> None:
    fake(tmp_path / "runs", Run("quick", Net("cifar", 20, "A"), "cifar10", replace(RECIPE, lr=0.2), 0), 50.0)
    fake(tmp_path / "runs", SWEEP.runs("paper")[0], 10.0)
    collect(tmp_path / "results", [tmp_path / "runs"], SWEEP.runs("paper"))

    assert [one.scale for one in frame.load(tmp_path / "results", SWEEP)] == ["paper"]


def test_a_copied_run_folder_is_skipped_and_said(tmp_path: Path) -> None:
    folder, said = fake_sweep(tmp_path), list[str]()
    first = SWEEP.runs("quick")[0].id
    shutil.copytree(folder / first, folder / f"{first}.bak")

    rows = read_rows(collect(tmp_path / "results", [folder], SWEEP.runs("quick"), say=said.append))

    assert len(rows) == 8
    assert said == [f"{folder / first}.bak is skipped: it holds {first}"]


@pytest.mark.parametrize("file", ["runs.csv", "curves.parquet"])
def test_damaged_results_are_named(tmp_path: Path, file: str) -> None:
    made_up_set(tmp_path)
    path = tmp_path / "results" / file
    path.write_bytes(path.read_bytes().replace(b"10.0", b"1o.0")[:-50] if file == "runs.csv" else b"PAR1")

    with pytest.raises(StoreError, match=file):
        frame.load(tmp_path / "results", SWEEP)
