"""A crew: several runs in one process, each to the bits that it has alone, whatever happens to the others."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.launch.crew import SPAWN, Crew, Crews, _process, _serve, longest_first
from bench.launch.plan import Item
from bench.launch.progress import Lines
from bench.launch.runner import Runner
from bench.launch.worker import Stop, working
from bench.spec import Run
from bench.store import RunFolder
from bench.train import checkpoint
from bench.train.turns import Slot
from tests.builders import ENDLESS, make, numbers
from tests.launch.builders import run_of
from tests.pausing import Pause


def alone(tmp_path: Path, run: Run) -> RunFolder:
    folder = make(tmp_path, run, "alone")
    assert Slot().finish(working(folder, tmp_path, lambda: False)) == "done"
    return folder


def drive(crew: Crew) -> list[str]:
    """Until all have ended; the names in the order of their ends."""
    ended = []
    while len(crew):
        ended += [folder.path.name for folder in crew.turn()]
    return ended


def same(ours: RunFolder, theirs: RunFolder) -> bool:
    files = [(f.curve.read_bytes(), f.layers.read_bytes()) for f in (ours, theirs)]
    return numbers(ours) == numbers(theirs) and files[0] == files[1]


def spoil(monkeypatch: pytest.MonkeyPatch, *, raises: RunFolder, full_disk: RunFolder) -> None:
    """The third beat of one run raises; every checkpoint of another meets a full disk."""
    beat, save, beats = RunFolder.beat, checkpoint.save, []

    def beat_or_raise(self: RunFolder, step: int, **values: Any) -> None:
        if self.path == raises.path:
            beats.append(step)
            raise ZeroDivisionError("no step")
        beat(self, step, **values)

    def save_or_fail(path: Path, state: Any, previous: Path) -> None:
        if path == full_disk.checkpoint:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save(path, state, previous)

    monkeypatch.setattr(RunFolder, "beat", beat_or_raise)
    monkeypatch.setattr(checkpoint, "save", save_or_fail)


def test_runs_of_a_crew_have_the_bits_that_they_have_alone_whatever_becomes_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nets of different depths, seeds and threads; one diverges, one raises, one meets a full disk, one is stopped."""
    fine = [run_of(8, 0, threads=2), run_of(14, 1, "none"), run_of(8, 2, precision="bf16")]
    stopped, diverges = run_of(8, 3), run_of(8, 4, "none", lr=1e12)
    raises, full = run_of(8, 5), run_of(8, 6)
    straight = {run: alone(tmp_path, run) for run in (*fine, stopped)}
    folders = {run: make(tmp_path, run, "crew") for run in (*fine, stopped, diverges, raises, full)}
    spoil(monkeypatch, raises=folders[raises], full_disk=folders[full])
    threads, crew, asked = torch.get_num_threads(), Crew(tmp_path, lambda: False), iter(range(1000))
    for run, folder in folders.items():
        crew.take(folder, (lambda: next(asked) >= 6) if run is stopped else None)
    ended = drive(crew)

    assert sorted(ended) == sorted(folder.path.name for folder in folders.values())
    assert torch.get_num_threads() == threads, "the threads of a run are its own"
    for run in fine:
        assert same(folders[run], straight[run]), run.id
    assert folders[stopped].state() == "stopped"
    crew.take(folders[stopped])
    drive(crew)
    assert same(folders[stopped], straight[stopped])
    errors = {run: folders[run].error() for run in (diverges, raises, full)}
    assert folders[diverges].diverged()
    assert errors[raises] == {**errors[raises], "message": "ZeroDivisionError: no step", "retry": False}  # type: ignore[dict-item]
    assert "No space left on device" in errors[full]["message"]  # type: ignore[index]
    assert errors[full]["retry"], "the next start tries again"  # type: ignore[index]


class Broken(Crew):
    """Cannot take a run, as where torch's libraries are damaged."""

    def take(self, folder: RunFolder, stop: Any = None) -> None:  # noqa: ARG002
        raise OSError("libcudart.so.12: cannot open shared object file")


def test_a_crew_that_cannot_take_a_run_says_so_and_dies(tmp_path: Path) -> None:
    """Its runner would wait for the run otherwise, and its log would be empty."""
    ours, theirs = SPAWN.Pipe()
    ours.send(tmp_path)

    with ours, theirs, pytest.raises(OSError, match=r"libcudart\.so\.12"):
        _serve(theirs, Broken(tmp_path, lambda: False), lambda: False)


def test_a_stop_saves_all_runs_of_a_crew(tmp_path: Path) -> None:
    asked: list[int] = []
    crew = Crew(tmp_path, lambda: len(asked) > 3)
    folders = [make(tmp_path, run_of(8, seed)) for seed in range(3)]
    for folder in folders:
        crew.take(folder)
    while len(crew):
        asked.append(1)
        list(crew.turn())

    assert [folder.state() for folder in folders] == ["stopped"] * 3


def test_want_of_memory_ends_one_run_and_a_lost_device_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poor, other = make(tmp_path, run_of(8, 0)), make(tmp_path, run_of(8, 1))
    beat, error = RunFolder.beat, torch.OutOfMemoryError("CUDA out of memory")

    def spent(self: RunFolder, step: int, **values: Any) -> None:
        if self.path == poor.path:
            raise error
        beat(self, step, **values)

    monkeypatch.setattr(RunFolder, "beat", spent)
    crew = Crew(tmp_path, lambda: False)
    crew.take(poor)
    crew.take(other)
    drive(crew)
    assert (poor.error() or {})["retry"]
    assert other.state() == "done"

    monkeypatch.setattr("bench.train.turns.device_is_lost", lambda: True)
    poor.clear_error()
    crew.take(poor)
    with pytest.raises(torch.OutOfMemoryError):
        drive(crew)
    assert poor.error() is None, "nothing the run could be blamed for: it goes on in another process"


