"""Which runs are to do, and what they cost, before anything starts. Imports no torch."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bench.launch import concurrency
from bench.machine import hardware
from bench.nets.counts import multiply_adds_of
from bench.nets.speeds import Speed, fewest, predicted_seconds, speed_of
from bench.spec import Resources, Run, counted
from bench.store import RunFolder, StoreError, folders


@dataclass(frozen=True, slots=True)
class Item:
    """One run of a plan with its folder, its state now, and its predicted seconds (None where unknown).

    diverged: whether it failed by itself, which is a result: it is not tried again. kept: in words, what it goes on
    with as it was begun, where this start asks for something else.
    """

    run: Run
    folder: RunFolder
    state: str
    seconds: float | None
    diverged: bool = False
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The runs of a sweep in order. `basis` says in words where the predicted seconds come from.

    slots: how many runs this machine trains at once; None where they go to a cluster. way: why so, where it is chosen.
    retry: whether failed runs are tried again.
    """

    items: tuple[Item, ...]
    basis: str
    slots: int | None
    way: str = ""
    retry: bool = False

    @property
    def todo(self) -> tuple[Item, ...]:
        """What is not done: failed runs only where they are to be tried again, diverged ones never."""
        over = ("done",) if self.retry else ("done", "failed")
        return tuple(item for item in self.items if item.state not in over and not item.diverged)


def _alone(_: Run) -> int:
    return 1


def make_plan(
    runs: Sequence[Run],
    sweep_folder: Path,
    committed: Path,
    *,
    here: bool = True,
    at_once: int | None = None,
    retry: bool = False,
    processes: Callable[[Run], int] = _alone,
) -> Plan:
    """The plan of `runs` in `sweep_folder`; `committed` is the results folder asked where nothing ran here yet.

    here: whether the runs run on this machine; else the speed of any machine in `sweep_folder` counts.
    at_once: how many are to train here at once; None for what was measured, else for what there is room for; 0 for one
    after another with what each asks for. What was begun keeps its threads and kernels.
    retry: whether failed runs are to be tried again.
    processes: in how many processes a run will train; their speeds are taken to add up.
    """
    places = [RunFolder(sweep_folder / run.id) for run in runs]
    states = [folder.state() for folder in places]
    slots, way = None, ""  # on a cluster it is the profile that says who shares a GPU
    runs = [run if here or run.resources.share == 1 else concurrency.alone(run) for run in runs]
    if here:
        waiting = sum(state in ("pending", "stopped", *(("failed",) if retry else ())) for state in states)
        runs, slots, way = concurrency.shared(runs, waiting, at_once)
    speeds, measured = known_speeds(sweep_folder, committed, anywhere=not here), concurrency.measured() if here else ()
    items = []
    for run, folder, state in zip(runs, places, states, strict=True):
        kept: tuple[str, ...] = ()
        if state in ("stopped", "running") or (state == "failed" and folder.checkpoint.exists()):
            begun = _as_begun(run, folder)
            kept = _kept(run.resources, begun.resources)
            run = begun if here else run
        part = concurrency.part_of(run.resources, measured) if here else 1.0
        alone = predicted_seconds(run, _steps_done(folder), speeds.known, part)
        seconds = None if alone is None else alone / processes(run)
        items.append(Item(run, folder, state, seconds, state == "failed" and folder.diverged(), kept))
    return Plan(tuple(items), speeds.basis, slots, way, retry)


@dataclass(frozen=True, slots=True)
class Speeds:
    """What is known of speeds, nearest first: of runs, and of this machine. basis: in words, where it comes from."""

    known: tuple[Speed, ...]
    basis: str


def known_speeds(sweep_folder: Path, committed: Path, *, anywhere: bool) -> Speeds:
    """Speeds on this hardware (`anywhere`: on any), else those of the committed results."""
    here, measured = hardware(), concurrency.measured()
    place = None if anywhere else here
    own = [speed for speed in _own(sweep_folder, place, measured) if anywhere or speed.hardware == here]
    machine = [] if anywhere else list(_of_machine(measured, here))
    if own:
        words = "by the speed measured in these runs' folders" if anywhere else "by the speed measured here"
        return Speeds((*own, *machine), words)
    if machine:
        return Speeds(tuple(machine), "by `bench speed together` on this machine")
    other = list(_committed(committed, place, measured))
    if not other:
        return Speeds((), "not known before the first run here")
    same = [speed for speed in other if speed.hardware == here]
    if same:
        return Speeds(tuple(same), "by the committed results' speed on this hardware")
    names = sorted({speed.hardware for speed in other})
    return Speeds(
        tuple(other), f"by the speed measured on {' and '.join(names)}; this machine has not been measured yet"
    )


