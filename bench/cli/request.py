"""What a start of a sweep is to do: the command's options, with what they leave open chosen once, as one value."""

from __future__ import annotations

import argparse
import difflib
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.cli.only import matches, patterns
from bench.cli.places import DECLARATION, Place, beside_runs
from bench.cli.publish import SweepFile
from bench.cli.sweep_files import MistakeError, load_file, refuse_namesake, sweep_file
from bench.cli.terminal import say
from bench.data import locate
from bench.data.locate import AbsentError, DataError
from bench.launch.concurrency import measured_way, refuse_crowd
from bench.launch.plan import near
from bench.launch.slurm import commands
from bench.launch.slurm.commands import SlurmError
from bench.launch.slurm.executor import for_cluster, refuse_path
from bench.launch.slurm.profile import Profile, load_profile
from bench.machine import cuda_devices, cxx_compiler, installed, no_compiler
from bench.spec import Dataset, Run, Sweep, Way, dataset_of

ONE_PROCESS = Profile(nodes=1, tasks=1)  # off Slurm: several processes for one run are for its jobs
AS_TYPED = (  # options that leave nothing to choose
    *("seeds", "classes", "only", "at_once", "budget", "time_limit", "retry", "again"),
    *("dry_run", "report_only", "with_tests", "no_wait", "allow_dirty", "publish"),
)


@dataclass(frozen=True, slots=True)
class Request:
    """A start of a sweep with every choice made.

    file: of the sweep. profile: on Slurm only. data: the data set's name. out: the folder of all sweeps' runs.
    budget, time_limit: in seconds. publish: whether the runs are also merged into results/ and reports/.
    """

    command: tuple[str, ...]
    file: Path
    name: str
    declared: Sweep
    cluster: str
    profile: Profile | None
    scale: str
    data_folder: Path
    data: str
    runs: tuple[Run, ...]
    out: Path
    deadline: float | None
    seeds: tuple[int, ...] | None
    classes: int | None
    only: str | None
    at_once: int | None
    budget: float | None
    time_limit: float | None
    retry: bool
    again: bool
    dry_run: bool
    report_only: bool
    with_tests: bool
    no_wait: bool
    allow_dirty: bool
    publish: bool

    @property
    def folder(self) -> Path:
        """The sweep's: its run folders, its numbers, its report."""
        return self.out / self.name

    @property
    def study(self) -> SweepFile:
        """The sweep with its file."""
        return SweepFile(self.name, self.file, self.declared)

    @property
    def place(self) -> Place:
        """Where its numbers and its report go."""
        return beside_runs(self.out, self.name)


def resolve(args: argparse.Namespace) -> Request:
    """Makes every choice that the command leaves open, and says it. Raises MistakeError, SpecError, DataError."""
    began, out = time.time(), Path(os.path.abspath(args.out))  # noqa: PTH100 - no .., links as they are
    if other := next((place for place in (args.out, *args.out.parents) if place.exists() and not place.is_dir()), None):
        raise MistakeError(f"--out {args.out}: {other} is no folder; name one with --out DIR")
    file = sweep_file(args.name, out)
    name, declared = Path(args.name).stem, load_file(file)
    if file.name == DECLARATION:
        say(f"file: the copy beside the numbers of its last start, {near(file)}")
    cluster, profile = choose_cluster(args)
    if profile is not None:
        refuse_path(out / name)
    if not args.report_only:
        refuse_namesake(name, file)
    scale = choose_scale(args.scale, cluster, declared)
    data_folder, data = choose_data(args, scale, declared)
    runs = choose_kernels(choose_runs(args, declared, scale, data), cluster, args.kernels, compiled=args.compile)
    if args.at_once:
        refuse_crowd(args.at_once, runs)
    return Request(
        command=tuple(args.command),
        file=file,
        name=name,
        declared=declared,
        cluster=cluster,
        profile=profile,
        scale=scale,
        data_folder=data_folder,
        data=data,
        runs=runs,
        out=out,
        deadline=began + args.time_limit if args.time_limit else None,
        **{option: getattr(args, option) for option in AS_TYPED},
    )


