"""`python -m bench status`: the state of each run of a sweep, by its own files first and the queue second."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.launch.pace import makespan, speed_of_beat
from bench.launch.plan import aligned, duration, near, speed_words
from bench.launch.progress import error_words, how_far, is_test, left_of_test, short_names
from bench.launch.slurm.queue import Job, Queue
from bench.nets.speeds import Speed, predicted_seconds, speed_of_result
from bench.spec import Run, SpecError, counted
from bench.spec.datasets import data_of_runs
from bench.store import RunFolder, StoreError, folders

CLEAR = "\x1b[2J\x1b[H"  # clears the terminal
HEAD = ("run", "state", "step", "images/s", "error", "time", "job", "node")
DROPPED = ("images/s", "id", "node", "job", "error")  # where the screen is narrow, the first first; id: its digest
NUMBERS = ("step", "images/s", "time")
OVER = ("done", "failed", "damaged")
OF_RUNS = ("checkpoint.pt", "curve.jsonl", "heartbeat.json", "result.json")  # a folder with one of them is a run's


@dataclass(frozen=True, slots=True)
class Line:
    """A run's row of the table, its state, its speed where it is known, and what else there is to say of it."""

    folder: RunFolder
    run: Run | None
    state: str
    cells: tuple[str, ...]
    step: int = 0
    speed: Speed | None = None
    more: str = ""


def table(sweep: Path, queue: Queue | None, scale: str | None = None, width: int | None = None) -> str:
    """Counts by scale and data, what is left, then a row for each run, the logs and the data.

    queue: None where nothing was submitted. width: of the screen, None where it has no end. Raises SpecError where the
    sweep has no runs at this scale.
    """
    return _table(sweep, queue, scale, width)[0]


def watch(
    sweep: Path, queue: Queue | None, scale: str | None = None, width: int | None = None, *, every: float = 5.0
) -> None:
    """Shows the table repeatedly, until no run runs or waits any more."""
    active = True
    while active:
        text, active = _table(sweep, queue, scale, width)
        print(f"{CLEAR}{time.strftime('%H:%M:%S')}\n{text}", flush=True)
        if active:
            time.sleep(every)


def _table(sweep: Path, queue: Queue | None, scale: str | None, width: int | None) -> tuple[str, bool]:
    """The table, and whether runs run or wait, as far as is known."""
    found = folders(sweep.parent, sweep.name)
    jobs = queue.runs() if queue else {}
    rows = [_line(folder, (jobs or {}).get(name)) for name, folder in found.items()]
    if scale:
        scales = sorted({row.run.scale for row in rows if row.run})
        if scale not in scales:
            raise SpecError(f"{sweep.name} has no runs at scale {scale}; it has runs at: {', '.join(scales) or 'none'}")
        rows = [row for row in rows if row.run and row.run.scale == scale]
    states = Counter(row.state for row in rows)
    counts = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))
    active = jobs is None or "queued" in states or "running" in states
    lines = [f"{sweep.name}: {counted(len(rows), 'run')}" + (f": {counts}" if counts else "")]
    groups = _groups(rows)
    lines += _summary(groups)
    if not active and len(rows) > sum(states[state] for state in OVER):
        lines.append("nothing is running: the sweep's next start takes up what waits")
    names = short_names(found)
    for (where, data), group in groups.items():
        lines += ["", f"{where} on {data}:" if data else f"{where}:", *_fitted(group, names, width)]
    lines += ["", *_logs(sweep, rows), *_strays(sweep, found)]
    finished = [(row.run.data, env) for row in rows if row.run and (env := row.folder.env())]
    if data := data_of_runs((data, str(env.get("data_sha256") or "")) for data, env in finished):
        lines.append(f"data of the runs that are done: {data}")
    if jobs is None:
        lines.append("Slurm does not answer: this is what the folders say, without the queue")
    return "\n".join(lines), active


def _groups(rows: Iterable[Line]) -> dict[tuple[str, str], list[Line]]:
    """By scale and data, those that cannot be read last."""
    found: dict[tuple[str, str], list[Line]] = {}
    for row in sorted(rows, key=lambda row: (row.run is None, (row.run.scale, row.run.data) if row.run else ())):
        found.setdefault((row.run.scale, row.run.data) if row.run else ("damaged", ""), []).append(row)
    return found


def _summary(groups: Mapping[tuple[str, str], Sequence[Line]]) -> list[str]:
    """How many runs of each scale and data are where, and about how long the rest takes."""
    rows: list[Sequence[str]] = [("scale", "data", "runs", "done", "running", "waiting", "failed", "left")]
    for (scale, data), group in groups.items():
        states = Counter(row.state for row in group)
        waiting = len(group) - states["running"] - sum(states[state] for state in OVER)
        numbers = (len(group), states["done"], states["running"], waiting, states["failed"])
        if data:
            rows.append((scale, data, *(f"{number:,}" for number in numbers), _left(group)))
    return aligned(rows, right=range(2, 7)) if len(rows) > 1 else []


