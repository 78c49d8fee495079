"""`bench verify`: checks what is published, or trains a published run once more."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.cli.exits import FAILED, STOPPED
from bench.cli.places import Place, all_published, known_out, read_folder
from bench.cli.sweep_files import MistakeError, declared_in, known_sweeps
from bench.data.locate import data_folder, home
from bench.launch.rerun import rerun
from bench.spec import counted, dataset_of


def verify(args: argparse.Namespace) -> int:
    """Checks that every digit of results and reports follows from the runs; or trains one run once more."""
    from bench.report.verify import figure_problems, index_problems, problems

    everywhere = all_published(args)
    asked = args.name and Path(args.name).stem
    places = [place for place in (*everywhere, *known_out(args.out)) if asked in (None, place.name)]
    if not places:
        there = ", ".join(dict.fromkeys(place.name for place in (*everywhere, *known_out(args.out)))) or "none"
        raise MistakeError(f"no results of {args.name or 'any sweep'}, published or in {args.out}; there are: {there}")
    if args.rerun is not None:
        return _rerun(args, places)
    found: list[str] = []
    for place in places:
        wrong = list(problems(place.name, declared_in(place), place.results, place.report))
        right = "every number follows from its runs"
        if args.figures and not wrong and place.report.is_dir():  # else the results may not be readable
            skipped: list[Path] = []
            wrong += figure_problems(place.name, declared_in(place), place.results, place.report, skipped)
            right += ", and its figures draw them"
            right += f"; {counted(len(skipped), 'PDF')} of another matplotlib not compared" if skipped else ""
        name = place.name if place.published else place.results.parent
        print(f"{name}: {counted(len(wrong), 'problem') if wrong else right}")
        found += wrong
    reports = args.reports or read_folder("reports")
    if args.name is None and everywhere and (reports / "README.md").is_file():
        results = everywhere[0].results.parent
        found += index_problems(known_sweeps(results), results, reports)
        for svg in sorted(reports.glob("*.svg")) if args.figures else ():
            print(f"{svg}: drawn from no results, and not compared")
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    return FAILED if found else 0


def _rerun(args: argparse.Namespace, places: Sequence[Place]) -> int:
    """Trains the run of a row once more, in a folder of its own, and holds the result against the row."""
    from bench.report.verify import compare_rerun, stored_run

    run, row, errors = stored_run(args.rerun, [place.results for place in places])
    # a level below those of sweeps: it is no run of a sweep to `bench pack`
    data = home(dataset_of(run.data), data_folder(args.data))
    args.started = True
    result = rerun(run, args.out / "again" / run.scale, data)
    if result is None:
        return STOPPED
    agrees, words = compare_rerun(result, row, errors)
    print(f"{run.id}: {words}")
    return 0 if agrees else FAILED
