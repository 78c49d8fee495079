"""The report of a sweep, of which a set that is in all as it was is weighed and written once: in most forgeries the
other scales. What a report is made of is in the key, so that it is the one that bench makes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from matplotlib.figure import Figure

from bench.report import index, page, readme
from bench.report.evidence import Evidence, weigh
from bench.report.frame import Set, page_names
from bench.report.render import style
from bench.report.sections import Section
from bench.spec import Sweep
from bench.store import sha256

SECTIONS_OF, REPORT, SAVE = page.sections_of, page.report, style.save
FIGURES = os.environ.get("BENCH_FORGED_FIGURES", "") == "1"  # then every forger draws them anew, 0.5 s each
_WEIGHED: dict[str, Evidence] = {}
_SECTIONS: dict[int, list[Section]] = {}  # by their results, which _WEIGHED keeps


@contextlib.contextmanager
def once(about: str) -> Iterator[None]:
    """Weighs each set once. about: what the sweep files and the paper's numbers are."""

    def weighed(name: str, sweep: Sweep, sets: Sequence[Set]) -> tuple[Evidence, ...]:
        pages, scales = page_names(sets), tuple(one.scale for one in sets)
        return tuple(_weigh(about, name, sweep, one, pages[one.scale, one.data], scales) for one in sets)

    with contextlib.ExitStack() as stack:
        for module in (page, index, readme):
            stack.enter_context(patch.object(module, "weigh", weighed))
        stack.enter_context(patch.object(page, "sections_of", _sections))
        yield


def _weigh(about: str, name: str, sweep: Sweep, one: Set, file: str, scales: tuple[str, ...]) -> Evidence:
    key = sha256(repr((about, name, file, scales, _content(one))).encode())
    if key not in _WEIGHED:
        (alone,) = weigh(name, sweep, [one])
        _WEIGHED[key] = replace(alone, page=file, scales=scales)
    return _WEIGHED[key]


def _sections(evidence: Evidence) -> list[Section]:
    key = id(evidence.results)
    if key not in _SECTIONS:
        _SECTIONS[key] = SECTIONS_OF(evidence)
    return _SECTIONS[key]


def _content(one: Set) -> list[object]:
    """All that is in a set."""
    ids = set(one.runs["id"])
    arrays = [
        (name, sha256(array.tobytes()))
        for kept in (one.correct, one.pair_scores, one.matches)
        for name, array in kept.items()
        if name.split(":")[0] in ids
    ]
    frames = [frame.to_csv() for frame in (one.runs, one.curves, one.layers, one.ensembles)]
    return [one.label, one.others, one.digest, arrays, frames, one.repeats, one.authorship, one.speeds, one.published]


def report(draw: str, *about: Any) -> Any:
    """The report, with figures that only those draw that are to be drawn."""
    drawn, written = REPORT(*about)
    return {name: (_unless(draw, *one), one[1]) for name, one in drawn.items()}, written


def _unless(draw: str, figure: Callable[[], Figure], results: Set) -> Callable[[], Figure | None]:
    return figure if FIGURES or results.label == draw else lambda: None


def save(figure: Figure | None, path: Path, results: Set) -> None:
    mark = style.drawn_from(results)
    if figure is not None:
        SAVE(figure, path, results)
    elif not path.exists() or mark.encode() not in path.read_bytes():
        for kind in style.KINDS:
            path.with_suffix(kind).write_text(f'<svg width="300pt" height="99pt"><!-- {mark} --></svg>')
