"""A run in several processes: the numbers of one process, up to rounding, whatever happens to one of them.

Two gloo processes on this machine, on 200 made-up images. `TOLERANCE` is what the order of additions moves.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.launch.slurm import job
from bench.launch.slurm.job import Pack, seat_of_task, share_devices
from bench.launch.worker import ALONE, Seat, Stop, work_until
from bench.store import RunFolder
from bench.tasks.classification import synthetic
from tests.builders import SPAWN, make, numbers, tiny_run, wait_for
from tests.pausing import Pause

pytestmark = pytest.mark.team
TOLERANCE = 1e-5  # of a loss
WORDS = {word: code for code, word in job.WORDS.items()}
SET = partial(synthetic.stand_in, 200, 50)
LONG: dict[str, Any] = {"steps": 40, "drops": (20,), "curve_every": 5, "test_every": 20, "bn_group": 4}


def work_as(folder: Path, seat: Seat, before: Sequence[Callable[[], None]]) -> None:
    """`work` as one process of the run, after all of `before`; the exit code is its word's."""
    synthetic.stand_in = SET
    for change in before:
        change()
    with Stop() as stop:
        os._exit(WORDS[work_until(folder, folder, stop, seat)])


def start(
    folder: RunFolder,
    size: int,
    start: str = "7.0",
    *,
    pause: Pause | None = None,
    spoil: Callable[[], None] | None = None,
) -> list[Any]:
    """The processes of a run, under way; `spoil` is done in the last of them before it begins."""
    processes = []
    for rank in range(size):
        seat = Seat(rank, size, start) if size > 1 else ALONE
        before = [pause.install] if pause else []
        before += [spoil] if spoil and rank == size - 1 else []
        processes.append(SPAWN.Process(target=work_as, args=(folder.path, seat, before)))
    for process in processes:
        process.start()
    return processes


