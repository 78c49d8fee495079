"""`python -m bench …`, also installed as `bench`: sweep, collect, report, coverage."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import sweep as main_job
from bench.sweep import MistakeError, guarded, load_sweep, project_folder


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


def coverage(args: argparse.Namespace) -> int:
    """Says of each number of the paper what answers it, and writes the index of all reports."""
    from bench.report.coverage import totals, write_index

    names = sorted(path.stem for path in (project_folder() / "sweeps").glob("*.py") if not path.stem.startswith("_"))
    reports = args.reports or project_folder() / "reports"
    page, answers = write_index(dict(map(load_sweep, names)), _results(args), reports)
    print("\n".join(f"{count:4d} {status}" for status, count in totals(answers).items()))
    print(f"{len(answers):4d} numbers of the paper\n{page}")
    return 0


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
    one = commands.add_parser("coverage", help="account for every number of the paper; writes reports/README.md")
    one.add_argument("--results", type=Path, metavar="DIR")
    one.add_argument("--reports", type=Path, metavar="DIR")
    one.set_defaults(work=coverage)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m bench`."""
    command = list(sys.argv[1:] if argv is None else argv)
    args = build_parser().parse_args(command)
    args.command = command[1:]
    return guarded(args.work, args)
