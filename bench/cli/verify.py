"""`bench verify`: checks what is published, tests published weights, or trains a published run once more."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bench.cli.exits import FAILED, STOPPED
from bench.cli.places import Place, all_published, known_out, read_folder
from bench.cli.sweep_files import MistakeError, declared_in, known_sweeps
from bench.cli.weights import verify_weights
from bench.data.locate import data_folder, home
from bench.launch.rerun import rerun
from bench.spec import counted
from bench.store import own_code

if TYPE_CHECKING:  # pandas comes with it
    from bench.report.verify import Trusted


def verify(args: argparse.Namespace) -> int:
    """Checks that every digit of results and reports follows from the runs; or tests weights, or trains a run again."""
    from bench.report.verify import Trusted, three_lines

    everywhere = all_published(args)
    asked = args.name and Path(args.name).stem
    places = [place for place in (*everywhere, *known_out(args.out)) if asked in (None, place.name)]
    if not places:
        there = ", ".join(dict.fromkeys(place.name for place in (*everywhere, *known_out(args.out)))) or "none"
        raise MistakeError(f"no results of {args.name or 'any sweep'}, published or in {args.out}; there are: {there}")
    if args.rerun is not None:
        return _rerun(args, places)
    if args.weights is not None:
        return verify_weights(args, places)
    for file in filter(None, (args.signers, args.authorities)):
        if not file.is_file():
            raise MistakeError(f"{file}: no such file; see bench verify --help for what it is to hold")
    found = _of_sweeps(places, Trusted(args.signers, args.authorities), figures=args.figures)
    if args.name is None and everywhere:
        found += _of_index(everywhere[0].results.parent, args.reports or read_folder("reports"), figures=args.figures)
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    if not found:
        print(three_lines([place.results for place in places]))
    return FAILED if found else 0


def _of_sweeps(places: Sequence[Place], trusted: Trusted, *, figures: bool) -> list[str]:
    """The problems of these results and reports; says of each how many there are, and what could not be checked."""
    from bench.report.verify import across, figure_problems, problems, to_the_end, unchecked

    found, said = list[str](), set[str]()
    for place in places:
        declared, right = declared_in(place), "every number follows from its runs"
        wrong = list(problems(place.name, declared, place.results, place.report, trusted))
        if figures and not wrong and place.report.is_dir():  # else the results may not be readable
            skipped: list[Path] = []
            drawn = figure_problems(place.name, declared, place.results, place.report, skipped)
            wrong += to_the_end(f"{place.report}: the drawing of its figures", drawn)
            right += ", and its figures draw them"
            right += f"; {counted(len(skipped), 'PDF')} of another matplotlib not compared" if skipped else ""
        name = place.name if place.published else place.results.parent
        print(f"{name}: {counted(len(wrong), 'problem') if wrong else right}")
        fresh = [sentence for sentence in unchecked(place.results, trusted) if sentence not in said]
        print("".join(f"  not checked: {sentence}\n" for sentence in fresh), end="")
        said.update(fresh)
        found += wrong
    return [*found, *across([place.results for place in places])]


def _of_index(results: Path, reports: Path, *, figures: bool) -> list[str]:
    """The problems of what lies beside the folders of the sweeps; none where there are no pages."""
    from bench.report.verify import index_problems, stray_problems, to_the_end

    if not (reports / "README.md").is_file():
        return []
    for svg in sorted(reports.glob("*.svg")) if figures else ():
        print(f"{svg}: drawn from no results, and not compared")
    if any(reports.glob("procedure/*.md")):
        print(f"  not checked: {reports / 'procedure'}: `bench simulate SWEEP` simulates its shares anew (minutes)")
    index = index_problems(known_sweeps(results), results, reports)
    return [*stray_problems(results, reports), *to_the_end(f"{reports}: the making of the index", index)]


def _rerun(args: argparse.Namespace, places: Sequence[Place]) -> int:
    """Trains the run of a row once more, in a folder of its own, and compares the result with the row."""
    from bench.report.collect import collect
    from bench.report.verify import Result, compare_rerun, stored_run

    for results in (place.results for place in places):
        own_code.beside_results(results)
    run, stored, errors = stored_run(args.rerun, [place.results for place in places])
    # levels below those of sweeps: it is no run of a sweep to `bench pack`
    place = args.out / "again" / run.scale / run.id
    args.started = True
    if not rerun(run, place, home(run.dataset, data_folder(args.data))):
        return STOPPED
    with TemporaryDirectory() as folder:  # the first result that is collected stands: earlier reruns are left out
        collect(Path(folder), [place], [run])
        agrees, lines = compare_rerun(stored, Result.read(Path(folder), run.id), errors)
    print("\n".join((*lines, f"{run.id}: {'agrees' if agrees else 'DOES NOT AGREE'}")))
    return 0 if agrees else FAILED
