"""A run of any task driven from outside: to its end, stopped, failed, by two processes, in a sweep with its report."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from bench.cli.sweep import main
from bench.launch.worker import work, work_until
from bench.spec import Run
from bench.store import RunFolder
from bench.tasks.job import Job
from bench.tasks.training import train_run
from bench.train.process_group import ProcessGroup
from bench.train.turns import finish
from tests.builders import StopAt, make
from tests.train.builders import in_processes


def done(place: Path, run: Run, data: Path, sweep: str = "a") -> RunFolder:
    folder = make(place, run, sweep)
    assert work(folder.path, data) == "done", folder.error()
    return folder


def stopped(place: Path, run: Run, data: Path, questions: int) -> RunFolder:
    """The run, stopped at the nth time that it asks whether to stop."""
    folder = make(place, run)
    assert work_until(folder.path, data, StopAt(questions)) == "stopped"
    return folder


def resumed(place: Path, run: Run, data: Path, questions: int) -> RunFolder:
    """The run, stopped so and started again, done."""
    folder = stopped(place, run, data, questions)
    assert work(folder.path, data) == "done", folder.error()
    return folder


def failed(place: Path, run: Run, data: Path, sweep: str = "a") -> dict[str, Any]:
    """What error.json says of the run, which fails before any training."""
    folder = make(place, run, sweep)
    assert work(folder.path, data) == "failed"
    error = folder.error()
    assert error is not None
    assert not folder.checkpoint.exists(), "before any training"
    return error


def train(processes: ProcessGroup, run: Run, folder: Path, data: Path) -> None:
    finish(train_run(run, Job(RunFolder(folder), data, lambda: False, processes)))


def done_by_two(place: Path, run: Run, data: Path) -> RunFolder:
    """The run, trained by two processes together."""
    folder = make(place, run)
    in_processes(2, train, place / "team", run, folder.path, data)
    return folder


def sweep_of(text: str, data: Path, *options: str) -> int:
    """The exit code of `bench.sweep` at scale quick on a sweep file `tiny.py`, which it writes in this folder."""
    Path("tiny.py").write_text(text)
    return main(["tiny.py", "--scale", "quick", "--data", str(data), *options])


def report_of(text: str, data: Path) -> tuple[str, list[str], dict[str, float]]:
    """The page of the sweep when it has ended, its headings, and the numbers on it by their ids."""
    assert sweep_of(text, data, "--cluster", "inline") == 0
    reports = Path("runs/tiny/report")
    page = (reports / "README.md").read_text()
    rows = csv.DictReader((reports / "numbers.csv").read_text().splitlines())
    numbers = {row["id"]: float(row["value"]) for row in rows}
    return page, [line for line in page.splitlines() if line.startswith("## ")], numbers
