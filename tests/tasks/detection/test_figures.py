"""Figures of detection: for print, in the looks of their nets' depths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from bench.cli.sweep_files import load_sweep
from bench.report.evidence import load_sets
from bench.report.frame import Set
from bench.report.render.style import COLUMN, PAGE, SMALL, look
from bench.tasks.detection.figures import backbone, beginnings, boxes, curves
from bench.tasks.detection.sections import _figures

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def results() -> Set:
    """The committed ones: two nets of 20 layers, tested twice on the way."""
    _, sweep = load_sweep(str(ROOT / "sweeps" / "detection.py"))
    one = load_sets(ROOT / "results" / "detection", sweep)[0]
    return replace(one, runs=one.runs.assign(source_error=range(len(one.runs))))


def test_they_are_for_print(results: Set) -> None:
    figures = curves(results), boxes(results), backbone(results)

    assert [figure.get_figwidth() for figure in figures] == [PAGE, PAGE, COLUMN]
    for figure in figures:
        assert min(float(text.get_fontsize()) for text in figure.findobj(Text) if text.get_text()) >= SMALL


def test_nets_of_one_depth_differ_in_line_and_mark(results: Set) -> None:
    loss, ap50 = (ax.get_lines() for ax in curves(results).axes)

    assert {(line.get_color(), line.get_marker()) for line in (*loss, *ap50)} == {(look(20).colour, look(20).marker)}
    assert [line.get_linestyle() for line in loss] == ["-", "-."]
    assert [line.get_markerfacecolor() for line in loss] == [look(20).colour, "white"]
    assert {len(line.get_xdata()) for line in ap50} == {len(line.get_markevery()) for line in ap50}  # type: ignore[arg-type]


def test_a_box_too_small_for_its_letter_has_it_outside(results: Set) -> None:
    ax = boxes(results).axes[0]
    places = [patch.get_path().transformed(patch.get_patch_transform()).get_extents() for patch in ax.patches]
    inside = [box.contains(*text.get_position()) for box, text in zip(places, ax.texts, strict=True)]

    assert inside.count(False) == 1, "a platelet"
    assert all(text.get_clip_on() for text in ax.texts)


def test_the_caption_of_detections_counts_what_each_net_found_in_the_images_that_are_shown(results: Set) -> None:
    captions = {drawing.name: drawing.caption for _, drawing in _figures(results)}

    assert (
        "In these images ResNet-20 finds 43 of 66 objects (and 18 false), ResNet-20 transferred from plain_vs_residual "
        "finds 37 of 66 objects (and 7 false); so few are no measure of AP."
    ) in captions["detections"]


@pytest.mark.parametrize(
    ("classes", "short"),
    [
        (["Platelets", "RBC", "WBC"], ["P", "R", "W"]),
        (["racoon"], ["r"]),
        (["cat", "car", "person", "personal"], ["cat", "car", "person", "persona"]),
        (["a", "ab"], ["a", "ab"]),
    ],
)
def test_a_class_is_named_by_as_many_letters_as_tell_it_from_the_others(classes: list[str], short: list[str]) -> None:
    assert beginnings(classes) == short


def test_the_caption_says_how_many_letters_stand_for_a_class(results: Set) -> None:
    others = replace(results, runs=results.runs.assign(classes="Cat Car WBC"))

    captions = [dict(_figures(one))["Detections in held-out images"].caption for one in (results, others)]

    assert "; a letter is the first of a class. Solid green" in captions[0]
    assert "; the letters are the first of a class, as many as tell it from the others. Solid" in captions[1]
    names = {text.get_text() for ax in boxes(others).axes for text in ax.texts}
    assert names <= {"Cat", "Car", "W"}
    assert "Car" in names


def with_missed(results: Set) -> Set:
    """As later runs keep it: of each run one object that is missed, in its second image."""
    lost = {f"{name}:shown_missed": np.array([[1, 2, 10, 20, 60, 70]], np.float32) for name in results.done["id"]}
    return replace(results, matches={**results.matches, **lost})


def test_what_was_missed_is_drawn_below_the_others_in_a_line_and_on_a_ground_of_its_own(results: Set) -> None:
    older, later = boxes(results), boxes(with_missed(results))

    assert [text.get_text() for text in older.legends[0].get_texts()] == ["hit", "false"]
    assert [text.get_text() for text in later.legends[0].get_texts()] == ["hit", "false", "missed"]
    before, after = ([len(ax.patches) for ax in figure.axes] for figure in (older, later))
    assert [b - a for a, b in zip(before, after, strict=True)] == [0, 1, 0, 0] * 2
    others, missed = list(later.axes[1].patches)[:-1], later.axes[1].patches[-1]
    assert {patch.get_linestyle() for patch in others} == {"-", "--"}
    assert missed.get_linestyle() == ":"
    assert np.asarray(missed.get_facecolor())[3] == 1
    assert missed.get_zorder() < min(patch.get_zorder() for patch in others)


def test_a_caption_says_whether_missed_objects_are_drawn(results: Set) -> None:
    captions = [dict(_figures(one))["Detections in held-out images"].caption for one in (results, with_missed(results))]

    assert ["counted, not drawn" in caption for caption in captions] == [True, False]
    assert ["filled grey" in caption for caption in captions] == [False, True]


def test_a_net_that_has_not_run_is_named(results: Set) -> None:
    waits = results.runs["net"] == "resnet-20-A"
    waiting = replace(results, runs=results.runs.assign(state=results.runs["state"].mask(waits, "pending")))

    assert "not run yet: ResNet-20" in " ".join(text.get_text() for text in curves(waiting).findobj(Text))
