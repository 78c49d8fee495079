"""The sweeps that a command knows by name, with their questions, and the version of the suite."""

from __future__ import annotations

import textwrap
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench import __version__
from bench.cli.places import PROJECT, RUNS, known_out, read_folder
from bench.cli.sweep_files import known_names, known_sweeps
from bench.cli.terminal import width
from bench.machine import commit
from bench.spec import Sweep


def listing(out: Path) -> str:
    """Each sweep with its scales, its question, and whether it has numbers: published, or of the user's below `out`."""
    results = read_folder("results")
    published = {path.parent.name for path in results.glob("*/runs.csv")}
    own = {place.name for place in known_out(out)}
    sweeps = known_sweeps(results)
    lines = ["sweeps, for python -m bench.sweep NAME:"]
    for name, sweep in sweeps.items():
        numbers = [f"yours in {out / name}"] * (name in own) + ["published"] * (name in published)
        about = "; ".join([", ".join(sweep.scales), *numbers])
        lines += [f"  {name} ({about})", *_indented(sweep)]
    return "\n".join(lines)


def _indented(sweep: Sweep) -> list[str]:
    return textwrap.wrap(sweep.question, width(), initial_indent="      ", subsequent_indent="      ")


def version_words() -> str:
    """`resnet-bench 0.1.0, commit 1b371c1acb, torch 2.14.1`."""
    known = commit()
    code = f", commit {str(known['commit'])[:10]}{' with changes' * bool(known['dirty'])}" if known["commit"] else ""
    try:
        torch = f", torch {version('torch')}"
    except PackageNotFoundError:
        torch = ", without torch"
    return f"resnet-bench {__version__}{code}{torch}; sweeps and published numbers: {PROJECT}"


def complete_name(prefix: str, **_: object) -> list[str]:
    """For the shell's completion: the sweeps whose names begin so."""
    own = (place.name for place in known_out(RUNS))
    return sorted(name for name in {*known_names(), *own} if name.startswith(prefix))
