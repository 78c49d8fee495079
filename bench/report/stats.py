"""Statistics of the reports, on SciPy and statsmodels: arrays in, small frozen values out.

Student's and Welch's intervals cover other seeds. Wilson's, Agresti and Min's and McNemar's test take the trained nets
as they are and speak of other test images. Errors are in percent, their differences in percentage points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats
from statsmodels.stats.proportion import proportion_confint

LEVEL = 0.95
POWER = 0.8
SEEDS, IMAGES = "seeds", "images only"  # what an interval covers
FROM_ONE_START = "seeds from the same start weights"  # of nets that do not begin at random

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def total(terms: Iterable[float]) -> float:
    """The terms added one after another, to the same digits in every Python: `sum` rounds otherwise from 3.12 on."""
    return reduce(add, terms, 0.0)


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided interval at 95 %.

    covers: SEEDS, other trainings by the same recipe, tested on the same images; FROM_ONE_START, the same without the
    training that the start weights are of; or IMAGES, other test images, the trained nets as they are.
    """

    low: float
    high: float
    method: str
    covers: str


def within(interval: Interval | None, low: float, high: float) -> Interval | None:
    """The part of an interval that its number can be."""
    return interval and replace(interval, low=max(low, interval.low), high=min(high, interval.high))


def of_percent(interval: Interval | None) -> Interval | None:
    """The interval of an error: 0 to 100 %."""
    return within(interval, 0.0, 100.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """One number of one net over its seeds: `n` seeds have it, `missing` do not; std is with n - 1.

    floor: what the standard deviation is at least taken to be.
    """

    n: int
    missing: int
    mean: float
    std: float
    floor: float = 0.0

    @property
    def interval(self) -> Interval | None:
        """Student's interval of the mean; None below two seeds and where all are equal, which is no certainty."""
        return contrast([self], [1]).interval()

    def at_least(self, std: float) -> Sample:
        """The sample whose standard deviation is taken for no smaller than `std`; that of one seed stays unknown."""
        return replace(self, floor=std)


def sample(values: ArrayLike) -> Sample:
    """The sample of these values; NaN is a missing seed, counted and left out."""
    given = np.asarray(values, float).ravel()
    here = given[~np.isnan(given)]
    n = here.size
    mean = float(here.mean()) if n else math.nan
    return Sample(n, given.size - n, mean, float(here.std(ddof=1)) if n > 1 else math.nan)


CAUTIOUS = "t, degrees of freedom of the fewest seeds"
AT_FLOOR = ", spread at its floor"


@dataclass(frozen=True, slots=True)
class Contrast:
    """A weighted sum of independent means: one mean, a difference of two, a difference of differences.

    variances: what one seed of each sample adds to the variance of `effect`, its weight squared times its std squared.
    observed: the same without the floors of the samples; () where there are none.
    """

    effect: float
    variances: tuple[float, ...]
    ns: tuple[int, ...]
    observed: tuple[float, ...] = ()

    @property
    def known(self) -> bool:
        """Whether every sample has the two seeds that a spread needs; without them there is no test."""
        return min(self.ns) > 1

    @property
    def _shares(self) -> list[float]:
        return self._means_of(self.variances)

    def _means_of(self, variances: tuple[float, ...]) -> list[float]:
        return [v / n for v, n in zip(variances, self.ns, strict=True)]

    @property
    def se(self) -> float:
        """The standard error of the effect, NaN if it is not known."""
        return math.sqrt(total(self._shares)) if self.known else math.nan

    @property
    def df(self) -> float:
        """Degrees of freedom after Welch and Satterthwaite, NaN if they are not known.

        The p-values have these at any n, as declared before the runs (claims.py, rule 3), also where `interval` is more
        cautious and reaches a bound that p clears: how often that errs at the planned n, `bench simulate` shows.
        """
        return self._satterthwaite(self._shares) if self.known else math.nan

    def _satterthwaite(self, shares: list[float]) -> float:
        below = total(share**2 / (n - 1) for share, n in zip(shares, self.ns, strict=True))
        return total(shares) ** 2 / below if below > 0 else float(sum(self.ns) - len(self.ns))

    def interval(self) -> Interval | None:
        """The two-sided t-interval over seeds; None where a sample has fewer than two, or none has a spread.

        It is described, not judged by: at unequal n it has fewer degrees of freedom than the p-values beside it (`df`).

        Satterthwaite's degrees of freedom keep the level where all have equally many seeds, of more than two samples
        three or more. Elsewhere they are those of the smallest sample, which keep it always. A floor widens the
        interval and adds no degrees of freedom: they are those of the spreads that were seen.
        """
        if not self.known or self.se == 0:
            return None
        fewest, equal, seen = min(self.ns), len(set(self.ns)) == 1, self.observed or self.variances
        df, method = float(fewest - 1), CAUTIOUS if len(self.ns) > 1 else "Student's t"
        if equal and len(self.ns) > 1 and (fewest > 2 or len(self.ns) < 3) and any(seen):
            df, method = self._satterthwaite(self._means_of(seen)), "Welch's t"
        half = float(special.stdtrit(df, (1 + LEVEL) / 2)) * self.se
        method += AT_FLOOR if seen != self.variances else ""
        return Interval(self.effect - half, self.effect + half, method, covers=SEEDS)

    def p_above(self, bound: float) -> float:
        """The one-sided p-value for "the effect is above `bound`"; NaN where there is no standard error, or it is 0."""
        if self.se == 0:  # equal numbers are no proof that another seed would give the same
            return math.nan
        return float(special.stdtr(self.df, (bound - self.effect) / self.se))

    def p_below(self, bound: float) -> float:
        """The one-sided p-value for "the effect is below `bound`"."""
        return replace(self, effect=-self.effect).p_above(-bound)


def contrast(samples: Sequence[Sample], weights: Sequence[float], against: float = 0.0) -> Contrast:
    """The weighted sum of the samples' means minus the constant `against`."""
    pairs = list(zip(samples, weights, strict=True))
    return Contrast(
        effect=total(w * s.mean for s, w in pairs) - against,
        variances=tuple((w * max(s.std, s.floor)) ** 2 for s, w in pairs),  # NaN stays where there is no std
        ns=tuple(s.n for s in samples),
        observed=tuple((w * s.std) ** 2 for s, w in pairs),
    )


@dataclass(frozen=True, slots=True)
class Region:
    """Where a claim puts an effect: between `low` and `high`, one of which may be infinite."""

    low: float
    high: float = math.inf

    def holds(self, effect: float) -> bool:
        """Whether the effect lies inside."""
        return self.low < effect < self.high

    def p_inside(self, effect: Contrast) -> float:
        """The p-value for "inside": a one-sided test; with two bounds TOST (Schuirmann 1987), the larger of two."""
        tests = ((effect.p_above, self.low), (effect.p_below, self.high))
        return float(np.max([p(bound) for p, bound in tests if math.isfinite(bound)]))

    def p_outside(self, effect: Contrast) -> float:
        """The p-value for "outside"; with two bounds there are two ways to be outside, hence twice the smaller."""
        tests = ((effect.p_below, self.low), (effect.p_above, self.high))
        ps = [p(bound) for p, bound in tests if math.isfinite(bound)]
        return min(1.0, len(ps) * float(np.min(ps)))  # 1 if it cannot be tested


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's corrected p-values: any wrong rejection at all stays within the level.

    A claim that could not be tested (NaN) counts with 1, so that dropping runs never makes the others easier.
    """
    # statsmodels' multipletests gives the same, but collects garbage at each call: 45 ms, where a verdict takes 4
    filled = np.nan_to_num(np.asarray(ps, float), nan=1.0)
    order = np.argsort(filled, kind="stable")
    corrected = np.empty_like(filled)
    corrected[order] = np.minimum(1, np.maximum.accumulate(filled[order] * np.arange(filled.size, 0, -1)))
    return [float(p) for p in corrected]


def power(effect: float, region: Region, alpha: float, variances: Sequence[float], ns: Sequence[int]) -> float:
    """The probability to show, at the one-sided level `alpha`, on which side of its bounds the effect lies.

    variances: what one seed of each sample adds to the variance of the effect. By the noncentral t distribution; with
    two bounds (TOST) the usual lower bound.
    """
    truth = Contrast(effect, tuple(variances), tuple(ns))

    def miss(distance: float, level: float) -> float:
        return float(stats.nct.cdf(-special.stdtrit(truth.df, level), truth.df, distance / truth.se))

    distances = [d for d in (effect - region.low, region.high - effect) if math.isfinite(d)]
    if region.holds(effect):
        return max(0.0, 1 - total(miss(distance, alpha) for distance in distances))
    return 1 - miss(max(-d for d in distances), alpha / len(distances))


def detectable(region: Region, alpha: float, variances: Sequence[float], ns: Sequence[int]) -> float:
    """The distance inside a one-sided bound that is shown with a probability of POWER."""

    def lacking(distance: float) -> float:
        return power(region.low + distance, region, alpha, variances, ns) - POWER

    return float(optimize.brentq(lacking, 1e-9, 1e7))


def disagreement_std(first: Bools, second: Bools | None = None) -> float:
    """The standard deviation in points that coin flips give, on the images on which two seeds disagree.

    first: seeds x images, True where right; of the error of one seed, by its own pairs of seeds. With `second`, of the
    difference of two errors, by one seed of each.
    """
    right, seeds, images = first.mean(0), *first.shape
    if second is None:
        share, of = float((2 * right * (1 - right)).mean()) * seeds / (seeds - 1), 2
    else:
        other, of = second.mean(0), 1
        share = float((right * (1 - other) + other * (1 - right)).mean())
    return 100 * math.sqrt(max(share, 1 / images) / (of * images))


def binomial_std(error: float, images: int) -> float:
    """The standard deviation in points of an error in percent on so many images, each right or wrong by itself."""
    share = min(max(error / 100, 1 / images), 1 - 1 / images)
    return 100 * math.sqrt(share * (1 - share) / images)


def wilson(error: float, images: int) -> Interval:
    """Wilson's score interval of an error in percent on `images` test images: another test set, the same net."""
    low, high = proportion_confint(error / 100 * images, images, alpha=1 - LEVEL, method="wilson")
    return Interval(100 * float(low), 100 * float(high), "Wilson", IMAGES)


def paired_images(first: Bools, second: Bools) -> Interval:
    """Of the second's error minus the first's in points on the same images, the nets as they are.

    first, second: seeds x images, True where right. The normal interval of the mean over images, with Agresti and
    Min's (2005) two images more, half an image for each way in which two nets can be right or wrong: it keeps its level
    where few images tell the nets apart, and its width where none does.
    """
    apart = (first.mean(0) - second.mean(0)).tolist()  # numpy would add them in an order of its version's
    images = len(apart) + 2
    mean = total(apart) / images
    se = math.sqrt(max(0.0, (total(x * x for x in apart) + 1) / images - mean**2) / images)
    half = float(special.ndtri((1 + LEVEL) / 2)) * se
    return Interval(100 * max(-1.0, mean - half), 100 * min(1.0, mean + half), "Agresti and Min", IMAGES)


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two nets on the same images: those that only the first, or only the second, gets right; p-value two-sided."""

    only_first: int
    only_second: int
    images: int
    p_mid: float


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """McNemar's test of two nets' correctness on the same images, with the mid-p (Fagerland et al. 2013)."""
    a, b = (np.asarray(correct, bool).ravel() for correct in (first, second))
    if a.shape != b.shape or not a.size:
        raise ValueError(f"needs the same images of both nets, got {a.size} and {b.size}")
    only = int((a & ~b).sum()), int((b & ~a).sum())
    half = float(stats.binom.pmf(min(only), sum(only), 0.5))
    mid = 2 * float(stats.binom.cdf(min(only), sum(only), 0.5)) - half
    return McNemar(*only, a.size, min(1.0, mid))
