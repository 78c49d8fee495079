"""squeue gives the overview, and slurmctld the last word on a job, by its number."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bench.launch.slurm import queue
from bench.launch.slurm.commands import SlurmError
from bench.launch.slurm.queue import Job, cancel, jobs_of, records, states
from bench.store import Submission, submissions

HEAD = "UserId=me(7) GroupId=me(7)"
PENDING = "JobState=PENDING Reason=BeginTime NodeList=(null)"
RECORDS = f"""
JobId=78 ArrayJobId=77 ArrayTaskId=3 JobName=tiny-1 {HEAD} JobState=CANCELLED Reason=None ReqNodeList=n9 NodeList=n1
JobId=77 ArrayJobId=77 ArrayTaskId=0,5-7,10-14:2%5 JobName=tiny-1 {HEAD} {PENDING}
"""
ALONE = (
    f"JobId=80 JobName=tiny-2 {HEAD} JobState=RUNNING Reason=None NodeList=n2 BatchHost=n2 StdErr=/a b/80_0_log.err\n"
)


@pytest.fixture
def scontrol(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What scontrol says of each number."""
    known: dict[str, str] = {}

    def ask(*words: str, **variables: str) -> str:
        assert variables == {"SLURM_BITSTR_LEN": "0"}, "else long lists of indices end in ..."
        if words[-1] not in known:
            raise SlurmError("scontrol: Invalid job id specified")
        return known[words[-1]]

    monkeypatch.setattr(queue, "ask", ask)
    return known


def test_every_job_of_an_array_is_read_from_slurmctlds_records(scontrol: dict[str, str]) -> None:
    scontrol |= {"77": RECORDS, "80": ALONE}

    found = {job.id: job for job in records("77")}

    assert sorted(found) == sorted([f"77_{index}" for index in (0, 3, 5, 6, 7, 10, 12, 14)])
    assert found["77_3"] == Job("tiny-1", 3, "77_3", "CANCELLED", "n1", "", "None")
    assert found["77_12"] == Job("tiny-1", 12, "77_12", "PENDING", "", "", "BeginTime")
    assert records("80") == [Job("tiny-2", 0, "80", "RUNNING", "n2", "", "None")]
    assert records("99") == []


def test_a_job_is_asked_for_by_number_and_one_that_it_does_not_know_has_none(scontrol: dict[str, str]) -> None:
    scontrol |= {"77": RECORDS}
    jobs = [Job("tiny-1", index, f"77_{index}", "PENDING") for index in (3, 4, 5)]

    assert states([*jobs, Job("tiny-2", 0, "80", "RUNNING")]) == {
        "77_3": "CANCELLED", "77_4": "", "77_5": "PENDING", "80": None,
    }  # fmt: skip


@pytest.mark.parametrize(("age", "found"), [(5.0, 7), (30.0, 7), (3_600.0, 0)])
def test_a_submission_that_squeue_has_not_heard_of_yet_is_in_the_queue(
    age: float, found: int, tmp_path: Path, scontrol: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status, a second start and `bench cancel` see its jobs; of an old one squeue has the last word."""
    monkeypatch.setattr(queue, "listing", list)
    scontrol |= {"77": RECORDS}
    one = Submission(tmp_path / "slurm" / "tiny-1")
    one.create([[f"run{k}"] for k in range(15)])
    (one.path / "77_submission.sh").touch()
    os.utime(one.path / "packs.json", (time.time() - age,) * 2)

    assert len(jobs_of(submissions(tmp_path))) == found
    assert len(queue.Queue(tmp_path).runs() or ()) == found


def test_cancel_finds_jobs_that_squeue_does_not_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(queue, "listing", list)
    monkeypatch.setattr(queue, "records", lambda number: [Job("tiny-1", 0, f"{number}_0", "PENDING")])
    monkeypatch.setattr(queue, "ask", lambda *words: asked.append(words))
    one = Submission(tmp_path / "slurm" / "tiny-1")
    one.create([["run0"], ["run1"]])
    (one.path / "77_submission.sh").touch()

    assert cancel(tmp_path) == 1
    assert asked == [("scancel", "77")]
    assert one.cancelled
