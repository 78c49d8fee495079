"""Published results never change: what is otherwise than in the git history is named, what may be otherwise is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.report.verify.history import of_history, unchecked_history
from bench.store import StoreError
from tests.report.verify.histories import NAME, RUNS, History

Suite = Callable[[History], History]
FIRST = RUNS[0].id
DIVERGED = {"state": "failed", "error_message": "the training loss is nan at step 4", "test_error": ""}
DIVERGED |= dict.fromkeys(("weights_sha256", "data_sha256", "commit", "started", "ended", "train_error"), "")


def problems(history: History) -> list[str]:
    return list(of_history(history.published()))


def changed(history: History, **changes: object) -> dict[str, dict[str, object]]:
    """All rows, those of the first run with changes."""
    rows = history.rows()
    rows[FIRST] |= changes
    return rows


def test_what_was_published_and_stayed_is_in_order(history: History) -> None:
    history.publish(3, history.rows(2))
    history.publish(4, history.rows(4))

    assert problems(history) == []
    assert list(unchecked_history(history.published())) == []


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"train_error": 4.0},
            "train_error is 4.0 and was 5.0 since it was published in {first} (2026-01-03T12:00:00Z)",
        ),
        ({"seconds": 50.0, "hardware": "better"}, "seconds is 50.0 and was 60.0, hardware is better and was made up"),
        ({"commit": ""}, "commit is empty and was {code}"),
        ({"claims_sha256": "a" * 64}, "claims_sha256 is aaaaaaaaaaaaaaaaaaaa and was empty"),
        ({"val_error": 3.0}, "val_error is 3.0 and was empty"),
    ],
)
def test_another_value_of_the_same_result_is_named_with_both(
    history: History, changes: dict[str, object], words: str, committed: bool
) -> None:
    first = history.publish(3, history.rows())
    where = "no commit yet"
    if committed:
        where = history.publish(5, changed(history, **changes))[:10]
    else:
        history.write(changed(history, **changes))

    (problem,) = problems(history)

    assert words.format(first=first[:10], code=history.code[:20]) in problem
    assert f"changed in {where}" in problem
    assert f"runs.csv: {FIRST}: " in problem


def test_another_result_in_place_of_the_first_is_named_with_both(history: History) -> None:
    first = history.publish(3, history.rows())
    later = history.publish(5, changed(history, test_error=6.5, weights_sha256="other"))
    history.publish(6, changed(history, test_error=6.5, weights_sha256="other"))

    (problem,) = problems(history)

    assert f"the result of {first[:10]} (2026-01-03T12:00:00Z) is gone since {later[:10]}" in problem
    assert "and is not in repeats.csv: test_error is 6.5 and was 8.0, weights_sha256 is other and was w" in problem


@pytest.mark.parametrize("gone", [{"state": "pending"}, None])
def test_a_result_that_vanished_is_named(history: History, gone: dict[str, object] | None) -> None:
    history.publish(3, history.rows())
    rows = changed(history, **dict.fromkeys(("test_error", "weights_sha256", "ended"), ""), **(gone or {}))
    if gone is None:
        del rows[FIRST]
    later = history.publish(4, rows)

    (problem,) = problems(history)

    assert f"is gone since {later[:10]} (2026-01-04T12:00:00Z): 8.00 %" in problem


def test_a_run_that_diverged_is_a_result_and_not_tried_again(history: History) -> None:
    history.publish(3, changed(history, **DIVERGED))
    assert problems(history) == []

    history.write(changed(history, ended="2026-01-04T00:00:00Z"))

    (problem,) = problems(history)
    assert "is gone since no commit yet, and is not in repeats.csv: state is done and was failed" in problem


def test_a_run_that_failed_or_stopped_is_no_result_yet(history: History) -> None:
    history.publish(3, changed(history, **DIVERGED | {"error_message": "no room on the disk"}))
    history.publish(4, changed(history, **DIVERGED | {"state": "stopped", "error_message": ""}))
    history.publish(5, history.rows())

    assert problems(history) == []


def test_a_second_result_stands_in_repeats(history: History) -> None:
    history.publish(3, history.rows())
    again = history.row(RUNS[0], weights_sha256="other", test_error=7.0)

    history.publish(4, history.rows(), [again])
    assert problems(history) == []

    history.write(history.rows())
    assert "(2026-01-04T12:00:00Z) is gone since no commit yet" in problems(history)[0]


def test_the_first_result_stands_unless_the_other_is_on_other_data(history: History) -> None:
    """Rows of today's rules: bench/report/repeats.py."""
    first = history.row(RUNS[0], data_sha256="d1")
    history.publish(3, changed(history, data_sha256="d1"))

    history.write(changed(history, data_sha256="d1", weights_sha256="other", test_error=7.0), [first])
    (problem,) = problems(history)
    assert "on the same data the first result stands" in problem
    assert "test_error is 7.0 and was 8.0" in problem

    history.write(changed(history, data_sha256="d2", weights_sha256="other", test_error=7.0), [first])
    assert problems(history) == []


