"""Where everything goes, below the folder in which the command is typed, and where published numbers are read.

OUT/<sweep>/           all of a study, OUT being runs or --out: its run folders, and beside them
    results/           its numbers, with the sweep's file
    report/            its pages; index.html has them all on one
results/, reports/     published numbers and pages of all sweeps, which `bench publish` alone writes
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RUNS = Path("runs")
DECLARATION = "sweep.py"  # the copy of a sweep file beside numbers
CHECKOUT = Path(__file__).resolve().parents[2]
# sweeps/ and results/ of this suite: the checkout's, in a wheel their copies in the package
PROJECT = CHECKOUT if (CHECKOUT / "sweeps").is_dir() else CHECKOUT / "bench" / "_project"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the numbers and the pages of one sweep lie: published, or beside the runs that they are of."""

    name: str
    results: Path
    report: Path
    published: bool

    @property
    def filled(self) -> bool:
        """Whether there are numbers."""
        return (self.results / "runs.csv").is_file()


def beside_runs(out: Path, name: str) -> Place:
    """The place of a sweep's numbers beside its runs."""
    return Place(name, out / name / "results", out / name / "report", published=False)


def published(name: str, results: Path | None = None, reports: Path | None = None) -> Place:
    """The place of a sweep's published numbers; by default where they are read from."""
    here = (Path("results") / name / "runs.csv").is_file()
    results = results or (Path("results") if here else PROJECT / "results")
    reports = reports or (Path("reports") if here else PROJECT / "reports")
    return Place(name, results / name, reports / name, published=True)


def read_folder(kind: str) -> Path:
    """results/ or reports/: here, where this folder has published numbers, else this suite's."""
    here = any(Path("results").glob("*/runs.csv"))
    return Path(kind) if here else PROJECT / kind


def in_suite() -> bool:
    """Whether this folder is the suite's checkout, with its index of all reports."""
    return Path.cwd() == PROJECT == CHECKOUT


def known_out(out: Path, name: str = "*") -> Iterator[Place]:
    """The places beside runs below `out` that have numbers, of one sweep or of all."""
    for results in sorted(out.glob(f"{name}/results/runs.csv")):
        yield beside_runs(out, results.parents[1].name)


def all_published(args: argparse.Namespace) -> list[Place]:
    """The places of all published numbers."""
    results = args.results or read_folder("results")
    names = (path.parent.name for path in sorted(results.glob("*/runs.csv")))
    return [published(name, results, getattr(args, "reports", None)) for name in names]
