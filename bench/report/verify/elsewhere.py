"""Whether a rerun with other bits is the same training: three tests, and how often they would pass a forged number.

Training multiplies each rounding, so that one seed gives other weights with another instruction set, kernel or number
of threads. How far apart was measured; see the table in bench/README.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.report.numbers import signed
from bench.report.stats import LEVEL, sample
from bench.spec import counted

Counts = Any  # an int, or an array of them

FIRST = 10  # rows of the curve
# how far a row's loss may be apart up to that step: twice what one seed gave, or more; later two seeds' 0.10, and half
TOLERANCES = ((20, 0.04), (200, 0.1), (math.inf, 0.15))
FEW_SEEDS, WIDE = 5, 1.0  # fewer seeds, or an interval of more points to each side, tell nothing
FORGED = 0.5  # points
DRAWS = 10_000
BLIND = f"nothing here tells a number made {FORGED} points better"


@dataclass(frozen=True, slots=True)
class Apart:
    """How far one seed's results are apart in other ways, on nets of at most this `error` in percent.

    share: of the images on which two nets would disagree that are right or wrong independently, those on which two
    results may. factor: the standard deviation of the difference of their errors, in those that coin flips on the
    images in dispute give.
    """

    error: float
    share: float
    factor: float


MEASURED = (Apart(20.0, 0.5, 1.0), Apart(75.0, 0.7, 3.0))


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a test was passed, and its sentence."""

    passed: bool
    words: str


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def curve_test(stored: Sequence[Mapping[str, float]], again: Sequence[Mapping[str, float]]) -> Answer:
    """The losses of the curve's first rows, each within the tolerance of its step."""
    rows = list(zip(stored, again, strict=False))[:FIRST]
    if not rows:
        return Answer(not stored and not again, "curve: there is none to compare")
    apart = [abs(here["loss"] / there["loss"] - 1) for there, here in rows]
    allowed = [next(most for step, most in TOLERANCES if there["step"] <= step) for there, _ in rows]
    for number, ((there, here), far, most) in enumerate(zip(rows, apart, allowed, strict=True), 1):
        if there["step"] != here["step"] or not far <= most:
            losses = f"the loss is {there['loss']:.4f} at step {there['step']:.0f}, here {here['loss']:.4f}"
            losses += f" at step {here['step']:.0f}" * (there["step"] != here["step"])
            return Answer(
                False, f"curve: in row {number} {losses}: {_percent(far, 1)} apart (allowed: {_percent(most)})"
            )
    return Answer(
        True,
        f"curve: {counted(len(rows), 'row')} agree: the first losses are {_percent(apart[0], 2)} apart, all at most "
        f"{_percent(max(apart), 1)} (allowed: {_percent(allowed[0])} at first, {_percent(allowed[-1])} later)",
    )


def image_test(there: NDArray[np.bool_] | None, here: NDArray[np.bool_] | None) -> tuple[Answer, str]:
    """On how many images the results disagree, and in whose favour; how often that would pass a forged number.

    there, here: each image's correctness, in the row and in the rerun; None where a task has none.
    """
    if there is None or here is None:
        return Answer(there is here, "images: no correctness is kept of each"), BLIND
    if there.size != here.size:
        return Answer(False, f"images: {counted(there.size, 'image')} are tested, here {here.size:,}"), BLIND
    images, wrong = there.size, int((~there & ~here).sum())
    only_there, only_here = int((there & ~here).sum()), int((here & ~there).sum())
    disputed, error = only_there + only_here, 100 * (1 - max(float(there.mean()), float(here.mean())))
    words = f"images: {disputed:,} of {images:,} are judged otherwise"
    apart = next((one for one in MEASURED if error <= one.error), None)
    if apart is None:
        return Answer(True, f"{words}; at an error of {error:.0f} % that says nothing: none was measured"), BLIND
    few, fair = (bool(one) for one in _fits(only_there, only_here, wrong, images, apart))
    reach = float(special.ndtri((1 + LEVEL) / 2)) * apart.factor
    se = 100 * math.sqrt(disputed) / images
    share = disputed / images / float(_independent(only_there, only_here, wrong, images)) if disputed else 0.0
    words += (
        f", {_percent(share)} of those on which two independent nets would disagree (allowed: {_percent(apart.share)}"
        f"{'' if few else ', by results of one seed'}); the error is {signed(100 * (only_there - only_here) / images)} "
        f"points from the row's, {'within' if fair else 'outside'} the ±{reach * se:.2f} of {_percent(LEVEL)} of "
        f"honest reruns (standard error by these images: {se:.2f})"
    )
    passed = pass_rate(disputed, int((~there).sum()), images, apart)
    power = f"a number made {FORGED} points better would pass {100 * passed:.0f} % of the time"
    return Answer(few and fair, words), power


def _independent(only_there: Counts, only_here: Counts, wrong: Counts, images: int) -> Counts:
    """The share of images on which two nets of these errors would disagree if each were right independently."""
    there, here = (only_here + wrong) / images, (only_there + wrong) / images
    return there * (1 - here) + here * (1 - there)


def _fits(only_there: Counts, only_here: Counts, wrong: Counts, images: int, apart: Apart) -> tuple[Counts, Counts]:
    """Whether the images in dispute are few enough, and are fairly divided (McNemar's test, by its normal form)."""
    disputed = only_there + only_here
    few = disputed <= apart.share * images * _independent(only_there, only_here, wrong, images)
    reach = special.ndtri((1 + LEVEL) / 2) * apart.factor
    return few, np.abs(only_there - only_here) <= reach * np.sqrt(disputed)


def pass_rate(disputed: int, wrong: int, images: int, apart: Apart, points: float = FORGED) -> float:
    """How often the images would pass a row made so many points better, on made-up results that are as far apart.

    disputed, wrong: images in dispute, and those that the row has wrong. As many of the latter as the points need are
    made right, drawn at random.
    """
    rng, forged = np.random.default_rng(0), round(points / 100 * images)
    both = rng.binomial(images, disputed / images, DRAWS)
    lean = apart.factor * np.sqrt(both) * rng.standard_normal(DRAWS)
    only_there = np.clip(np.round((both + lean) / 2), 0, both).astype(int)
    only_here, wrong_in_both = both - only_there, max(forged, wrong - disputed // 2)
    settled = rng.hypergeometric(only_here, wrong_in_both, forged)  # those that only the rerun had right
    counts = only_there + forged - settled, only_here - settled, wrong_in_both - forged + settled
    few, fair = _fits(*counts, images, apart)
    return float((few & fair).mean())


def seeds_test(error: float, errors: Sequence[float]) -> Answer:
    """The final error within Student's prediction interval of the stored seeds, where that tells anything."""
    ours = sample(errors)
    if not ours.std > 0:
        alike = "equal numbers" if ours.n > 1 else "one seed"
        return Answer(True, f"seeds: with {alike} stored there is no interval, and this test says nothing")
    half = float(special.stdtrit(ours.n - 1, (1 + LEVEL) / 2)) * ours.std * math.sqrt(1 + 1 / ours.n)
    inside = abs(error - ours.mean) <= half
    idle = inside and (ours.n < FEW_SEEDS or half > WIDE)
    return Answer(
        inside,
        f"seeds: {error:.2f} % lies {'within' if inside else 'outside'} the {ours.mean:.2f} ± {half:.2f} in which "
        f"{_percent(LEVEL)} of further seeds lie"
        f"{f'; of {ours.n} seeds that is too wide to tell anything' if idle else ''}",
    )
