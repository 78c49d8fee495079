"""Following jobs in cases that a real Slurm shows only by chance: its answers are made up here."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.launch.slurm import commands, ends
from bench.launch.slurm import executor as slurm
from bench.launch.slurm.commands import Job, SlurmError, patiently
from bench.launch.slurm.executor import HELD, Slurm
from bench.launch.slurm.job import Pack
from bench.launch.slurm.packing import is_crew
from bench.launch.slurm.profile import Profile
from bench.launch.worker import Stop
from bench.store import RunFolder, Submission
from tests.builders import needs, tiny_run


class Follow:
    """An executor with one run in the queue; each call is a look at the queue, None for no answer."""

    def __init__(self, executor: Slurm, queue: list[list[Job] | None]) -> None:
        self.executor, self.queue = executor, queue
        self.stop, self.why = executor.stop, executor.why

    def __call__(self, jobs: list[Job] | None) -> list[RunFolder]:
        self.queue[0] = jobs
        self.executor.queue.forget()
        time.sleep(0.01)
        return self.executor.ended()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What Slurm's commands were asked by the executor."""
    words: list[tuple[str, ...]] = []
    monkeypatch.setattr(slurm, "ask", lambda *given: words.append(given))
    return words


@pytest.fixture
def follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> Follow:
    run = tiny_run()
    folder = RunFolder(tmp_path / "tiny" / run.id)
    folder.create(run)
    Submission(tmp_path / "tiny" / "slurm" / "tiny-1").create([[run.id]])
    queue: list[list[Job] | None] = [[job()]]

    def listing() -> list[Job]:
        if queue[0] is None:
            raise SlurmError("squeue: Unable to contact slurm controller")
        return queue[0]

    monkeypatch.setattr(commands, "listing", listing)
    monkeypatch.setattr(slurm, "FILES_SECONDS", 0.0)
    executor = Slurm(tmp_path / "tiny", tmp_path, Profile(), tmp_path, Stop(), said.append)
    executor.submit([(run, folder)])
    return Follow(executor, queue)


def job(reason: str = "None", state: str = "PENDING") -> Job:
    return Job("tiny-1", 0, "77", state, "n1", "1:00:00", reason)


def test_a_run_in_the_queue_is_not_submitted_again(follow: Follow, said: list[str]) -> None:
    assert said == ["slurm: 1 run in the queue or running already"]
    assert follow([job()]) == []


def test_a_job_held_for_a_spoilt_start_is_released_once_a_minute(
    follow: Follow, asked: list[tuple[str, ...]], said: list[str]
) -> None:
    for _ in range(3):
        assert follow([job(HELD)]) == []

    assert asked == [("scontrol", "release", "77")]
    assert said[-1] == "slurm: job 77 is held (launch failed requeued held); it is released"


