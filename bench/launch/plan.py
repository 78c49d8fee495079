"""Which runs to do, and what they cost, before anything starts. Imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.launch import concurrency
from bench.machine import cuda_devices, hardware
from bench.nets.speeds import Speed, fewest, predicted_seconds, published_speeds, speed_of_result
from bench.spec import Resources, Run, counted
from bench.store import RunFolder, folders


@dataclass(frozen=True, slots=True)
class Item:
    """One run of a plan with its folder, its state now, and its predicted seconds (None where unknown).

    diverged: whether it failed by itself, which is a result: it is not tried again. kept: in words, the settings of its
    first start that stay, where this start asks for others. took: seconds, of a run that is done.
    """

    run: Run
    folder: RunFolder
    state: str
    seconds: float | None
    diverged: bool = False
    kept: tuple[str, ...] = ()
    took: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The runs of a sweep in order. `basis` says in words where the predicted seconds come from.

    slots: how many runs this machine trains at once; None on a cluster. way: the reason in words, where there is one.
    retry: whether failed runs are tried again.
    """

    items: tuple[Item, ...]
    basis: str
    slots: int | None
    way: str = ""
    retry: bool = False

    @property
    def todo(self) -> tuple[Item, ...]:
        """The runs that are not done; failed ones only with `retry`, diverged ones never."""
        over = ("done",) if self.retry else ("done", "failed")
        return tuple(item for item in self.items if item.state not in over and not item.diverged)


def make_plan(
    runs: Sequence[Run],
    sweep_folder: Path,
    committed: Path,
    *,
    here: bool = True,
    at_once: int | None = None,
    retry: bool = False,
    processes: Callable[[Run], int] = lambda _: 1,
) -> Plan:
    """The plan of `runs` in `sweep_folder`; `committed`: the published results of all sweeps, whose speeds count
    before the first run.

    here: whether the runs run on this machine; else the speed of any machine in `sweep_folder` counts.
    at_once: how many train here at once (see concurrency.shared). Runs that have begun keep their threads and kernels.
    retry: whether failed runs are tried again.
    processes: in how many processes a run will train; their speeds are taken to add up.
    """
    places = [RunFolder(sweep_folder / run.id) for run in runs]
    states = [folder.state() for folder in places]
    slots, way = None, ""
    if here:
        waiting = sum(state in ("pending", "stopped", *(("failed",) if retry else ())) for state in states)
        runs, slots, way = concurrency.shared(runs, waiting, at_once)
    else:  # the profile says how many share a GPU
        runs = [run if run.resources.share == 1 else concurrency.alone(run) for run in runs]
    measured = concurrency.measured()
    task = runs[0].task if runs else ""
    speeds, basis = _known_speeds(sweep_folder, committed, task, measured, anywhere=not here)
    items = []
    for run, folder, state in zip(runs, places, states, strict=True):
        kept: tuple[str, ...] = ()
        if state in ("stopped", "running") or (state == "failed" and folder.checkpoint.exists()):
            begun = _as_begun(run, folder)
            kept = _kept(run.resources, begun.resources)
            run = begun if here else run
        part = concurrency.part_of(run.resources, measured) if here else 1.0
        alone = predicted_seconds(run, _steps_done(folder), speeds, part)
        seconds = None if alone is None else alone / processes(run)
        took = (folder.result() or {}).get("seconds") if state == "done" else None
        items.append(Item(run, folder, state, seconds, state == "failed" and folder.diverged(), kept, took))
    return Plan(tuple(items), basis, slots, way, retry)


def _known_speeds(
    sweep_folder: Path,
    committed: Path,
    task: str,
    measured: Sequence[concurrency.Measurement],
    *,
    anywhere: bool,
) -> tuple[Sequence[Speed], str]:
    """The nearest that are known: on this hardware (`anywhere`: on any), else those published; and the source in words.

    measured: what `bench speed together` found on this machine.
    """
    here = hardware()

    def part(resources: Resources, row: Mapping[str, Any], machine: str) -> float | None:
        had = replace(resources, cpus=fewest(row.get("threads")), share=fewest(row.get("share")))
        return None if anywhere or machine != here else concurrency.part_of(had, measured)

    def of_folders() -> Iterable[Speed]:
        for folder in folders(sweep_folder.parent, sweep_folder.name).values():
            result, env, run = folder.result(), folder.env(), folder.readable_run()
            if result and env and run:
                machine = env["hardware"]
                yield speed_of_result(run, {**env, **result}, machine, part(run.resources, env, machine))

    own = [one for one in of_folders() if one.task == task and (anywhere or one.hardware == here)]
    alone = [one for one in measured if one.at_once == 1 and not anywhere]
    machine = [Speed(one.net, one.work, one.batch, one.precision, one.images_per_s, here) for one in alone]
    machine = [one for one in machine if one.task == task]
    if own:
        words = "by the speed measured in these runs' folders" if anywhere else "by the speed measured here"
        return [*own, *machine], words
    if machine:
        return machine, "by `bench speed together` on this machine"

    def as_published(row: Mapping[str, Any]) -> float | None:
        """On a CPU as it was measured, whatever its threads, so that plan and pages tell one time."""
        return part(Resources(), row, row["hardware"]) if cuda_devices() else None

    other = published_speeds(committed, task, here, as_published)
    if not other:
        return [], "not known before the first run here"
    if other[0].hardware == here:
        return other, "by the committed results' speed on this hardware"
    return other, f"by the speed measured on {other[0].hardware}; this machine has not been measured yet"


