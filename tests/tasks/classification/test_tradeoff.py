"""Accuracy against cost on a page: only where there are nets enough, and the caption says why times are missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.report.sections import Drawing
from bench.tasks.classification.sections import NO_TIMES, TIMES, _tradeoff
from tests.report.builders import made_up_set


@pytest.mark.parametrize("nets", [1, 2, 3])
def test_fewer_than_three_nets_have_no_figure(tmp_path: Path, nets: int) -> None:
    results = made_up_set(tmp_path)
    names = sorted(set(results.runs["net"]))[:nets]

    found = _tradeoff(replace(results, runs=results.runs[results.runs["net"].isin(names)]))

    assert len(found) == (nets == 3)


@pytest.mark.parametrize(("seeds", "words"), [((0, 1), TIMES), ((0,), NO_TIMES)])
def test_the_caption_says_whether_times_are_drawn(tmp_path: Path, seeds: tuple[int, ...], words: str) -> None:
    results = made_up_set(tmp_path)

    (section,) = _tradeoff(replace(results, runs=results.runs[results.runs["seed"].isin(seeds)]))

    (drawing,) = section.parts
    assert isinstance(drawing, Drawing)
    assert words.format(percent=25) in drawing.caption
    assert ("time" in drawing.alt) is (words == TIMES)
