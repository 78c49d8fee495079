"""`bench export`: what of runs others can use without this suite."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli.exits import FAILED
from bench.cli.request import matches, patterns
from bench.cli.sweep_files import MistakeError, no_runs
from bench.spec import counted
from bench.store import RunFolder, folders

KINDS = {"weights": "the final weights of runs that are done, as safetensors"}  # by option


def export(args: argparse.Namespace) -> int:
    """Writes what the options ask for. Raises MistakeError where they ask for nothing."""
    if not any(getattr(args, kind) for kind in KINDS):
        kinds = "; ".join(f"--{kind} ({words})" for kind, words in KINDS.items())
        raise MistakeError(f"nothing is exported: say what, {kinds}")
    return _weights(args, chosen(args))


def chosen(args: argparse.Namespace) -> list[RunFolder]:
    """The run folders of the sweep that `--only` names. Raises MistakeError where there are none."""
    name = Path(args.name).stem
    found = [folder for out in args.out for folder in folders(out.absolute(), name).values()]
    if not found:
        raise MistakeError(no_runs(name, *args.out))
    wanted = patterns(args.only) if args.only else ["*"]
    for pattern in wanted:
        if not any(matches([folder.path.name], pattern) for folder in found):
            ids = ", ".join(folder.path.name for folder in found[:3])
            raise MistakeError(f"--only {pattern!r} matches none of {counted(len(found), 'run')}, such as {ids}")
    return [folder for folder in found if any(matches([folder.path.name], pattern) for pattern in wanted)]


def _weights(args: argparse.Namespace, chosen: list[RunFolder]) -> int:
    """Into --to; where that is the folder of published weights, its SHA256SUMS follows."""
    from bench.report.digests import write_digests
    from bench.transfer.export import export_weights

    to = args.to or args.out[0] / Path(args.name).stem / "weights"
    if to.exists() and not to.is_dir():
        raise MistakeError(f"--to {to} is a file: give a folder")
    whole = export_weights(chosen, to, print)
    if (to.parent / "runs.csv").is_file():
        write_digests(to.parent)
    return 0 if whole else FAILED
