"""What jobs will cost, before they are submitted: hours, requeues, disk."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.launch.packing import Shape, batched, shapes, side_by_side
from bench.launch.plan import Item, duration
from bench.launch.profile import Profile
from bench.nets.counts import parameters_of
from bench.spec import SpecError

FLOAT_BYTES = 4


def hours(items: Sequence[Item], profile: Profile) -> tuple[float | None, str]:
    """Predicted GPU-hours, or core-hours where no run has a GPU; None where the speed is not known.

    Runs that share a GPU have their part of its hours; in jobs on Slurm they are counted as if they took turns, an
    upper bound. All processes of a run count.
    """
    asked = [profile.asks(item.run.resources) for item in items]
    on_gpu = any(one.gpus for one in asked)
    unit = "GPU-hours" if on_gpu else "core-hours"
    if any(item.seconds is None for item in items):
        return None, unit
    each = [one.processes * (one.gpus if on_gpu else one.cpus) for one in asked]
    shares = [item.run.resources.share if on_gpu else 1 for item in items]
    parts = zip(items, each, shares, strict=True)
    return sum((item.seconds or 0) * count / share for item, count, share in parts) / 3600, unit


def refuse_unequal(items: Sequence[Item], profile: Profile) -> None:
    """Raises SpecError where the processes of a run cannot share its batch-norm groups equally."""
    for item in items:
        recipe, asked = item.run.recipe, profile.asks(item.run.resources)
        groups = recipe.batch // recipe.bn_group
        if groups % asked.processes:
            fitting = ", ".join(str(n) for n in range(1, groups + 1) if groups % n == 0)
            raise SpecError(
                f"{item.run.id}: {asked.nodes} nodes x {asked.tasks} tasks are {asked.processes} processes, which "
                f"cannot share its {groups} batch-norm groups a batch ({recipe.batch} images by {recipe.bn_group}) "
                "equally; nothing was started. Set nodes and tasks, in the sweep's Resources or the profile, so that "
                f"their product is one of: {fitting}"
            )


def refuse_above(budget: float, items: Sequence[Item], profile: Profile, basis: str) -> None:
    """Raises SpecError where the predicted hours are above `budget` hours, or cannot be predicted."""
    total, unit = hours(items, profile)
    if total is None:
        raise SpecError(
            f"--budget {budget:g}h cannot be held: the cost is {basis}. "
            "Let one run end first (--only, --seeds), or start without --budget"
        )
    if total > budget:
        raise SpecError(
            f"predicted {total:.3g} {unit} ({basis}) are above --budget {budget:g}h; nothing was started. "
            "Choose fewer runs (--only, --seeds), a smaller --scale, or a larger budget"
        )


def describe_jobs(items: Sequence[Item], profile: Profile, array_size: int) -> str:
    """Lines on the jobs that the runs become."""
    seconds = {item.folder.path.name: item.seconds for item in items}
    wanted = shapes([(item.run, item.folder) for item in items], profile)
    jobs = [pack for shape in wanted for pack in shape.packs]
    arrays = sum(len(list(batched(shape.packs, array_size))) for shape in wanted)
    cap = f", at most {profile.jobs} at once" if profile.jobs else ""
    lines = [
        f"slurm: {len(items):,} runs in {len(jobs):,} jobs of up to {profile.pack} ({profile.at_once} side by side), "
        f"{arrays:,} arrays{cap}; {duration(profile.time)} a job"
    ]
    total, unit = hours(items, profile)
    lines += [_processes(shape) for shape in wanted if shape.asked.processes > 1]
    if total is not None:
        turns = [
            _turns(sum(seconds[name] or 0 for name in pack), side_by_side(profile, shape.asked), profile)
            for shape in wanted
            for pack in shape.packs
        ]
        lines.append(f"slurm: {total:.3g} {unit}, {sum(turns) - len(turns):,} requeues by the time limit")
    lines.append(f"slurm: about {disk(items) / 1e6:,.0f} MB of disk for checkpoints")
    return "\n".join(lines)


def _processes(shape: Shape) -> str:
    asked = shape.asked
    each = f"{asked.nodes} nodes x {asked.tasks} tasks = {asked.processes} processes each"
    return f"slurm: {sum(map(len, shape.packs)):,} runs train in {each}, one run a job"


def _turns(seconds: float, at_once: int, profile: Profile) -> int:
    return max(1, math.ceil(seconds / at_once / (profile.time - profile.warn)))


def disk(items: Sequence[Item]) -> int:
    """Bytes of the checkpoints: each net with its momentum."""
    return sum(2 * FLOAT_BYTES * parameters_of(item.run) for item in items)
