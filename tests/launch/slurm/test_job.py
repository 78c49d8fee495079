"""A pack trusts only its run folders; a run that dies takes nothing with it."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.launch.slurm.job import Pack, job_id
from bench.spec import Run
from bench.store import RunFolder
from tests.builders import ENDLESS, end, numbers, tiny_run, wait_for
from tests.launch.slurm.fakes import commands_on_path

ROOT = Path(__file__).resolve().parents[3]
STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "107")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)


@pytest.fixture(autouse=True)
def no_pack_left() -> Iterator[None]:
    yield
    end(STARTED)
    STARTED.clear()


def made(sweep: Path, *runs: Run) -> list[RunFolder]:
    folders = [RunFolder(sweep / run.id) for run in runs]
    for folder, run in zip(folders, runs, strict=True):
        folder.create(run)
    return folders


def start(sweep: Path, *runs: Run, at_once: int = 1, before: str = "", crew: bool = False) -> subprocess.Popen[str]:
    """The pack in a process of its own, as in a job; `before` is code that runs first."""
    names = tuple(run.id for run in runs)
    code = f"""
from pathlib import Path
from typing import Any
from bench.launch.slurm import job as pack
{textwrap.dedent(before)}
print("pack:", pack.Pack(Path({str(sweep)!r}), {names!r}, Path({str(sweep)!r}), {at_once}, crew={crew})())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    STARTED.append(process)
    return process


def ended(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 0, out
    return out


@pytest.mark.team
def test_runs_side_by_side_end_in_the_bits_of_runs_one_after_another(tmp_path: Path) -> None:
    runs = [tiny_run(seed=seed) for seed in (0, 1)]
    one, both = made(tmp_path / "one", *runs), made(tmp_path / "both", *runs)

    ended(start(tmp_path / "one", *runs))
    out = ended(start(tmp_path / "both", *runs, at_once=2))

    assert [numbers(folder) for folder in both] == [numbers(folder) for folder in one]
    assert "from step 0" in (both[0].log / "107_log.out").read_text()
    assert "starts" not in ended(start(tmp_path / "both", *runs)), "what is done is done"
    assert out.count("starts") == 2


@pytest.mark.team
def test_a_run_that_fails_leaves_the_others_of_its_pack_alone(tmp_path: Path) -> None:
    runs = (tiny_run("none", lr=1e30), tiny_run())
    bad, good = made(tmp_path, *runs)

    ended(start(tmp_path, *runs))

    assert (bad.state(), good.state()) == ("failed", "done")


@pytest.mark.team
def test_a_run_whose_process_dies_again_and_again_is_given_up_with_its_log(tmp_path: Path) -> None:
    runs = (tiny_run(seed=0), tiny_run(seed=1))
    bad, good = made(tmp_path, *runs)
    deadly = f"""
    import os, signal
    right = pack.work_until
    def work_until(folder, data, stop, seat):
        if folder.name == {runs[0].id!r}:
            os.kill(os.getpid(), signal.SIGKILL)
        return right(folder, data, stop, seat)
    pack.work_until = work_until
    """

    ended(start(tmp_path, *runs, before=deadly))

    assert good.state() == "done"
    error = bad.error()
    assert error is not None
    assert (
        "its process died 4 times without a new checkpoint (signal 9: killed, perhaps for its memory: "
        "raise memory_gib in the profile)" in error["message"]
    )
    assert str(bad.log / "107_log.out") in error["message"]
    assert error["retry"]


LASTING: dict[str, Any] = {"steps": ENDLESS, "drops": (), "curve_every": 10, "test_every": ENDLESS}


def slurm_says(folder: Path, state: str) -> str:
    """A PATH on which scontrol knows this job in this state; squeue, which a site may cache, still says RUNNING."""
    known = f"echo JobId=107 JobName=tiny JobState={state} Reason=None NodeList=n1"
    unknown = "echo slurm_load_jobs error: Invalid job id specified >&2; exit 1"
    return commands_on_path(folder, squeue="echo RUNNING", scontrol=known if state else unknown)


@pytest.mark.team
def test_runs_that_share_a_device_are_a_crew_and_one_that_cannot_be_read_or_diverges_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBMITIT_FOLDER", str(tmp_path / "slurm"))
    runs = (tiny_run(seed=0), tiny_run("none", lr=1e30), tiny_run(seed=1), tiny_run(seed=2))
    fine, diverges, damaged, other = made(tmp_path / "crew", *runs)
    straight = made(tmp_path / "one", runs[0], runs[3])
    (damaged.path / "run.json").write_text("{")

    out = ended(start(tmp_path / "crew", *runs, at_once=3, crew=True))
    ended(start(tmp_path / "one", runs[0], runs[3]))

    assert [folder.state() for folder in (fine, diverges, other)] == ["done", "failed", "done"]
    assert [numbers(folder) for folder in (fine, other)] == [numbers(folder) for folder in straight]
    error = damaged.error()
    assert error is not None
    assert "run.json cannot be read" in error["message"]
    assert error["retry"]
    log = (tmp_path / "slurm" / "107_crew-cpu.log").read_text()
    assert log.count("bench: trains") == 3
    assert f"{runs[0].id}: starts (pending)" in out
    assert "starts" not in ended(start(tmp_path / "crew", *(runs[k] for k in (0, 1, 3)), crew=True))


@pytest.mark.team
def test_a_signal_stops_a_crew_with_all_checkpoints_written_and_the_pack_asks_for_another_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", slurm_says(tmp_path / "bin", "RUNNING"))
    monkeypatch.setenv("SUBMITIT_FOLDER", str(tmp_path / "slurm"))
    runs = [tiny_run(seed=seed, **LASTING) for seed in range(3)]
    folders = made(tmp_path / "crew", *runs)
    process = start(tmp_path / "crew", *runs, at_once=2, crew=True)
    for folder in folders[:2]:
        wait_for(folder.heartbeat)

    process.send_signal(signal.SIGUSR2)
    ended(process)

    assert [folder.state() for folder in folders] == ["stopped", "stopped", "pending"]
    assert not any(folder.lives() for folder in folders)
    assert "scontrol requeue 107\n" in (tmp_path / "bin" / "asked").read_text()


@pytest.mark.team
@pytest.mark.parametrize(
    ("state", "requeued"), [("RUNNING", True), ("COMPLETING", False), ("CANCELLED", False), ("", False)]
)
def test_after_a_signal_the_pack_asks_for_another_turn_unless_slurm_takes_the_job_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, requeued: bool
) -> None:
    """A job that is being cancelled must not come back to life."""
    monkeypatch.setenv("PATH", slurm_says(tmp_path / "bin", state))
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "100")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "7")
    (folder,) = made(tmp_path, tiny_run(**LASTING))
    process = start(tmp_path, tiny_run(**LASTING))
    wait_for(folder.heartbeat)

    process.send_signal(signal.SIGUSR2)
    ended(process)

    assert folder.state() == "stopped"
    asked = (tmp_path / "bin" / "asked").read_text()
    assert ("scontrol requeue 100_7\n" in asked) is requeued


