"""Files that nothing wrote are named, and results of whole sweeps that are gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench.report.verify.strays import of_files, stray_problems
from tests.report.verify.histories import NAME, History

SPEED = {"command": "python -m bench speed train --json x.json", "date": "2026-01-02", "dirty": False}


def found(history: History) -> list[str]:
    return list(stray_problems(history.root / "results", history.root / "reports"))


def fill(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("")


def test_what_the_suite_writes_is_no_stray(history: History) -> None:
    history.write(history.rows())
    a, b = "a" * 12, "b" * 12
    fill(history.results, "SHA256SUMS", "ensembles.csv", ".lock", f"registers/{a}.jsonl", f"requirements/{b}.txt")
    fill(history.results, "manifests/x.json", "manifests/x.json.sig", "manifests/x.json.tsr", "weights/x.safetensors")
    fill(history.root / "results", "README.md", "withdrawn.csv", ".DS_Store")
    fill(history.root / "reports", "README.md", "nets.md", f"procedure/{NAME}-paper.md", f"{NAME}/README.md")

    assert list(of_files(history.published())) == []
    assert found(history) == []


@pytest.mark.parametrize("file", ["runs.csv.old", "weights/x.pt", "registers/a/b.txt", "notes/x.md"])
def test_a_file_among_the_results_of_a_sweep_is_named(history: History, file: str) -> None:
    history.write(history.rows())
    fill(history.results, file)

    assert list(of_files(history.published())) == [
        f"{history.results / file} is a file that no part of the suite writes"
    ]


@pytest.mark.parametrize("file", ["sweep.py", "study.json", "published.csv"])
def test_a_file_of_somebodys_own_study_is_named_beside_the_suites_sweep(history: History, file: str) -> None:
    history.write(history.rows())
    fill(history.results, file)

    (problem,) = of_files(history.published())
    assert f"{history.results / file} is of a study of somebody's own" in problem

    (history.root / "sweeps" / f"{NAME}.py").unlink()
    assert list(of_files(history.published())) == [], "a study of one's own"


@pytest.mark.parametrize("file", [
    "results/numbers.csv", "results/other/curves.parquet", "results/speed/x.txt", "reports/draft.md",
    "reports/other/README.md", "reports/procedure/x.txt",
])  # fmt: skip
def test_a_file_beside_the_sweeps_is_named(history: History, file: str) -> None:
    history.write(history.rows())
    fill(history.root, file)

    assert found(history) == [f"{history.root / file} is a file that no part of the suite writes"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"commit": None, "dirty": None}, None),
        ({"command": "vim"}, "its command is 'vim', which measures no speed"),
        ({"date": "2025-12-31"}, "was made after its date (2026-01-01T12:00:00Z, 2025-12-31)"),
        ({"commit": "e" * 40}, "its commit eeeeeeeeee is none of the 1 in this history"),
    ],
)
def test_speeds_say_when_and_by_what_they_were_measured(
    history: History, changes: dict[str, object], words: str | None
) -> None:
    fill(history.root, "results/speed/x.json")
    kept = SPEED | {"commit": history.code} | changes
    (history.root / "results" / "speed" / "x.json").write_text(json.dumps(kept))

    problems = found(history)

    assert len(problems) == (words is not None)
    assert all(words in problem for problem in problems if words)


@pytest.mark.parametrize("committed", [True, False])
def test_a_sweep_whose_results_are_gone_is_named_unless_it_is_withdrawn(history: History, committed: bool) -> None:
    commit = history.publish(3, history.rows())
    assert found(history) == []

    shutil.rmtree(history.results)
    if committed:
        commit = history.commit(4)
    assert found(history) == [f"{history.results}: it had results, which are gone and not listed in withdrawn.csv"]

    history.withdraw(commit)
    assert found(history) == []


def test_without_git_the_files_are_checked_all_the_same(history: History, tmp_path: Path) -> None:
    history.publish(3, history.rows())
    archive = history.archive(tmp_path / "archive")
    assert found(archive) == []

    fill(archive.root, "results/x")
    assert len(found(archive)) == 1
