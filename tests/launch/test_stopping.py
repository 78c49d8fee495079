"""What is said and done at a Ctrl-C, a SIGTERM and a time limit: at once, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from bench.launch import local, runner
from bench.launch.crew import _serve
from bench.launch.local import Executor, Inline, _children
from bench.launch.plan import Item
from bench.launch.progress import Lines
from bench.launch.runner import Runner
from bench.launch.worker import HearingStop, Stop, as_typed
from bench.store import RunFolder
from tests.builders import make, tiny_run, wait_for


@pytest.mark.parametrize(
    ("seconds", "text"), [(90, "90s"), (3000, "50m"), (7200, "2h"), (86400, "1d"), (5400, "90m"), (0.01, "0.01s")]
)
def test_a_time_limit_is_said_as_it_was_typed(seconds: float, text: str) -> None:
    assert as_typed(seconds) == text


class Stubborn(Executor):
    """Runs that end only when they are killed."""

    slots = 9

    def __init__(self) -> None:
        self.folders: list[RunFolder] = []
        self.killed: list[str] = []

    def submit(self, runs: Any) -> None:
        self.folders += [folder for _, folder in runs]

    def ended(self) -> list[RunFolder]:
        ended = [folder for folder in self.folders if folder.path.name in self.killed]
        self.folders = [folder for folder in self.folders if folder not in ended]
        return ended

    def kill(self, runs: Collection[RunFolder]) -> None:
        self.killed += [folder.path.name for folder in runs]


@pytest.mark.parametrize(
    ("steps", "stop", "words"),
    [
        ((6, None), lambda: Stop(time.time() + 0.5, 3000), "--time-limit 50m reached: 1 run writes its checkpoint …"),
        ((6, 6), lambda: Stop(time.time() + 0.5, 90), "--time-limit 90s reached: 2 runs write their checkpoints …"),
        ((None, None), lambda: Stop(time.time() + 0.5, 90), "--time-limit 90s reached: no run has a step to save"),
    ],
)
def test_a_time_limit_is_said_once_and_ends_runs_without_a_step_first_and_a_while_later_all(
    steps: tuple[int | None, ...],
    stop: Callable[[], Stop],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(runner, "GRACE_SECONDS", 0.1)
    folders = [make(tmp_path, tiny_run(seed=seed)) for seed in (0, 1)]
    items, executor = [Item(folder.run(), folder, "pending", None) for folder in folders], Stubborn()
    shown = Lines(items)
    for folder, step in zip(folders, steps, strict=True):
        if step:
            folder.beat(step)

    Runner(executor, stop(), shown).run(items)

    out = [line.split("  ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert out.count(words) == 1
    assert sum("the next start resumes it" in line for line in out) == 2
    silent = [folder.path.name for folder, step in zip(folders, steps, strict=True) if not step]
    assert list(dict.fromkeys(executor.killed))[: len(silent)] == silent
    assert set(executor.killed) == {folder.path.name for folder in folders}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_an_inline_run_that_has_no_step_yet(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a first compile, or while its data are read."""
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.01)
    folder = make(tmp_path, tiny_run())
    items = [Item(folder.run(), folder, "pending", None)]

    def compiles(*_: Any) -> None:
        os.kill(os.getpid(), number)
        while True:
            time.sleep(0.01)

    monkeypatch.setattr(local, "work_until", compiles)
    with HearingStop() as stop:
        one = Runner(Inline(tmp_path, stop), stop, Lines(items))
        one.run(items)

    out = capsys.readouterr().out
    assert "stopping: no run has a step to save\n" in out
    assert f"{folder.path.name}: stopped; the next start resumes it" in out
    assert one.stopped is not None
    assert (one.done, one.failed) == (0, 0)


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.01)
    folder = make(tmp_path, tiny_run())
    items, executor = [Item(folder.run(), folder, "pending", None)], Stubborn()
    shown = Lines(items)
    folder.beat(6)

    def twice() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            wait_for(lambda: stop.signal)

    with HearingStop() as stop, pytest.raises(KeyboardInterrupt):
        threading.Timer(0.05, twice).start()
        Runner(executor, stop, shown).run(items)

    assert executor.killed == [folder.path.name]


def test_a_signal_is_heard_before_python_calls_its_handler() -> None:
    """As in a step of minutes, whose call does not come back: the system has written its number already."""
    with HearingStop() as stop:
        assert not stop()
        arrives(stop, signal.SIGTERM)
        assert stop()
        stop._take(signal.SIGTERM, None)  # the main thread is back
        with pytest.raises(KeyboardInterrupt):
            stop._take(signal.SIGINT, None)
    with HearingStop() as stop:
        arrives(stop, signal.SIGINT)
        assert stop()
        arrives(stop, signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            stop._take(signal.SIGINT, None)  # Python calls it once for both
    with HearingStop() as stop:
        arrives(stop, signal.SIGCHLD)
        assert not stop(), "no signal that asks to stop"


def arrives(stop: HearingStop, number: int) -> None:
    assert stop._wire
    os.write(stop._wire[1], bytes([number]))


def test_a_crew_takes_no_run_any_more_once_it_is_to_stop(tmp_path: Path) -> None:
    sent: list[str] = []

    given = [tmp_path / "a"]

    class Line:
        def poll(self, _: float) -> bool:
            return bool(given)

        def recv(self) -> Path:
            return given.pop()

        def send(self, name: str) -> None:
            sent.append(name)

    asked = iter((False, True, True, True))
    _serve(Line(), NoCrew(), lambda: next(asked))  # type: ignore[arg-type]

    assert sent == ["a"]


class NoCrew:
    def __len__(self) -> int:
        return 0

    def turn(self) -> tuple[()]:
        return ()


def test_the_process_of_a_run_is_found_below_its_controller() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 60; true"]) as controller:
        wait_for(lambda: _children(controller.pid))
        (child,) = _children(controller.pid)
        os.kill(child, signal.SIGKILL)
        assert controller.wait(30) == 0
    assert _children(controller.pid) == []
