"""`python -m bench status`: the state of each run of a sweep, by its own files first and the queue second."""

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

CLEAR = "\x1b[2J\x1b[H"  # clears the terminal
HEAD = ("run", "state", "step", "images/s", "error", "left", "job", "node")


def table(sweep: Path, queue: Queue | None) -> str:
    """A row for each run, then counts by state, and the data. `queue` is None where nothing was submitted."""
    return _table(sweep, queue)[0]


def watch(sweep: Path, queue: Queue | None, *, every: float = 5.0) -> None:
    """Shows the table repeatedly, until no run runs or waits any more."""
    active = True
    while active:
        text, active = _table(sweep, queue)
        print(f"{CLEAR}{time.strftime('%H:%M:%S')}\n{text}", flush=True)
        if active:
            time.sleep(every)


def _table(sweep: Path, queue: Queue | None) -> tuple[str, bool]:
    """The table, and whether runs run or wait, as far as is known."""
    found = folders(sweep.parent, sweep.name).values()
    jobs = queue.runs() if queue else {}
    cells = [HEAD, *(_row(folder, jobs or {}) for folder in found)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    states = Counter(row[1].split(" ")[0] for row in cells[1:])  # without the reason
    counts = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))
    lines.append(f"{counted(len(found), 'run')}: {counts}")
    finished = [(run.data, env) for folder in found if (run := folder.readable_run()) and (env := folder.env())]
    if data := data_of_runs((data, str(env.get("data_sha256") or "")) for data, env in finished):
        lines.append(f"data of the runs that are done: {data}")
    if jobs is None:
        lines.append("Slurm does not answer: this is what the folders say, without the queue")
    return "\n".join(lines), jobs is None or "queued" in states or "running" in states


def _row(folder: RunFolder, jobs: Mapping[str, Job]) -> tuple[str, ...]:
    name, run, job = folder.path.name, folder.readable_run(), jobs.get(folder.path.name)
    if run is None:
        return (name, "damaged", "", "", "run.json cannot be read: move the folder away", "", "", "")
    result, beat = folder.result(), folder.heartbeat() or {}
    state, left, node = "done" if result else _state(folder, job), "", job.node if job else ""
    if result:
        step, speed, error = result["step"], result["images_per_s"], _tested(run, result["test_error"])
    else:
        step, speed, error = int(beat.get("step", 0)), 0.0, _error(folder, run, beat)
    if state == "running":
        speed = float(beat.get("steps_per_s", 0)) * run.recipe.batch
        left = duration((run.recipe.steps - step) * run.recipe.batch / speed) if speed else ""
        node = node if job else str(beat.get("host", ""))
    shown = speed_words(speed) if speed else ""
    return (name, state, f"{step:,}/{run.recipe.steps:,}", shown, error, left, job.id if job else "", node)


def _state(folder: RunFolder, job: Job | None) -> str:
    """By the folder, and before the run starts by the queue."""
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