def choose_cluster(args: argparse.Namespace) -> tuple[str, Profile | None]:
    """Where runs go, and on Slurm the profile. Raises MistakeError, SpecError."""
    cluster = _chosen() if args.cluster == "auto" else args.cluster
    if cluster == "local" and cuda_devices():
        cluster = "crew"
    if args.no_wait and cluster == "inline":
        raise MistakeError("--no-wait needs runs in other processes than this: use --cluster local, crew or slurm")
    if args.at_once and cluster not in ("local", "crew"):
        other = "set at_once and pack in the profile" if cluster == "slurm" else "one run trains at a time"
        raise MistakeError(f"--at-once is for --cluster local and crew, and --cluster is {cluster}: {other}")
    if cluster == "slurm":
        return cluster, for_cluster(load_profile(args.profile))
    if args.profile:
        raise MistakeError(f"--profile is for Slurm, and --cluster is {cluster}")
    return cluster, None


def _chosen() -> str:
    """What `--cluster auto` means here. Raises SlurmError where that is not known: a login node must not train."""
    try:
        if commands.is_here():
            return "slurm"
    except SlurmError as error:
        raise SlurmError(
            f"Slurm is installed here and does not answer ({error}): wait and start again with --cluster slurm, or "
            "train on this machine with --cluster local"
        ) from None
    if cuda_devices() or installed("submitit"):
        return "local"
    print("cluster: inline, one run after another, as submitit is not installed (pip install submitit)")
    return "inline"


def refuse_without_submitit(cluster: str) -> None:
    """Raises MistakeError where runs are to start as processes of their own and the package for that is missing."""
    if cluster in ("local", "slurm") and not installed("submitit"):
        raise MistakeError(
            f"--cluster {cluster} starts runs through submitit, which is not installed: pip install submitit, or take "
            "--cluster inline (one run after another) or crew (several in one process), which need none"
        )


def choose_scale(asked: str, cluster: str, declared: Sweep) -> str:
    """The scale that `auto` means here, said in one line."""
    if asked != "auto":
        return asked
    if len(declared.scales) == 1:
        print(f"scale: {(only := next(iter(declared.scales)))}, the sweep's only one")
        return only
    if cluster == "slurm":
        print("scale: paper, as jobs go to Slurm")
        return "paper"
    devices = cuda_devices()
    scale = "paper" if devices else "quick"
    more = "; --scale paper runs the paper's schedule" if "paper" in declared.scales else ""
    why = f"there is a GPU ({devices[0]})" if devices else f"there is no GPU here{more}"
    say(f"scale: {scale}, as {why}")
    return scale


def choose_data(args: argparse.Namespace, scale: str, declared: Sweep) -> tuple[Path, str]:
    """The data folder and the data set: the sweep's, or at scale quick the stand-in where it cannot be had."""
    row = dataset_of(declared.data_at(scale))
    folder = locate.home(row, locate.data_folder(args.data))
    classes = args.classes or declared.scales[scale].classes
    if args.classes and not row.named:
        raise MistakeError("--classes is for sweeps on ImageNet")
    try:
        found = row.resolve("locate")(folder, row.name)
    except AbsentError as absent:
        return folder, _absent(args, row, folder, scale, absent)
    name = row.resolve("named")(found, classes) if row.named else row.name
    if row.named:
        print(f"data: {name} in {found}")
    if row.check and not (args.dry_run or args.report_only):
        row.resolve("check")(found)
    return folder, name


def _absent(args: argparse.Namespace, row: Dataset, folder: Path, scale: str, absent: AbsentError) -> str:
    """The data set that is taken where `row` is not there: it, downloaded, or its stand-in. Raises DataError."""
    stand_in = row.stand_in if scale == "quick" else ""
    if args.dry_run or (args.report_only and row.fetch):
        what = "a start would download it" if row.fetch else "nothing downloads it"
        say(f"data: {row.title} is not in {folder}; {what}{' or take the stand-in' if stand_in else ''}")
        classes = args.classes or 0
        return stand_in or (f"{row.name}-{classes}" if classes else row.name)
    if not row.fetch:
        raise absent
    try:
        row.resolve("fetch")(folder, row.name)
    except DataError as error:
        if not stand_in or args.data is not None:
            raise
        say(f"data: a procedural stand-in takes its place, since {error}")
        return stand_in
    return row.name


