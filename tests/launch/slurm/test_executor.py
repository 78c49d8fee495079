"""Following jobs in cases that a real Slurm shows only by chance: its answers are made up here."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.launch.slurm import commands, ends, fate, queue
from bench.launch.slurm import executor as slurm
from bench.launch.slurm.commands import SlurmError
from bench.launch.slurm.executor import Slurm, refuse_path
from bench.launch.slurm.job import Pack
from bench.launch.slurm.packing import is_crew
from bench.launch.slurm.profile import Profile
from bench.launch.slurm.queue import Job
from bench.launch.worker import Stop
from bench.store import RunFolder, Submission
from tests.builders import tiny_run


class Follow:
    """An executor with one run in the queue; each call is a look at the queue, None for no answer."""

    def __init__(self, executor: Slurm, listed: list[list[Job] | None]) -> None:
        self.executor, self.listed = executor, listed
        self.stop, self.why = executor.stop, executor.why

    def __call__(self, jobs: list[Job] | None) -> list[RunFolder]:
        self.listed[0] = jobs
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


@pytest.fixture(autouse=True)
def states(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What slurmctld says of a job that is asked by number."""
    known: dict[str, str] = {}
    for module in (slurm, fate):
        monkeypatch.setattr(module, "states", lambda jobs: {job.id: known.get(job.id, "") for job in jobs})
    return known


@pytest.fixture
def follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> Follow:
    run = tiny_run()
    folder = RunFolder(tmp_path / "tiny" / run.id)
    folder.create(run)
    Submission(tmp_path / "tiny" / "slurm" / "tiny-1").create([[run.id]])
    listed: list[list[Job] | None] = [[job()]]

    def listing() -> list[Job]:
        if listed[0] is None:
            raise SlurmError("squeue: Unable to contact slurm controller")
        return listed[0]

    monkeypatch.setattr(queue, "listing", listing)
    monkeypatch.setattr(slurm, "FILES_SECONDS", 0.0)
    monkeypatch.setattr(slurm, "SQUEUE_SECONDS", 0.0)
    executor = Slurm(tmp_path / "tiny", tmp_path, Profile(), tmp_path, Stop(), said.append)
    executor.submit([(run, folder)])
    return Follow(executor, listed)


def job(reason: str = "None", state: str = "PENDING") -> Job:
    return Job("tiny-1", 0, "77", state, "n1", "1:00:00", reason)


def test_a_run_in_the_queue_is_not_submitted_again(follow: Follow, said: list[str]) -> None:
    assert said == ["slurm: 1 run in the queue or running already"]
    assert follow([job()]) == []


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

    def submit_packs(_executor: object, _folder: Path, work: list[Pack]) -> str:
        packs.extend(work)
        return "77"

    runs = [tiny_run(seed=seed) for seed in (0, 1)]
    runs = [replace(run, resources=replace(run.resources, **own)) for run in runs]
    monkeypatch.setattr(Slurm, "_submitit", lambda *_: None)
    monkeypatch.setattr(slurm, "submit_packs", submit_packs)
    monkeypatch.setattr(queue, "listing", list)
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


def test_a_job_that_squeue_does_not_list_is_alive_as_long_as_slurmctld_says_so(
    logs: Path, follow: Follow, states: dict[str, str]
) -> None:
    (logs / "77_0_log.out").write_text("Job completed successfully\n")
    states["77"] = "PENDING"
    assert follow([]) == []
    states["77"] = "RUNNING"
    assert follow([]) == []
    states["77"] = "FAILED"
    assert len(follow([])) == 1
    assert not follow.executor.withdrawn


def test_slurm_is_asked_sparingly_of_jobs_that_squeue_does_not_list(
    follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def states(jobs: Collection[Job]) -> dict[str, str]:
        asked.append(jobs)
        return {job.id: "RUNNING" for job in jobs}

    monkeypatch.setattr(fate, "states", states)
    monkeypatch.setattr(slurm, "SQUEUE_SECONDS", 60.0)

    assert [follow([]) for _ in range(5)] == [[]] * 5
    assert len(asked) == 1


def test_runs_of_a_cancelled_job_are_left_to_the_next_start(
    follow: Follow, states: dict[str, str], said: list[str]
) -> None:
    states["77"] = "CANCELLED"

    (folder,) = follow([])

    assert follow.executor.withdrawn == {folder.path.name}
    assert said[-1] == "slurm: cancelled: job 77; the next start submits the runs again, this one does not"


def test_a_start_does_not_wait_for_a_job_that_squeue_lists_after_its_end(
    follow: Follow, states: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert follow([job()]) == []
    submitted: list[object] = []
    monkeypatch.setattr(Slurm, "_submit_shapes", lambda _, wanted: submitted.extend(wanted))
    (folder,) = follow.executor._running.values()
    states["77"] = "CANCELLED"

    follow.executor.submit([(folder.run(), folder)])

    assert len(submitted) == 1


UNFIT = ("run%u", "r%x", "r%%", "r%A_%a", "r%j", "r%5j", "r%t", "100%done/r%n", "r\\s", "a:b", "a\nb")
FIT = ("my runs", "o'neil", "a$b", "50%done", "größe", "100%", 'a"b', "a#b", "-r", "%")


@pytest.mark.parametrize("name", UNFIT)
def test_a_folder_whose_name_means_something_else_to_slurm_is_refused(name: str) -> None:
    with pytest.raises(SlurmError, match="choose --out without") as error:
        refuse_path(Path("/runs") / name / "tiny")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", FIT)
def test_a_folder_of_any_other_name_will_do(name: str) -> None:
    refuse_path(Path("/runs") / name / "tiny")