class Killed(Lines):
    """A display that kills the crew's process, with 9, whenever a run has come to the pause, and sets the next one."""

    def __init__(self, items: list[Item], executor: Crews, pause: Pause, at: tuple[int, ...]) -> None:
        super().__init__(items)
        self.items, self.executor, self.pause, self.at = items, executor, pause, list(at)
        self.sizes: list[int] = []

    def refresh(self, running: Any, waiting: Any, done: int) -> None:  # noqa: ARG002
        step = max(int((item.folder.heartbeat() or {}).get("step", 0)) for item in self.items)
        if self.at and step == self.at[0] and self.executor.members:
            self.at.pop(0)
            self.sizes.append(self.executor.slots)
            os.kill(next(iter(self.executor.members.values())).process.pid, signal.SIGKILL)
            if self.at:
                self.pause.at(self.at[0])
            else:
                self.pause.lift()


def process_with(pause: Pause, *arguments: Any) -> None:
    pause.install()
    _process(*arguments)


@pytest.mark.team
def test_a_crew_that_is_killed_resumes_from_its_checkpoints_to_the_same_bits_with_fewer_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints after each step; the crew waits at the steps 3 and 6 until it is killed."""
    runs = [run_of(8, seed, checkpoint_seconds=0) for seed in range(4)]
    folders = [make(tmp_path, run) for run in runs]
    straight = [alone(tmp_path, run) for run in runs]
    items = [Item(run, folder, folder.state(), None) for run, folder in zip(runs, folders, strict=True)]
    pause = Pause(tmp_path / "pause")
    pause.at(3)
    monkeypatch.setattr("bench.launch.crew._process", partial(process_with, pause))
    with ExitStack() as stack:
        stop = stack.enter_context(Stop())
        executor = stack.enter_context(Crews(tmp_path, 4, None, tmp_path, devices=()))
        shown = Killed(items, executor, pause, at=(3, 6))
        Runner(executor, stop, shown).run(items)

    assert shown.sizes == [4, 2]
    assert executor.slots == 1
    for ours, theirs in zip(folders, straight, strict=True):
        assert same(ours, theirs)


def test_a_run_that_ends_makes_room_for_the_next_and_a_crew_that_is_stopped_has_saved_all(tmp_path: Path) -> None:
    folders = [make(tmp_path, run_of(8, seed)) for seed in range(3)]
    endless = make(tmp_path, run_of(8, 9, steps=ENDLESS, drops=()))
    items = [Item(folder.run(), folder, folder.state(), None) for folder in (*folders, endless)]

    class UntilLast(Lines):
        def refresh(self, running: Any, waiting: Any, done: int) -> None:  # noqa: ARG002
            if done == 3 and endless.heartbeat():
                stop.ask()

    with ExitStack() as stack:
        stop = stack.enter_context(Stop())
        executor = stack.enter_context(Crews(tmp_path, 2, None, tmp_path, devices=()))
        Runner(executor, stop, UntilLast(items)).run(items)

    assert [folder.state() for folder in folders] == ["done"] * 3
    assert endless.state() == "stopped"
    assert "bench: trains" in (tmp_path / "crew-cpu.log").read_text()
    assert executor.log(endless) == tmp_path / "crew-cpu.log"


def blocked(process: Any) -> int:
    """The mask of the signals that a process has blocked, as its thread's status tells."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigBlk")), 16)


@pytest.mark.team
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_a_ctrl_c_is_for_the_runner_alone_from_the_first_crew_on(tmp_path: Path) -> None:
    """In a process that has started nothing yet, and with it no tracker of multiprocessing's resources."""
    code = """
    from pathlib import Path
    from bench.launch.crew import Crews
    from tests.launch.test_crew import blocked
    if __name__ == "__main__":
        with Crews(Path(), 1, None, Path(), devices=()) as executor:
            print(blocked(executor._start("").process))
    """
    (tmp_path / "start.py").write_text(textwrap.dedent(code))

    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}

    done = subprocess.run(
        [sys.executable, "start.py"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100
    )

    assert int(done.stdout) & 1 << signal.SIGINT - 1, done.stderr


def test_a_crew_may_start_the_processes_that_load_pictures_for_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon of multiprocessing's may not."""
    daemons: list[bool] = []
    monkeypatch.setattr(SPAWN.Process, "start", lambda process: daemons.append(process.daemon))

    Crews(tmp_path, 1, None, tmp_path, devices=())._start("")

    assert daemons == [False]


def test_slots_are_shared_out_among_devices_and_no_device_has_none(tmp_path: Path) -> None:
    assert Crews(tmp_path, 10, None, tmp_path, devices=("0", "1", "2")).sizes == {"0": 4, "1": 3, "2": 3}
    assert Crews(tmp_path, 2, None, tmp_path, devices=("0", "1", "2")).sizes == {"0": 1, "1": 1}


def test_the_longest_runs_of_a_seed_come_first(tmp_path: Path) -> None:
    runs = [run_of(8, 1), run_of(8, 0), run_of(20, 0), run_of(14, 0)]
    items = [Item(run, RunFolder(tmp_path), "pending", None) for run in runs]

    found = [(item.run.seed, item.run.net.depth) for item in longest_first(items)]

    assert found == [(0, 20), (0, 14), (0, 8), (1, 8)]
