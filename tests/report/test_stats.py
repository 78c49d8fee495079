"""Statistics: the same as SciPy, statsmodels or the formula by hand, to 1e-12; and edge cases that real sweeps have."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW, ttost_ind

from bench.report import stats
from bench.report.stats import AT_FLOOR, Interval, Region, Sample, contrast, sample, total

SEEDS = [[8.61, 8.83, 8.55, 8.9, 8.7], [7.51, 7.6, 7.4], [13.2, 14.9, 12.7, 13.0], [6.9, 7.3, 7.0, 7.1, 6.8]]
A, B, C, D = SEEDS
NAN = math.nan
Z = float(scipy_stats.norm.ppf(0.975))


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-12, abs=1e-12)


def low_high(interval: Interval | None) -> tuple[float, float]:
    assert interval is not None
    return interval.low, interval.high


def test_a_sum_has_the_same_digits_in_every_python() -> None:
    assert total([0.1] * 10) == 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 == 0.9999999999999999


@pytest.mark.parametrize("values", SEEDS)
def test_a_sample_is_what_statsmodels_says_it_is(values: list[float]) -> None:
    theirs = DescrStatsW(values)

    ours = sample(values)

    assert (ours.n, ours.missing) == (len(values), 0)
    assert ours.mean == close(theirs.mean)
    assert ours.std == close(np.std(values, ddof=1))
    assert low_high(ours.interval) == close(theirs.tconfint_mean(0.05))


def test_missing_seeds_are_counted_and_left_out() -> None:
    assert sample([NAN, 7.0, NAN, 8.0]) == Sample(2, 2, 7.5, sample([7.0, 8.0]).std)


def test_one_seed_has_a_mean_and_no_interval() -> None:
    one = sample([7.0])

    assert (one.n, one.mean, one.interval) == (1, 7.0, None)
    assert math.isnan(one.std)
    assert math.isnan(contrast([one], [1], 6).p_above(0))


def test_no_seed_has_nothing() -> None:
    none = sample([NAN, NAN])

    assert (none.n, none.missing, none.interval) == (0, 2, None)
    assert math.isnan(none.mean)
    assert math.isnan(contrast([none, sample(A)], [1, -1]).effect)


def test_without_variance_there_is_no_interval_and_nothing_is_tested() -> None:
    same = sample([90.0, 90.0, 90.0])
    above = contrast([same], [1], 60)

    assert same.interval is None
    assert contrast([same, same], [1, -1]).interval() is None
    assert math.isnan(above.p_above(0))
    assert math.isnan(above.p_below(0))
    assert math.isnan(Region(-0.5, 0.5).p_inside(contrast([same], [1], 90.2)))
    assert Region(-0.5, 0.5).p_outside(contrast([same], [1], 60)) == 1.0


def test_a_sample_has_at_least_the_spread_that_it_is_given() -> None:
    small, large, one = sample([9.0, 9.0, 9.01]), sample(C), sample([7.0])

    assert contrast([small.at_least(0.3)], [1]).se == close(0.3 / math.sqrt(3))
    assert contrast([large.at_least(0.3)], [1]).se == contrast([large], [1]).se
    assert math.isnan(contrast([one.at_least(0.3)], [1]).se)


@pytest.mark.parametrize("floor", [0.02, 0.3, 2.0])
@pytest.mark.parametrize(("first", "second"), [(A, B), (B, C), (C, D), (A[:2], [9.0, 9.0]), (A[:2], [8.9, 9.7])])
def test_a_floor_never_narrows_an_interval(first: list[float], second: list[float], floor: float) -> None:
    """Not even of two nets with very unequal spreads, where a larger one would have more degrees of freedom."""
    bare = contrast([sample(first), sample(second)], [-1, 1]).interval()
    floored = contrast([sample(first).at_least(floor), sample(second).at_least(floor)], [-1, 1]).interval()

    assert bare is not None
    assert floored is not None
    assert floored.low <= bare.low
    assert floored.high >= bare.high
    assert floored.method.endswith(AT_FLOOR) == (floored.high > bare.high)


@pytest.mark.parametrize("against", [8.5, 8.75, 9.2])
def test_one_mean_against_a_number_is_scipys_t_test(against: float) -> None:
    ours = contrast([sample(A)], [1], against)

    assert ours.p_above(0) == close(scipy_stats.ttest_1samp(A, against, alternative="greater").pvalue)
    assert ours.p_below(0) == close(scipy_stats.ttest_1samp(A, against, alternative="less").pvalue)


@pytest.mark.parametrize(("first", "second"), [(A, B), (B, C), (C, D), (A, D)])
def test_a_difference_of_two_means_is_scipys_welch_test(first: list[float], second: list[float]) -> None:
    theirs = scipy_stats.ttest_ind(second, first, equal_var=False)

    ours = contrast([sample(first), sample(second)], [-1, 1])

    assert ours.df == close(theirs.df)
    greater = scipy_stats.ttest_ind(second, first, equal_var=False, alternative="greater")
    assert ours.p_above(0) == close(greater.pvalue)
    assert ours.p_below(0) == close(1 - greater.pvalue)
    shifted = scipy_stats.ttest_ind(np.subtract(second, 0.3), first, equal_var=False, alternative="greater")
    assert ours.p_above(0.3) == close(shifted.pvalue)


@pytest.mark.parametrize("n", [2, 3])
def test_the_interval_of_two_nets_with_equally_many_seeds_is_scipys(n: int) -> None:
    theirs = scipy_stats.ttest_ind(B[:n], A[:n], equal_var=False).confidence_interval(0.95)

    ours = contrast([sample(A[:n]), sample(B[:n])], [-1, 1]).interval()

    assert low_high(ours) == close(tuple(theirs))
    assert ours is not None
    assert (ours.method, ours.covers) == ("Welch's t", stats.SEEDS)


@pytest.mark.parametrize("values", [(A[:2], B), (A[:2], B[:2], C[:2], D[:2]), (A, B[:2], C, D)])
def test_where_satterthwaite_is_too_bold_the_degrees_of_freedom_are_those_of_the_fewest_seeds(
    values: tuple[list[float], ...],
) -> None:
    effect = contrast(list(map(sample, values)), [1, -1, -1, 1][: len(values)])
    interval, fewest = effect.interval(), min(map(len, values))

    assert interval is not None
    assert interval.high - effect.effect == close(scipy_stats.t.ppf(0.975, fewest - 1) * effect.se)
    assert interval.method == stats.CAUTIOUS


def test_the_interaction_is_the_regressions_with_an_error_that_allows_unequal_variances() -> None:
    rows = [(p, d, y) for (p, d), ys in zip([(1, 0), (1, 1), (0, 0), (0, 1)], (A, C, B, D), strict=True) for y in ys]
    plain, deep, y = np.array(rows).T
    fit = OLS(y, np.column_stack([np.ones_like(y), plain, deep, plain * deep])).fit(cov_type="HC2")

    ours = contrast([sample(A), sample(C), sample(B), sample(D)], [-1, 1, 1, -1])

    assert ours.effect == close(fit.params[3])
    assert ours.se == close(fit.bse[3])


def test_the_interactions_degrees_of_freedom_are_satterthwaites_in_exact_fractions() -> None:
    shares = []
    for values in (A, B, C, D):
        exact = [Fraction(str(v)) for v in values]
        mean = sum(exact) / len(exact)
        shares.append((sum((v - mean) ** 2 for v in exact) / (len(exact) - 1) / len(exact), len(exact) - 1))
    df = sum(s for s, _ in shares) ** 2 / sum(s**2 / d for s, d in shares)

    assert contrast([sample(A), sample(B), sample(C), sample(D)], [-1, 1, 1, -1]).df == close(float(df))


@pytest.mark.parametrize(("published", "margin"), [(8.75, 0.5), (8.75, 0.05), (9.5, 0.5)])
def test_tost_is_that_of_statsmodels(published: float, margin: float) -> None:
    theirs = DescrStatsW(A).ttost_mean(published - margin, published + margin)[0]

    assert Region(-margin, margin).p_inside(contrast([sample(A)], [1], published)) == close(theirs)


def test_tost_of_two_nets_is_that_of_statsmodels() -> None:
    theirs = ttost_ind(np.array(B), np.array(D), -0.8, 0.8, usevar="unequal")[0]

    assert Region(-0.8, 0.8).p_inside(contrast([sample(D), sample(B)], [-1, 1])) == close(theirs)


def test_inside_and_outside_of_one_bound_are_each_others_complement() -> None:
    effect, region = contrast([sample(A), sample(B)], [1, -1]), Region(1.0)

    assert region.p_inside(effect) + region.p_outside(effect) == close(1)


def test_outside_of_two_bounds_counts_both_ways_to_be_there() -> None:
    effect = contrast([sample(A)], [1], 8.75)

    assert Region(-0.01, 0.01).p_outside(effect) == close(2 * min(effect.p_above(0.01), effect.p_below(-0.01)))
    assert Region(-5, 5).p_outside(effect) == 1.0


@pytest.mark.parametrize("ps", [[0.01, 0.04, 0.03, 0.005], [0.5, 0.9, 0.4], [0.001], [0.02, 0.02, 0.02], [0.0, 1.0]])
def test_holm_is_that_of_statsmodels(ps: list[float]) -> None:
    assert stats.holm(ps) == close(list(multipletests(ps, method="holm")[1]))


def test_a_claim_that_could_not_be_tested_counts_in_the_correction() -> None:
    assert stats.holm([0.02, NAN, NAN]) == close([0.06, 1, 1])
    assert stats.holm([]) == []


@pytest.mark.parametrize(("wrong", "images"), [(661, 10_000), (0, 10_000), (10_000, 10_000), (1, 3)])
def test_wilsons_interval_is_scipys(wrong: int, images: int) -> None:
    theirs = scipy_stats.binomtest(wrong, images).proportion_ci(method="wilson")

    ours = stats.wilson(100 * wrong / images, images)

    assert (ours.low, ours.high) == close((100 * theirs.low, 100 * theirs.high))


def correctness(only_first: int, only_second: int, both: int) -> tuple[list[bool], list[bool]]:
    first = [True] * only_first + [False] * only_second + [True] * both
    return first, [not f for f in first[: only_first + only_second]] + [True] * both


@pytest.mark.parametrize(("b", "c"), [(10, 25), (25, 10), (5, 5), (0, 3), (4, 4), (1, 0)])
def test_mcnemars_test_is_a_binomial_test_of_the_images_that_differ(b: int, c: int) -> None:
    point = Fraction(math.comb(b + c, b), 2 ** (b + c))
    tail = sum((Fraction(math.comb(b + c, k), 2 ** (b + c)) for k in range(min(b, c))), Fraction(0))

    ours = stats.mcnemar(*correctness(b, c, 50))

    assert (ours.only_first, ours.only_second, ours.images) == (b, c, b + c + 50)
    assert ours.p_mid == close(float(min(Fraction(1), 2 * tail + point)))


def test_two_nets_that_agree_on_every_image_do_not_differ() -> None:
    ours = stats.mcnemar(*correctness(0, 0, 20))

    assert (ours.p_mid, ours.only_first, ours.only_second) == (1.0, 0, 0)


def test_nets_on_different_images_are_refused() -> None:
    with pytest.raises(ValueError, match="the same images of both nets, got 3 and 2"):
        stats.mcnemar([1, 0, 1], [1, 0])


def test_the_interval_of_two_nets_on_the_same_images_is_agresti_and_mins() -> None:
    first, second = correctness(12, 4, 84)
    apart, off = (12 + 0.5) - (4 + 0.5), 12 + 4 + 1
    se = math.sqrt(off - apart**2 / 102) / 102

    ours = stats.paired_images(np.array([first]), np.array([second]))

    assert low_high(ours) == close((100 * (apart / 102 - Z * se), 100 * (apart / 102 + Z * se)))
    assert ours.covers == stats.IMAGES


@pytest.mark.parametrize("right", [1, 0])
def test_two_nets_that_agree_on_every_image_are_not_certain_to_agree_on_others(right: int) -> None:
    same = np.full((2, 50), right, bool)

    assert low_high(stats.paired_images(same, same)) == close((-100 * Z / 52, 100 * Z / 52))


def test_intervals_stay_where_their_numbers_can_be() -> None:
    none, all_of_them = np.zeros((1, 3), bool), np.ones((1, 3), bool)

    assert stats.paired_images(none, all_of_them).low == -100
    assert low_high(stats.of_percent(sample([0.5, 60.0]).interval)) == (0, 100)
    assert stats.within(None, -100, 100) is None


def test_the_disagreement_of_seeds_is_the_formula_by_hand() -> None:
    one, other = np.array([[1, 1, 0, 0], [1, 0, 1, 0]], bool), np.array([[1, 1, 1, 0]], bool)
    three = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]], bool)  # its pairs disagree on 1, 1 and 2 of 4 images
    alike = np.ones((5, 4), bool)

    assert stats.disagreement_std(one) == close(100 * math.sqrt(2 / 4 / (2 * 4)))
    assert stats.disagreement_std(three) == close(100 * math.sqrt(4 / 3 / 4 / (2 * 4)))
    assert stats.disagreement_std(one, other) == close(100 * math.sqrt((1 / 4 + 1 / 4) / 2 / 4))
    assert stats.disagreement_std(alike) == close(100 * math.sqrt(1 / 4 / (2 * 4)))  # of one image at the least


def test_the_disagreement_of_seeds_is_the_spread_of_coin_flips() -> None:
    """On a fifth of 2,000 images each seed tosses a coin of its own, on the others all are right."""
    rng = np.random.default_rng(0)
    chance = np.where(np.arange(2_000) < 400, 0.5, 1.0)
    first, second = (rng.random((600, 2_000)) < chance for _ in range(2))
    errors = [100 - 100 * right.mean(axis=1) for right in (first, second)]

    assert stats.disagreement_std(first) == pytest.approx(100 * math.sqrt(400 * 0.25) / 2_000, rel=0.01)
    assert np.std(errors[0], ddof=1) == pytest.approx(stats.disagreement_std(first), rel=0.08)
    assert np.std(errors[0] - errors[1], ddof=1) == pytest.approx(stats.disagreement_std(first, second), rel=0.08)

    few = [stats.disagreement_std(first[k : k + 5]) for k in range(0, 600, 5)]
    assert np.mean(few) == pytest.approx(100 * math.sqrt(400 / 4) / 2_000, rel=0.01)  # five seeds say the same


@pytest.mark.parametrize(
    ("error", "images", "std"),
    [(10.0, 10_000, 0.3), (50.0, 100, 5.0), (0.0, 100, math.sqrt(0.99)), (100.0, 100, math.sqrt(0.99))],
)
def test_the_binomial_spread_is_the_formula_by_hand(error: float, images: int, std: float) -> None:
    assert stats.binomial_std(error, images) == close(std)


def test_the_binomial_spread_is_that_of_coin_flips() -> None:
    errors = np.random.default_rng(0).binomial(10_000, 0.08, 4_000) / 100

    assert np.std(errors, ddof=1) == pytest.approx(stats.binomial_std(8.0, 10_000), rel=0.04)
