"""A page says how its runs are witnessed: which have a manifest, and which were started and are not in its numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.report.evidence import load_sets, weigh
from bench.report.page import provenance
from bench.report.verify.registers import in_registers
from bench.report.witnessed import witnessed
from bench.speed.made_up import official_digest
from bench.store import register
from tests.report.builders import fake
from tests.report.verify.builders import BEGAN, NAME, SWEEP, at, finish, folder_of, problems, publish, start, train

RUNS = SWEEP.runs("paper")


def said(results: Path, scale: str = "paper") -> str:
    """What the page of a scale says of it."""
    (evidence,) = (one for one in weigh(NAME, SWEEP, load_sets(results, SWEEP)) if one.results.scale == scale)
    (text,) = witnessed(evidence)
    assert provenance(evidence).endswith(f"\n\n{text}")
    return text


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The folder of two finished runs of four, at scale paper."""
    folder = tmp_path / "runs" / NAME
    for number, run in enumerate(RUNS[:2]):
        train(folder, run, 10.0 + number, BEGAN + 300 * number)
    return folder


def test_manifests_and_what_others_vouch_for_are_counted(tmp_path: Path, runs: Path) -> None:
    results = publish(tmp_path, runs)
    every = "The registers tell of no start that is not in the numbers."

    assert said(results) == f"The 2 finished runs have a manifest. {every}"
    for run, kind in ((RUNS[0], "sig"), (RUNS[1], "sig"), (RUNS[1], "tsr")):
        (results / "manifests" / f"{run.id}.json.{kind}").write_text("")
    assert said(results) == f"The 2 finished runs have a manifest, 2 of them signed, 1 of them time-stamped. {every}"
    (results / "manifests" / f"{RUNS[0].id}.json").unlink()
    assert said(results).startswith(
        "1 of 2 finished runs has a manifest, 1 of them signed, 1 of them time-stamped; 1 other is older than "
    )


def test_results_without_witnesses_are_said_to_be_older(tmp_path: Path) -> None:
    fake(tmp_path / "runs" / NAME, RUNS[0], 10.0)
    results = tmp_path / "results" / NAME
    publish(tmp_path, tmp_path / "runs" / NAME)

    assert said(results) == "The 1 finished run is older than registers of starts and manifests."


def test_a_start_that_is_not_in_the_numbers_is_said_on_the_page_of_its_scale(tmp_path: Path, runs: Path) -> None:
    """Never ended, given up, done on a machine whose result is not here; a seed beyond the declared ones."""
    many = SWEEP.runs("paper", (7,))
    start(runs, RUNS[2], BEGAN + 600)
    start(runs, many[0], BEGAN + 610)
    with at(BEGAN + 86_400):
        register.end(runs, "given up", many[0].id, reason="deleted by bench | clean")
    quick = SWEEP.runs("quick")
    train(runs, quick[0], 50.0, BEGAN + 700)
    start(runs, quick[1], BEGAN + 1000)
    results = publish(tmp_path, runs)
    (chain,) = (path.stem for path in (results / "registers").glob("*.jsonl"))

    assert said(results) == (
        "The 2 finished runs have a manifest. Started, and not in the numbers: "
        f"`{RUNS[2].id}` (2026-10-26, register {chain}: no end so far); "
        f"`{many[0].id}` (2026-10-26, register {chain}: given up, deleted by bench \\| clean)."
    )
    assert said(results, "quick") == (
        "The 1 finished run has a manifest. Started, and not in the numbers: "
        f"`{quick[1].id}` (2026-10-26, register {chain}: no end so far)."
    )


def test_a_run_whose_first_start_was_given_up_or_diverged_is_said_beside_its_result(tmp_path: Path) -> None:
    runs = tmp_path / "runs" / NAME
    train(runs, RUNS[0], 10.0)
    with at(BEGAN + 300):
        aside = folder_of(runs, RUNS[0])
        aside.set_aside(aside.inputs(), "set aside by --again: begun with other data")
    train(runs, RUNS[0], 11.0, BEGAN + 600, digest="v")
    start(runs, RUNS[1], BEGAN + 900)
    with at(BEGAN + 950):
        register.end(runs, "diverged", RUNS[1].id, message="the training loss is nan at step 12")
    train(runs, RUNS[1], 12.0, BEGAN + 1000)
    results = publish(tmp_path, runs)
    text = said(results)

    assert "given up, set aside by --again: begun with other data; the result is of another start)" in text
    assert "diverged; the result is of another start)." in text
    assert text.count("`") == 4


def test_a_result_on_the_official_data_stands_though_its_folder_was_given_up(tmp_path: Path) -> None:
    """Trained anew by --again on other data, which are left out: the page names that start, and verify nothing."""
    run, official = RUNS[0], official_digest(RUNS[0].data)
    runs = tmp_path / "runs" / NAME
    finish(runs, run, 10.0, start(runs, run, BEGAN, data=official), BEGAN)
    publish(tmp_path, runs)
    with at(BEGAN + 300):
        aside = folder_of(runs, run)
        aside.set_aside(aside.inputs(), "set aside by --again")
    finish(runs, run, 11.0, start(runs, run, BEGAN + 600, data="e" * 64), BEGAN + 600, "v")
    results = publish(tmp_path, runs)

    assert "given up" not in said(results)
    assert "done, on other data; the result is of another start)." in said(results)
    assert problems(results, in_registers) == []


def test_what_another_machine_finished_or_another_recipe_started_is_not_missing(tmp_path: Path, runs: Path) -> None:
    other = tmp_path / "b" / NAME
    start(other, RUNS[0], BEGAN)
    with at(BEGAN):
        register.start(other, "resnet-20-A-paper-s0-00000000", 0, trains=True, data_sha256="d" * 64)
        register.start(other, "no id", 0, trains=True, data_sha256="d" * 64)
    results = publish(tmp_path, runs, other)

    assert said(results).endswith("The registers tell of no start that is not in the numbers.")
