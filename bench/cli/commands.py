"""`python -m bench …`, also installed as `bench`: everything around the sweeps of the paper's studies."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bench.cli import options
from bench.cli.exits import FAILED, STOPPED, guarded
from bench.cli.options import Parser
from bench.cli.request import matches, patterns
from bench.cli.sweep import sweep
from bench.cli.sweep_files import (
    MistakeError,
    declared_runs,
    keep_declaration,
    known_sweeps,
    load_sweep,
    project_folder,
)
from bench.data.locate import data_folder
from bench.launch.rerun import rerun
from bench.launch.slurm import commands as scheduler
from bench.launch.status import table, watch
from bench.spec import Run, counted
from bench.speed import add_arguments as add_speed_arguments
from bench.store import RunFolder, all_folders, folders, make_folder, submissions


def status(args: argparse.Namespace) -> int:
    """Prints where every run of a sweep is."""
    folder = _runs_of(args)
    queue = scheduler.Queue(folder) if submissions(folder) else None
    if args.watch:
        watch(folder, queue)
    else:
        print(table(folder, queue))
    return 0


def cancel(args: argparse.Namespace) -> int:
    """Cancels the sweep's jobs; what they have trained is kept."""
    count = scheduler.cancel(_runs_of(args))
    print(f"{counted(count, 'job')} cancelled; the sweep's next start resumes runs that had begun")
    return 0


def _runs_of(args: argparse.Namespace) -> Path:
    """The folder of the sweep's runs. Raises MistakeError where there is none."""
    folder: Path = (args.runs / Path(args.name).stem).absolute()
    if not folder.is_dir():
        raise MistakeError(
            f"no runs of {args.name} in {args.runs}; --runs names the folder given to bench.sweep --runs"
        )
    return folder


def collect(args: argparse.Namespace) -> int:
    """Merges run folders into results/."""
    from bench.report.collect import collect as merge

    name, declared = load_sweep(args.name, args.results)
    places = [folder / name for folder in args.runs]
    absent = [str(place) for place in places if not place.is_dir()]
    if absent:
        raise MistakeError(
            f"no runs of {name} in {', '.join(absent)}; --runs names folders given to bench.sweep --runs"
        )
    found = [run for place in places for run in runs_in(place)]
    trained = dict.fromkeys((run.scale, run.data) for run in found if run.scale in declared.scales)
    runs = [run for scale, data in trained for run in declared_runs(declared, scale, data)]
    make_folder(args.results / name)
    keep_declaration(args.name, args.results / name)
    print(merge(args.results / name, places, runs, say=print, ensembles=declared.ensembles))
    return 0


def runs_in(place: Path) -> Iterator[Run]:
    """The runs that can be read in a sweep's folder."""
    for folder in folders(place.parent, place.name).values():
        if run := folder.readable_run():  # `collect` says which folder it passes over
            yield run


def pack(args: argparse.Namespace) -> int:
    """Writes run folders as archives below a size."""
    from bench.transfer.pack import pack as write_archives

    chosen = _chosen(args)
    packed = write_archives(
        args.out, args.runs, chosen, files=args.files, mib=args.mib, weights=not args.no_weights, say=print
    )
    return 0 if packed else FAILED


def _chosen(args: argparse.Namespace) -> list[RunFolder]:
    """The run folders that `--only` names, of all sweeps. Raises MistakeError where there are none."""
    found = all_folders(args.runs)
    if not found:
        raise MistakeError(f"no runs in {args.runs}; --runs names the folder given to bench.sweep --runs")
    wanted = patterns(args.only) if args.only else ["*"]
    named = {folder: (folder.path.parent.name, folder.path.name) for folder in found}
    for pattern in wanted:
        if not any(matches(names, pattern) for names in named.values()):
            sweeps = ", ".join(dict.fromkeys(sweep for sweep, _ in named.values()))
            raise MistakeError(f"--only {pattern!r} matches no run; the sweeps are: {sweeps}")
    return [folder for folder, names in named.items() if any(matches(names, pattern) for pattern in wanted)]


def unpack(args: argparse.Namespace) -> int:
    """Places the runs of archives among those here."""
    from bench.transfer.unpack import unpack as place

    return 0 if place(args.archives, args.runs, say=print) else FAILED


def report(args: argparse.Namespace) -> int:
    """Writes a sweep's pages from results/."""
    from bench.report.coverage import write_index
    from bench.report.page import write_report

    name, declared = load_sweep(args.name, args.results)
    page = write_report(name, declared, args.results / name, args.reports / name)
    write_index(known_sweeps(args.results, **{name: declared}), args.results, args.reports)
    print(page or f"{args.results / name} has no run that ended: nothing to report")
    return 0 if page else FAILED


def speed(args: argparse.Namespace) -> int:
    """Measures this machine."""
    from bench.speed.command import speed as measure

    return measure(args)


