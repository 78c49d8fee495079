"""Several processes of one run: the numbers of one process, up to rounding, whatever happens to one of them.

Two or four gloo processes on this machine, on 200 made-up images. `TOLERANCE` is what the order of additions moves.
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
import torch
from torch import Tensor, nn

from bench.launch.slurm import job
from bench.launch.slurm.job import Pack, seat_of_task, share_devices
from bench.launch.worker import ALONE, Seat, Stop, work_until
from bench.store import Rendezvous, RunFolder
from bench.tasks.classification import synthetic
from bench.train import rendezvous
from bench.train.loop import StoppedError
from bench.train.metrics import evaluate
from bench.train.process_group import PeerError, ProcessGroup, agree
from bench.train.rendezvous import joined
from bench.train.turns import finish
from tests.builders import SPAWN, make, numbers, tiny_run, wait_for
from tests.pausing import Pause
from tests.train.builders import IMAGES, LABELS, Says, in_processes, trainer

pytestmark = pytest.mark.team
TOLERANCE = 1e-5  # of a loss and of a running statistic
WORDS = {word: code for code, word in job.WORDS.items()}
SET = partial(synthetic.stand_in, 200, 50)
LONG: dict[str, Any] = {"steps": 40, "drops": (20,), "curve_every": 5, "test_every": 20, "bn_group": 4}


def three_steps(processes: ProcessGroup, bn_group: int) -> tuple[dict[str, Tensor], list[float]]:
    t = trainer(bn_group)
    t.processes = processes
    losses = []
    for _ in range(3):
        t.update()
        losses.append(t.window()["loss"])
    return t.net.state_dict(), losses


@pytest.mark.parametrize(("size", "bn_group"), [(2, 4), (2, 2), (4, 2)])
def test_a_step_of_several_processes_is_that_of_one(tmp_path: Path, size: int, bn_group: int) -> None:
    """Weights, running statistics (which groups move in turn) and the counts of their updates; all processes alike."""
    alone, losses = three_steps(ProcessGroup(), bn_group)

    (first, theirs), *others = in_processes(size, three_steps, tmp_path / "team", bn_group)

    for name, value in alone.items():
        assert torch.allclose(first[name], value, rtol=TOLERANCE, atol=TOLERANCE), name
    assert theirs == pytest.approx(losses, rel=TOLERANCE)
    for state, also in others:
        assert also == theirs
        assert all(torch.equal(state[name], first[name]) for name in first)


def test_two_processes_with_a_group_each_have_the_losses_of_one_to_the_bit(tmp_path: Path) -> None:
    """a + b is b + a: what the paper's two GPUs add."""
    _, losses = three_steps(ProcessGroup(), 4)

    (_, theirs), _ = in_processes(2, three_steps, tmp_path / "team", 4)

    assert theirs == losses


class Counts(Says):
    """Notes how many images it is shown."""

    seen = 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        return super().forward(x)


def evaluation(processes: ProcessGroup, net: nn.Module, images: Tensor, count: int) -> tuple[int, Tensor, float]:
    measured = finish(evaluate(net, lambda x: x.float(), images[:count], LABELS[:count], batch=4, processes=processes))
    return net.seen, measured.correct, measured.loss  # type: ignore[return-value]  # an int, as Counts has it


@pytest.mark.parametrize("count", [30, 29, 3])
def test_an_evaluation_counts_every_image_once_and_in_order(tmp_path: Path, count: int) -> None:
    """30 images by four are not equal parts, and of 3 images one process has none."""
    images = IMAGES.clone()
    images[:, 0, 0, 0] = LABELS
    images[[1, 17], 0, 0, 0] += 1
    _, correct, loss = evaluation(ProcessGroup(), Counts(), images, count)

    found = in_processes(4, evaluation, tmp_path / "team", Counts(), images, count)

    assert sum(seen for seen, _, _ in found) == count
    for _, also, other in found:
        assert torch.equal(also, correct)
        assert other == pytest.approx(loss, rel=1e-12)


def unequal(processes: ProcessGroup) -> str:
    assert not processes.any(False)
    assert processes.any(processes.rank == 1)
    assert processes.each(processes.rank) == [0, 1]
    assert processes.of_first(lambda: f"of {processes.rank}") == "of 0"
    with pytest.raises(ValueError, match="3 batch-norm groups a batch cannot be shared by 2 processes"):
        processes.own(3)
    with pytest.raises(PeerError) as error:
        agree(processes, device="cpu", data=f"set {processes.rank}")
    return str(error.value)


def test_processes_that_differ_all_say_so(tmp_path: Path) -> None:
    said = in_processes(2, unequal, tmp_path / "team")

    assert said == ["process 1 has another data than process 0: set 1, not set 0"] * 2


def never() -> bool:
    return False


def test_who_does_not_come_is_waited_for_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "SECONDS", 0.1)
    place = Rendezvous(tmp_path / "log" / "meeting.json")

    with pytest.raises(PeerError, match=r"process 0 of 2 did not call .*meeting.json within 0 min.*IFNAME"):
        joined(1, 2, place, never).__enter__()
    with pytest.raises(PeerError, match=r"not all of 2 processes came to .*, port \d+ within"):
        joined(0, 2, place, never).__enter__()
    with pytest.raises(PeerError, match="process 0 of 2 did not call"):
        joined(1, 2, place, never).__enter__()  # the file is still there, and nobody listens any more
    with pytest.raises(StoppedError):
        joined(1, 2, place, lambda: True).__enter__()
    place.end()
    with pytest.raises(PeerError, match="process 0 has ended for good"):
        joined(1, 2, place, never).__enter__()


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