def _left(group: Sequence[Line]) -> str:
    """About how long it takes as many at once as train now; "" where nothing is left or no speed is known."""
    unfinished = [row for row in group if row.run and row.state not in OVER]
    running = [row.speed for row in unfinished if row.speed]
    speeds = running or [row.speed for row in group if row.speed]
    seconds = [
        predicted_seconds(row.run, row.step, [row.speed] if row.speed else speeds) for row in unfinished if row.run
    ]
    known = [each for each in seconds if each is not None]
    if not unfinished or len(known) < len(seconds):
        return "" if not unfinished else "?"
    begun = [each for row, each in zip(unfinished, known, strict=True) if row.speed]
    others = [each for row, each in zip(unfinished, known, strict=True) if not row.speed]
    return f"about {duration(makespan(begun, others, len(running)))}" + (" one by one" if not running else "")


def _fitted(group: Sequence[Line], names: Mapping[str, str], width: int | None) -> list[str]:
    """The rows, of which a narrow screen shows less; below a run what else there is to say of it."""
    dropped: list[str] = []
    while True:
        shown = [place for place, name in enumerate(HEAD) if name not in dropped and _is_used(group, place)]
        cells = [HEAD, *(row.cells for row in group)]
        texts = [[cell[place] for place in shown] for cell in cells]
        if "id" in dropped:
            texts = [[names.get(first, first), *rest] for first, *rest in texts]
        lines = aligned(texts, right=[k for k, place in enumerate(shown) if HEAD[place] in NUMBERS])
        if width is None or max(map(len, lines)) <= width or len(dropped) == len(DROPPED):
            break
        dropped.append(DROPPED[len(dropped)])
    return [line for text, row in zip(lines, [None, *group], strict=True) for line in (text, *_more(row))]


def _is_used(group: Sequence[Line], place: int) -> bool:
    return HEAD[place] in ("run", "state") or any(row.cells[place] for row in group)


def _more(row: Line | None) -> list[str]:
    return [f"    {row.more}"] if row and row.more else []


def _line(folder: RunFolder, job: Job | None) -> Line:
    name, run = folder.path.name, folder.readable_run()
    try:
        if run is None:
            folder.run()  # raises what is wrong
        assert run is not None
        result, state = folder.result(), _state(folder, job)
    except StoreError as wrong:
        return Line(folder, None, "damaged", (name, "damaged", *[""] * 6), more=str(wrong))
    beat, left, node = folder.heartbeat() or {}, "", job.node if job else ""
    step, error, speed = int(beat.get("step", 0)), error_words(run, beat, 2), None
    if result:
        step, error = result["step"], error_words(run, result, 2)
        left, speed = f"took {duration(result['seconds'])}", speed_of_result(run, result, "")
        beat = beat if run.recipe.steps else {"tested": result["test_images"], "to_test": result["test_images"]}
    elif state == "running" and is_test(beat):
        left = f"{duration(left_of_test(beat))} left of this test"
    elif state == "running" and (speed := speed_of_beat(run, beat)):
        left = f"{duration(predicted_seconds(run, step, [speed]))} left"
    node = str(beat.get("host", "")) if state == "running" and not job else node
    shown = speed_words(speed.images_per_s) if speed else ""
    more = _failure(folder) if not result else ""
    far = how_far(run, {"step": step} if result and run.recipe.steps else beat)[2]
    cells = (name, state, far, shown, error, left, job.id if job else "", node)
    return Line(folder, run, state.split(" ")[0], cells, step, speed, more)


def _state(folder: RunFolder, job: Job | None) -> str:
    """By the folder, and before the run starts by the queue."""
    state = folder.state()
    if job is None or state in ("running", "failed", "done"):
        return state
    waits = f" ({job.reason})" if job.state == "PENDING" and job.reason not in ("None", "Resources", "Priority") else ""
    return "queued" + waits


def _failure(folder: RunFolder) -> str:
    """Why the run failed, and where its log is."""
    error = folder.error()
    if error is None:
        return ""
    logs = sorted(folder.log.rglob("*_log.*"), key=lambda path: path.stat().st_mtime)
    return f"{error['message']}" + (f"; log: {near(logs[-1])}" if logs else "")


def _logs(sweep: Path, rows: Sequence[Line]) -> Iterator[str]:
    """Where the output of runs is, in one line."""
    own = [f"{near(sweep)}/RUN/log/"] if any(row.folder.log.is_dir() for row in rows) else []
    others = [str(near(path)) for path in sorted(sweep.glob("*.log"))]
    jobs = [f"{near(sweep)}/slurm/"] if (sweep / "slurm").is_dir() else []
    if places := own + others + jobs:
        yield f"logs: {', '.join(places)}"


def _strays(sweep: Path, known: Mapping[str, object]) -> Iterator[str]:
    """Folders of runs that cannot be read."""
    for path in sorted(path for path in sweep.iterdir() if path.is_dir() and path.name not in known):
        try:
            inside = {each.name for each in path.iterdir()}
        except OSError as error:
            yield f"{near(path)} cannot be read: {error.strerror}"
            continue
        if inside & set(OF_RUNS):
            yield f"{near(path)} has no run.json: not a run folder any more; move it away"
