"""Which runs are to do, and what they cost, before anything starts. Imports no torch."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.machine import cores, cpu_name, cuda_devices, memory_gib
from bench.nets.counts import multiply_adds_of
from bench.spec import Resources, Run
from bench.store import RunFolder, folders


@dataclass(frozen=True, slots=True)
class Item:
    """One run of a plan with its folder, its state now, and its predicted seconds (None where unknown)."""

    run: Run
    folder: RunFolder
    state: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The runs of a sweep in order. `basis` says in words where the predicted seconds come from.

    slots: how many runs this machine has room for at once; None where they go to a cluster.
    """

    items: tuple[Item, ...]
    basis: str
    slots: int | None

    def todo(self, *, retry: bool) -> tuple[Item, ...]:
        """What is to do: all that is not done, failed runs only where they are to be tried again."""
        return tuple(i for i in self.items if i.state != "done" and (retry or i.state != "failed"))


@dataclass(frozen=True, slots=True)
class Speed:
    """A measured training speed: images/s of a net in one process on some hardware; work: multiply-adds an image."""

    net: str
    work: int
    batch: int
    precision: str
    images_per_s: float
    hardware: str


def _alone(_: Run) -> int:
    return 1


def slots(resources: Resources) -> int:
    """How many runs this machine has room for at once: one a CUDA device, else by cores and memory."""
    if resources.gpus and cuda_devices():
        return max(1, len(cuda_devices()) // resources.gpus)
    return max(1, min(cores() // resources.cpus, int(memory_gib() / resources.memory_gib)))


def make_plan(
    runs: Sequence[Run],
    sweep_folder: Path,
    committed: Path,
    *,
    here: bool = True,
    processes: Callable[[Run], int] = _alone,
) -> Plan:
    """The plan of `runs` in `sweep_folder`; `committed` is the results folder asked where nothing ran here yet.

    here: whether the runs run on this machine; else the speed of any machine in `sweep_folder` counts.
    processes: in how many processes a run will train; their speeds are taken to add up.
    """
    speeds, basis = _speeds(sweep_folder, committed, anywhere=not here)
    items = []
    for run in runs:
        folder = RunFolder(sweep_folder / run.id)
        alone = predicted_seconds(run, folder, speeds)
        seconds = None if alone is None else alone / processes(run)
        items.append(Item(run, folder, folder.state(), seconds))
    room = min((slots(r) for r in {run.resources for run in runs}), default=1)
    return Plan(tuple(items), basis, room if here else None)


def _speeds(sweep_folder: Path, committed: Path, *, anywhere: bool) -> tuple[list[Speed], str]:
    """Measured speeds on this hardware, else those of the committed results, with their source in words."""
    here = cuda_devices()[0] if cuda_devices() else cpu_name()
    own = [speed for speed in _own_speeds(sweep_folder) if anywhere or speed.hardware == here]
    if own:
        return own, "by the speed measured in these runs' folders" if anywhere else "by the speed measured here"
    other = list(_committed_speeds(committed))
    if not other:
        return [], "not known before the first run here"
    names = sorted({speed.hardware for speed in other})
    same = [speed for speed in other if speed.hardware == here]
    if same:
        return same, "by the committed results' speed on this hardware"
    return other, f"by the speed measured on {' and '.join(names)}; this machine has not been measured yet"


def _own_speeds(sweep_folder: Path) -> Iterable[Speed]:
    for folder in folders(sweep_folder.parent, sweep_folder.name).values():
        result, env = folder.result(), folder.env()
        if result and env:
            run, speed = folder.run(), _of_one(result["images_per_s"], env.get("processes"))
            about = (run.recipe.batch, run.recipe.precision, speed, env["hardware"])
            yield Speed(run.net.name, multiply_adds_of(run), *about)


def _committed_speeds(committed: Path) -> Iterable[Speed]:
    try:
        rows = list(csv.DictReader((committed / "runs.csv").read_text(encoding="utf-8").splitlines()))
        for row in rows:
            if row["state"] == "done":
                speed = _of_one(float(row["images_per_s"]), row.get("processes"))
                about = (int(row["batch"]), row["precision"], speed, row["hardware"])
                yield Speed(row["net"], int(row["multiply_adds"] or 0), *about)
    except (OSError, ValueError, KeyError):  # no results, or damaged ones, which `collect` will say: no prediction
        return


def _of_one(images_per_s: float, processes: object) -> float:
    """The speed of one of the processes; of a run that went on in another number of them, of the fewest ("2; 1")."""
    counts = [int(word) for word in str(processes or "").split("; ") if word.isdigit()]
    return images_per_s / min(counts, default=1)


def predicted_seconds(run: Run, folder: RunFolder, speeds: Sequence[Speed]) -> float | None:
    """Seconds that the run still takes: by its own net's speed, else by multiply-adds from the others'."""
    recipe, work = run.recipe, multiply_adds_of(run)
    if not speeds or not recipe.steps:
        return None
    left = recipe.steps - _steps_done(folder)
    alike = [s for s in speeds if (s.batch, s.precision) == (recipe.batch, recipe.precision)]
    speeds = alike or speeds
    same = [s.images_per_s for s in speeds if (s.net, s.work) == (run.net.name, work)]
    if same:
        return left * recipe.batch / median(same)
    speeds = [s for s in speeds if s.work]  # nobody counts the work of VGG-16 and of timm's nets
    if not speeds or not work:
        return None
    return left * recipe.batch * work / median(s.images_per_s * s.work for s in speeds)


def _steps_done(folder: RunFolder) -> int:
    """The steps that a checkpoint keeps, as far as its curve tells."""
    rows = folder.curve_rows() if folder.checkpoint.exists() else []
    return int(rows[-1]["step"]) if rows else 0


def duration(seconds: float | None) -> str:
    """Seconds in words of two digits or so: `42 s`, `7 min`, `3.5 h`, `2.1 days`."""
    if seconds is None:
        return "?"
    for unit, size, upto in (("s", 1, 100), ("min", 60, 100 * 60), ("h", 3600, 100 * 3600)):
        if seconds < upto:
            value = seconds / size
            return f"{value:.0f} {unit}" if value >= 10 or unit == "s" else f"{value:.1f} {unit}"
    return f"{seconds / 86400:.1f} days"


def speed_words(images_per_s: float) -> str:
    """Whole from 10 on, two digits below: `1,234`, `0.38`."""
    return f"{images_per_s:,.0f}" if images_per_s >= 10 else f"{images_per_s:.2g}"


def measured(run: Run, test_error: float) -> str:
    """What a test says: `test error 8.75 %`, of a detector `AP50 62.10 %`."""
    return f"AP50 {100 - test_error:.2f} %" if run.task == "detect" else f"test error {test_error:.2f} %"


def describe(plan: Plan, *, retry: bool) -> str:
    """The plan as text: a line a run, then the totals."""
    width = max((len(i.folder.path.name) for i in plan.items), default=0)
    lines = [
        f"  {i.folder.path.name:{width}}  {i.run.recipe.steps:>6,} steps  {i.state:8} {duration(i.seconds):>8}"
        for i in plan.items
    ]
    todo = plan.todo(retry=retry)
    known = [i.seconds for i in todo if i.seconds is not None]
    total = sum(known) if len(known) == len(todo) and todo else None
    counts = f"{len(plan.items)} runs: {sum(i.state == 'done' for i in plan.items)} done, {len(todo)} to do"
    failed = sum(i.state == "failed" for i in plan.items)
    lines.append(counts + (f", {failed} failed (start with --retry to try them again)" if failed and not retry else ""))
    if todo and total is None:
        lines.append(f"cost: {plan.basis}")
    elif todo:
        lines.append(f"cost: {(total or 0) / 3600:.3g} run-hours{_wall(total or 0, plan.slots)}, {plan.basis}")
    return "\n".join(lines)


def _wall(seconds: float, slots: int | None) -> str:
    """How long it takes on this machine; on a cluster that depends on its queue."""
    if slots is None:
        return ""
    return f", about {duration(seconds / slots)} here ({f'{slots} at once' if slots > 1 else 'one at a time'})"
