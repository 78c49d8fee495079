"""A rerun elsewhere: what one seed gives in other ways passes the three tests, what another training gives does not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.report.verify import elsewhere
from bench.report.verify.elsewhere import MEASURED, curve_test, image_test, pass_rate, seeds_test

IMAGES = 10_000
Bits = NDArray[np.bool_]


def pair(only_there: int, only_here: int, wrong: int = 560, images: int = IMAGES) -> tuple[Bits, Bits]:
    """Each image's correctness in a row and in its rerun."""
    there, here = np.ones(images, bool), np.ones(images, bool)
    there[:wrong], here[:wrong] = False, False
    there[wrong : wrong + only_here] = False
    here[wrong + only_here : wrong + only_here + only_there] = False
    return there, here


def forged(bits: Bits, points: float, seed: int = 0) -> Bits:
    """A row made so many points better: some of its wrong images, drawn at random, are right."""
    better = bits.copy()
    better[np.random.default_rng(seed).choice(np.flatnonzero(~bits), round(points / 100 * bits.size), False)] = True
    return better


def curve(*losses: float, every: int = 20) -> list[dict[str, float]]:
    return [{"step": float(every * number), "loss": loss} for number, loss in enumerate(losses, 1)]


def test_results_as_far_apart_as_one_seed_gives_pass_and_the_sentence_says_how_far() -> None:
    answer, power = image_test(*pair(only_there=300, only_here=280))

    assert answer.passed
    assert answer.words == (
        "images: 580 of 10,000 are judged otherwise, 37 % of those on which two independent nets would disagree "
        "(allowed: 50 %); the error is +0.20 points from the row's, within the ±0.47 of 95 % of honest reruns "
        "(standard error by these images: 0.24)"
    )
    assert power == "a number made 0.5 points better would pass 46 % of the time"


@pytest.mark.parametrize("points", [0.5, 2.0])
def test_a_row_made_better_with_images_made_to_fit_does_not(points: float) -> None:
    there, here = pair(only_there=300, only_here=290)

    answer, _ = image_test(forged(there, points), here)

    assert image_test(there, here)[0].passed
    assert not answer.passed
    assert "outside the ±" in answer.words


def test_invented_images_of_the_right_error_do_not() -> None:
    rng = np.random.default_rng(0)
    there, here = (rng.permutation(np.arange(IMAGES) >= 850) for _ in range(2))

    answer, _ = image_test(there, here)

    assert not answer.passed
    assert "(allowed: 50 %, by results of one seed)" in answer.words


def test_of_nets_that_have_hardly_learnt_more_is_allowed_and_of_nets_at_chance_all() -> None:
    barely = pair(only_there=250, only_here=150, wrong=1_000, images=2_000)
    chance = pair(only_there=100, only_here=100, wrong=1_700, images=2_000)

    answer, power = image_test(*barely)

    assert answer.passed
    assert power == "a number made 0.5 points better would pass 95 % of the time"
    assert image_test(*chance)[0].passed
    assert image_test(*chance) == (
        elsewhere.Answer(
            True, "images: 200 of 2,000 are judged otherwise; at an error of 90 % that says nothing: none was measured"
        ),
        "nothing here tells a number made 0.5 points better",
    )


def test_the_lower_error_of_the_two_says_what_is_allowed() -> None:
    """A row of a net that learnt, and a rerun at chance."""
    assert not image_test(*pair(only_there=600, only_here=0, wrong=1_200, images=2_000))[0].passed


def test_nets_without_an_error_agree() -> None:
    assert image_test(*pair(0, 0, wrong=0))[0].passed


def test_results_without_correctness_or_of_other_images() -> None:
    there, here = pair(10, 10)

    assert image_test(None, None)[0].passed
    assert not image_test(there, None)[0].passed
    assert not image_test(there, here[:-8])[0].passed


@pytest.mark.parametrize("points", [0.0, 0.5])
def test_as_many_made_up_pairs_pass_as_is_said(points: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images in dispute are divided by coin flips; the row is then forged."""
    expected = pass_rate(580, 850, IMAGES, MEASURED[0], points)
    monkeypatch.setattr(elsewhere, "DRAWS", 1)
    rng, passed, tried = np.random.default_rng(1), 0, 400
    for seed in range(tried):
        only_there = int(rng.binomial(580, 0.5))
        there, here = pair(only_there, 580 - only_there)
        passed += image_test(forged(there, points, seed), here)[0].passed

    assert passed / tried == pytest.approx(expected, abs=0.06)
    assert (0.94 < expected < 0.96) if points == 0 else (0.4 < expected < 0.6)


def test_first_losses_may_differ_by_what_other_kernels_gave() -> None:
    stored = curve(2.0, 1.8, 1.6)

    close = curve_test(stored, curve(2.01, 1.9, 1.5))

    assert close.passed
    assert close.words.startswith("curve: 3 rows agree: the first losses are 0.50 % apart, all at most 6.2 % (")
    assert curve_test([], []).passed


@pytest.mark.parametrize(
    ("again", "words"),
    [
        (curve(2.1, 1.8, 1.6), "in row 1 the loss is 2.0000 at step 20, here 2.1000: 5.0 % apart ("),
        (curve(2.0, 1.8, 1.2), "in row 3 the loss is 1.6000 at step 60, here 1.2000: 25.0 % apart ("),
        (curve(2.0, every=10), "in row 1 the loss is 2.0000 at step 20, here 2.0000 at step 10: 0.0 % apart ("),
        (curve(float("nan")), "in row 1 the loss is 2.0000 at step 20, here nan"),
        ([], "there is none to compare"),
    ],
)
def test_another_curve_is_named_with_its_row(again: list[dict[str, float]], words: str) -> None:
    answer = curve_test(curve(2.0, 1.8, 1.6), again)

    assert not answer.passed
    assert words in answer.words


def test_an_interval_of_few_seeds_is_said_to_tell_nothing() -> None:
    # two seeds: 12.706 · 2.828 · sqrt(1.5) = 44.02
    for error, agrees in ((12.0 + 43.9, True), (12.0 + 44.1, False)):
        answer = seeds_test(error, [10.0, 14.0])
        assert answer.passed == agrees
        assert "the 12.00 ± 44.02 in which 95 % of further seeds lie" in answer.words
        assert ("of 2 seeds that is too wide to tell anything" in answer.words) == agrees
    five = seeds_test(8.3, [8.1, 8.2, 8.3, 8.4, 8.5])
    assert five.passed
    assert five.words == "seeds: 8.30 % lies within the 8.30 ± 0.48 in which 95 % of further seeds lie"
    assert seeds_test(50.0, [8.0]).passed
    assert "with one seed stored there is no interval" in seeds_test(50.0, [8.0]).words
