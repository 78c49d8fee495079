"""AP over other images: from what is kept of a test, with the spread of other test sets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as scipy_stats

pytest.importorskip("pycocotools", reason="needs pycocotools")

from bench.report.resampling import jackknife
from bench.report.stats import IMAGES, Interval
from bench.tasks.detection.average_precision import AREAS, Matches, MatchTable, average_precision, mean_ap
from bench.tasks.detection.matching import matched, voc_matches
from tests.tasks.detection.scored import NAMES, A, found, made_up, official, truth, voc_map


@pytest.mark.parametrize("seed", range(4))
def test_the_matches_that_are_kept_give_the_official_ap50(seed: int) -> None:
    truths, predictions = made_up(seed)

    expected, ours = official(truths, predictions, NAMES), matched(truths, predictions, NAMES).matches()

    assert 5 < expected["AP50"] < 95
    assert mean_ap(ours, "101-point") == pytest.approx(expected["AP50"], abs=1e-9)
    for matches, name in zip(ours, NAMES, strict=True):
        assert average_precision(matches, "101-point") == pytest.approx(expected[name], abs=1e-9)


def test_all_that_is_kept_of_a_test_gives_every_official_number_again() -> None:
    truths, predictions = made_up(3)
    expected = official(truths, predictions, NAMES)
    kept = MatchTable.of_arrays(matched(truths, predictions, NAMES).arrays())

    numbers = kept.numbers()

    names = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", **{f"ap_{size}": f"AP{size}" for size in AREAS[1:]}}
    assert {ours: numbers[ours] for ours in names} == pytest.approx(
        {ours: expected[theirs] for ours, theirs in names.items()}, abs=1e-9
    )
    assert numbers["voc07_map"] == pytest.approx(voc_map(truths, predictions, NAMES, "11-point"), abs=1e-12)
    assert numbers["voc12_map"] == pytest.approx(voc_map(truths, predictions, NAMES), abs=1e-12)


def test_a_test_in_which_nothing_was_found_is_kept_too() -> None:
    kept = MatchTable.of_arrays(matched([truth([A])], [found([], [])], ("one",)).arrays())

    assert (kept.numbers()["ap"], kept.numbers()["voc12_map"], math.isnan(kept.numbers()["ap_large"])) == (0, 0, True)


@pytest.mark.parametrize("points", ["11-point", "every-point", "101-point"])
def test_an_image_that_is_drawn_twice_counts_as_two_images(points: str) -> None:
    truths, predictions = made_up(7, images=12)
    times = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12))
    index = np.repeat(np.arange(12), times)

    once = matched(truths, predictions, NAMES)
    repeated = matched([truths[k] for k in index], [predictions[k] for k in index], NAMES)

    voc, coco = (mean_ap(matches, points, times) for matches in (once.voc_matches(), once.matches()))

    assert voc == pytest.approx(mean_ap(repeated.voc_matches(), points), abs=1e-9)
    assert coco == pytest.approx(mean_ap(repeated.matches(), points), abs=1e-9)


def over_images(*nets: tuple[Matches, ...]) -> Interval | None:
    """Of the AP of one net, or of the second's minus the first's on the same images."""

    def statistic(times: NDArray[np.int64]) -> float:
        first, *more = (mean_ap(matches, "every-point", times) for matches in nets)
        return more[0] - first if more else first

    return jackknife(statistic, len(nets[0][0].positives))


def width(interval: Interval | None) -> float:
    assert interval is not None
    return interval.high - interval.low


def test_the_jackknife_of_a_mean_is_students_interval_over_images() -> None:
    values = np.random.default_rng(0).normal(size=60)
    theirs = scipy_stats.t.interval(0.95, 59, values.mean(), scipy_stats.sem(values))

    ours = jackknife(lambda times: float(times @ values / times.sum()), 60)

    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx(theirs, rel=1e-12)
    assert ours.covers == IMAGES


def test_without_the_only_image_of_a_class_ap_is_the_mean_over_the_others() -> None:
    usual = Matches(np.array([0, 1, 2]), np.array([True, False, True]), np.array([1, 1, 1]))
    rare = Matches(np.array([1]), np.array([True]), np.array([0, 1, 0]))
    without = np.array([1, 0, 1])

    assert mean_ap([usual, rare], "every-point", without) == average_precision(usual, "every-point", without)
    assert over_images((rare,)) is None, "of no other class: without that image there is no AP"


def test_of_many_images_a_hundred_groups_are_left_out() -> None:
    seen: list[int] = []

    def statistic(times: NDArray[np.int64]) -> float:
        seen.append(int((times == 0).sum()))
        return float(times[0])

    jackknife(statistic, 1_000)

    assert sorted(seen) == [0] + [10] * 100


def test_the_interval_has_about_the_spread_of_other_test_sets() -> None:
    """Against the truth: 100 sets of the same kind, each measured."""
    others = [voc_map(*made_up(s), NAMES) for s in range(100, 200)]
    found = [over_images(voc_matches(*made_up(s), NAMES)) for s in range(5)]

    assert np.mean([width(one) for one in found]) / (2 * 1.96) == pytest.approx(np.std(others), rel=0.35)


def test_two_trainings_on_the_same_images_are_compared_more_sharply_than_apart() -> None:
    truths, blurred = made_up(1, noise=6.0)
    _, sharp = made_up(1, noise=3.0)
    worse, better = (voc_matches(truths, p, NAMES) for p in (blurred, sharp))

    assert width(over_images(worse, better)) < math.hypot(*(width(over_images(one)) for one in (worse, better)))


def test_a_difference_that_no_image_changes_is_no_certainty() -> None:
    matches = voc_matches(*made_up(1), NAMES)

    assert over_images(matches, matches) is None
