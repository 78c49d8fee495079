"""What one backbone gains over another and what it came from, as the page says it: the committed results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.sweep_files import load_sweep
from bench.report.evidence import Evidence, load_sets, weigh
from bench.report.numbers import Number
from bench.report.stats import IMAGES, SEEDS, Interval
from bench.tasks.detection.gains import Detected, Gain, detected
from bench.tasks.detection.sections import ap_table, gain_findings, gains_table

ROOT = Path(__file__).resolve().parents[3]
TRANSFERRED = "resnet-20-A-run.plain_vs_residual.4d94aefe"


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    name, sweep = load_sweep(str(ROOT / "sweeps" / "detection.py"))
    return weigh(name, sweep, load_sets(ROOT / "results" / name, sweep))[0]


def source_errors(evidence: Evidence) -> list[str]:
    cells = [row[-1] for row in ap_table(evidence, Detected({}, {}, ())).rows]
    return [str(cell) for cell in cells if isinstance(cell, Number)]


def test_a_gain_says_which_of_its_intervals_exclude_0(evidence: Evidence) -> None:
    over_images = Interval(1.0, 3.0, "jackknife", IMAGES)
    over_seeds = Interval(-4.0, 8.0, "Welch's t", SEEDS)
    gain = Gain("A over B", "B", "A", (10.0, 12.0), (5.0, 6.0), over_seeds, over_images, (3, 2), ())
    alone = replace(gain, over_images=replace(over_images, low=-1.0), over_seeds=None)

    none = replace(alone, over_images=None)

    first, second, third = gain_findings(evidence, Detected({}, {}, (gain, alone, none)))

    assert first == (
        "A over B: +2.00 points of AP50 (95 %: −4.00 to +8.00 over seeds, +1.00 to +3.00 over images only), 12.00 % "
        "against 10.00 % (n = 2 and 3). The interval over images excludes 0, that over seeds does not."
    )
    assert "(95 %: −1.00 to +3.00 over images only)" in second
    assert second.endswith(". No difference is detected.")
    assert third.endswith("(no interval), 12.00 % against 10.00 % (n = 2 and 3). Nothing tells it from chance.")


def test_where_no_two_nets_are_compared_each_says_what_it_has(evidence: Evidence) -> None:
    (line,) = gain_findings(evidence, Detected({}, {}, ()))

    assert line.startswith("AP50 in % (n): ResNet-20 83.")


def test_a_gain_names_both_nets(evidence: Evidence) -> None:
    (line,) = gain_findings(evidence, detected(evidence.results))

    assert line.startswith(
        "ResNet-20 with weights of plain_vs_residual over ResNet-20 with random weights: +3.83 points"
    )


def test_a_source_that_two_detectors_start_from_has_its_error_once(evidence: Evidence) -> None:
    runs = evidence.results.runs
    other = runs["weights"].mask((runs["net"] == TRANSFERRED) & (runs["seed"] == 1), "run:plain_vs_residual/other")
    errors = runs["source_error"].mask(other.str.endswith("other"), 13.68)
    apart = replace(evidence, results=replace(evidence.results, runs=runs.assign(weights=other, source_error=errors)))

    assert source_errors(evidence) == ["12.68 (1)"]
    assert source_errors(apart) == ["13.18 ± 0.71 (2)"]


def test_seeds_that_share_a_source_say_that_no_interval_covers_it(evidence: Evidence) -> None:
    said = (
        " Both seeds of ResNet-20 transferred from plain_vs_residual start from one source, "
        "`run:plain_vs_residual/resnet-20-A-short-s0-4d94aefe`, whose own seed no interval covers."
    )
    table = gains_table(evidence, detected(evidence.results))

    assert table is not None
    assert said in table.note
    assert ap_table(evidence, Detected({}, {}, ())).note.endswith(said)


def test_nets_of_different_commits_are_said_beside_their_gain(evidence: Evidence) -> None:
    table = gains_table(evidence, detected(evidence.results))
    runs = evidence.results.runs
    alike = replace(evidence, results=replace(evidence.results, runs=runs.assign(commit=runs["commit"].iloc[0])))
    of_alike = gains_table(alike, detected(alike.results))

    assert table is not None
    assert of_alike is not None
    assert table.note.endswith(
        " All runs of ResNet-20 are of commit 6b33f33388, those of ResNet-20 transferred from plain_vs_residual of "
        "0cfffdaf4c: what changed between them is in the gain too."
    )
    assert "commit" not in of_alike.note


def test_ap_by_size_says_how_many_objects_and_classes_it_is_of(evidence: Evidence) -> None:
    note = ap_table(evidence, Detected({}, {}, ())).note

    assert (
        "objects below 32², from 32² to 96², and above, in pixels of the image; each is the mean over the classes that "
        "have such objects (small: 5 in 1 class; medium: 277 in 2 classes, 63 in the rarest; large: 663 in 3 classes, "
        "1 in the rarest), where a class with few weighs as much as any, so that AP can lie above all three."
    ) in note


def test_the_floor_of_errors_is_not_said_of_ap(evidence: Evidence) -> None:
    note = ap_table(evidence, Detected({}, {}, ())).note

    assert "coin tosses" not in note
    assert "more seeds do not shrink it" in note