@needs("submitit")
@pytest.mark.parametrize(
    ("profile", "own", "crew"),
    [
        (Profile(), {"gpus": 1}, False),
        (Profile(at_once=4, pack=4), {"gpus": 1}, True),
        (Profile(at_once=4, pack=4), {"gpus": 0}, False),
        (Profile(at_once=4, pack=4), {"gpus": 2}, False),
        (Profile(at_once=4, pack=4, gpus=0), {"gpus": 1}, False),
        (Profile(at_once=4, pack=4, gpus=1), {"gpus": 0}, True),
        (Profile(at_once=4, pack=4), {"gpus": 1, "tasks": 2}, False),
    ],
)
def test_runs_of_a_job_that_share_one_gpu_are_a_crew(
    profile: Profile, own: dict[str, Any], crew: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What each job is told to do, as submitit is given it."""
    packs: list[Pack] = []

    class Executor:
        def batch(self) -> nullcontext[None]:
            return nullcontext()

        def submit(self, pack: Pack) -> SimpleNamespace:
            packs.append(pack)
            return SimpleNamespace(job_id="77_0")

    runs = [tiny_run(seed=seed) for seed in (0, 1)]
    runs = [replace(run, resources=replace(run.resources, **own)) for run in runs]
    monkeypatch.setattr(Slurm, "_submitit", lambda *_: Executor())
    monkeypatch.setattr(commands, "listing", list)
    monkeypatch.setattr(commands, "max_array_size", lambda: 1_000)
    executor = Slurm(tmp_path / "tiny", tmp_path, profile, tmp_path, Stop(), lambda _: None)
    executor.submit([(run, RunFolder(tmp_path / "tiny" / run.id)) for run in runs])

    assert is_crew(profile, profile.asks(runs[0].resources)) is crew
    assert [pack.crew for pack in packs] == [crew] * len(packs)
    assert [name for pack in packs for name in pack.names] == [run.id for run in runs]


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the job's logs are; Slurm knows it no more."""

    def ask(*_: str) -> str:
        raise SlurmError("scontrol: Invalid job id specified")

    monkeypatch.setattr(ends, "ask", ask)
    return tmp_path / "tiny" / "slurm" / "tiny-1"


def test_no_answer_is_no_news(logs: Path, follow: Follow) -> None:
    (logs / "77_0_log.out").write_text("Job completed successfully\n")

    assert follow(None) == []
    assert len(follow([])) == 1


def test_of_a_job_that_vanished_the_cause_is_said_and_its_run_has_died_of_it(
    logs: Path, follow: Follow, said: list[str]
) -> None:
    (logs / "77_0_log.err").write_text("slurmstepd-n1: error: Exceeded job memory limit\nsrun: Job step aborted\n")
    (logs / "77_0_log.out").write_text(f"bench: {tiny_run().id} starts (pending) as process 12\n")
    follow([job(state="RUNNING")])

    (folder,) = follow([])

    words = "out of memory: raise memory_gib in the profile"
    assert said[-1] == f"slurm: job 77 on n1 ended before its runs: {words} ({logs / '77_0_log.err'})"
    assert follow.why(folder) == words


def test_a_run_that_another_process_held_and_left_has_died(tmp_path: Path, follow: Follow) -> None:
    run = tiny_run(seed=1)
    folder = RunFolder(tmp_path / "tiny" / run.id)
    folder.create(run)
    with folder.lock():
        follow.executor.submit([(run, folder)])
        assert follow([job()]) == []

    assert follow([job()]) == [folder]
    assert follow.why(folder) == "killed, no memory, full disk"


def test_a_job_that_began_no_run_ends_the_following_and_nothing_continues(
    logs: Path, follow: Follow, asked: list[tuple[str, ...]], said: list[str]
) -> None:
    (logs / "77_0_log.err").write_text("bench: setup failed with exit code 1: module load x\n")

    with pytest.raises(SlurmError, match="the profile's setup failed with exit code 1: module load x"):
        follow([])
    follow.stop()

    assert not any("continue" in line for line in said)
    assert asked == [], "there is nothing to cancel"


@pytest.mark.parametrize(
    ("reason", "never"),
    [
        *((word, True) for word in ("PartitionTimeLimit", "PartitionNodeLimit", "BadConstraints", "InvalidQOS")),
        *((word, True) for word in ("QOSMaxCpuPerJobLimit", "AssocMaxWallDurationPerJobLimit", "QOSMinGRES")),
        *((word, False) for word in ("Resources", "Priority", "QOSMaxJobsPerUserLimit", "AssocGrpCpuLimit")),
        *((word, False) for word in ("ReqNodeNotAvail, UnavailableNodes:n[1-2]", "JobHeldUser", "Dependency")),
    ],
)
def test_a_job_that_can_never_start_is_said_once(reason: str, never: bool, follow: Follow, said: list[str]) -> None:
    for _ in range(3):
        assert follow([job(reason)]) == []

    found = [line for line in said if "can never start" in line]
    assert len(found) == never
    assert all(f"job 77 can never start as it is: {reason}; `python -m bench cancel tiny`" in line for line in found)


def test_a_busy_controller_is_asked_again_and_a_refusal_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "PAUSES", (0.0, 0.0))
    errors = [SlurmError("sbatch: Socket timed out"), SlurmError("sbatch: Slurm temporarily unable to accept job")]

    def work() -> str:
        if errors:
            raise errors.pop()
        return "77"

    assert patiently(work) == "77"
    errors.append(SlurmError("sbatch: invalid partition specified: mian"))
    with pytest.raises(SlurmError, match="mian"):
        patiently(work)
