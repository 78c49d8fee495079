"""All checks of one sweep's results and report, one after the other.

A check is a function that yields a sentence a problem, which says where it is. It needs no torch and no run folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from bench.report import digests, repeats
from bench.report.rows import read_rows
from bench.report.verify.claims_dated import of_claims, unchecked_claims
from bench.report.verify.commits import of_commits, unchecked_commits
from bench.report.verify.curves import in_curves
from bench.report.verify.further import changed_tests, in_tests
from bench.report.verify.history import of_history, unchecked_history
from bench.report.verify.images import in_images
from bench.report.verify.layers import in_layers
from bench.report.verify.manifests import in_manifests, in_requirements
from bench.report.verify.older import of_age
from bench.report.verify.pages import report_problems
from bench.report.verify.pairs import in_pairs
from bench.report.verify.published import BESIDE, Published, Trusted, to_the_end
from bench.report.verify.registers import in_registers
from bench.report.verify.rows import BY_IMAGE, number_problems, row_problems, settings_problems
from bench.report.verify.seals import in_seals, unsealed
from bench.report.verify.strays import of_files
from bench.report.verify.times import in_times, time_problems
from bench.report.verify.unchanged import changed_ensembles
from bench.report.verify.values import in_values, value_problems
from bench.report.verify.weights import in_weights
from bench.spec import SpecError, Sweep
from bench.store import StoreError
from bench.tasks.classification.imagenet.ensembles import ensemble_problems

Check = Callable[[Published], Iterator[str]]


def problems(name: str, sweep: Sweep, results: Path, reports: Path, trusted: Trusted = BESIDE) -> Iterator[str]:
    """All that is wrong with the results and the report of one sweep; none where every digit follows from the runs.

    results, reports: the sweep's own folders. Where there are no pages, as beside an installed package, the numbers are
    checked alone. trusted: whose signatures and time stamps count.
    """
    yield from digests.differences(results)
    try:
        yield from result_problems(results, trusted)
        if reports.is_dir():
            yield from digests.differences(reports)
            pages = report_problems(name, sweep, results, reports)
            yield from to_the_end(f"{reports}: the making of its pages", pages)
    except (StoreError, SpecError) as error:
        yield f"{results}: {error}"


def result_problems(results: Path, trusted: Trusted = BESIDE) -> Iterator[str]:
    """What does not agree within the results. Raises StoreError if a file cannot be read."""
    published = Published.read(results, trusted)
    for check in CHECKS:
        yield from to_the_end(f"{results}: the check {check.__name__}", check(published))


def unchecked(results: Path, trusted: Trusted = BESIDE) -> Iterator[str]:
    """What of one sweep's results could not be checked here, and why, a sentence each: no problem, and no proof."""
    with suppress(StoreError):  # which is a problem, and said as one
        published = Published.read(results, trusted)
        for sentences in UNCHECKED:
            yield from to_the_end(f"{results}: {sentences.__name__}", sentences(published))


def of_one_row(published: Published) -> Iterator[str]:
    """Each run has one row, and nothing is there without one."""
    ids = Counter(row["id"] for row in published.rows)
    yield from (f"{published.folder}: {name} has two rows" for name in sorted(ids) if ids[name] > 1)
    names = (name.split(":")[0] for name in (*published.correct, *published.arrays))
    for stray in sorted({*published.curves, *published.layers, *names} - set(ids)):
        yield f"{published.folder}: {stray} has a curve, layers, images or detections and no row in runs.csv"


def on_same_data(published: Published) -> Iterator[str]:
    """All runs on a data set saw the same bytes."""
    for data in dict.fromkeys(row["data"] for row in published.rows):
        shas = sorted({row["data_sha256"] for row in published.rows if row["data"] == data} - {""})
        if len(shas) > 1:
            yield f"{published.folder}: its runs on {data} saw different data (SHA-256 {', '.join(shas)})"


def in_rows(published: Published) -> Iterator[str]:
    """Each row against its run, its curve, its layers and its images."""
    correct = published.correct
    for row in published.rows:
        name = row["id"]
        bits = {metric: correct.get(f"{name}:{metric}" if metric != "test_error" else name) for metric in BY_IMAGE}
        found = row_problems(row, published.curves.get(name), published.layers.get(name), bits, published.arrays)
        yield from (published.at(row, problem) for problem in found)


def in_ensembles(published: Published) -> Iterator[str]:
    """The ensembles against their members."""
    yield from ensemble_problems(published.folder, published.rows)


def in_repeats(published: Published) -> Iterator[str]:
    """What in repeats.csv is no further result of a run that has one, or contradicts itself."""
    path = published.folder / repeats.FILE
    results = [found for found in map(repeats.Found, published.rows) if found.done or found.diverged]
    seen = {(*found.key, found.row["id"]) for found in results}
    ids = {name for *_, name in seen}
    for row in read_rows(path):
        where, key = f"{path}: {row['id']}", (*repeats.Found(row).key, row["id"])
        if row["id"] not in ids:
            yield f"{where} has no result in runs.csv that it could be a further one of"
        elif key in seen or row["state"] != "done":
            yield f"{where}: it is no further result, but {row['state']} and there already"
        seen.add(key)
        try:  # its curve and images are not kept
            for problems_of in (settings_problems, number_problems, value_problems, time_problems):
                yield from (f"{where}: {problem}" for problem in problems_of(row))
        except (ValueError, KeyError) as error:
            yield f"{where}: a value cannot be read: {error}"


CHECKS: tuple[Check, ...] = (
    of_one_row, on_same_data, in_rows, in_ensembles, in_repeats, in_tests,
    in_values, in_times, in_curves, in_layers, in_images, in_pairs,
    in_weights, in_registers, in_manifests, in_requirements, in_seals,
    of_commits, of_history, changed_ensembles, changed_tests, of_claims, of_age, of_files,
)  # fmt: skip
# what each group of checks could not look at, in the same form
UNCHECKED: tuple[Check, ...] = (unchecked_commits, unchecked_history, unchecked_claims, unsealed)
