"""Each way to start a run bounds what its starts leave, and keeps the last ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.cli import sweep
from bench.launch import crew
from bench.launch.local import Local
from bench.launch.slurm import job
from bench.launch.slurm.executor import Slurm
from bench.launch.slurm.profile import Profile
from bench.launch.worker import ALONE, Seat, Stop
from bench.store import KEPT_STARTS, RunFolder, logs, submissions
from bench.store.submission import KEPT_SUBMISSIONS
from tests.builders import make, needs, tiny_run

RUN = tiny_run()


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run with the logs of many starts."""
    folder = make(tmp_path, RUN)
    for number in range(3 * KEPT_STARTS):
        start = folder.log / f"start-{number:02d}"
        start.mkdir(parents=True)
        os.utime(start, ns=(number, number))
    return folder


def kept(folder: RunFolder) -> list[str]:
    return sorted(path.name for path in folder.log.glob("start-*"))


LAST = [f"start-{number}" for number in range(2 * KEPT_STARTS, 3 * KEPT_STARTS)]


@needs("submitit")
def test_a_process_of_its_own(folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = SimpleNamespace(update_parameters=lambda **_: None, submit=lambda *_: SimpleNamespace(job_id="0"))
    monkeypatch.setattr("submitit.LocalExecutor", lambda _: started)

    Local(tmp_path, 1, None).submit([(RUN, folder)])

    assert kept(folder) == LAST


@pytest.mark.parametrize(
    ("seat", "left"), [(ALONE, LAST), (Seat(0, 2), [f"start-{n}" for n in range(10, 30)]), (Seat(1, 2), None)]
)
def test_a_job_on_slurm(folder: RunFolder, monkeypatch: pytest.MonkeyPatch, seat: Seat, left: list[str] | None) -> None:
    """Its first process does, and keeps the logs of all of them."""
    before = kept(folder)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    monkeypatch.setattr(job, "work_until", lambda *_: "done")

    with pytest.raises(SystemExit):
        job._child(folder, folder.path, None, seat)

    assert kept(folder) == (before if left is None else left)
    assert (folder.log / ("77_1_log.out" if seat.rank else "77_log.out")).exists()


def start_crew(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    monkeypatch.setattr(crew, "_serve", lambda *_: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    crew._process(SimpleNamespace(), place / "crew-cpu.log", place, None, "")  # type: ignore[arg-type]  # not asked
    return place / "crew-cpu.log"


def start_in_the_background(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: SimpleNamespace(pid=7))
    request: Any = SimpleNamespace(folder=place, command=(sys.executable,))
    sweep._detach(request)
    return place / "sweep.log"


@pytest.mark.parametrize("start", [start_crew, start_in_the_background])
def test_a_log_of_many_starts(
    start: Callable[[Path, pytest.MonkeyPatch], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = start(tmp_path, monkeypatch)
    for content in ("short", "long " * (logs.LOG_BYTES // 4)):
        log.write_text(content)
        start(tmp_path, monkeypatch)

    assert log.stat().st_size == 0
    assert log.with_name(f"{log.name}.before").read_text().startswith("long")


def test_what_goes_to_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slurm, "_submitit", lambda *_: None)
    monkeypatch.setattr("bench.launch.slurm.executor.submit_packs", lambda *_: "77")
    monkeypatch.setattr("bench.launch.slurm.queue.listing", list)
    monkeypatch.setattr("bench.launch.slurm.commands.max_array_size", lambda: 1_000)
    for number in range(KEPT_SUBMISSIONS + 3):
        (tmp_path / "tiny" / "slurm" / f"tiny-{number}").mkdir(parents=True)

    executor = Slurm(tmp_path / "tiny", tmp_path, Profile(), tmp_path, Stop(), lambda _: None)
    executor.submit([(RUN, RunFolder(tmp_path / "tiny" / RUN.id))])

    assert len(submissions(tmp_path / "tiny")) == KEPT_SUBMISSIONS + 1
