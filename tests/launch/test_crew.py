"""A crew: several runs in one process, each to the bits that it has alone, whatever happens to the others."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.launch import runner
from bench.launch.crew import DEVICE_LOST, SPAWN, Crew, Crews, Member, _process, longest_first
from bench.launch.local import Executor
from bench.launch.plan import Item
from bench.launch.progress import Lines
from bench.launch.runner import Runner
from bench.launch.worker import DEATHS, Stop, working
from bench.spec import Net, Run
from bench.store import RunFolder
from bench.train import checkpoint
from bench.train.turns import Slot
from tests.builders import ENDLESS, make, numbers, tiny_run
from tests.pausing import Pause

CURVED = {"steps": 12, "drops": (5, 9), "curve_every": 3, "test_every": 6, "test_images": 20}


def run_of(depth: int, seed: int, shortcut: str = "A", threads: int = 1, **recipe: Any) -> Run:
    run = tiny_run(seed=seed, **{**CURVED, **recipe})
    return replace(run, net=Net("cifar", depth, shortcut), resources=replace(run.resources, cpus=threads))


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

    def save_or_fail(path: Path, state: Any) -> None:
        if path == full_disk.checkpoint:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save(path, state)

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

    def refresh(self, running: Any, done: int) -> None:  # noqa: ARG002
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
        def refresh(self, running: Any, done: int) -> None:  # noqa: ARG002
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


class Dies(Executor):
    """An executor whose runs die without an error; before each death in `gets_on` there is progress."""

    def __init__(self, gets_on: frozenset[int], ends_at: int) -> None:
        self.gets_on, self.ends_at, self.deaths = gets_on, ends_at, 0
        self.folders: list[RunFolder] = []

    def submit(self, runs: Any) -> None:
        self.folders += [folder for _, folder in runs]

    def ended(self) -> list[RunFolder]:
        ended, self.folders = self.folders, []
        for folder in ended:
            self.deaths += 1
            if self.deaths in self.gets_on:
                folder.checkpoint.touch()
                os.utime(folder.checkpoint, ns=(self.deaths, self.deaths))
            if self.deaths == self.ends_at:
                folder.fail("it says why", retry=False)
        return ended

    def log(self, folder: RunFolder) -> Path:
        return folder.path / "its.log"


@pytest.mark.parametrize(
    ("gets_on", "deaths"),
    [(frozenset(), DEATHS + 1), (frozenset({2}), DEATHS + 2), (frozenset({3, 6, 9}), 9 + DEATHS), ({*range(30)}, 20)],
)
def test_deaths_count_anew_after_progress(
    gets_on: frozenset[int], deaths: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "POLL_SECONDS", 0)
    folder = make(tmp_path, run_of(8, 0))
    executor, items = Dies(gets_on, ends_at=20), [Item(folder.run(), folder, "pending", None)]
    one = Runner(executor, Stop(), Lines(items))

    one.run(items)

    assert (executor.deaths, one.failed) == (deaths, 1)
    if deaths < 20:
        error = folder.error()
        assert error is not None
        assert error["retry"]
        assert error["message"] == (
            f"its process died {DEATHS + 1} times without an error (killed, no memory, full disk); "
            f"see {folder.path / 'its.log'}"
        )


class Frail(Crews):
    """Crews without processes: one that has the run `culprit` is found dead, any other has ended its runs."""

    culprit, code = "", -signal.SIGKILL

    def _start(self, device: str) -> Member:
        member = self.members[device] = Member(device, SimpleNamespace(exitcode=self.code), SPAWN.Pipe()[0])
        member.process.is_alive = lambda: self.culprit not in member.runs
        member.process.terminate = lambda: None
        return member

    def ended(self) -> list[RunFolder]:
        for member in self.members.values():
            if member.process.is_alive():
                for name in list(member.runs):
                    member.runs[name].fail("it has ended", retry=False)
                    self._ended.append(member.runs.pop(name))
        return super().ended()

    def __exit__(self, *_: object) -> None: ...


def test_a_run_that_ends_its_process_is_given_up_alone_and_each_death_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "POLL_SECONDS", 0)
    folders = [make(tmp_path, run_of(8, seed)) for seed in range(20)]
    items = [Item(folder.run(), folder, "pending", None) for folder in folders]
    shown = Lines(items)
    executor = Frail(tmp_path, 16, None, tmp_path, devices=("3",), say=shown.say)
    executor.culprit = folders[0].path.name

    Runner(executor, Stop(), shown).run(items)

    errors = [(folder.error() or {})["message"] for folder in folders]
    assert f"died {DEATHS + 1} times" in errors[0]
    assert errors[1:] == ["it has ended"] * 19
    said = [line for line in capsys.readouterr().out.splitlines() if "the process that trained" in line]
    log = tmp_path / "crew-3.log"
    for line, count, left in zip(said, (16, 8, 4, 2), (8, 4, 2, 1), strict=False):
        assert line.endswith(
            f"  the process that trained {count} runs on device 3 died (signal 9: killed, perhaps for its memory), see "
            f"{log}; at most {left} at once there from now on"
        )
    assert ["trained 1 run on device 3 died" in line for line in said] == [False] * 4 + [True] * (DEATHS + 1)


@pytest.mark.parametrize(
    ("code", "words"), [(0, ""), (DEVICE_LOST, "exit code 20: perhaps the device is lost"), (-11, "(signal 11)")]
)
def test_only_a_death_is_said_and_none_that_was_asked_for(code: int, words: str, tmp_path: Path) -> None:
    said: list[str] = []
    executor = Frail(tmp_path, 2, None, tmp_path, devices=(), say=said.append)
    for asked in (False, True):
        folder = make(tmp_path, run_of(8, 0))
        executor.culprit, executor.code = folder.path.name, code
        executor.submit([(folder.run(), folder)])
        if asked:
            executor.stop()
        assert executor.ended() == [folder]
    assert [words in line and "on the CPU" in line for line in said] == [True] * bool(code)


def test_slots_are_shared_out_among_devices_and_no_device_has_none(tmp_path: Path) -> None:
    assert Crews(tmp_path, 10, None, tmp_path, devices=("0", "1", "2")).sizes == {"0": 4, "1": 3, "2": 3}
    assert Crews(tmp_path, 2, None, tmp_path, devices=("0", "1", "2")).sizes == {"0": 1, "1": 1}


def test_the_longest_runs_of_a_seed_come_first(tmp_path: Path) -> None:
    runs = [run_of(8, 1), run_of(8, 0), run_of(20, 0), run_of(14, 0)]
    items = [Item(run, RunFolder(tmp_path), "pending", None) for run in runs]

    found = [(item.run.seed, item.run.net.depth) for item in longest_first(items)]

    assert found == [(0, 20), (0, 14), (0, 8), (1, 8)]