def test_a_result_on_the_official_data_takes_the_place_of_one_that_is_not(history: History) -> None:
    history.publish(3, changed(history, data_sha256="d1", test_error=7.0, weights_sha256="other"))
    history.publish(4, history.rows())
    assert problems(history) == []

    history.write(changed(history, data_sha256="d1", test_error=7.0, weights_sha256="other"))
    assert len(problems(history)) == 1, "and not the other way round"


def test_other_images_of_the_same_result_are_named(history: History) -> None:
    history.publish(3, history.rows(1))
    history.write(history.rows(1), bits=3)

    (problem,) = problems(history)

    assert f"the images of {FIRST} in correct.npz are others since it was published" in problem


def test_what_was_not_known_may_become_known(history: History) -> None:
    """A new column, and those that follow from elsewhere."""
    rows = history.rows()
    for row in rows.values():
        row["start_sha256"] = "s"
    history.publish(3, history.rows())
    history.publish(4, rows)
    history.publish(5, {name: row | {"allocator": "tuned", "share": 1} for name, row in rows.items()})
    assert problems(history) == []

    history.write({name: row | {"allocator": "own", "share": 1} for name, row in rows.items()})
    assert "allocator is own and was tuned" in problems(history)[0]


@pytest.mark.parametrize("columns", [{}, {"predicted_seconds": ""}])
def test_a_prediction_is_not_made_after_the_run(history: History, columns: dict[str, object]) -> None:
    """Also where the column is younger than the result, and was empty then."""
    history.publish(3, {name: row | columns for name, row in history.rows().items()})
    history.publish(4, {name: row | {"predicted_seconds": ""} for name, row in history.rows().items()})
    assert problems(history) == []

    history.write({name: row | {"predicted_seconds": 60.4} for name, row in history.rows().items()})
    assert all("predicted_seconds is 60.4 and was empty since" in problem for problem in problems(history))
    assert len(problems(history)) == len(RUNS)


def test_a_result_ended_before_it_was_published(history: History) -> None:
    rows = changed(history, ended="2026-01-03T12:09:00Z")
    history.publish(3, rows)
    assert problems(history) == []

    last = RUNS[3].id
    rows[last] |= {"weights_sha256": "x", "ended": "2026-01-05T00:00:00Z"}
    commit = history.publish(4, rows, [history.row(RUNS[3])])
    assert f"it ended (2026-01-05T00:00:00Z) later than it was published, in {commit[:10]}" in problems(history)[0]

    rows[last] |= {"weights_sha256": "y", "ended": "2999-01-01T00:00:00Z"}
    history.write(rows)
    assert any("it ended (2999-01-01T00:00:00Z) later than today" in problem for problem in problems(history))


