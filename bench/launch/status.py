"""`python -m bench status`: where every run of a sweep is, by its own files first and the queue second."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.launch.plan import duration, speed_words
from bench.launch.slurm.commands import Job, Queue
from bench.spec import Run, counted, task_of
from bench.spec.datasets import data_of_runs
from bench.store import RunFolder, folders

CLEAR = "\x1b[2J\x1b[H"  # an empty screen
HEAD = ("run", "state", "step", "images/s", "error", "left", "job", "node")


def table(sweep: Path, queue: Queue | None) -> str:
    """A row a run, then how many are in which state, and of which data. `queue` is None where nothing was submitted."""
    return _text(_rows(sweep, queue), _data(sweep), answers=queue is None or queue.jobs() is not None)


def watch(sweep: Path, queue: Queue | None, *, every: float = 5.0) -> None:
    """The table again and again, until nothing of it runs or waits any more."""
    while True:
        rows, answers = _rows(sweep, queue), queue is None or queue.jobs() is not None
        print(f"{CLEAR}{time.strftime('%H:%M:%S')}\n{_text(rows, _data(sweep), answers=answers)}", flush=True)
        if answers and not any(_word(row) in ("queued", "running") for row in rows):
            return
        time.sleep(every)


def _rows(sweep: Path, queue: Queue | None) -> list[tuple[str, ...]]:
    jobs = (queue.runs() if queue else {}) or {}
    return [_row(folder, jobs) for folder in folders(sweep.parent, sweep.name).values()]


def _data(sweep: Path) -> str:
    """What the finished runs were trained on, as their env.json says it; a run that goes on says nothing of it."""
    found = folders(sweep.parent, sweep.name).values()
    seen = [(folder.run().data, env) for folder in found if (env := folder.env())]
    return data_of_runs((data, str(env.get("data_sha256") or "")) for data, env in seen)


def _text(rows: list[tuple[str, ...]], data: str, *, answers: bool) -> str:
    cells = [HEAD, *rows]
    widths = [max(len(row[k]) for row in cells) for k in range(len(HEAD))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    counts = sorted(Counter(_word(row) for row in rows).items())
    lines.append(f"{counted(len(rows), 'run')}: " + ", ".join(f"{count:,} {state}" for state, count in counts))
    if data:
        lines.append(f"data of the runs that are done: {data}")
    if not answers:
        lines.append("Slurm does not answer: this is what the folders say, without the queue")
    return "\n".join(lines)


def _word(row: tuple[str, ...]) -> str:
    """The state without the reason for it."""
    return row[1].split(" ")[0]


def _row(folder: RunFolder, jobs: Mapping[str, Job]) -> tuple[str, ...]:
    name, run, job = folder.path.name, folder.run(), jobs.get(folder.path.name)
    result, beat = folder.result(), folder.heartbeat() or {}
    state = "done" if result else _state(folder, job)
    if result:
        step, speed = result["step"], result["images_per_s"]
        error = _tested(run, result["test_error"])
        left = ""
    else:
        step, error = int(beat.get("step", 0)), _error(folder, run, beat)
        speed = float(beat.get("steps_per_s", 0)) * run.recipe.batch if state == "running" else 0
        left = _left(run, step, speed)
    shown = speed_words(speed) if speed else ""
    where = str(beat.get("host", "")) if state == "running" and not job else ""
    return (
        name,
        state,
        f"{step:,}/{run.recipe.steps:,}",
        shown,
        error,
        left,
        job.id if job else "",
        job.node if job else where,
    )


def _state(folder: RunFolder, job: Job | None) -> str:
    """The folder's word; where nothing runs yet, the queue's."""
    state = folder.state()
    if job is None or state in ("running", "failed"):
        return state
    waits = f" ({job.reason})" if job.state == "PENDING" and job.reason not in ("None", "Resources", "Priority") else ""
    return "queued" + waits


def _tested(run: Run, error: float) -> str:
    task = task_of(run.task)
    return f"{task.value(error):.2f} % {task.measure.removesuffix(' error')}"


def _error(folder: RunFolder, run: Run, beat: Mapping[str, Any]) -> str:
    """The training or test error so far; of a failed run, why."""
    failure = folder.error()
    if failure is not None:
        return str(failure["message"])
    if "test_error" in beat:
        return _tested(run, beat["test_error"])
    return f"{beat['error']:.2f} % train" if "error" in beat else ""


def _left(run: Run, step: int, speed: float) -> str:
    return duration((run.recipe.steps - step) * run.recipe.batch / speed) if speed else ""