def _own(sweep_folder: Path, here: str | None, measured: Sequence[concurrency.Measurement]) -> Iterable[Speed]:
    """here: the hardware of which a run may have had a part; None where the runs are of other machines."""
    for folder in folders(sweep_folder.parent, sweep_folder.name).values():
        result, env = folder.result(), folder.env()
        if result and env:
            run = folder.run()
            had = replace(run.resources, cpus=fewest(env.get("threads")), share=fewest(env.get("share")))
            part = concurrency.part_of(had, measured) if env["hardware"] == here else None
            about = {name: getattr(run.recipe, name) for name in ("steps", "batch", "test_every", "precision")}
            row = {**about, **result, "processes": env.get("processes")}
            yield speed_of(run.net.name, multiply_adds_of(run), row, env["hardware"], part)


def _committed(committed: Path, here: str | None, measured: Sequence[concurrency.Measurement]) -> Iterable[Speed]:
    try:
        rows = list(csv.DictReader((committed / "runs.csv").read_text(encoding="utf-8").splitlines()))
        for row in rows:
            if row["state"] == "done":
                had = Resources(cpus=fewest(row.get("threads")), share=fewest(row.get("share")))
                part = concurrency.part_of(had, measured) if row["hardware"] == here else None
                yield speed_of(row["net"], int(row["multiply_adds"] or 0), row, row["hardware"], part)
    except (OSError, ValueError, KeyError):  # no results, or damaged ones, which `collect` will say: no prediction
        return


def _of_machine(measured: Sequence[concurrency.Measurement], here: str) -> Iterable[Speed]:
    """One run by itself."""
    for row in measured:
        if row.at_once == 1:
            yield Speed(row.net, row.work, row.batch, row.precision, row.images_per_s, here)


def _as_begun(run: Run, folder: RunFolder) -> Run:
    """The run with the threads and kernels that it was begun with."""
    with suppress(StoreError):  # a damaged folder is for its start or the collection to name
        begun = folder.run()
        if begun == run:
            return replace(run, resources=run.resources.as_begun(begun.resources))
    return run


def _kept(asked: Resources, begun: Resources) -> tuple[str, ...]:
    words = {f"kernels {begun.way}": begun.way != asked.way, counted(begun.cpus, "thread"): begun.cpus != asked.cpus}
    return tuple(what for what, differs in words.items() if differs)


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


def describe(plan: Plan, variants: Mapping[Run, str] | None = None) -> str:
    """The plan as text: a line a run, with its net's variant where it is one, then the totals."""
    width = max((len(i.folder.path.name) for i in plan.items), default=0)
    lines = [
        f"  {i.folder.path.name:{width}}  {i.run.recipe.steps:>6,} steps  {i.state:8} {duration(i.seconds):>8}"
        f"  {(variants or {}).get(i.run, '')}".rstrip()
        for i in plan.items
    ]
    todo = plan.todo
    known = [i.seconds for i in todo if i.seconds is not None]
    total = sum(known) if len(known) == len(todo) and todo else None
    counts = f"{counted(len(plan.items), 'run')}: {sum(i.state == 'done' for i in plan.items)} done, {len(todo)} to do"
    diverged = sum(i.diverged for i in plan.items)
    failed = sum(i.state == "failed" for i in plan.items) - diverged
    counts += f", {diverged} diverged (which is their result)" if diverged else ""
    lines.append(
        counts + (f", {failed} failed (start with --retry to try them again)" if failed and not plan.retry else "")
    )
    if todo and plan.way:
        lines.append(plan.way)
    if kept := Counter(what for item in todo for what in item.kept):
        words = "; ".join(f"{what} ({counted(count, 'run')})" for what, count in kept.items())
        lines.append(f"runs that have begun keep what they began with: {words}")
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