def choose_runs(args: argparse.Namespace, sweep: Sweep, scale: str, data: str) -> tuple[Run, ...]:
    """The runs that the command asks for. Raises MistakeError where none matches."""
    runs = sweep.runs(scale, args.seeds, data)
    if args.only is None:
        return runs
    named = {run: (run.id, sweep.scales[scale].name_of(run)) for run in runs}
    wanted = {pattern: [r for r in runs if matches(named[r], pattern)] for pattern in patterns(args.only)}
    for pattern, found in wanted.items():
        if not found:
            nets = ", ".join(sweep.scales[scale].names)
            likely = difflib.get_close_matches(pattern, sweep.scales[scale].names, n=1)
            meant = f"; did you mean {likely[0]}?" if likely else ";"
            raise MistakeError(f"--only {pattern!r} matches no run{meant} the nets are: {nets}")
    return tuple(dict.fromkeys(run for found in wanted.values() for run in found))


def choose_kernels(runs: Sequence[Run], cluster: str, asked: Way | None, *, compiled: bool) -> tuple[Run, ...]:
    """The runs with the kernels that the command asks for, or, on a GPU, that were measured to be fastest there.

    compiled: whether --compile asks for them. Not compiled, said in one line, where there is no compiler. What a
    cluster's nodes have, only they can say.
    """
    if compiled and asked == Way():
        raise MistakeError("--compile and --kernels eager contradict each other: leave one out")
    if compiled:
        asked = replace(asked or Way(), compile=True)
    if asked is None:
        return tuple(runs) if cluster == "slurm" else _as_measured(runs)
    if cluster != "slurm" and not cuda_devices():
        asked = _on_a_cpu(asked)
    lacks = asked.compile and cluster != "slurm" and cxx_compiler() is None
    eager = {run for run in runs if lacks and not (run.resources.gpus and cuda_devices())}
    if eager:
        option = "--compile" if compiled else "--kernels compiled"
        print(f"{option}: {no_compiler()}; runs that begin now train {replace(asked, compile=False)}")
    ways = {run: replace(asked, compile=asked.compile and run not in eager) for run in runs}
    return tuple(replace(run, resources=run.resources.made(ways[run])) for run in runs)


def _on_a_cpu(asked: Way) -> Way:
    """What of it works without CUDA, said in one line where that is less; a run keeps it to its end."""
    there = replace(asked, graph=False, batch_norm="grouped" if asked.batch_norm == "fused" else asked.batch_norm)
    if there != asked:
        print(f"--kernels: no CUDA device here for {asked}; runs that begin now train with kernels: {there}")
    return there


def _as_measured(runs: Sequence[Run]) -> tuple[Run, ...]:
    """With the way that `bench speed gpu` kept, where runs are like those it measured and declare no other."""
    way = measured_way() if cuda_devices() else None
    if way is None:
        return tuple(runs)
    alike = {r for r in runs if r.resources.gpus and not r.dataset.part and r.resources.way == Way()}
    if alike:
        print(f"kernels: {way}, as measured on this GPU; runs that have begun keep their own")
    return tuple(replace(r, resources=r.resources.made(way)) if r in alike else r for r in runs)


def unplanned(runs: Iterable[Run], sweep: Sweep, scale: str) -> str:
    """A line on the runs whose seeds the claims of the scale do not count; "" where there are none."""
    if not sweep.judged_at(scale):
        return ""
    more = [run.id for run in runs if run.seed not in sweep.scales[scale].seeds_of(run.net)]
    which = ", ".join(more[:3]) + (f" and {len(more) - 3:,} more" if len(more) > 3 else "")
    return f"runs with seeds that are not planned, which no verdict counts: {which}\n" if more else ""
