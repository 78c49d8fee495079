"""The command `python -m bench speed`: measure, print a table, keep it as JSON with the hardware."""

from __future__ import annotations

import argparse
import resource
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from bench import __version__
from bench.data import locate
from bench.launch import concurrency
from bench.launch.concurrency import Measurement
from bench.machine import cores, cpu_name, hardware
from bench.nets.counts import multiply_adds
from bench.report.kept_speeds import rates
from bench.spec import Net, Recipe, Resources, Run, SpecError, counted
from bench.speed import GROUPS, USUAL, agreement, cases, gpu, processes
from bench.speed.kept import Kept
from bench.speed.processes import COMPILED, USUAL_LOOP
from bench.speed.timing import CPU, Case, Timing, measure, spread
from bench.tasks.provenance import DeviceError, device_of

ON_DEVICE = {"train", "limits"}  # groups that are measured on a GPU where there is one
SECONDS = 15.0  # of each measurement of several runs at once
ROW = "{:34}  {:>24}  {:>24}  {:>20}  {}"


def speed(args: argparse.Namespace) -> int:
    """Measures and prints the chosen groups. Raises SpecError naming an unknown group."""
    unknown = [group for group in args.groups if group not in GROUPS]
    if unknown:
        raise SpecError(f"no group {', '.join(unknown)}; there are: {', '.join(GROUPS)}")
    groups = args.groups or list(USUAL)
    file = Kept(args.json, args.command) if args.json else None
    if "gpu" in groups:
        return _gpu(args, groups, file)
    if args.rehearse:
        raise SpecError("--rehearse is for the group gpu: bench speed gpu --rehearse")
    for group in {"settings", "together"} & set(groups):
        processes.refuse_gpu(group)
    torch.set_num_threads(args.threads)
    device = _device(args.threads) if ON_DEVICE & set(groups) else CPU
    where = f"{cpu_name()}, {counted(args.threads, 'thread')}, torch {torch.__version__}"
    if device.type == "cuda":
        where += f"; {', '.join(sorted(ON_DEVICE & set(groups)))} on {hardware()}, deterministic kernels, no TF32"
    print(f"{where}\n\n{ROW.format('what', 'ours', 'reference', 'ratio', 'reference is')}", flush=True)
    kept: dict[str, Any] = {"measured_on": where, "timings": []}
    with tempfile.TemporaryDirectory() as folder:
        for case in chosen(groups, args, Path(folder), device):
            timing = measure(case)
            print(line(timing), flush=True)
            kept["timings"].append(asdict(timing))
    for group, work in TABLES.items():
        if group in groups:
            kept[group] = work(args, device)
    kept["peak_memory_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if file:
        file.write(kept)
    return 0


def _gpu(args: argparse.Namespace, groups: list[str], file: Kept | None) -> int:
    """The group gpu. Raises SpecError without a GPU, or with other groups."""
    if groups != ["gpu"]:
        raise SpecError("the group gpu is measured by itself: bench speed gpu")
    if args.rehearse:
        return gpu.measure(None, args.seconds, file, CPU, rehearse=True)
    device = _device(args.threads)
    if device.type != "cuda":
        raise SpecError(
            "there is no CUDA device here for `bench speed gpu` to measure: `bench speed` measures the processor, and "
            "--rehearse tries the command itself"
        )
    return gpu.measure(cases.images_in(_data(args)), args.seconds, file, device, rehearse=False)


def _device(threads: int) -> torch.device:
    """Where runs train here, set up as for a run. Raises SpecError where a GPU is there and cannot be used."""
    try:
        return device_of(Run("quick", Net("cifar", 20, "A"), "stand-in", Recipe(), 0, resources=Resources(threads)))
    except DeviceError as error:
        raise SpecError(str(error)) from None


def _data(args: argparse.Namespace) -> Path:
    return locate.data_folder(args.data)


def chosen(groups: list[str], args: argparse.Namespace, folder: Path, device: torch.device) -> Iterator[Case]:
    """The cases of the groups, each made when its turn comes, so that nets do not pile up in memory."""
    if "start" in groups:
        dry = ["plain_vs_residual", "--scale", "paper", "--dry-run"]
        yield cases.starting("bench.sweep --help", ["--help"])
        yield cases.starting("bench.sweep --dry-run, 50 runs", dry)
    if "imagenet" in groups:
        from bench.speed import imagenet  # with a decoder that nothing else here needs

        yield from imagenet.loading(folder, _data(args))
    if not {"load", "train", "evaluate", "checkpoint"} & set(groups):
        return
    images = cases.images_in(_data(args))
    if "load" in groups:
        yield cases.loading(images)
    for net in [Net("cifar", depth, shortcut) for depth in args.depths for shortcut in ("A", "none")]:
        for precision in args.precision:
            if "train" in groups:
                yield cases.training(net, images, precision, device, compiled=args.compile)
        if "evaluate" in groups and not net.plain:
            yield cases.evaluation(net, images)
        if "checkpoint" in groups and not net.plain:
            yield cases.checkpointing(net, images, folder)


def line(timing: Timing) -> str:
    """A row of the table: median (lowest to highest) of the rates, median ratio of the rounds."""
    ratio = "{:.3g} ({:.3g}–{:.3g})".format(*timing.ratio)
    return ROW.format(
        timing.name, rates(timing.ours), rates(timing.reference), ratio, f"{timing.beside}; {timing.unit}/s"
    )


def _resnets(args: argparse.Namespace) -> Iterator[tuple[Net, str]]:
    """Each chosen ResNet and precision."""
    for depth in args.depths:
        for precision in args.precision:
            yield Net("cifar", depth, "A"), precision


def _limits(args: argparse.Namespace, device: torch.device) -> dict[str, dict[str, float]]:
    found = {}
    for net in [Net("cifar", depth, "A") for depth in args.depths]:
        values = found[net.name] = cases.limits(net, device)
        print(
            f"limits for {net.name}, batch {cases.BATCH}, fp32: {values['gflop_per_s']:.0f} GFLOP/s in matrix products "
            f"and {values['gb_per_s']:.1f} GB/s copying allow a step of {1e3 * values['arithmetic_s']:.0f} ms by "
            f"arithmetic and {1e3 * values['traffic_s']:.0f} ms by memory traffic"
        )
    return found


def _together(args: argparse.Namespace, _: torch.device) -> list[dict[str, Any]]:
    """Several runs at once, for each net; what is found is kept for plans."""
    kept: list[dict[str, Any]] = []
    rows: list[Measurement] = []
    for net, precision in _resnets(args):
        print(f"{net.name}, {precision}, at once on {hardware()}:", flush=True)
        found = measure_at_once(net, precision, args.at_once or processes.counts(), _data(args))
        rows += [row for row, _, _ in found]
        gains = concurrency.gains([row for row, _, _ in found])
        for row, rounds, peak in found:
            print(
                f"  {row.at_once:>3} with {counted(row.threads, 'thread')} each: "
                f"{rates((row.images_per_s, min(rounds), max(rounds)))} images/s in all, "
                f"{gains.get(row.at_once, 0):.2f} times one; {peak:.2f} GiB a run at most",
                flush=True,
            )
            kept.append({**asdict(row), "rounds": rounds, "peak_memory_gib": peak})
    if not any(row.at_once == 1 for row in rows):
        print("nothing is kept for plans: one run by itself was not measured (--at-once 1 …)")
        return kept
    path = concurrency.keep(rows, torch=str(torch.__version__), bench=__version__)
    best = concurrency.best(concurrency.measured())
    print(f"bench.sweep --cluster local trains nets up to these {best} at once: kept in {path}")
    return kept


def measure_at_once(
    net: Net, precision: str, counts: Sequence[int], data: Path, seconds: float = SECONDS
) -> list[tuple[Measurement, tuple[float, ...], float]]:
    """So many runs at once: the measurement, its two rates, and a run's peak memory in GiB."""
    chosen = {count: processes.at_once(count) for count in counts}
    found = processes.measure(net, precision, tuple(chosen.values()), data, rounds=2, seconds=seconds)
    measured = []
    for count, setting in chosen.items():
        if setting.name in found:
            speeds, peaks = zip(*found[setting.name], strict=True)
            about = (net.name, multiply_adds(net), Recipe().batch, precision, count, setting.threads, cores())
            measured.append((Measurement(*about, fmean(speeds)), speeds, max(peaks)))
    return measured


def _settings(args: argparse.Namespace, _: torch.device) -> list[dict[str, Any]]:
    """What torch.compile, the allocator's settings and processes side by side bring, for each net."""
    ways, left_out = processes.settings(args.threads)
    print(f"processes take turns; rounds: {args.rounds}, steps of {cases.BATCH} images in each: {args.steps}{left_out}")
    kept = []
    for net, precision in _resnets(args):
        print(f"{net.name}, {precision}, images/s (beside {COMPILED}; beside {USUAL_LOOP}):", flush=True)
        found = processes.measure(net, precision, ways, _data(args), rounds=args.rounds, steps=args.steps)
        for row in processes.rows(found):
            print(f"  {row.way:36}  {rates(spread(row.rates)):>24}  {_times(row.compiled)}  {_times(row.usual)}")
            kept.append({"net": net.name, "precision": precision, "steps": args.steps, **asdict(row)})
    return kept


def _times(ratio: float | None) -> str:
    return f"{'–' if ratio is None else format(ratio, '.2f'):>5}"


def _agreement(args: argparse.Namespace, _: torch.device) -> list[dict[str, Any]]:
    """The fast path against the plain one, in each chosen precision."""
    images, kept = cases.images_in(_data(args)), []
    for precision in args.precision:
        found = list(agreement.agreements(images, precision, args.compile, args.seeds))
        print(agreement.summary(found), flush=True)
        kept += [asdict(one) for one in found]
    return kept


def _growth(args: argparse.Namespace, _: torch.device) -> dict[str, dict[str, float]]:
    found = {}
    for count in args.runs:
        times = found[str(count)] = cases.growing(count)
        words = ", ".join(f"{what} {seconds:.2f} s" for what, seconds in times.items())
        print(f"{counted(count, 'run'):>11}: {words}", flush=True)
    return found


TABLES: dict[str, Callable[[argparse.Namespace, torch.device], Any]] = {
    "limits": _limits,
    "together": _together,
    "settings": _settings,
    "agreement": _agreement,
    "growth": _growth,
}