def _as_begun(run: Run, folder: RunFolder) -> Run:
    """The run with the threads and kernels of its first start."""
    begun = folder.readable_run()
    return replace(run, resources=run.resources.as_begun(begun.resources)) if begun == run and begun else run


def _kept(asked: Resources, begun: Resources) -> tuple[str, ...]:
    words = {f"kernels {begun.way}": begun.way != asked.way, counted(begun.cpus, "thread"): begun.cpus != asked.cpus}
    return tuple(what for what, differs in words.items() if differs)


def _steps_done(folder: RunFolder) -> int:
    """The steps in the checkpoint, as far as the curve says."""
    rows = folder.curve_rows() if folder.checkpoint.exists() else []
    return int(rows[-1]["step"]) if rows else 0


def duration(seconds: float | None) -> str:
    """Seconds with about two digits: `42 s`, `7 min`, `3.5 h`, `2.1 days`."""
    if seconds is None:
        return "?"
    for unit, size, upto in (("s", 1, 100), ("min", 60, 100 * 60), ("h", 3600, 100 * 3600)):
        if seconds < upto:
            value = seconds / size
            return f"{value:.0f} {unit}" if value >= 10 or unit == "s" else f"{value:.1f} {unit}"
    days = seconds / 86400
    return f"{days:,.0f} days" if days >= 10 else f"{days:.1f} days"


def near(path: Path) -> Path:
    """A path as it is typed here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def digits(hours: float) -> str:
    """Three digits: `0.191`, `1,600`."""
    return f"{float(f'{hours:.3g}'):,.10g}"


def speed_words(images_per_s: float) -> str:
    """Whole from 10 on, two digits below: `1,234`, `0.38`."""
    return f"{images_per_s:,.0f}" if images_per_s >= 10 else f"{images_per_s:.2g}"


def aligned(rows: Sequence[Sequence[str]], right: Container[int] = ()) -> list[str]:
    """A line for each row, its columns below each other; those of these places to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = (
        [text.rjust(widths[k]) if k in right else text.ljust(widths[k]) for k, text in enumerate(row)] for row in rows
    )
    return ["  ".join(row).rstrip() for row in padded]


def describe(plan: Plan, variants: Mapping[Run, str] | None = None) -> str:
    """The plan as text: a line for each run, with its net's variant where it is one, then the totals."""
    rows = [
        (
            f"  {i.folder.path.name}",
            f"{i.run.recipe.steps:,} steps" if i.run.recipe.steps else "a test",
            i.state,
            f"took {duration(i.took)}" if i.took is not None else duration(i.seconds),
            (variants or {}).get(i.run, ""),
        )
        for i in plan.items
    ]
    lines = aligned(rows, right=(1, 3))
    todo, diverged = plan.todo, sum(i.diverged for i in plan.items)
    failed = sum(i.state == "failed" for i in plan.items) - diverged
    counts = f"{counted(len(plan.items), 'run')}: {sum(i.state == 'done' for i in plan.items)} done, {len(todo)} to do"
    counts += f", {diverged} diverged (which is their result)" if diverged else ""
    counts += f", {failed} failed (start with --retry to try them again)" if failed and not plan.retry else ""
    lines.append(counts)
    if todo and plan.way:
        lines.append(plan.way)
    if kept := Counter(what for item in todo for what in item.kept):
        words = "; ".join(f"{what} ({counted(count, 'run')})" for what, count in kept.items())
        lines.append(f"runs that have begun keep what they began with: {words}")
    known = [i.seconds for i in todo if i.seconds is not None]
    if todo and not known:
        lines.append("cost: not known before the first run here")
    elif todo:
        total, wall, unknown = sum(known), "", ""
        if len(known) < len(todo):
            unknown = f"not known of {len(todo) - len(known)} of {counted(len(todo), 'run')}; of the others "
        elif plan.slots:  # on a cluster the time depends on its queue
            at_once = f"{plan.slots} at once" if plan.slots > 1 else "one at a time"
            wall = f", about {duration(total / plan.slots)} here ({at_once})"
        lines.append(f"cost: {unknown}{digits(total / 3600)} run-hours{wall}, {plan.basis}")
    return "\n".join(lines)
