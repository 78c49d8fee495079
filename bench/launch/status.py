"""`python -m bench status`: where every run of a sweep is, by its own files first and the queue second."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from bench.launch.plan import duration
from bench.launch.scheduler import Job, Queue
from bench.spec import Run
from bench.store import RunFolder, folders

HEAD = ("run", "state", "step", "images/s", "error", "left", "job", "node")


def table(sweep: Path, queue: Queue | None) -> str:
    """A row a run, then how many are in which state. `queue` is None where nothing was submitted."""
    jobs = (queue.runs() if queue else {}) or {}
    rows = [_row(folder, jobs) for folder in folders(sweep.parent, sweep.name).values()]
    cells = [HEAD, *rows]
    widths = [max(len(row[k]) for row in cells) for k in range(len(HEAD))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    counts = Counter(row[1].split(" ")[0] for row in rows)
    lines.append(f"{len(rows):,} runs: " + ", ".join(f"{n:,} {state}" for state, n in sorted(counts.items())))
    if queue and queue.jobs() is None:
        lines.append("Slurm does not answer: this is what the folders say, without the queue")
    return "\n".join(lines)


def _row(folder: RunFolder, jobs: Mapping[str, Job]) -> tuple[str, ...]:
    name, run, job = folder.path.name, folder.run(), jobs.get(folder.path.name)
    result, beat = folder.result(), folder.heartbeat() or {}
    state = "done" if result else _state(folder, job)
    if result:
        step, speed, error = result["step"], result["images_per_s"], f"{result['test_error']:.2f} % test"
        left = ""
    else:
        step, error = int(beat.get("step", 0)), _error(folder, beat)
        speed = float(beat.get("steps_per_s", 0)) * run.recipe.batch if state == "running" else 0
        left = _left(run, step, speed)
    shown = f"{speed:,.0f}" if speed else ""
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


def _error(folder: RunFolder, beat: Mapping[str, object]) -> str:
    """The training or test error so far; of a failed run, why."""
    failure = folder.error()
    if failure is not None:
        return str(failure["message"])
    if "test_error" in beat:
        return f"{beat['test_error']:.2f} % test"
    return f"{beat['error']:.2f} % train" if "error" in beat else ""


def _left(run: Run, step: int, speed: float) -> str:
    return duration((run.recipe.steps - step) * run.recipe.batch / speed) if speed else ""


def watch(sweep: Path, queue: Queue | None, *, every: float = 5.0) -> None:
    """The table again and again, until nothing of it runs or waits any more."""
    while True:
        text = table(sweep, queue)
        print(f"\x1b[2J\x1b[H{time.strftime('%H:%M:%S')} on {platform.node()}\n{text}", flush=True)
        if not any(word in text.splitlines()[-1] for word in ("queued", "running", "Slurm does not answer")):
            return
        time.sleep(every)
