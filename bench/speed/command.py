"""The command `python -m bench speed`: measure, print a table, keep it as JSON with the hardware."""

from __future__ import annotations

import argparse
import resource
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bench import __version__
from bench.data import locate
from bench.data.cifar_files import cifar
from bench.launch import concurrency
from bench.machine import commit, cpu_name, hardware
from bench.spec import Net, Recipe, Resources, Run, SpecError, counted
from bench.speed import GROUPS, USUAL, agreement, cases, gpu, settings, together
from bench.speed.paired import Case, Timing, measure, spread
from bench.speed.settings import COMPILED, USUAL_LOOP
from bench.store import write_json
from bench.tasks.classification import cifar as cifar_data
from bench.tasks.classification import synthetic
from bench.tasks.classification.cifar import Images
from bench.tasks.provenance import DeviceError, device_of

ON_DEVICE = {"train", "limits", "profile"}  # groups that are measured on a GPU where there is one


def speed(args: argparse.Namespace) -> int:
    """Measures the groups asked for and prints them. Raises SpecError naming an unknown group."""
    unknown = [group for group in args.groups if group not in GROUPS]
    if unknown:
        raise SpecError(f"no group {', '.join(unknown)}; there are: {', '.join(GROUPS)}")
    groups = args.groups or list(USUAL)
    if "gpu" in groups:
        return _gpu(args, groups)
    if args.rehearse:
        raise SpecError("--rehearse is for the group gpu: bench speed gpu --rehearse")
    for group in {"settings", "together"} & set(groups):
        settings.refuse_gpu(group)
    torch.set_num_threads(args.threads)
    place = _device(args.threads) if ON_DEVICE & set(groups) else torch.device("cpu")
    about = f"{cpu_name()}, {counted(args.threads, 'thread')}, torch {torch.__version__}"
    if place.type == "cuda":
        about += f"; {', '.join(sorted(ON_DEVICE & set(groups)))} on {hardware()}, deterministic kernels, no TF32"
    print(f"{about}\n\n{ROW.format('what', 'ours', 'reference', 'ratio', 'reference is')}", flush=True)
    kept: dict[str, Any] = {"hardware": about, "bench": __version__, **commit(), "timings": []}
    with tempfile.TemporaryDirectory() as folder:
        for case in chosen(groups, args, Path(folder), place):
            timing = measure(case)
            print(line(timing), flush=True)
            kept["timings"].append(timing.as_json())
    if "limits" in groups:
        kept["limits"] = _limits(args.depths, place)
    if "profile" in groups:
        kept["profile"] = _profile(args, place)
    if "together" in groups:
        kept["together"] = _together(args)
    if "settings" in groups:
        kept["settings"] = _settings(args)
    if "agreement" in groups:
        kept["agreement"] = _agreement(args)
    if "growth" in groups:
        kept["growth"] = _growth(tuple(args.runs))
    kept["peak_memory_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if args.json:
        write_json(args.json, kept)
    return 0


def _gpu(args: argparse.Namespace, groups: list[str]) -> int:
    """The group gpu. Raises SpecError where there is none, or other groups are asked for as well."""
    if groups != ["gpu"]:
        raise SpecError("the group gpu is measured by itself: bench speed gpu")
    if args.rehearse:
        return gpu.measure(None, args.seconds, args.json, torch.device("cpu"), rehearse=True)
    place = _device(args.threads)
    if place.type != "cuda":
        raise SpecError(
            "there is no CUDA device here for `bench speed gpu` to measure: `bench speed` measures the processor, and "
            "--rehearse tries the command itself"
        )
    return gpu.measure(_images(args.data), args.seconds, args.json, place, rehearse=False)


def _device(threads: int) -> torch.device:
    """Where runs train here, set up as they set it up. Raises SpecError where a GPU is there and cannot be used."""
    try:
        return device_of(Run("quick", Net("cifar", 20, "A"), "stand-in", Recipe(), 0, resources=Resources(threads)))
    except DeviceError as error:
        raise SpecError(str(error)) from None


def _images(data: Path | None) -> Images:
    with suppress(locate.AbsentError):
        return cifar_data.load(cifar(locate.data_folder(data), "cifar10"))
    return synthetic.stand_in()


def chosen(groups: list[str], args: argparse.Namespace, folder: Path, place: torch.device) -> Iterator[Case]:
    """The cases of the groups, each made when its turn comes, so that nets do not pile up in memory."""
    if "start" in groups:
        dry = ["plain_vs_residual", "--scale", "paper", "--dry-run"]
        yield cases.starting("bench.sweep --help", ["--help"])
        yield cases.starting("bench.sweep --dry-run, 50 runs", dry)
    if "pictures" in groups:
        from bench.speed import pictures  # with a decoder that nothing else here needs

        yield from pictures.loading(folder, locate.data_folder(args.data))
    images = _images(args.data) if {"load", "train", "evaluate", "checkpoint"} & set(groups) else None
    if images is None:
        return
    if "load" in groups:
        yield cases.loading(images)
    nets = [Net("cifar", depth, shortcut) for depth in args.depths for shortcut in ("A", "none")]
    for net in nets:
        for precision in args.precision:
            if "train" in groups:
                yield cases.training(net, images, precision, place, compiled=args.compile)
        if "evaluate" in groups and not net.plain:
            yield cases.evaluation(net, images)
        if "checkpoint" in groups and not net.plain:
            yield cases.checkpointing(net, images, folder)


ROW = "{:34}  {:>24}  {:>24}  {:>20}  {}"


def line(timing: Timing) -> str:
    """A row of the table: median (lowest to highest) of the rates, median ratio of the rounds."""
    ratio = "{:.3g} ({:.3g}–{:.3g})".format(*timing.ratio)
    return ROW.format(
        timing.name, rates(timing.ours), rates(timing.reference), ratio, f"{timing.beside}; {timing.unit}/s"
    )


def rates(values: tuple[float, float, float]) -> str:
    """`202 (195–210)`."""
    return "{} ({}–{})".format(*(f"{v:,.0f}" if v >= 100 else f"{v:.3g}" for v in values))


def _limits(depths: list[int], place: torch.device) -> dict[str, dict[str, float]]:
    found = {}
    for depth in depths:
        net = Net("cifar", depth, "A")
        values = found[net.name] = cases.limits(net, place)
        print(
            f"limits for {net.name}, batch {cases.BATCH}, fp32: {values['gflop_per_s']:.0f} GFLOP/s in matrix products "
            f"and {values['gb_per_s']:.1f} GB/s copying allow a step of {1e3 * values['arithmetic_s']:.0f} ms by "
            f"arithmetic and {1e3 * values['traffic_s']:.0f} ms by memory traffic"
        )
    return found


def _profile(args: argparse.Namespace, place: torch.device) -> dict[str, dict[str, float]]:
    """Where a training step's time goes, by net and precision."""
    images, found = _images(args.data), {}
    for depth in args.depths:
        for precision in args.precision:
            net = Net("cifar", depth, "A")
            shares = cases.profile(net, images, precision, place, compiled=args.compile)
            name = f"{net.name}, {precision}{', compiled' * args.compile}"
            found[name] = shares
            words = ", ".join(f"{part} {share:.0f} %" for part, share in shares.items())
            print(f"a training step of {name}: {words}", flush=True)
    return found


def _together(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Several runs at once, for each net; what is found is kept for plans."""
    counts = tuple(args.at_once or together.counts())
    rows: list[concurrency.Measurement] = []
    kept: list[dict[str, Any]] = []
    for depth in args.depths:
        for precision in args.precision:
            net = Net("cifar", depth, "A")
            print(f"{net.name}, {precision}, at once on {hardware()}:", flush=True)
            found = list(together.measure(net, precision, counts, locate.data_folder(args.data)))
            gains = concurrency.gains([row for row, _, _ in found])
            for row, rounds, peak in found:
                threads = f"{counted(row.threads, 'thread')} each"
                speed = rates((row.images_per_s, min(rounds), max(rounds)))
                print(
                    f"  {row.at_once:>3} with {threads}: {speed} images/s in all, "
                    f"{gains.get(row.at_once, 0):.2f} times one; {peak:.2f} GiB a run at most",
                    flush=True,
                )
                rows.append(row)
                kept.append({**asdict(row), "rounds": rounds, "peak_memory_gib": peak})
    if not any(row.at_once == 1 for row in rows):
        print("nothing is kept for plans: one run by itself was not measured (--at-once 1 …)")
        return kept
    path = concurrency.keep(rows, torch=str(torch.__version__), bench=__version__)
    best = concurrency.best(concurrency.measured())
    print(f"bench.sweep --cluster local trains nets up to these {best} at once: kept in {path}")
    return kept


def _settings(args: argparse.Namespace) -> list[dict[str, Any]]:
    """What torch.compile, the allocator's settings and processes side by side bring, for each net."""
    ways, left_out = settings.ways(args.threads)
    print(f"processes take turns; rounds: {args.rounds}, steps of {cases.BATCH} images in each: {args.steps}{left_out}")
    kept = []
    for depth in args.depths:
        for precision in args.precision:
            net = Net("cifar", depth, "A")
            print(f"{net.name}, {precision}, images/s (beside {COMPILED}; beside {USUAL_LOOP}):", flush=True)
            found = settings.measure(net, precision, ways, locate.data_folder(args.data), args.steps, args.rounds)
            for row in settings.rows(found):
                print(f"  {row.way:36}  {rates(spread(row.rates)):>24}  {_times(row.compiled)}  {_times(row.usual)}")
                kept.append({"net": net.name, "precision": precision, "steps": args.steps, **asdict(row)})
    return kept


def _times(ratio: float | None) -> str:
    return f"{'–' if ratio is None else format(ratio, '.2f'):>5}"


def _agreement(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The fast path against the plain one, by each precision asked for."""
    images, kept = _images(args.data), []
    for precision in args.precision:
        found = list(agreement.agreements(images, precision, args.compile, args.seeds))
        print(agreement.summary(found), flush=True)
        kept += [asdict(one) for one in found]
    return kept


def _growth(counts: tuple[int, ...]) -> dict[str, dict[str, float]]:
    found = {}
    for count, times in cases.growing(counts):
        found[str(count)] = times
        print(
            f"{counted(count, 'run'):>11}: " + ", ".join(f"{what} {seconds:.2f} s" for what, seconds in times.items()),
            flush=True,
        )
    return found
