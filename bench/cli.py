"""`python -m bench …`, also installed as `bench`: sweep, status, cancel, collect, report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import sweep as main_job
from bench.launch import scheduler
from bench.launch.status import table, watch
from bench.store import submissions
from bench.sweep import MistakeError, guarded, load_sweep, project_folder


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
    print(f"{count:,} jobs cancelled; runs that had begun go on from their checkpoints when the sweep starts again")
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

    name, _ = load_sweep(args.name)
    folders = [folder / name for folder in args.runs]
    absent = [str(folder) for folder in folders if not folder.is_dir()]
    if absent:
        raise MistakeError(
            f"no runs of {name} in {', '.join(absent)}; --runs names folders given to bench.sweep --runs"
        )
    print(merge(_results(args) / name, folders, (), say=print))
    return 0


def report(args: argparse.Namespace) -> int:
    """Writes a sweep's pages from results/."""
    from bench.report.page import write_report

    name, declared = load_sweep(args.name)
    reports = args.reports or project_folder() / "reports"
    page = write_report(name, declared, _results(args) / name, reports / name)
    print(page or f"{_results(args) / name} has no run that ended: nothing to report")
    return 0 if page else main_job.FAILED


def _results(args: argparse.Namespace) -> Path:
    given: Path | None = args.results
    return given or project_folder() / "results"


def build_parser() -> argparse.ArgumentParser:
    """All commands."""
    parser = argparse.ArgumentParser(prog="bench", description="Reproduces Deep Residual Learning (He et al., 2015).")
    commands = parser.add_subparsers(dest="command_name", required=True, metavar="COMMAND")
    one = commands.add_parser("sweep", help="run a sweep to its report (also python -m bench.sweep)")
    main_job.add_arguments(one)
    one.set_defaults(work=main_job.sweep)
    for name, work, words in (
        ("status", status, "show where every run of a sweep is"),
        ("cancel", cancel, "cancel a sweep's jobs on Slurm, and no others"),
    ):
        one = commands.add_parser(name, help=words)
        one.add_argument("name", metavar="NAME")
        one.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR")
        one.set_defaults(work=work)
        if work is status:
            one.add_argument("--watch", action="store_true", help="again every 5 seconds, until nothing runs or waits")
    one = commands.add_parser("collect", help="merge run folders, of several machines too, into results/")
    one.add_argument("name", metavar="NAME")
    one.add_argument("--runs", type=Path, nargs="+", default=[Path("runs")], metavar="DIR")
    one.add_argument("--results", type=Path, metavar="DIR")
    one.set_defaults(work=collect)
    one = commands.add_parser("report", help="write a sweep's pages from results/")
    one.add_argument("name", metavar="NAME")
    one.add_argument("--results", type=Path, metavar="DIR")
    one.add_argument("--reports", type=Path, metavar="DIR")
    one.set_defaults(work=report)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m bench`."""
    command = list(sys.argv[1:] if argv is None else argv)
    args = build_parser().parse_args(command)
    args.command = command[1:]
    return guarded(args.work, args)
