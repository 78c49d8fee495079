"""Run folders of earlier commits: this version reads them, goes on with them and collects them, to the same values.

See tests/fixtures/README.md. Weights have the bits of the CPU that trained them. So bits are compared where this CPU
and this torch give a training from the first step the bits that are kept; elsewhere what rounding does not move is.
"""

from __future__ import annotations

import csv
import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.launch.worker import work
from bench.report.collect import collect
from bench.spec import Run
from bench.store import RunFolder

FIXTURES = Path(__file__).parents[1] / "fixtures" / "runs"
ROOT = Path(__file__).parents[2]
COMMITS = ("c720596", "0cfffda")
SWEEPS = {"finished": "done", "unfinished": "stopped", "verify": "done", "detect": "done"}  # and the state of its runs
FOLDERS = sorted(path.parent for path in FIXTURES.glob("*/*/*/run.json"))
CLOCK = ("seconds", "images_per_s", "test_images_per_s")
PAPER = "6f3ff3e929a16d0446fb78a56cda86af3954aa2f0e0d18ed67788f8a5eca0c14"  # plain_vs_residual at 0cfffda, scale paper
TWIN = "resnet-8-A-quick-s0-1f5ae03b"  # the run that is there finished and unfinished


def label(folder: Path) -> str:
    return "/".join(folder.relative_to(FIXTURES).parts)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The folders of all commits where they may be written to."""
    for folder in FOLDERS:
        shutil.copytree(folder, tmp_path / folder.relative_to(FIXTURES))
    return tmp_path


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_there_are_folders_of_each_commit_and_state() -> None:
    assert {(folder.parents[1].name, folder.parent.name) for folder in FOLDERS} == {
        (commit, sweep) for commit in COMMITS for sweep in SWEEPS
    }


@pytest.mark.parametrize("path", FOLDERS, ids=label)
def test_the_folder_is_read(path: Path) -> None:
    folder, state = RunFolder(path), SWEEPS[path.parent.name]

    assert folder.run().id == path.name
    assert json.loads(json.dumps(folder.run().as_json())).items() >= {"scale": "quick", "seed": 0}.items()
    assert folder.state() == state
    assert folder.damage() is None
    assert folder.curve_rows() == [json.loads(line) for line in (path / "curve.jsonl").read_text().splitlines()]
    assert folder.predicted_seconds() == 1.5
    result = folder.result()
    assert (result is not None) == (state == "done")
    if result is not None:
        assert result == json.loads((path / "result.json").read_text())


@pytest.mark.parametrize("commit", COMMITS)
@pytest.mark.parametrize("sweep", SWEEPS)
def test_collected_it_gives_the_rows_that_its_own_commit_gave(commit: str, sweep: str, copied: Path) -> None:
    expected = read_rows(FIXTURES / commit / "results" / sweep / "runs.csv")
    runs = [RunFolder(folder).run() for folder in FOLDERS if folder.parent == FIXTURES / commit / sweep]

    rows = read_rows(collect(copied / "results", [copied / commit / sweep], runs))

    assert [{name: row.get(name) for name in expected[0]} for row in rows] == expected
    assert not any(value for row in rows for name, value in row.items() if name not in expected[0])


def trained(run: Run, tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "fresh" / run.id)
    folder.create(run)
    assert work(folder.path, tmp_path) == "done"
    return folder


def numbers(folder: RunFolder) -> dict[str, Any]:
    """The result without the wall clock."""
    result = folder.result()
    assert result is not None
    return {name: value for name, value in result.items() if name not in CLOCK}


@pytest.mark.parametrize("commit", COMMITS)
def test_an_unfinished_run_goes_on_to_what_its_own_commit_came_to(commit: str, copied: Path, tmp_path: Path) -> None:
    twin, folder = RunFolder(FIXTURES / commit / "finished" / TWIN), RunFolder(copied / commit / "unfinished" / TWIN)
    begun = folder.curve_rows()

    assert work(folder.path, tmp_path) == "done"

    rows = folder.curve_rows()
    assert rows[: len(begun)] == begun == twin.curve_rows()[: len(begun)], "what was trained before stays"
    assert [row.keys() for row in rows] == [row.keys() for row in twin.curve_rows()]
    assert [(row["step"], row["rate"]) for row in rows] == [(row["step"], row["rate"]) for row in twin.curve_rows()]
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in twin.curve_rows()], rel=0.05), (
        "twelve steps, in which rounding does not grow far"
    )
    env = folder.env()
    assert env is not None
    assert env["sessions"] == 2
    if numbers(trained(folder.run(), tmp_path)) == numbers(twin):
        assert numbers(folder) == numbers(twin)
        assert folder.curve.read_bytes() == twin.curve.read_bytes()
        assert folder.layers.read_bytes() == twin.layers.read_bytes()


@pytest.mark.parametrize("name", ["plain-8-quick-s0-95c41f98", "resnet-8-A-quick-s0-043b9737"])
def test_both_commits_and_this_one_train_a_run_to_the_same_bits(name: str, tmp_path: Path) -> None:
    """Where this CPU rounds otherwise only the commits are compared, which one CPU trained."""
    old, later = (RunFolder(FIXTURES / commit / "finished" / name) for commit in COMMITS)
    assert numbers(old) == numbers(later)

    now = trained(old.run(), tmp_path)

    assert now.result() is not None
    if same_machine(old, now):
        assert numbers(now) == numbers(later)
        assert now.layers.read_bytes() == later.layers.read_bytes()


def same_machine(old: RunFolder, now: RunFolder) -> bool:
    """Whether rounding is expected to be the same: the CPU's first losses and torch are."""
    before, after = old.env(), now.env()
    assert before is not None
    assert after is not None
    return before["torch"] == after["torch"] and old.curve_rows()[0] == now.curve_rows()[0]


def test_the_declared_claims_are_those_of_the_campaign() -> None:
    """The runs that 0cfffda began carry its digest of the claims; a change of it would make them undeclared."""
    sweep = runpy.run_path(str(ROOT / "sweeps" / "plain_vs_residual.py"))["SWEEP"]
    rows = read_rows(ROOT / "results" / "plain_vs_residual" / "runs.csv")
    kept = {(row["scale"], row["claims_sha256"]) for row in rows if row["commit"].startswith("0cfffda")}

    assert {scale for scale, _ in kept} >= {"short", "quick"}
    assert kept == {(scale, sweep.claims_digest(scale)) for scale, _ in kept}
    assert sweep.claims_digest("paper") == PAPER
