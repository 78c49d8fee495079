"""Jobs that wait for no good reason are helped on, or it is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.launch.slurm import waiting
from bench.launch.slurm.commands import SlurmError
from bench.launch.slurm.fate import log_of
from bench.launch.slurm.queue import Job
from bench.launch.slurm.waiting import HELD, Waiting

Look = Callable[..., None]


def job(reason: str = "None", state: str = "PENDING", number: int = 0) -> Job:
    return Job("tiny-1", number, f"77_{number}", state, "n1", "1:00:00", reason)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    words: list[tuple[str, ...]] = []
    monkeypatch.setattr(waiting, "ask", lambda *given: words.append(given))
    return words


@pytest.fixture
def look(tmp_path: Path, said: list[str]) -> Look:
    """A look at these jobs."""
    one = Waiting(tmp_path / "tiny", said.append)
    return lambda *jobs: one.look(jobs)


def test_a_job_held_for_a_spoilt_start_is_released_once_a_minute(
    look: Look, asked: list[tuple[str, ...]], said: list[str]
) -> None:
    for _ in range(3):
        look(job(HELD))

    assert asked == [("scontrol", "release", "77_0")]
    assert said == ["slurm: job 77_0 is held (launch failed requeued held); it is released"]


def test_requeued_jobs_are_started_once_and_one_that_has_not_begun_is_left_as_asked(
    tmp_path: Path, look: Look, asked: list[tuple[str, ...]]
) -> None:
    """Slurm lets a requeued job wait for two minutes; the user's own `begin` stands, as does a later StartTime."""
    waits = [job("BeginTime", number=k) for k in range(3)]
    look(*waits)
    assert asked == []
    log_of(tmp_path / "tiny", waits[0]).parent.mkdir(parents=True)
    for one in waits[:2]:
        log_of(tmp_path / "tiny", one).touch()
    for _ in range(3):
        look(*waits)
    assert asked == [("scontrol", "update", "JobId=77_0,77_1", "StartTime=now")]
    look(job(state="RUNNING"), *waits[1:])
    look(*waits)
    assert asked[1:] == [("scontrol", "update", "JobId=77_0", "StartTime=now")]


def test_where_slurm_refuses_to_start_a_job_it_is_not_asked_at_each_look(
    tmp_path: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def refuses(*words: str) -> None:
        asked.append(words)
        raise SlurmError("scontrol: Access/permission denied")

    monkeypatch.setattr(waiting, "ask", refuses)
    log_of(tmp_path / "tiny", job()).parent.mkdir(parents=True)
    log_of(tmp_path / "tiny", job()).touch()
    for _ in range(3):
        look(job("BeginTime"))

    assert len(asked) == 1


@pytest.mark.parametrize(
    ("reason", "never"),
    [
        *((word, True) for word in ("PartitionTimeLimit", "PartitionNodeLimit", "BadConstraints", "InvalidQOS")),
        *((word, True) for word in ("QOSMaxCpuPerJobLimit", "AssocMaxWallDurationPerJobLimit", "QOSMinGRES")),
        *((word, False) for word in ("Resources", "Priority", "QOSMaxJobsPerUserLimit", "AssocGrpCpuLimit")),
        *((word, False) for word in ("ReqNodeNotAvail, UnavailableNodes:n[1-2]", "JobHeldUser", "Dependency")),
    ],
)
def test_a_job_that_can_never_start_is_said_once(reason: str, never: bool, look: Look, said: list[str]) -> None:
    for _ in range(3):
        look(job(reason))

    found = [line for line in said if "can never start" in line]
    assert len(found) == never
    assert all(f"job 77_0 can never start as it is: {reason}; `python -m bench cancel tiny`" in line for line in found)
