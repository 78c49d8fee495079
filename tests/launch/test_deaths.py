"""Processes that die: what a run is blamed for, when it is given up, what is said."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.launch import runner
from bench.launch.crew import DEVICE_LOST, SPAWN, Crews, Member
from bench.launch.local import Executor
from bench.launch.plan import Item
from bench.launch.progress import Lines
from bench.launch.runner import Runner
from bench.launch.slurm.commands import SlurmError
from bench.launch.worker import DEATHS, Stop
from bench.store import RunFolder
from tests.builders import make
from tests.launch.builders import run_of


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


class Refused(Dies):
    def submit(self, runs: Any) -> None:  # noqa: ARG002 - an executor's
        raise SlurmError("sbatch: Job violates accounting/QOS policy")


def test_what_is_refused_is_not_said_to_have_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path, run_of(8, 0))
    items = [Item(folder.run(), folder, "pending", None)]

    with pytest.raises(SlurmError):
        Runner(Refused(frozenset(), 0), Stop(), Lines(items)).run(items)

    assert capsys.readouterr().out == ""


class Knows(Dies):
    """Says what a run died of; in a job's first tries it had not begun."""

    def why(self, folder: RunFolder) -> str | None:  # noqa: ARG002 - an executor's
        return None if self.deaths <= 2 * DEATHS else "out of memory"


def test_a_run_that_its_job_had_not_begun_has_not_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "POLL_SECONDS", 0)
    folder = make(tmp_path, run_of(8, 0))
    executor, items = Knows(frozenset(), 0), [Item(folder.run(), folder, "pending", None)]

    Runner(executor, Stop(), Lines(items)).run(items)

    out = capsys.readouterr().out
    assert executor.deaths == 3 * DEATHS + 1
    assert out.count("its job ended before it began; it waits for another") == 2 * DEATHS
    assert out.count("its process died (out of memory); it restarts") == DEATHS
    assert f"died {DEATHS + 1} times without an error (out of memory); see" in (folder.error() or {})["message"]


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