def ended(processes: list[Any]) -> list[str]:
    """The word of each, or its signal."""
    for process in processes:
        process.join(150)
        assert process.exitcode is not None, "hangs"
    return [job.WORDS.get(p.exitcode, f"signal {-p.exitcode}") for p in processes]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run in two processes that nothing happens to."""
    folder = make(tmp_path_factory.mktemp("straight"), tiny_run(**LONG))
    assert ended(start(folder, 2)) == ["done", "done"]
    return folder


def test_a_run_of_two_processes_has_the_curve_and_the_images_of_one(straight: RunFolder, tmp_path: Path) -> None:
    alone = make(tmp_path, tiny_run(**LONG))
    assert ended(start(alone, 1)) == ["done"]

    ours, theirs = straight.result(), alone.result()
    env = straight.env()
    assert ours is not None
    assert theirs is not None
    assert env is not None
    assert ours["test_images"] == theirs["test_images"] == 40
    assert ours["test_error"] == theirs["test_error"]
    for row, other in zip(straight.curve_rows(), alone.curve_rows(), strict=True):
        assert row == pytest.approx(other, rel=TOLERANCE)
    assert (env["processes"], env["sessions"]) == (2, 1)
    assert {path.name for path in straight.path.iterdir()} == {path.name for path in alone.path.iterdir()} | {"log"}


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_holds_up_no_other_and_all_go_on_to_the_same_bits(
    straight: RunFolder, tmp_path: Path, victim: int
) -> None:
    """Started again under the same name, as tasks of one job are: the file of the first try is there and is stale."""
    folder, pause = make(tmp_path, tiny_run(**LONG, checkpoint_seconds=0.2)), Pause(tmp_path / "pause")
    pause.at(30)
    processes = start(folder, 2, pause=pause)
    wait_for(folder.checkpoint.exists)

    processes[victim].kill()
    begun = time.monotonic()
    words = ended(processes)

    assert words[1 - victim] == "lost"
    assert time.monotonic() - begun < 60
    assert folder.state() == "stopped"
    assert ended(start(folder, 2)) == ["done", "done"]
    assert numbers(folder) == numbers(straight)


@pytest.mark.parametrize("size", [1, 2])
def test_a_stop_of_any_process_stops_all_and_any_number_of_them_goes_on(
    straight: RunFolder, tmp_path: Path, size: int
) -> None:
    folder, pause = make(tmp_path, tiny_run(**LONG)), Pause(tmp_path / "pause")
    pause.at(30)
    processes = start(folder, 2, pause=pause)
    wait_for(folder.heartbeat)

    os.kill(processes[1].pid, signal.SIGUSR2)

    assert ended(processes) == ["stopped", "stopped"]
    assert folder.state() == "stopped"
    assert ended(start(folder, size, "8.0")) == ["done"] * size
    env = folder.env()
    assert env is not None
    assert env["processes"] == (2 if size == 2 else "2; 1")
    if size == 2:
        assert numbers(folder) == numbers(straight)
    for row, other in zip(folder.curve_rows(), straight.curve_rows(), strict=True):
        assert row == pytest.approx(other, rel=TOLERANCE)


def no_data() -> None:
    def missing() -> None:
        raise OSError("no data on this node")

    synthetic.stand_in = missing  # type: ignore[assignment]  # it never returns


def test_what_another_process_dies_of_is_the_runs_error(tmp_path: Path) -> None:
    folder = make(tmp_path, tiny_run(**LONG))

    words = ended(start(folder, 2, spoil=no_data))

    error = folder.error()
    assert words == ["failed", "failed"]
    assert error is not None
    assert error["message"].startswith("process 1 on ")
    assert error["message"].endswith("no data on this node")
    assert error["retry"]


def test_a_run_that_diverges_fails_in_all_its_processes(tmp_path: Path) -> None:
    folder = make(tmp_path, tiny_run("none", **LONG, lr=1e30))

    assert ended(start(folder, 2)) == ["failed", "failed"]

    assert folder.state() == "failed"


def task(folder: RunFolder, rank: int) -> None:
    """A task of a job of two: its pack; the second one's training dies at its first try, after a checkpoint."""
    synthetic.stand_in = SET
    os.environ |= {"SLURM_JOB_ID": "107", "SLURM_PROCID": str(rank), "SLURM_LOCALID": "0"}

    def dies_once(path: Path, data: Path, stop: Stop, seat: Seat) -> str:
        tried = folder.path / f"tried-{rank}"
        first = rank == 1 and not tried.exists()
        tried.touch()
        return work_until(path, data, Dying(folder) if first else stop, seat)

    pytest.MonkeyPatch().setattr(job, "work_until", dies_once)
    Pack(folder.path.parent, (folder.path.name,), folder.path, tasks=2)()


class Dying(Stop):
    """kill -9 after the first checkpoint."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self.folder = folder

    def __call__(self) -> bool:
        if self.folder.checkpoint.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return False


def test_the_tasks_of_a_job_start_a_broken_run_again(straight: RunFolder, tmp_path: Path) -> None:
    folder = make(tmp_path, tiny_run(**LONG, checkpoint_seconds=0))
    tasks = [SPAWN.Process(target=task, args=(folder, rank)) for rank in range(2)]
    for one in tasks:
        one.start()
    for one in tasks:
        one.join(150)

    assert [one.exitcode for one in tasks] == [0, 0]
    assert numbers(folder) == numbers(straight)
    assert "another process of the run was lost" in (folder.log / "107_log.out").read_text()
    assert (folder.log / "107_1_log.out").exists()
    called = folder.rendezvous("107.0").read()
    assert called is not None
    assert called["over"]


def test_a_task_knows_its_seat_and_takes_its_own_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A requeued job is another start; where Slurm has shared the devices out, a task sees its own alone."""
    monkeypatch.setenv("SLURM_JOB_ID", "107")
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("SLURM_LOCALID", "1")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    assert seat_of_task(1) == ALONE
    assert seat_of_task(4) == Seat(3, 4, "107.0")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    assert seat_of_task(4) == Seat(3, 4, "107.2")
    for seen, own in (("0,1", "1"), ("0,1,2,3", "2,3"), ("5", "5"), ("", "")):
        monkeypatch.setattr(job, "device_tokens", lambda seen=seen: tuple(filter(None, seen.split(","))))
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
        share_devices(2)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == own
