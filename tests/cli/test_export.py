"""Rows and curves as CSV files, of run folders or of what is published; what is refused is named in one line."""

from __future__ import annotations

import csv
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.cli.commands import main as bench
from bench.cli.places import PROJECT
from bench.report.collect import collect
from bench.report.recorded import Recorded, in_folders, published_runs
from bench.report.rows import read_rows
from bench.store import RunFolder
from tests.builders import make, tiny_run
from tests.report.builders import fake

DONE, BEGUN, FAILED = (tiny_run(seed=seed) for seed in range(3))
CURVE: list[dict[str, Any]] = [
    {"step": 3, "rate": 0.1, "loss": 2.302585092994046, "error": 87.5},
    {"step": 6, "rate": 0.01, "loss": math.nan, "error": 80.0, "test_loss": 2.1, "test_error": 90.0},
]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """runs/tiny with a run that is done, one that has begun and one that failed."""
    fake(tmp_path / "runs" / "tiny", DONE, 12.5)
    begun, failed = (make(tmp_path / "runs", run, "tiny") for run in (BEGUN, FAILED))
    begun.write_curve(CURVE)
    begun.beat(8, steps_per_s=2.0)
    failed.fail("the training loss is nan at step 2", retry=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs" / "tiny"


def rows(path: str | Path) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("runs")
def test_a_row_a_run_and_a_row_a_step_whatever_the_runs_state(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(["export", "tiny", "--csv"]) == 0

    states = {row["id"]: (row["state"], row["error_message"]) for row in rows("runs/tiny/csv/runs.csv")}
    assert states == {
        DONE.id: ("done", ""),
        BEGUN.id: ("pending", ""),
        FAILED.id: ("failed", "the training loss is nan at step 2"),
    }
    first, second = (row for row in rows("runs/tiny/csv/curves.csv") if row["id"] == BEGUN.id)
    assert first == {
        "id": BEGUN.id,
        "step": "3",
        "rate": "0.1",
        "loss": "2.302585092994046",
        "error": "87.5",
        "test_loss": "",
        "test_error": "",
    }
    assert (second["loss"], second["test_error"]) == ("nan", "90.0")
    count = len(rows("runs/tiny/csv/curves.csv"))
    assert capsys.readouterr().out == f"runs/tiny/csv: runs.csv (3 runs) and curves.csv ({count} rows)\n"


def test_rows_of_run_folders_are_those_that_are_collected(runs: Path, tmp_path: Path) -> None:
    collect(tmp_path / "results", [runs], ())

    assert bench(["export", "tiny", "--csv", "--to", "here"]) == 0

    assert Path("here/runs.csv").read_bytes() == (tmp_path / "results" / "runs.csv").read_bytes()


@pytest.mark.usefixtures("runs")
def test_only_what_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(["export", "tiny", "--csv", "--only", f"{DONE.id},*-s2-*"]) == 0
    assert [row["id"] for row in rows("runs/tiny/csv/runs.csv")] == [DONE.id, FAILED.id]
    assert {row["id"] for row in rows("runs/tiny/csv/curves.csv")} == {DONE.id}
    assert bench(["export", "tiny", "--csv", "--only", "vgg*"]) == 2
    said = f"bench: --only 'vgg*' matches none of 3 runs; ids are such as {DONE.id}, {BEGUN.id}, {FAILED.id}\n"
    assert capsys.readouterr().err == said


def test_of_a_run_in_two_folders_the_result_that_stands_is_taken(runs: Path, tmp_path: Path) -> None:
    make(tmp_path / "others", DONE, "tiny")
    shutil.copytree(runs / DONE.id, tmp_path / "third" / "tiny" / DONE.id)

    assert bench(["export", "tiny", "--csv", "--out", "others", "third", "--to", "here"]) == 0

    assert [(row["id"], row["state"]) for row in rows("here/runs.csv")] == [(DONE.id, "done")]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The published numbers of plain_vs_residual, read in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return PROJECT / "results" / "plain_vs_residual"


def test_published_runs_are_taken_where_there_are_none_of_ones_own(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(["export", "plain_vs_residual", "--csv"]) == 0

    place = Path("runs/plain_vs_residual/csv")
    assert (place / "runs.csv").read_bytes() == (elsewhere / "runs.csv").read_bytes()
    written = {(row["id"], int(row["step"])): float(row["loss"]) for row in rows(place / "curves.csv")}
    found = published_runs(elsewhere, {row["id"] for row in read_rows(elsewhere / "runs.csv")})
    assert written == {(one.id, row["step"]): row["loss"] for one in found for row in one.curve}
    assert capsys.readouterr().out.endswith(f"rows), published in {elsewhere}\n")


def test_published_runs_are_taken_where_they_are_asked_for(elsewhere: Path, tmp_path: Path) -> None:
    fake(tmp_path / "runs" / "plain_vs_residual", DONE, 12.5)
    command = ["export", "plain_vs_residual", "--csv", "--only", "*-paper-s0-*"]

    assert bench([*command, "--results", str(elsewhere.parent)]) == 0
    assert {row["state"] for row in rows("runs/plain_vs_residual/csv/runs.csv")} >= {"done", "pending"}
    assert bench(command) == 2
    assert bench(["export", "nothing", "--csv", "--results", str(elsewhere.parent)]) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["plain_vs_residual", "--weights", "--csv"],
            "--weights: published numbers do not have that, run folders do; no runs",
        ),
        (["plain_vs_residual", "--weights", "--results", "."], "plain_vs_residual has no runs.csv"),
        (["plain_vs_residul", "--csv"], "no runs of 'plain_vs_residul' in runs; --out names the folder"),
        (["nothing", "--csv"], "no runs of 'nothing' in runs; --out names the folder"),
        (["plain_vs_residual", "--csv", "--to", "file"], "--to file is a file: give a folder"),
        (["plain_vs_residual", "--csv", "--to", "file/x"], "--to file/x cannot be written (Not a directory): give"),
        (["plain_vs_residual", "--csv", "--to", "res/weights"], "--to res/weights: "),
        (["plain_vs_residual", "--csv", "--results", "gone"], "--results gone: no such folder"),
        (["plain_vs_residual", "--results", "res"], "nothing is exported: say what, --weights (the final weights"),
    ],
)
@pytest.mark.usefixtures("elsewhere")
def test_a_mistake_is_one_line(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").touch()
    Path("res").mkdir()
    Path("res/SHA256SUMS").touch()

    assert bench(["export", *options]) == 2

    said = capsys.readouterr().err
    assert said.startswith(f"bench: {words}")
    assert said.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir()) == ["file", "res"]


@pytest.mark.usefixtures("elsewhere")
def test_without_tensorboard_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)

    assert bench(["export", "plain_vs_residual", "--tensorboard", "there"]) == 2

    said = (
        "--tensorboard needs the package tensorboard, which is not installed: pip install 'resnet-bench[tensorboard]'"
    )
    assert said in capsys.readouterr().err
    assert not Path("there").exists()


def test_a_step_has_the_time_at_which_it_was_made_as_far_as_that_is_known(runs: Path) -> None:
    found: dict[str, Recorded] = {one.id: one for one in in_folders([runs], {DONE.id, BEGUN.id, FAILED.id})}
    done, begun = found[DONE.id], found[BEGUN.id]
    folder = RunFolder(runs / DONE.id)
    env, result = folder.env() or {}, folder.result() or {}

    assert done.time(12) == pytest.approx(env["ended"], abs=1)
    assert done.time(12) - done.time(0) == pytest.approx(result["seconds"])
    assert begun.time(8) - begun.time(6) == pytest.approx(1.0)  # at 2 steps a second
    assert found[FAILED.id].curve == []
    assert begun.measured == {}
    assert done.measured["test_error"] == 12.5
    assert done.settings["lr"] == DONE.recipe.lr
