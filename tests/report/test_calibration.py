"""Every kind of exported interval holds the truth 93 times in a hundred or more; `bench simulate` has the whole."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.report.calibration import ERRORS, NS, Draw, ap_held, over_images, over_seeds, seeds_table, share_held
from bench.report.resampling import jackknife
from bench.report.stats import SEEDS, Interval
from bench.tasks.detection.average_precision import Matches, average_precision
from bench.tasks.detection.made_up import ONE, TWO, ap_of, detections

DRAWS = 500
LEAST = 93 - 100 * 2.33 * math.sqrt(0.93 * 0.07 / DRAWS)  # a true 93 shows as less once in a hundred


@pytest.mark.parametrize("n", NS)
@pytest.mark.parametrize("draw", [pytest.param(draw, id=words) for words, draw in over_seeds()])
def test_intervals_over_seeds_hold_the_truth(draw: Draw, n: int) -> None:
    rng = np.random.default_rng(n)
    intervals = [draw(n, rng) for _ in range(DRAWS)]

    assert share_held(0.0, intervals) > LEAST
    assert {one.covers for one in intervals if one} == {SEEDS}
    assert all(one and one.low < one.high for one in intervals)


def test_a_bootstrap_over_seeds_would_be_found_out() -> None:
    """So that the test above could fail: the percentiles of means over three seeds drawn again."""

    def bootstrap(n: int, rng: np.random.Generator) -> Interval:
        means = rng.choice(rng.normal(size=n), (300, n)).mean(1)
        low, high = map(float, np.quantile(means, [0.025, 0.975]))
        return Interval(low, high, "bootstrap", SEEDS)

    rng = np.random.default_rng(0)

    assert share_held(0.0, (bootstrap(3, rng) for _ in range(DRAWS))) < 85


@pytest.mark.parametrize("images", [100, 1_000, 10_000])
def test_intervals_over_images_hold_the_truth(images: int) -> None:
    held = dict(over_images(DRAWS if images < 10_000 else DRAWS // 5, images, np.random.default_rng(0)))

    assert len(held) == len(ERRORS) + 4
    assert {words: share for words, share in held.items() if share < (LEAST if images < 10_000 else 87)} == {}
    assert all(held[f"Wilson: one net, error {error:g} %"] > 93 for error in ERRORS), "these are exact"


@pytest.mark.parametrize("skills", [ONE, TWO])
def test_intervals_of_ap_and_of_gains_in_it_hold_the_truth(skills: tuple[float, ...]) -> None:
    assert ap_held(50, skills, 60, np.random.default_rng(0)) > 93 - 2.33 * 3.3


RARE = 1 / 50  # of the images have objects of a third class


def with_a_rare_class(images: int, rng: np.random.Generator) -> list[Matches]:
    """Two usual classes, and one that is in one image of fifty and found badly."""
    there = rng.random(images) < RARE
    hits, false = there & (rng.random(images) < 0.5), rng.poisson(0.08, images)
    image = np.concatenate([np.flatnonzero(hits), np.repeat(np.arange(images), false)])
    hit = np.arange(image.size) < hits.sum()
    order = np.argsort(-rng.normal(hit.astype(float)), kind="stable")
    return [*detections(images, ONE, rng)[0][:2], Matches(image[order], hit[order], there.astype(np.int64))]


def test_an_ap_whose_rare_class_is_in_one_image_has_a_wider_interval_that_holds_the_truth() -> None:
    """The class drops out with its image; if it stayed as it was, the interval would be that of the other two."""
    rng = np.random.default_rng(0)
    truth = ap_of([with_a_rare_class(50_000, rng)])
    held: list[Interval | None] = []
    if_kept: list[Interval | None] = []
    while len(held) < 60:
        *usual, rare = with_a_rare_class(50, rng)
        if rare.positives.sum() == 1:
            held.append(jackknife(partial(ap_of, [[*usual, rare]]), 50))
            if_kept.append(jackknife(partial(_kept, usual, average_precision(rare, "101-point")), 50))

    assert share_held(truth, held) > 88 - 2.33 * 4.2
    assert share_held(truth, if_kept) < 57 + 2.33 * 6.4


def _kept(usual: list[Matches], rare: float, times: NDArray[np.int64]) -> float:
    return (len(usual) * ap_of([usual], times) + rare) / (len(usual) + 1)


def test_the_table_has_a_row_a_kind_and_a_column_a_number_of_seeds() -> None:
    table = seeds_table(20)

    assert len(table.rows) == len(list(over_seeds()))
    assert list(table.header)[1:] == ["n = 2", "n = 3", "n = 5", "n = 10"]
