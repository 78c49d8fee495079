"""The report of a sweep, of which a set that is in all as it was is weighed and written once: in most forgeries the
other scales. What a report is made of is in the key, so that it is the one that bench makes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from unittest.mock import patch

from bench.report import index, page, readme
from bench.report.evidence import Evidence, weigh
from bench.report.frame import Set, page_names
from bench.report.sections import Section
from bench.spec import Sweep
from bench.store import sha256

SECTIONS_OF = page.sections_of
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