def test_what_is_listed_as_withdrawn_with_its_commit_is_in_order(history: History) -> None:
    history.publish(3, history.rows())
    slower = history.publish(4, changed(history, seconds=70.0))
    gone = history.publish(5, history.rows(1) | {FIRST: history.row(RUNS[0], seconds=70.0)})
    assert len(problems(history)) == 4

    history.withdraw(slower)
    assert all("is gone since" in problem for problem in problems(history))
    (said,) = unchecked_history(history.published())
    assert said == "the reasons that withdrawn.csv gives for 4 results changed or taken back"
    history.withdraw(gone)
    assert ["seconds is 70.0" in problem for problem in problems(history)] == [True]

    history.write(changed(history, test_error=1.0))
    assert any("changed in no commit yet" in problem for problem in problems(history)), "not before it is committed"


def test_a_record_that_is_none_is_named(history: History) -> None:
    commit = history.publish(3, history.rows())

    history.withdraw(history.code)
    assert f"{history.code[:10]} changed no results of its sweep" in problems(history)[0]
    history.withdraw(commit, " ")
    assert "is withdrawn without a reason" in problems(history)[0]
    history.withdraw("f" * 40)
    assert problems(history) == [], "of another history it explains nothing"

    (history.root / "results" / "withdrawn.csv").write_text("id\n1\n")
    with pytest.raises(StoreError, match="its columns are not sweep, id, commit, reason"):
        problems(history)


def test_two_branches_merged_have_no_alarm(history: History) -> None:
    """As two machines publish what each has trained."""
    pending = {"state": "pending"} | dict.fromkeys(("test_error", "weights_sha256", "ended"), "")
    rows = history.rows(2)
    history.publish(3, {name: row | pending for name, row in rows.items()})
    for number, day in enumerate((4, 5)):
        history.git("checkout", "-q", "-b", f"b{number}", "main")
        history.publish(
            day, {name: row | (pending if k != number else {}) for k, (name, row) in enumerate(rows.items())}
        )
    history.git("merge", "-q", "-s", "ours", "--no-commit", "b0")
    history.publish(6, rows)
    assert problems(history) == []

    history.git("checkout", "-q", "-b", "other", "main")
    history.git("merge", "-q", "--no-ff", "-s", "ours", "-m", "m", "b0", day=6)
    assert "is gone since" in problems(history)[0], "a merge that drops one side's result"


def test_without_history_nothing_is_wrong_and_that_is_said(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.publish(3, history.rows())
    history.publish(4, changed(history, seconds=70.0))

    archive = history.archive(tmp_path / "archive")
    assert problems(archive) == []
    (said,) = unchecked_history(archive.published())
    assert said.startswith("whether published results changed, as git has no history of them here: not a git repos")

    monkeypatch.setenv("PATH", "")
    assert problems(history) == []
    assert "git cannot be started" in next(unchecked_history(history.published()))


def test_a_shallow_clone_has_what_it_has(history: History, tmp_path: Path) -> None:
    commit = history.publish(3, history.rows())
    history.publish(4, changed(history, seconds=70.0))
    history.withdraw(commit)
    history.commit(5)

    there = history.clone(tmp_path / "shallow", "--depth", "1")

    assert problems(there) == []
    assert "before this shallow clone begins" in next(unchecked_history(there.published()))
    there.write(changed(history, seconds=80.0))
    assert "seconds is 80.0 and was 70.0" in problems(there)[0]


def test_a_clone_elsewhere_under_another_name_is_in_order(history: History, tmp_path: Path) -> None:
    history.publish(3, history.rows())

    there = history.clone(tmp_path / "a folder")
    shutil.move(there.root, tmp_path / "another folder")

    assert problems(history.at(tmp_path / "another folder")) == []


def test_results_that_no_commit_has_are_said(history: History) -> None:
    history.write(history.rows())

    assert problems(history) == []
    (said,) = unchecked_history(history.published())
    assert (
        said
        == f"when 4 results in {history.root / 'results' / NAME / 'runs.csv'} were published: no commit has them yet"
    )
