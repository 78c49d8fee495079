"""Logs of many starts do not grow without bound, and the last of them stay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.store import Submission, logs, submissions
from bench.store.logs import KEPT_STARTS, delete, forget_starts, open_log, starts
from bench.store.submission import KEPT_SUBMISSIONS, forget_submissions


def test_a_log_that_has_become_long_is_begun_anew_and_the_one_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LOG_BYTES", 10)
    path = tmp_path / "crew-0.log"
    for line in ("first\n", "second\n", "third\n", "fourth\n", "fifth\n"):
        with open_log(path) as file:
            file.write(line.encode())

    assert path.read_text() == "fifth\n"
    assert (tmp_path / "crew-0.log.before").read_text() == "third\nfourth\n"
    assert len(list(tmp_path.iterdir())) == 2


def test_the_logs_of_the_last_starts_stay_however_often_a_run_starts(tmp_path: Path) -> None:
    for number in range(3 * KEPT_STARTS):
        start = tmp_path / f"{97 * number % 100:02d}"
        start.mkdir()
        (start / "1_0_log.err").write_text(f"error {number}")
        os.utime(start, ns=(number, number))
        forget_starts(tmp_path)

    left = [(path / "1_0_log.err").read_text() for path in starts(tmp_path)]
    assert left == [f"error {number}" for number in range(2 * KEPT_STARTS, 3 * KEPT_STARTS)]


def test_what_was_submitted_stays_while_a_job_of_it_is_in_the_queue_and_for_some_starts_more(tmp_path: Path) -> None:
    for number in range(KEPT_SUBMISSIONS + 5):
        submission = Submission(tmp_path / "slurm" / f"tiny-{number}")
        submission.create([["a"]])
        os.utime(submission.path, ns=(number, number))

    forget_submissions(tmp_path, ["tiny-1", "tiny-3"])

    assert {*submissions(tmp_path)} == {f"tiny-{k}" for k in (1, 3, *range(5, KEPT_SUBMISSIONS + 5))}


def test_a_run_without_logs_has_none_to_forget(tmp_path: Path) -> None:
    forget_starts(tmp_path / "log")
    assert not list(tmp_path.iterdir())


def test_what_a_link_leads_to_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "kept")

    assert delete(tmp_path / "link")

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").exists()