@pytest.mark.team
def test_an_orphan_stops_with_its_checkpoint_written(tmp_path: Path) -> None:
    (folder,) = made(tmp_path, tiny_run(**LASTING))
    process = start(tmp_path, tiny_run(**LASTING))
    wait_for(folder.heartbeat)

    process.kill()
    process.communicate()
    wait_for(lambda: not folder.lives())

    assert folder.state() == "stopped"


@pytest.mark.team
@pytest.mark.parametrize("crew", [False, True])
def test_a_run_that_another_process_holds_is_left_to_it_after_a_while(tmp_path: Path, crew: bool) -> None:
    runs = (tiny_run(seed=0), tiny_run(seed=1))
    held, free = made(tmp_path, *runs)

    with held.lock():
        out = ended(start(tmp_path, *runs, at_once=2, before="pack.BUSY_PATIENCE = pack.BUSY_SECONDS = 0.5", crew=crew))

        assert (held.state(), free.state()) == ("running", "done")
    assert f"{runs[0].id}: left to the process that holds it" in out


def test_half_written_files_of_a_killed_start_are_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBMITIT_FOLDER", str(tmp_path))
    ours, other = tmp_path / "107_0_result.pkl.save_tmp", tmp_path / "108_0_result.pkl.save_tmp"
    ours.touch()
    other.touch()

    assert Pack(tmp_path, (), tmp_path)() == {}

    assert (ours.exists(), other.exists()) == (False, True)


def test_a_job_of_an_array_is_named_with_its_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number alone is the whole array's for one of its jobs: a requeue of it would requeue all."""
    assert job_id() == "107"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "107")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "9")
    assert job_id() == "107_9"