def coverage(args: argparse.Namespace) -> int:
    """Says of each number of the paper what answers it, and writes the index of all reports."""
    from bench.report.coverage import totals, write_index

    page, answers = write_index(known_sweeps(args.results), args.results, args.reports)
    print("\n".join(f"{count:4d} {status}" for status, count in totals(answers).items()))
    print(f"{len(answers):4d} numbers of the paper\n{page}")
    return 0


def cite(args: argparse.Namespace) -> int:
    """Prints a number with all that is to be said of it."""
    from bench.report.cite import UnknownNumberError, card

    try:
        print(card(args.id, known_sweeps(args.results), args.results))
    except UnknownNumberError as error:
        raise MistakeError(str(error)) from None
    return 0


def simulate(args: argparse.Namespace) -> int:
    """Prints how a sweep's claims are judged at a scale, how often that errs, and what the planned seeds can show."""
    from bench.report.simulate import Plan, procedure_page

    name, declared = load_sweep(args.name, args.results)
    if not declared.judged_at(args.scale):
        raise MistakeError(f"{name} judges no claim at scale {args.scale}: Scale(judges=…) of its file names them")
    low, high = args.spread
    if not 0 < low <= high <= 100:
        raise MistakeError(
            f"--spread {low:g} {high:g}: give two standard deviations above 0 and at most 100, the smaller one first"
        )
    print(procedure_page(name, Plan(declared, args.scale, (low, high)), args.draws), end="")
    return 0


def verify(args: argparse.Namespace) -> int:
    """Checks that every digit of results and reports follows from the runs; or trains one run once more."""
    from bench.report.verify import index_problems, problems

    if args.rerun:
        return _rerun(args)
    sweeps = known_sweeps(args.results) if args.name is None else dict([load_sweep(args.name, args.results)])
    published = {name: declared for name, declared in sweeps.items() if (args.results / name).is_dir()}
    if not published:
        raise MistakeError(f"no results of {args.name or 'any sweep'} in {args.results}")
    found: list[str] = []
    for name, declared in published.items():
        wrong = list(problems(name, declared, args.results / name, args.reports / name))
        print(f"{name}: {counted(len(wrong), 'problem') if wrong else 'every number follows from its runs'}")
        found += wrong
    if args.name is None:
        found += index_problems(sweeps, args.results, args.reports)
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    return FAILED if found else 0


def _rerun(args: argparse.Namespace) -> int:
    """Trains the run of a row once more, in a folder of its own, and holds the result against the row."""
    from bench.report.verify import compare_rerun, stored_run

    run, row, errors = stored_run(args.rerun, args.results, Path(args.name).stem if args.name else "*")
    result = rerun(run, args.runs / "again", data_folder(args.data))
    if result is None:
        return STOPPED
    agrees, words = compare_rerun(result, row, errors)
    print(f"{args.rerun}: {words}")
    return 0 if agrees else FAILED


def _place(folder: str) -> Path:
    """Here, where a sweep of one's own left it, else in the project."""
    here = Path.cwd() / folder
    return here if here.is_dir() else project_folder() / folder


COMMANDS: Mapping[str, tuple[Callable[[argparse.Namespace], int], str]] = {
    "sweep": (sweep, "run a sweep to its report (also python -m bench.sweep)"),
    "status": (status, "show where every run of a sweep is"),
    "cancel": (cancel, "cancel a sweep's jobs on Slurm, and no others"),
    "collect": (collect, "merge run folders, of several machines too, into results/"),
    "pack": (pack, "write run folders as archives below a size, for another machine"),
    "unpack": (unpack, "verify archives and place their runs; what is further on here stays"),
    "report": (report, "write a sweep's pages from results/"),
    "cite": (cite, "print a number: interval, n, BibTeX, LaTeX, provenance"),
    "verify": (verify, "check that every published digit follows from the runs"),
    "simulate": (simulate, "show how claims are judged, how often that errs, and its power"),
    "coverage": (coverage, "account for every number of the paper; writes the index of all reports"),
    "speed": (speed, "measure what everything costs, beside plainly written references"),
}


def build_parser() -> argparse.ArgumentParser:
    """All commands."""
    parser = Parser(prog="bench", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command_name", required=True, metavar="COMMAND")
    for name, (work, words) in COMMANDS.items():
        one = commands.add_parser(name, allow_abbrev=False, help=words, description=options.ABOUT.get(name))
        one.set_defaults(work=work)
        options.add_arguments(one, name)
        if name == "speed":
            add_speed_arguments(one)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m bench`."""
    command = list(sys.argv[1:] if argv is None else argv)
    args = build_parser().parse_args(command)
    args.command = command[1:]
    return guarded(_run, args)


def _run(args: argparse.Namespace) -> int:
    for folder in ("results", "reports"):
        if args.command_name != "sweep" and getattr(args, folder, "") is None:
            setattr(args, folder, _place(folder))
    status: int = args.work(args)
    return status
