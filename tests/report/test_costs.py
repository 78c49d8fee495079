"""What a page says of the runs that are still to come."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

from bench.report import frame
from bench.report.collect import collect
from bench.report.costs import remaining_sections
from bench.report.evidence import Evidence, weigh
from bench.store import RunFolder
from tests.report.builders import SWEEP, evidence, fake_sweep, made_up_set


def _texts(of: Evidence) -> list[str]:
    """The section's paragraphs."""
    return [text for section in remaining_sections(of) for text in section.markdown(of.results.label)]


def _rows(section: list[str]) -> list[list[str]]:
    return [re.split(r" \| ", line.strip("| ")) for line in section[1].splitlines()[2:]]


def test_what_is_left_has_its_time_and_its_command(tmp_path: Path) -> None:
    """ResNet-56 took 66 s, its tests in them: what the last test says of their speed cannot be true."""
    folder = fake_sweep(tmp_path)
    runs = SWEEP.runs("quick")
    shutil.rmtree(folder / runs[-1].id)
    failed = RunFolder(folder / runs[-2].id)
    failed.path.joinpath("result.json").unlink()
    failed.fail("the training loss is nan at step 7", retry=False)
    collect(tmp_path / "results", [folder], runs)
    (one,) = frame.load(tmp_path / "results", SWEEP)

    section = _texts(evidence(one))

    assert section[0] == "## What has not been run"
    rows = _rows(section)
    assert rows[0] == ["quick", "ResNet-56", "1", "100", "1", "66 s", "66 s"], "the failed run is not among them"
    assert [row[:5] for row in rows[1:]] == [
        ["paper", net, "0, 1", "100", "2"] for net in ("plain-20", "ResNet-20", "plain-56", "ResNet-56")
    ], "a larger scale has no page of its own yet"
    assert rows[4][5:] == ["66 s", "2.2 min"]
    commands = ("python -m bench.sweep made_up --scale quick", "python -m bench.sweep made_up --scale paper")
    assert section[-1] == "\n".join(("```sh", *commands, "```"))


def test_a_page_beside_a_larger_scales_speaks_of_its_own_runs(tmp_path: Path) -> None:
    one = made_up_set(tmp_path)
    larger = replace(one, scale="paper")
    small = next(e for e in weigh("made_up", SWEEP, [larger, one]) if e.results.scale == "quick")

    assert small.page == "quick.md"
    assert _texts(small) == []
    assert "## What has not been run" in _texts(evidence(one))


def test_times_that_cannot_be_predicted_are_left_out(tmp_path: Path) -> None:
    one = evidence(made_up_set(tmp_path))

    section = _texts(replace(one, sweep=replace(one.sweep, task="diagnose")))  # mostly looking at layers
    assert {row[5] for row in _rows(section)} == {"–"}
    assert section[2].startswith("Failed runs")
