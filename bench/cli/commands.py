"""`python -m bench …`, also installed as `bench`: everything around the sweeps of the paper's studies."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.cli import numbers, options
from bench.cli.exits import FAILED, guarded
from bench.cli.export import export
from bench.cli.further import test
from bench.cli.listing import listing
from bench.cli.only import only
from bench.cli.options import Parser
from bench.cli.places import RUNS
from bench.cli.sweep import sweep
from bench.cli.sweep_files import MistakeError, no_runs
from bench.cli.verify import verify
from bench.launch.clean import clean as remove
from bench.launch.slurm import queue as scheduler
from bench.launch.status import table, watch
from bench.machine import tolerate_ascii
from bench.spec import counted
from bench.speed import add_arguments as add_speed_arguments
from bench.store import RunFolder, all_folders, submissions


def status(args: argparse.Namespace) -> int:
    """Prints where every run of a sweep is."""
    folder = _runs_of(args)
    queue = scheduler.Queue(folder) if submissions(folder) else None
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if args.watch:
        watch(folder, queue, args.scale, width)
    else:
        print(table(folder, queue, args.scale, width))
    return 0


def cancel(args: argparse.Namespace) -> int:
    """Cancels the sweep's jobs; what they have trained is kept."""
    count = scheduler.cancel(_runs_of(args))
    print(f"{counted(count, 'job')} cancelled; the sweep's next start resumes runs that had begun")
    return 0


def _runs_of(args: argparse.Namespace) -> Path:
    """The folder of the sweep's runs. Raises MistakeError where there is none."""
    name = Path(args.name).stem
    folder: Path = (args.out / name).absolute()
    if name in ("", "..") or not folder.is_dir():
        raise MistakeError(no_runs(args.name, args.out))
    return folder


def clean(args: argparse.Namespace) -> int:
    """Deletes what no start of a sweep needs any more."""
    remove(_runs_of(args), dry_run=args.dry_run, aside=args.aside, weights=args.weights, say=print)
    return 0


def pack(args: argparse.Namespace) -> int:
    """Writes run folders as archives below a size."""
    from bench.transfer.pack import pack as write_archives

    chosen = _chosen(args)
    if args.out.resolve() in (args.to.resolve(), *args.to.resolve().parents):
        raise MistakeError(f"{args.to} is in {args.out}, the folder of the runs: give one outside it")
    packed = write_archives(
        args.to, args.out, chosen, files=args.files, mib=args.mib, weights=not args.no_weights, say=print
    )
    return 0 if packed else FAILED


def _chosen(args: argparse.Namespace) -> list[RunFolder]:
    """The run folders that `--only` names, of all sweeps. Raises MistakeError where there are none."""
    found = all_folders(args.out)
    if not found:
        raise MistakeError(f"no runs in {args.out}; --out names the folder given to bench.sweep")
    named = {folder: (folder.path.parent.name, folder.path.name) for folder in found}
    sweeps = ", ".join(dict.fromkeys(sweep for sweep, _ in named.values()))
    return only(named, args.only, f"the sweeps are: {sweeps}")


def unpack(args: argparse.Namespace) -> int:
    """Places the runs of archives among those here."""
    from bench.transfer.unpack import unpack as place

    return 0 if place(args.archives, args.out, say=print) else FAILED


def show_list(args: argparse.Namespace) -> int:
    """Prints the sweeps and their questions."""
    print(listing(args.out))
    return 0


def speed(args: argparse.Namespace) -> int:
    """Measures this machine."""
    from bench.speed.command import speed as measure

    return measure(args)


COMMANDS: Mapping[str, tuple[Callable[[argparse.Namespace], int], str]] = {
    "sweep": (sweep, "run a sweep to its report (also python -m bench.sweep)"),
    "list": (show_list, "list the sweeps with their questions"),
    "status": (status, "show where every run of a sweep is"),
    "cancel": (cancel, "cancel a sweep's jobs on Slurm, and no others"),
    "test": (test, "test finished runs on further test sets"),
    "clean": (clean, "delete what no start needs any more: old logs, momentum of runs that are done"),
    "pack": (pack, "write run folders as archives below a size, for another machine"),
    "unpack": (unpack, "verify archives and place their runs; what is further on here stays"),
    "export": (export, "write weights, detections, curves and rows of runs for others to use"),
    "report": (numbers.report, "collect run folders, of several machines too, and write the report beside them"),
    "publish": (numbers.publish, "merge runs into results/ and reports/ here, or write the pages there once more"),
    "cite": (numbers.cite, "print a number: interval, n, BibTeX, LaTeX, provenance"),
    "verify": (verify, "check that every published digit follows from the runs"),
    "simulate": (numbers.simulate, "show how claims are judged, how often that errs, and its power"),
    "coverage": (numbers.coverage, "count what answers the numbers of the paper"),
    "speed": (speed, "measure what everything costs, beside plainly written references"),
}


def build_parser() -> argparse.ArgumentParser:
    """All commands."""
    parser = Parser(prog="bench", description=__doc__, allow_abbrev=False)
    options.add_version(parser)
    commands = parser.add_subparsers(dest="command_name", metavar="COMMAND")
    for name, (work, words) in COMMANDS.items():
        one = commands.add_parser(name, allow_abbrev=False, help=words, description=options.ABOUT.get(name))
        one.set_defaults(work=work)
        options.add_arguments(one, name)
        if name == "speed":
            add_speed_arguments(one)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m bench`."""
    tolerate_ascii()
    command, parser = list(sys.argv[1:] if argv is None else argv), build_parser()
    if "_ARGCOMPLETE" in os.environ:  # a shell's Tab: eval "$(register-python-argcomplete bench)"
        import argcomplete

        argcomplete.autocomplete(parser)
    args = parser.parse_args(command)
    if args.command_name is None:
        parser.print_help()
        args.out, args.work = RUNS, show_list
        print()
    args.command = command[1:]
    return guarded(_run, args)


def _run(args: argparse.Namespace) -> int:
    given = getattr(args, "results", None)
    if given is not None and not given.is_dir():
        raise MistakeError(f"--results {given}: no such folder; it is the one that bench publish wrote")
    status: int = args.work(args)
    return status
