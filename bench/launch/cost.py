"""The cost of jobs before they are submitted: hours, requeues, disk."""

from __future__ import annotations

import heapq
import math
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from bench.launch.plan import Item, digits, duration
from bench.launch.slurm.packing import batched, shapes, side_by_side
from bench.launch.slurm.profile import Profile
from bench.machine import BF16_CAPABILITY, BF16_FLAGS, cpu_lacks_bf16, cuda_devices, gpu_lacks_bf16
from bench.nets.counts import parameters_of
from bench.spec import Resources, Run, SpecError, counted
from bench.store import RunFolder

FLOAT_BYTES = 4
CHECKPOINTS = 3  # of a run that trains: the last one, the one before, and while it is written the next one
ROW_BYTES, OTHER_BYTES = 150, 100_000  # of a row of a curve; of the rest of a run's folder, without its test images
# ResNet-20, 128 images a step, one thread of an AMD EPYC with avx512_bf16, eager, torch 2.14.1; medians of 11 steps in
# two rounds; ONEDNN_MAX_CPU_ISA disabled the units. AVX512_CORE_VNNI: bf16 0.96 and 0.89 s, fp32 0.44 and 0.43 s.
# AVX2: bf16 4.8 and 5.3 s, fp32 0.47 and 0.45 s. With the units: bf16 0.27 and 0.33 s, fp32 0.45 s both times.
BF16_COST = "about 2 times an fp32 step's time with AVX-512, 10 to 12 times with AVX2 only"


def hours(items: Sequence[Item], profile: Profile) -> tuple[float | None, str]:
    """Predicted GPU-hours, or core-hours where no run has a GPU, and that unit; None where the speed is not known.

    All processes of a run count. The runs on one GPU share its hours; for jobs on Slurm, which do not know their share,
    each counts in full: an upper bound.
    """
    asked = [profile.asks(item.run.resources) for item in items]
    on_gpu = any(one.gpus for one in asked)
    total = 0.0
    for item, one in zip(items, asked, strict=True):
        if item.seconds is None:
            return None, "GPU-hours" if on_gpu else "core-hours"
        share = one.gpus / item.run.resources.share if on_gpu else one.cpus
        total += item.seconds * one.processes * share
    return total / 3600, "GPU-hours" if on_gpu else "core-hours"


def refuse_unequal(items: Sequence[Item], profile: Profile) -> None:
    """Raises SpecError where the processes of a run cannot share its batch-norm groups equally."""
    for item in items:
        recipe, asked = item.run.recipe, profile.asks(item.run.resources)
        groups = recipe.batch // recipe.bn_group
        if groups % asked.processes:
            fitting = ", ".join(str(n) for n in range(1, groups + 1) if groups % n == 0)
            raise SpecError(
                f"{item.run.id}: {_processes(asked)}, which "
                f"cannot share its {groups} batch-norm groups a batch ({recipe.batch} images by {recipe.bn_group}) "
                "equally; nothing was started. Set nodes and tasks, in the sweep's Resources or the profile, so that "
                f"their product is one of: {fitting}"
            )


def refuse_above(budget: float, items: Sequence[Item], profile: Profile, basis: str) -> None:
    """Raises SpecError where the predicted hours are above `budget` hours, or cannot be predicted."""
    total, unit = hours(items, profile)
    if total is None:
        unknown = sum(item.seconds is None for item in items)
        raise SpecError(
            f"--budget {budget:g}h cannot be checked: the cost of {unknown} of "
            f"{counted(len(items), 'run')} is not known. "
            "Let one run end first (--only, --seeds), or start without --budget"
        )
    if total > budget:
        raise SpecError(
            f"predicted {digits(total)} {unit} ({basis}) are above --budget {budget:g}h; nothing was started. "
            "Choose fewer runs (--only, --seeds), a smaller --scale, or a larger budget"
        )


