"""Writes numbers and pages: beside the runs that they are of, and where a user publishes them in results/, reports/.

Both go the same way: run folders are collected, and the report is written from what was collected alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.cli.places import Place, in_suite, published
from bench.cli.sweep_files import MistakeError, declared_in, keep_declaration, known_sweeps, own_file
from bench.cli.terminal import width
from bench.report.seals import NO_SEALS, Seals
from bench.spec import Run, SpecError, Sweep, dataset_of
from bench.store import StoreError, make_folder
from bench.store import folders as run_folders


@dataclass(frozen=True, slots=True)
class SweepFile:
    """A sweep by its name, with the file that declares it."""

    name: str
    file: Path
    declared: Sweep


def begin_own(study: SweepFile, place: Place, *, trains: bool = True) -> None:
    """Keeps beside the runs what they are of: the sweep's file, its author, and its commit when runs were last started.

    trains: whether runs start now; else the commit stays.
    """
    from bench.report import authorship

    make_folder(place.results)
    keep_declaration(study.file, place, study.declared)
    if not study.file.resolve().is_relative_to(place.results.parent.resolve()):  # the copy of an earlier start
        who = authorship.of_user(study.file, study.declared.author, own=own_file(study.name, study.file))
        if not trains and (place.results / authorship.FILE).exists():
            who = replace(authorship.read(place.results), author=who.author)
        authorship.keep(place.results, who)


def write_own(
    study: SweepFile, place: Place, folders: Sequence[Path], runs: Sequence[Run], focus: tuple[str, str] | None = None
) -> Path | None:
    """Collects the run folders and writes the report beside them; returns the page of `focus` (scale, data).

    None where no run has ended yet. Published results of the same sweep are copied beside, to be shown.
    """
    from bench.report.frame import PUBLISHED
    from bench.report.render.html import write_html

    begin_own(study, place, trains=False)
    theirs = published(study.name)
    if theirs.filled and not own_file(study.name, study.file):
        shutil.copyfile(theirs.results / "runs.csv", place.results / PUBLISHED)
    page = _write(study, place, folders, runs, focus)
    if page:
        write_html(place.report, study.declared.title)
    return page


def told(study: SweepFile, place: Place, focus: tuple[str, str]) -> str:
    """The results of a scale and data set in a table and a sentence, as wide as the terminal."""
    from bench.report.evidence import load_sets
    from bench.report.first_screen import on_a_terminal

    return on_a_terminal(study.name, study.declared, load_sets(place.results, study.declared), focus, width())


def publish(study: SweepFile, folders: Sequence[Path], runs: Sequence[Run], seals: Seals = NO_SEALS) -> Path | None:
    """Merges run folders into results/ and reports/ below this folder, without runs on a stand-in.

    seals: what their manifests get before, beside them in the run folders.
    The other pages follow, whose times are told by all published speeds, and in this suite's own checkout the index.
    """
    from bench.report import authorship
    from bench.report.render.html import write_html

    runs = [run for run in runs if not run.dataset.made_up]
    if not runs:
        raise MistakeError(f"all runs of {study.name} are on a stand-in: they mean nothing, and none is published")
    seals.put_on(list(_manifests(folders)), print)
    place = published(study.name, Path("results"), Path("reports"))
    make_folder(place.results)
    keep_declaration(study.file, place, study.declared)
    if own_file(study.name, study.file):
        begun = folders[0] / "results" / authorship.FILE  # as the study was when its runs were started
        who = authorship.read(begun.parent) if begun.exists() else None
        who = who or authorship.of_user(study.file, study.declared.author, own=True)
        authorship.keep(place.results, who)
    page = _write(study, place, folders, runs)
    if page and not in_suite():
        write_html(place.report, study.declared.title)
    for path in sorted(Path("results").glob("*/runs.csv")):
        _follow(published(path.parent.name, Path("results"), Path("reports")), study)
    write_index({study.name: study.declared})
    return page


def _manifests(folders: Sequence[Path]) -> Iterator[Path]:
    """Those of the finished runs that are published."""
    for run in (run for place in folders for run in run_folders(place.parent, place.name).values()):
        made_up = (what := run.readable_run()) is None or dataset_of(what.data).made_up
        if run.manifest.is_file() and run.result() is not None and not made_up:
            yield run.manifest


def _follow(other: Place, study: SweepFile) -> None:
    """Writes the pages of another sweep once more; what is wrong with its numbers must not stop this study's."""
    try:
        if other.name != study.name:
            _write_again(other)
    except (MistakeError, SpecError, StoreError) as error:
        print(f"the pages of {other.name} stay as they were: {error}")


def publish_pages() -> Iterator[Path]:
    """Writes all pages in reports/ once more from the numbers in results/. Raises MistakeError where there are none."""
    places = {name: published(name, Path("results"), Path("reports")) for name in known_sweeps(Path("results"))}
    filled = [place for place in places.values() if place.filled]
    if not filled:
        raise MistakeError("no published results in results/ here: name a sweep whose runs are to be published")
    yield from filter(None, map(_write_again, filled))
    write_index({})


def _write_again(place: Place) -> Path | None:
    """Writes the pages of published numbers; the best one's path."""
    from bench.report.card import renew_cards
    from bench.report.page import write_report
    from bench.report.render.html import write_html

    declared = declared_in(place)
    renew_cards(place.results)
    page = write_report(place.name, declared, place.results, place.report)
    if page and not in_suite():
        write_html(place.report, declared.title)
    return page


def write_index(also: Mapping[str, Sweep]) -> None:
    """In this suite's own checkout, writes the index of all reports, and what the READMEs say of them."""
    from bench.report import coverage, readme

    if in_suite():
        results, reports = Path("results"), Path("reports")
        studies = coverage.load(known_sweeps(results, **also), results)
        coverage.write_index(studies, reports)
        readme.write_blocks(readme.Project(studies, Path()))


def _write(
    study: SweepFile, place: Place, folders: Sequence[Path], runs: Sequence[Run], focus: tuple[str, str] | None = None
) -> Path | None:
    from bench.report.card import renew_cards
    from bench.report.collect import collect
    from bench.report.page import write_report

    own = not place.published
    collect(place.results, folders, runs, say=print, ensembles=study.declared.ensembles, made_up=own)
    renew_cards(place.results)
    return write_report(study.name, study.declared, place.results, place.report, focus)
