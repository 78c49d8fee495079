"""The three lines below a clean verification claim no more than what is here."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.report.verify.proof import three_lines
from tests.report.verify.histories import RUNS, History

UNCHANGED = "no published result has changed in this history"


@pytest.fixture
def published(history: History) -> History:
    """Four runs, of which one diverged."""
    rows = history.rows()
    rows[RUNS[3].id] |= {"state": "failed", "error_message": "the training loss is nan at step 4"}
    history.publish(3, rows)
    return history


def witnessed(results: Path, folder: str, *names: str) -> None:
    (results / folder).mkdir(exist_ok=True)
    for name in names:
        (results / folder / name).touch()


def test_witnesses_are_counted_by_run(published: History) -> None:
    first, second, third, diverged = (run.id for run in RUNS)
    witnessed(published.results, "manifests", *(f"{run}.json" for run in (first, second, third, diverged)))
    witnessed(published.results, "manifests", f"{first}.json.sig", f"{second}.json.sig", f"{second}.json.tsr")
    witnessed(published.results, "weights", f"{third}.safetensors", "stray.safetensors")

    proven, not_proven, more = three_lines([published.results]).splitlines()

    assert proven.startswith("proven: the numbers of 3 runs follow from ")
    assert (
        "Of 3 runs a register of starts and a manifest speak for 3, a signature for 2, a time stamp for 1" in not_proven
    )
    assert not_proven.endswith(" the final weights of 1 are here")
    assert all(f" {option}" in more for option in ("--weights", "--figures", "--rerun RUN"))


def test_runs_of_several_sweeps_are_counted_together(published: History, tmp_path: Path) -> None:
    other = History(tmp_path / "other")
    rows = other.rows(1)
    rows[RUNS[0].id]["weights_sha256"] = "0" * 64
    other.publish(3, rows)
    witnessed(other.results, "manifests", f"{RUNS[0].id}.json")

    said = three_lines([published.results, other.results])

    assert "the numbers of 4 runs follow" in said
    assert "Of 4 runs a register of starts and a manifest speak for 1, a signature for 0, a time stamp for 0" in said


def test_a_result_beside_its_published_copy_is_one_run(published: History, tmp_path: Path) -> None:
    own = published.clone(tmp_path / "own")
    witnessed(own.results, "manifests", f"{RUNS[0].id}.json")

    said = three_lines([published.results, own.results])

    assert "the numbers of 3 runs follow" in said
    assert "Of 3 runs a register of starts and a manifest speak for 1, " in said


def test_who_has_no_weights_here_is_told_whence_they_come(published: History) -> None:
    said = three_lines([published.results])

    assert "bench verify --weights DIR tests those that bench export --weights wrote, image by image" in said


def test_that_nothing_has_changed_is_said_of_a_whole_history_alone(published: History, tmp_path: Path) -> None:
    assert UNCHANGED in three_lines([published.results])
    assert UNCHANGED in three_lines([published.clone(tmp_path / "clone").results])

    for there in (published.archive(tmp_path / "archive"), published.clone(tmp_path / "shallow", "--depth", "1")):
        assert UNCHANGED not in three_lines([there.results])
        assert UNCHANGED not in three_lines([published.results, there.results]), "of one of two"


def test_results_in_no_commit_have_no_history(history: History) -> None:
    history.write(history.rows(1))

    assert UNCHANGED not in three_lines([history.results])


def test_without_git_it_is_not_said_that_nothing_has_changed(
    published: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")

    said = three_lines([published.results])

    assert UNCHANGED not in said
    assert said.startswith(
        "proven: the numbers of 3 runs follow from the curves and images that were kept of them, and "
    )
