"""A result without a manifest was published before there were manifests; where no history shows that, no alarm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.report import authorship
from bench.report.authorship import Authorship
from bench.report.verify import commits
from bench.report.verify.older import BROUGHT, of_age
from tests.report.verify.histories import RUNS, History

Suite = Callable[[History], History]


def problems(history: History) -> list[str]:
    return list(of_age(history.published()))


def bring(history: History, day: int = 4) -> None:
    """Commits the code that writes manifests."""
    path = history.root / BROUGHT
    path.parent.mkdir(parents=True)
    path.write_text("FORMAT = 1\n")
    history.commit(day)


def test_what_was_published_before_there_were_manifests_has_none(history: History) -> None:
    history.publish(3, history.rows())
    assert problems(history) == [], "of code that writes none"

    bring(history)
    assert problems(history) == []
    history.publish(5, history.rows(tree="a" * 40))
    assert problems(history) == [], "the same results with a new column"


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_later_result_without_a_manifest_is_named_with_its_commit(history: History, is_committed: bool) -> None:
    history.publish(3, history.rows(2))
    bring(history)
    where = "no commit yet"
    if is_committed:
        where = f"{history.publish(5, history.rows())[:10]} (2026-01-05T12:00:00Z)"
        history.publish(6, history.rows(tree="a" * 40))
    else:
        history.write(history.rows())
    wanted = f"it has no manifest, and was published in {where}, when finished runs had them"

    assert problems(history) == [f"{history.results / 'runs.csv'}: {run.id}: {wanted}" for run in RUNS[2:]]

    (history.results / "manifests").mkdir()
    (history.results / "manifests" / f"{RUNS[2].id}.json").write_text("{}")
    assert problems(history) == [f"{history.results / 'runs.csv'}: {RUNS[3].id}: {wanted}"]


def test_another_result_of_an_old_run_is_a_new_one(history: History) -> None:
    history.publish(3, history.rows(1))
    bring(history)

    history.write(history.rows(1, weights_sha256="other"))

    assert len(problems(history)) == 1


def test_a_run_that_failed_has_no_manifest(history: History) -> None:
    bring(history)

    history.publish(5, history.rows(1, state="failed", error_message="the training loss is nan at step 4"))

    assert problems(history) == []


def test_a_branch_from_before_manifests_may_be_merged_later(history: History) -> None:
    history.git("checkout", "-q", "-b", "side")
    history.publish(5, history.rows())
    history.git("checkout", "-q", "main")
    bring(history)
    history.git("merge", "-q", "-m", "m", "side", day=6)

    assert problems(history) == []


def test_without_the_suites_whole_history_there_is_no_alarm(
    history: History, suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(history)
    history.publish(5, history.rows(1))
    assert len(problems(history)) == 1

    assert problems(suite(history.archive(tmp_path / "archive"))) == []
    assert problems(suite(history.clone(tmp_path / "shallow", "--depth", "1"))) == []
    assert len(problems(suite(history.clone(tmp_path / "clone")))) == 1, "a whole one is no excuse"
    assert problems(history) == [], "results that are beside no code"
    suite(history)
    authorship.keep(history.results, Authorship("Somebody", own=True))
    assert problems(history) == []
    (history.results / authorship.FILE).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(commits, "FIRST", "f" * 40)
        assert problems(history) == [], "a copy in a repository of its own"
    assert len(problems(history)) == 1
    monkeypatch.setenv("PATH", "")
    assert problems(history) == []
