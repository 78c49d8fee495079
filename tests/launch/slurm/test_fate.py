"""A job that is gone was cancelled, or died, or squeue has only not heard of it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bench.launch.slurm import fate
from bench.launch.slurm.commands import SlurmError
from bench.launch.slurm.fate import ALIVE, CANCELLED, DIED, GONE, fates, log_of
from bench.launch.slurm.queue import Job
from bench.store import Submission

WHEN = "slurmstepd-n1: error: *** JOB 78 ON n1 CANCELLED AT 2026-11-27T19:51:39"
SEEN = Job("tiny-1", 0, "77_0", "PENDING", "", "4:00:00", "Priority")  # squeue listed it once
NEW = Job("tiny-1", 0, "77_0", "PENDING")  # it did not
RAN = Job("tiny-1", 0, "77_0", "RUNNING", "n1", "4:00:00", "None")
CASES: dict[str, tuple[Job, str | None, str | None, str]] = {  # what was seen of it, Slurm's state, its log, its fate
    "it waits": (SEEN, "PENDING", None, ALIVE),
    "it is being cleared away": (RAN, "COMPLETING", f"{WHEN} ***\n", ALIVE),
    "a state that is not known here": (RAN, "SPECIAL_EXIT", "", ALIVE),
    "scancel while it waits": (SEEN, "CANCELLED", None, CANCELLED),
    "scancel while it runs": (RAN, "CANCELLED", f"{WHEN} ***\n", CANCELLED),
    "gone before its turn, and its array, too": (SEEN, None, None, GONE),
    "scancel, and slurmctld has forgotten it": (RAN, None, f"Traceback\n{WHEN} ***\n", CANCELLED),
    "scancel of one of an array before its turn": (SEEN, "", None, CANCELLED),
    "scancel after a requeue": (SEEN, "", f"{WHEN} DUE TO JOB REQUEUE ***\n{WHEN} ***\n", CANCELLED),
    "not named yet": (NEW, "", None, ALIVE),
    "time limit": (RAN, "TIMEOUT", f"{WHEN} DUE TO TIME LIMIT ***\n", DIED),
    "time limit, forgotten": (RAN, None, f"{WHEN} DUE TO TIME LIMIT ***\n", DIED),
    "preempted, forgotten": (RAN, None, f"{WHEN} DUE TO PREEMPTION ***\n", DIED),
    "lost with its node, forgotten": (
        RAN,
        "",
        f"{WHEN} DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***\n",
        DIED,
    ),
    "the step alone was cancelled": (RAN, "", f"{WHEN.replace('JOB 78', 'STEP 78.0')} ***\n", DIED),
    "out of memory": (RAN, "OUT_OF_MEMORY", "Detected 1 oom-kill event(s)\n", DIED),
    "out of memory by slurmd's count": (RAN, "CANCELLED", f"error: Exceeded job memory limit\n{WHEN} ***\n", DIED),
    "it failed": (RAN, "FAILED", "Traceback\n", DIED),
    "it failed before it could write": (SEEN, "FAILED", None, DIED),
    "it ended": (RAN, "COMPLETED", "", DIED),
    "gone with no word": (RAN, "", "", DIED),
    "gone with no log, but it ran": (RAN, "", None, DIED),
}


@pytest.mark.parametrize("case", CASES)
def test_the_fate_of_a_job_that_is_not_listed(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, state, log, wanted = CASES[case]
    Submission(tmp_path / "slurm" / "tiny-1").create([["run"]])
    if log is not None:
        log_of(tmp_path, job).write_text(log)
    monkeypatch.setattr(fate, "states", lambda jobs: {job.id: state for job in jobs})

    assert fates(tmp_path, {job}) == {"77_0": wanted}


def test_a_job_that_nobody_ever_named_is_given_up_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Submission(tmp_path / "slurm" / "tiny-1")
    one.create([["run"]])
    os.utime(one.path / "packs.json", (time.time() - 600,) * 2)
    monkeypatch.setattr(fate, "states", lambda jobs: {job.id: None for job in jobs})

    assert fates(tmp_path, {NEW}) == {"77_0": GONE}


def test_no_answer_is_no_news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def states(_: object) -> dict[str, str]:
        raise SlurmError("scontrol: Unable to contact slurm controller")

    monkeypatch.setattr(fate, "states", states)
    assert fates(tmp_path, {RAN}) == {"77_0": ALIVE}
