"""What in the pages does not follow from the results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path

from bench.report import coverage, digests, readme
from bench.report.evidence import load_sets
from bench.report.page import files_of, report
from bench.report.render.html import html
from bench.report.render.style import drawn_from, pictures
from bench.spec import Sweep
from bench.store import StoreError


def report_problems(name: str, sweep: Sweep, results: Path, reports: Path) -> Iterator[str]:
    """What in the report does not follow from the results. Raises StoreError where these cannot be read."""
    sets = load_sets(results, sweep)
    drawn, written = report(name, sweep, sets)
    for file, text in written.items():
        yield from text_problems(reports / file, text)
    for svg, (_, one) in drawn.items():
        for path in map(reports.joinpath, pictures([svg])):
            if path.exists() and drawn_from(one).encode() not in path.read_bytes():
                yield f"{path} was not drawn from these results"
    extra = set(digests.files_in(reports)) - set(files_of(drawn, written)) if reports.is_dir() else set()
    yield from (f"{reports / file} is no part of the report" for file in sorted(extra))
    if (whole := reports / digests.ON_ONE_PAGE).exists():
        yield from text_problems(whole, html(reports, sweep.title))


def index_problems(sweeps: Mapping[str, Sweep], results: Path, reports: Path) -> Iterator[str]:
    """What in the index of all reports, and in the READMEs beside them, does not follow from the results."""
    try:
        studies = coverage.load(sweeps, results)
        for file, text in coverage.index_texts(studies, coverage.coverage(studies), reports).items():
            yield from text_problems(reports / file, text)
        yield from text_problems(reports / "index.html", html(reports))
        for page, text in readme.texts(readme.Project(studies, reports.parent)):
            yield from text_problems(page, text)
    except StoreError as error:
        yield str(error)


def text_problems(path: Path, expected: str) -> Iterator[str]:
    """The first line of a generated text that is not what the results say."""
    try:
        found = path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        yield f"{path} cannot be read: {error}"
        return
    if found == expected:
        return
    lines = zip_longest(found.split("\n"), expected.split("\n"))
    number, pair = next((k, pair) for k, pair in enumerate(lines, 1) if pair[0] != pair[1])
    there, here = (line or "" for line in pair)
    differ = (k for k, (a, b) in enumerate(zip(there, here, strict=False)) if a != b)
    start = max(0, next(differ, min(len(there), len(here))) - 20)  # a little before the first difference
    yield f"{path}, line {number}: it says {there[start:][:50]!r}, and the results {here[start:][:50]!r}"
