"""The page of a verification: each difference with its interval and what that covers; a ROC for print."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from bench.cli.sweep_files import load_sweep
from bench.report.evidence import Evidence, load_sets, weigh
from bench.report.page import page
from bench.report.render.style import COLUMN, SMALL, look
from bench.report.stats import FROM_ONE_START, SEEDS, paired_images
from bench.tasks.verification.gains import PAIRS, between_nets, over_baselines
from bench.tasks.verification.roc import Roc
from bench.tasks.verification.sections import findings, gains_table, of_claim, roc, verification_table

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """The committed results, one seed of each net."""
    name, sweep = load_sweep(str(ROOT / "sweeps" / "faces.py"))
    return weigh(name, sweep, load_sets(ROOT / "results" / name, sweep))[0]


def with_two_seeds(evidence: Evidence) -> Evidence:
    """The same and a made-up second seed of each net, two points worse."""
    runs = evidence.results.runs
    again = runs.assign(seed=1, id=runs["id"] + "-again", test_error=runs["test_error"] + 2)
    return replace(evidence, results=replace(evidence.results, runs=pd.concat([runs, again], ignore_index=True)))


def test_every_difference_of_the_first_screen_has_its_interval_over_pairs_and_one_seed_is_said(
    evidence: Evidence,
) -> None:
    *lines, last, _ = findings(evidence).answer

    interval = r"\(95 %: [+−][\d.]+ to [+−][\d.]+ over pairs only\)"
    assert [bool(re.search(rf"[+−][\d.]+ points of accuracy {interval}", line)) for line in lines] == [True] * 3
    assert lines[0].startswith("ResNet-20 over plain-20: +11.30")
    assert lines[0].endswith("81.80 % against 70.50 %. The interval over pairs excludes 0.")
    assert lines[1].startswith("ResNet-20 transferred from plain_vs_residual over ResNet-20 from scratch: +0.20")
    assert lines[1].endswith("No difference is detected.")
    assert last == "One seed of each net: no interval covers other seeds."


def test_intervals_are_paired_over_the_same_pairs_and_signed_as_the_gain(evidence: Evidence) -> None:
    gain = next(between_nets(evidence))
    ours, theirs = (evidence.results.correct_images(net) for net in ("resnet-20-A", "plain-20"))

    assert ours is not None
    assert theirs is not None
    assert gain.number.value == pytest.approx(gain.accuracies[0] - gain.accuracies[1])
    assert gain.number.value == pytest.approx(100 * (ours.mean() - theirs.mean()))
    assert gain.number.over_images == replace(paired_images(ours, theirs), covers=PAIRS)


def test_each_net_is_held_against_its_untrained_self_and_the_pixels(evidence: Evidence) -> None:
    lines = {line.partition(":")[0]: line for line in findings(evidence).said}

    assert len(lines) == 5
    assert all("above its untrained net" in line and "above the pixels" in line for line in lines.values())
    undetected = [net for net, line in lines.items() if "above its untrained net (no difference detected)" in line]
    assert undetected == ["plain-32"]
    assert "clearly" not in page(evidence)


def with_train_errors(evidence: Evidence, **of_plain: float) -> Evidence:
    """The same with other training errors of plain nets."""
    runs = evidence.results.runs
    errors = runs["train_error"].mask(runs["net"].str.startswith("plain-"), of_plain["plain"])
    return replace(evidence, results=replace(evidence.results, runs=runs.assign(train_error=errors)))


def test_what_was_measured_stands_below_the_expectation_as_it_was_written(evidence: Evidence) -> None:
    gains = list(between_nets(evidence))
    near = [replace(one, number=replace(one.number, over_images=gains[1].number.over_images)) for one in gains]
    trained = with_train_errors(evidence, plain=9.0).results

    body = page(evidence).partition("## The claim")[2]

    expected = body.index("scale `quick`, where plain nets still train, no great difference.")
    assert expected < body.index("Measured, residual over plain nets: +11.30 points")
    assert of_claim(evidence.results, gains).endswith(
        " At 20 and 32 layers an interval excludes 0. plain-20 and plain-32 have hardly learnt (training error): these "
        "are no differences between trained nets."
    )
    assert of_claim(trained, gains).endswith("an interval excludes 0."), "what was expected is the sweep's"
    assert of_claim(evidence.results, near).endswith(" layers. No difference is detected.")
    assert of_claim(evidence.results, gains[1:2]) == "", "transferred against from scratch is no plain net"


def test_nets_that_hardly_learnt_are_said_on_the_first_screen_with_their_training_errors(evidence: Evidence) -> None:
    said = "plain-20 and plain-32 have hardly learnt: training error 59.1 and 80.9 % (others 3.6 to 7.9 %)."

    assert said in findings(evidence).answer
    for error, some in ((49.0, False), (50.0, True)):  # a guess among 111 people errs on 99.1 %
        lines = findings(with_train_errors(evidence, plain=error)).answer
        assert any("hardly learnt" in line for line in lines) == some
    table = verification_table(evidence)
    errors = [str(row[table.header.index("training error %")]) for row in table.rows]
    assert (errors[0], errors[3]) == ("59.14 (1)", "80.94 (1)")


def test_with_two_seeds_there_are_intervals_over_seeds_too(evidence: Evidence) -> None:
    two = with_two_seeds(evidence)
    gains = [*between_nets(two), *over_baselines(two)]

    for gain in gains:
        number = gain.number
        assert number.over_seeds is not None
        assert number.over_images is not None
        covers = FROM_ONE_START if "transferred" in gain.net else SEEDS
        assert (number.n, number.over_seeds.covers, number.over_images.covers) == (2, covers, PAIRS)
    answer = findings(two).answer
    assert "over seeds, " in answer[0]
    assert not any("One seed" in line for line in answer)
    assert "95 %, seeds" in gains_table(gains).header
    assert "Both seeds of ResNet-20 transferred from plain_vs_residual start from" in verification_table(two).note


def test_a_gain_of_nets_with_unequally_many_seeds_says_n_of_each(evidence: Evidence) -> None:
    runs = with_two_seeds(evidence).results.runs
    kept = runs[(runs["seed"] == 0) | (runs["net"] == "resnet-20-A")]
    (gain, *_) = between_nets(replace(evidence, results=replace(evidence.results, runs=kept)))

    assert (gain.net, gain.other, gain.seeds) == ("ResNet-20", "plain-20", (2, 1))
    assert gain.number.cited == "+10.30 points (n = 2 and 1)"


def test_of_one_seed_neither_a_deviation_nor_an_interval_over_seeds_is_announced(evidence: Evidence) -> None:
    one, two = verification_table(evidence), verification_table(with_two_seeds(evidence))

    assert one.note.startswith("One seed of each net (n = 1): no standard deviation and no interval over seeds.")
    assert "coin tosses" not in one.note
    assert "95 %, seeds" not in one.header
    assert two.note.startswith("Mean ± standard deviation over seeds (n).")
    assert "95 %, seeds" in two.header


def test_a_line_a_net_on_a_logarithmic_axis_that_says_so() -> None:
    draw = np.random.default_rng(0)
    same = np.arange(200) % 2 == 0
    depths = {"plain-20": 20, "resnet-20-A": 20, "resnet-20-A-run.x": 20}
    found = [(net, Roc.of(draw.normal(1.2 * same), same)) for net in depths]

    figure = roc(found, depths, "not run yet: ResNet-32")

    (ax,) = figure.axes
    *lines, chance = ax.get_lines()
    assert [(line.get_color(), line.get_marker()) for line in lines] == [(look(20).colour, look(20).marker)] * 3
    assert [line.get_linestyle() for line in (*lines, chance)] == ["--", "-", "-.", ":"]
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "different pairs accepted, FAR in % (log scale)")
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    assert "not run yet: ResNet-32" in [text.get_text() for text in texts]
    assert min(float(text.get_fontsize()) for text in texts) >= SMALL
    assert figure.get_figwidth() == COLUMN


@pytest.mark.parametrize(
    ("data", "of_pairs", "published"),
    [
        ("lfw-view1", "View 1 of LFW is for model selection", "Not comparable: these are results on LFW's View 2"),
        ("lfw-view2:mine", "", "On the same pairs, of nets with other blocks"),
        ("insightface", "", "On the same pairs, of nets with other blocks"),
        ("faces:mine", "Own faces: ", ""),
    ],
)
def test_only_pages_of_lfw_speak_of_it(evidence: Evidence, data: str, of_pairs: str, published: str) -> None:
    found = findings(replace(evidence, results=replace(evidence.results, data=data)))

    assert found.table is not None
    words = [line for section in (found.table, *found.sections) for line in section.markdown("quick")]
    assert any(of_pairs in line for line in words)
    assert any("View 1" in line for line in words) == (data == "lfw-view1")
    assert any("LFW" in line for line in words) == (data != "faces:mine")
    assert any(published in line for line in words)