def describe_jobs(items: Sequence[Item], profile: Profile, array_size: int) -> str:
    """Describes the jobs that the runs become, in lines."""
    seconds = {item.folder.path.name: item.seconds or 0 for item in items}
    wanted = shapes([(item.run, item.folder) for item in items], profile)
    jobs = [pack for shape in wanted for pack in shape.packs]
    arrays = sum(len(list(batched(shape.packs, array_size))) for shape in wanted)
    cap = f", at most {profile.jobs} at once" if profile.jobs else ""
    lines = [
        f"slurm: {counted(len(items), 'run')} in {counted(len(jobs), 'job')} of up to {profile.pack} "
        f"({profile.at_once} side by side), {counted(arrays, 'array')}{cap}; {duration(profile.time)} a job"
    ]
    requeues = 0
    for shape in wanted:
        if shape.asked.processes > 1:
            count = counted(sum(map(len, shape.packs)), "run")
            lines.append(f"slurm: {count} of {_processes(shape.asked)} each, one run a job")
        for pack in shape.packs:
            wall = sum(seconds[name] for name in pack) / side_by_side(profile, shape.asked)
            requeues += max(1, math.ceil(wall / (profile.time - profile.warn))) - 1
    total, unit = hours(items, profile)
    if total is not None:
        lines.append(f"slurm: {digits(total)} {unit}, {counted(requeues, 'requeue')} by the time limit")
    runs = [item.run for item in items]
    most, left = size_words(sum(map(training_bytes, runs))), size_words(sum(map(kept_bytes, runs)))
    lines.append(f"slurm: up to {most} of disk while the runs train, {left} when they are done")
    return "\n".join(lines)


def _processes(asked: Resources) -> str:
    nodes, tasks = counted(asked.nodes, "node"), counted(asked.tasks, "task")
    return f"{nodes} x {tasks} = {asked.processes} processes"


def kept_bytes(run: Run) -> int:
    """What a run leaves when it is done, about: its weights; its curve, there and in the checkpoint; results and logs.

    Without the weights where nobody knows their number before the net is made.
    """
    rows = run.recipe.steps // run.recipe.curve_every
    return FLOAT_BYTES * parameters_of(run) + 2 * ROW_BYTES * rows + OTHER_BYTES


def training_bytes(run: Run) -> int:
    """The most that it takes while it trains: three checkpoints, each with momentum, one of them being written."""
    return kept_bytes(run) + (CHECKPOINTS * 2 - 1) * FLOAT_BYTES * parameters_of(run)


def room(items: Sequence[Item], folder: Path, at_once: int) -> str:
    """A line where the disk of `folder` has less room than the runs need, "" where it has enough.

    at_once: so many of the runs train together. What is there of them already counts as theirs. Raises SpecError where
    not even the first of them have room to train.
    """
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free
    there = [_there(item.folder) for item in items]
    train = [training_bytes(item.run) - has for item, has in zip(items, there, strict=True)]
    keep = [kept_bytes(item.run) - has for item, has in zip(items, there, strict=True)]
    first, more = sum(train[:at_once]), heapq.nlargest(at_once, (t - k for t, k in zip(train, keep, strict=True)))
    total = sum(keep) + sum(more)
    advice = f"make room (`python -m bench clean {folder.name} --dry-run` says what can go), or give a folder elsewhere"
    if first > free:
        runs = "the first run takes" if at_once == 1 else f"the first {at_once} runs take"
        raise SpecError(
            f"disk: {runs} about {size_words(first)} while training, and {place} has {size_words(free)} free; nothing "
            f"was started: {advice}"
        )
    if total > free:
        runs = counted(len(items), "run")
        return f"disk: {runs} to do take about {size_words(total)}, and {place} has {size_words(free)} free: {advice}"
    return ""


def _there(folder: RunFolder) -> int:
    """The bytes of its checkpoints."""
    size = 0
    for path in (folder.checkpoint, folder.previous):
        with suppress(OSError):
            size += path.stat().st_size
    return size


def size_words(size: float) -> str:
    """Bytes with two or three digits: `910 B`, `1.2 kB`, `34 MB`, `5.6 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            break
        size, unit = size / 1000, "TB"
    return f"{size:.1f} {unit}" if size < 9.95 and unit != "B" else f"{size:,.0f} {unit}"


def slow_bf16(runs: Iterable[Run]) -> str:
    """A line on the cost of bf16 on this machine, where runs use it and there are no units for it; else ""."""
    kinds = {bool(run.resources.gpus and cuda_devices()) for run in runs if run.recipe.precision == "bf16"}
    words = []
    if False in kinds and cpu_lacks_bf16():
        words.append(
            f"this processor has no bf16 units ({', '.join(BF16_FLAGS)}): for ResNet-20 a bf16 step took {BF16_COST}"
        )
    if True in kinds and gpu_lacks_bf16():
        least = f"compute capability {BF16_CAPABILITY} on"
        words.append(f"a GPU here has no bf16 units (they come from {least}): a bf16 step may take longer than in fp32")
    return "; ".join(words)
