"""The commands about numbers: report, publish, cite, simulate, coverage."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.cli import publish as writing
from bench.cli.exits import FAILED
from bench.cli.places import all_published, beside_runs, in_suite, known_out, read_folder
from bench.cli.publish import SweepFile
from bench.cli.sweep_files import (
    MistakeError,
    declared_in,
    declared_runs,
    known_sweeps,
    load_file,
    load_sweep,
    no_runs,
    sweep_file,
)
from bench.report.seals import Seals
from bench.spec import Run, Sweep, counted
from bench.store import folders


def report(args: argparse.Namespace) -> int:
    """Collects run folders and writes the report beside them."""
    study, folders, runs = _trained(args)
    page = writing.write_own(study, beside_runs(args.out[0].absolute(), study.name), folders, runs)
    print(page or f"{folders[0]} has no run that ended: nothing to report")
    return 0 if page else FAILED


def publish(args: argparse.Namespace) -> int:
    """Merges runs into results/ and reports/ here, or writes the pages there once more."""
    if args.name is None:
        if args.sign or args.timestamp:
            raise MistakeError("--sign and --timestamp are for the runs of a sweep: give its name, too")
        print("\n".join(map(str, writing.publish_pages())))
        return 0
    if args.timestamp and not args.timestamp.startswith(("http://", "https://")):
        raise MistakeError(f"--timestamp {args.timestamp!r} is no address: it begins with http:// or https://")
    study, folders, runs = _trained(args)
    page = writing.publish(study, folders, runs, Seals(args.sign, args.timestamp))
    if page is None:
        print(f"{folders[0]} has no run that ended: nothing to publish")
        return FAILED
    index = ", and the index of all reports" if in_suite() else ""
    print(f"published: results/{study.name}, reports/{study.name}{index}; commit them together ({page})")
    return 0


def _trained(args: argparse.Namespace) -> tuple[SweepFile, list[Path], list[Run]]:
    """The sweep, its folders below those of --out, and all runs of the scales and data sets that were trained there."""
    path = sweep_file(args.name, args.out[0])
    name, declared = Path(args.name).stem, load_file(path)
    folders = [(folder / name).absolute() for folder in args.out]
    if absent := [folder for folder, place in zip(args.out, folders, strict=True) if not place.is_dir()]:
        raise MistakeError(no_runs(name, *absent))
    found = [run for place in folders for run in runs_in(place)]
    _refuse_undeclared(path, declared, found, folders)
    trained = dict.fromkeys((run.scale, run.data) for run in found if run.scale in declared.scales)
    return (
        SweepFile(name, path, declared),
        folders,
        [run for scale, data in trained for run in declared_runs(declared, scale, data)],
    )


def _refuse_undeclared(path: Path, declared: Sweep, found: Sequence[Run], folders: Sequence[Path]) -> None:
    """Raises MistakeError where no run is one that the file declares today: of another recipe, or another file's."""
    known = (run for run in found if run.scale in declared.scales)
    if found and not any(run in declared.runs(run.scale, (run.seed,), run.data) for run in known):
        raise MistakeError(
            f"{path} declares none of the {counted(len(found), 'run')} in {', '.join(map(str, folders))}: they are of "
            "another recipe, such as one that the file had before; nothing was written"
        )


def runs_in(place: Path) -> Iterator[Run]:
    """The runs that can be read in a sweep's folder."""
    for folder in folders(place.parent, place.name).values():
        if run := folder.readable_run():  # `collect` says which folder it passes over
            yield run


def coverage(args: argparse.Namespace) -> int:
    """Says how many numbers of the paper are answered, and by what."""
    from bench.report.answers import totals
    from bench.report.coverage import coverage as answers_of
    from bench.report.coverage import load

    results = args.results or read_folder("results")
    answers = answers_of(load(known_sweeps(results), results))
    counts = totals(answers)
    print("\n".join(f"{count:4d} {status}" for status, count in counts.items()))
    print(f"{sum(counts.values()):4d} results of the paper")
    return 0


def cite(args: argparse.Namespace) -> int:
    """Prints a number with all that is to be said of it."""
    from bench.report.cite import Source, UnknownNumberError, cards

    places = [*known_out(args.out), *all_published(args)]
    try:
        print(cards(args.id, [Source(place.name, declared_in(place), place.results, place.report) for place in places]))
    except UnknownNumberError as error:
        raise MistakeError(str(error)) from None
    return 0


def simulate(args: argparse.Namespace) -> int:
    """Prints how a sweep's claims are judged at a scale, how often that errs, and what the planned seeds can show."""
    from bench.report.simulate import Plan, procedure_page

    name, declared = load_sweep(args.name)
    if not declared.judged_at(args.scale):
        raise MistakeError(f"{name} judges no claim at scale {args.scale}: Scale(judges=…) of its file names them")
    low, high = args.spread
    if not 0 < low <= high <= 100:
        raise MistakeError(
            f"--spread {low:g} {high:g}: give two standard deviations above 0 and at most 100, the smaller one first"
        )
    print(procedure_page(name, Plan(declared, args.scale, (low, high)), args.draws), end="")
    return 0
