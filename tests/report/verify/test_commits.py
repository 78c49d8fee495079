"""The commits that rows name are in the suite's history and older than the runs; what is not known is no alarm."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.report import authorship
from bench.report.authorship import Authorship
from bench.report.verify import commits
from bench.report.verify.commits import hashes, of_commits, stamp, unchecked_commits
from bench.report.verify.published import Published
from tests.report.verify.histories import RUNS, History

Suite = Callable[[History], History]
ELSEWHERE = "e" * 40


def only(history: History, **changes: object) -> Published:
    """One run's result, with changes."""
    history.write({RUNS[0].id: history.row(RUNS[0], **changes)})
    return history.published()


def test_a_row_of_code_that_was_there_before_the_run_is_in_order(history: History) -> None:
    tree = history.git("rev-parse", "HEAD^{tree}")

    assert list(of_commits(only(history, tree=tree))) == []
    assert list(unchecked_commits(history.published())) == []


def test_of_a_run_that_code_without_trees_began_the_later_tree_is_known(history: History) -> None:
    (history.root / "bench" / "more.py").write_text("")
    later = history.commit(1)
    tree = history.git("rev-parse", f"{later}^{{tree}}")

    assert list(of_commits(only(history, commit=f"{history.code}; {later}", tree=tree))) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"commit": ELSEWHERE}, "its commit eeeeeeeeee is none of the 2 in this history"),
        ({"commit": "main"}, "its commit is 'main', which names none"),
        ({"commit": "{new}"}, "was made after it started (2026-01-09T12:00:00Z, 2026-01-02T00:00:00Z)"),
        ({"commit": "{old}; {new}"}, "was made after it ended (2026-01-09T12:00:00Z, 2026-01-02T01:00:00Z)"),
        ({"tree": "a" * 40}, "its tree is aaaaaaaaaa, and that of its commit"),
    ],
)
def test_a_commit_that_the_run_cannot_have_had_is_named(history: History, changes: dict[str, str], words: str) -> None:
    new = history.commit(9)
    published = only(history, **{name: text.format(old=history.code, new=new) for name, text in changes.items()})

    (problem,) = of_commits(published)

    assert words in problem
    assert f"runs.csv: {RUNS[0].id}: " in problem


def test_clocks_may_differ_by_minutes(history: History) -> None:
    assert list(of_commits(only(history, started="2026-01-01T11:51:00Z"))) == []
    assert len(list(of_commits(only(history, started="2026-01-01T11:49:00Z")))) == 1


def test_a_later_start_may_be_of_newer_code(history: History) -> None:
    new = history.commit(3)

    rows = only(history, commit=f"{history.code}; {new}", ended="2026-01-04T00:00:00Z")

    assert list(of_commits(rows)) == []


def test_a_commit_on_another_branch_is_no_ancestor(history: History) -> None:
    history.git("checkout", "-q", "-b", "side")
    side = history.commit(1)
    history.git("checkout", "-q", "main")

    assert "is none of the 1 in this history" in next(of_commits(only(history, commit=side)))


def test_code_that_was_changed_or_is_unknown_is_said_and_no_problem(history: History) -> None:
    published = only(history, dirty=True)
    assert list(of_commits(published)) == []
    assert list(unchecked_commits(published)) == [
        "what code trained 1 run, which had changes to their code that are in no commit"
    ]
    unknown = only(history, commit="", dirty="")
    assert list(of_commits(unknown)) == []
    assert list(unchecked_commits(unknown)) == ["what code trained 1 run, which name no commit"]


def test_other_peoples_rows_and_those_beside_runs_may_be_of_another_history(history: History) -> None:
    published = only(history, commit=ELSEWHERE)
    beside = replace(published, folder=history.root / "runs" / "made_up" / "results")
    authorship.keep(history.results, Authorship("Somebody", own=True))

    for rows in (published, beside):
        assert list(of_commits(rows)) == []
        assert f"name commits that are not in the history of {history.root}" in next(unchecked_commits(rows))


def test_a_clone_and_a_renamed_checkout_are_in_order(history: History, suite: Suite, tmp_path: Path) -> None:
    only(history)
    history.commit(3)

    there = suite(history.clone(tmp_path / "clone"))
    assert [*of_commits(there.published()), *unchecked_commits(there.published())] == []

    shutil.move(there.root, tmp_path / "renamed")
    moved = suite(history.at(tmp_path / "renamed"))
    assert [*of_commits(moved.published()), *unchecked_commits(moved.published())] == []


def test_a_shallow_clone_says_what_it_lacks(history: History, suite: Suite, tmp_path: Path) -> None:
    only(history)
    history.commit(3)

    there = suite(history.clone(tmp_path / "shallow", "--depth", "1"))

    assert list(of_commits(there.published())) == []
    assert "1 run, which name commits that are not in the history" in next(unchecked_commits(there.published()))


def test_a_copy_in_a_repository_of_its_own_says_that_its_history_is_another(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "FIRST", "f" * 40)

    published = only(history, commit=ELSEWHERE)

    assert list(of_commits(published)) == []
    assert "are not in the history" in next(unchecked_commits(published))


def test_an_archive_and_a_machine_without_git_have_no_alarm(
    history: History, suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(history)

    there = suite(history.archive(tmp_path / "archive")).published()
    assert list(of_commits(there)) == []
    assert "not a git repository" in next(unchecked_commits(there))

    suite(history)
    monkeypatch.setenv("PATH", "")
    assert list(of_commits(history.published())) == []
    assert "git cannot be started" in next(unchecked_commits(history.published()))


def test_a_package_installed_in_somebody_elses_repository_has_no_history(history: History, suite: Suite) -> None:
    inner = history.root / "venv"
    (inner / "bench").mkdir(parents=True)

    there = suite(history.at(inner))

    assert "is no git checkout of the suite" in next(unchecked_commits(replace(only(history), folder=there.results)))


def test_changes_to_what_judges_are_said(history: History) -> None:
    published = only(history)
    (history.root / "bench" / "paper.yaml").write_text("t6.resnet-20.error: 9.99\n")

    (said,) = unchecked_commits(published)

    assert said == "the code that checks, which has uncommitted changes: bench/paper.yaml"


def test_dates_and_commits_are_read_as_they_stand_in_a_row() -> None:
    assert stamp("1970-01-01T00:01:00Z") == 60
    assert stamp("yesterday") is None
    assert hashes("a; None; b") == ["a", "b"]
    assert hashes("") == []
