"""The power of a claim's test, and what it can detect, beside statsmodels and made-up seeds."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.power import TTestIndPower, TTestPower

from bench.report import stats
from bench.report.stats import Region, contrast, sample


@pytest.mark.parametrize("alpha", [0.025, 0.0025])
@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("effect", [0.1, 0.25, 0.6])
def test_the_power_is_what_statsmodels_says(effect: float, n: int, alpha: float) -> None:
    two = TTestIndPower().power(effect / 0.2, nobs1=n, alpha=alpha, alternative="larger")
    one = TTestPower().power(effect / 0.2, nobs=n, alpha=alpha, alternative="larger")

    assert stats.power(effect, Region(0), alpha, [0.04, 0.04], [n, n]) == pytest.approx(two, abs=1e-9)
    assert stats.power(effect, Region(0), alpha, [0.04], [n]) == pytest.approx(one, abs=1e-9)
    assert stats.power(1 - effect, Region(1), alpha, [0.04, 0.04], [n, n]) == pytest.approx(two, abs=1e-9), "fails"


def test_the_power_to_be_outside_of_two_bounds_is_that_of_half_the_level() -> None:
    theirs = TTestPower().power(0.2 / 0.2, nobs=8, alpha=0.0125, alternative="larger")

    assert stats.power(0.7, Region(-0.5, 0.5), 0.025, [0.04], [8]) == pytest.approx(theirs, abs=1e-9)
    assert stats.power(-0.7, Region(-0.5, 0.5), 0.025, [0.04], [8]) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(("effect", "stds"), [(0.0, (0.2, 0.2)), (0.1, (0.3, 0.1)), (0.25, (0.2, 0.2))])
def test_the_power_of_an_equality_is_how_often_made_up_seeds_show_it(effect: float, stds: tuple[float, float]) -> None:
    rng, region = np.random.default_rng(0), Region(-0.6, 0.6)
    drawn = [(rng.normal(effect, stds[0], 6), rng.normal(0, stds[1], 6)) for _ in range(2_000)]
    shown = [region.p_inside(contrast([sample(a), sample(b)], [1, -1])) <= 0.025 for a, b in drawn]

    power = stats.power(effect, region, 0.025, [s**2 for s in stds], [6, 6])

    assert power == pytest.approx(np.mean(shown), abs=0.035)  # three standard errors


def test_the_power_is_less_near_a_bound_and_on_it_no_more_than_the_level() -> None:
    inside, near, on = (stats.power(e, Region(-0.5, 0.5), 0.025, [0.04], [5]) for e in (0.0, 0.4, 0.4999999))

    assert inside > near > on
    assert on == pytest.approx(0.025, abs=1e-6)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_detectable_distance_is_statsmodels_and_the_inverse_of_the_power(n: int) -> None:
    theirs = 0.2 * TTestIndPower().solve_power(nobs1=n, alpha=0.025, power=0.8, alternative="larger")

    found = stats.detectable(Region(0.1), 0.025, [0.04, 0.04], [n, n])
    unequal = stats.detectable(Region(0.1), 0.025, [0.01, 0.64], [n, 5])

    assert found == pytest.approx(theirs, rel=1e-6)
    assert stats.power(0.1 + found, Region(0.1), 0.025, [0.04, 0.04], [n, n]) == pytest.approx(0.8, abs=1e-9)
    assert stats.power(0.1 + unequal, Region(0.1), 0.025, [0.01, 0.64], [n, 5]) == pytest.approx(0.8, abs=1e-9)
