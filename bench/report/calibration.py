"""How often the exported intervals hold the truth, on made-up nets whose truth is known: 95 % is meant.

The intervals are those of the functions that the pages call. Seeds are drawn from normal distributions. A test image is
easy or hard for all nets alike, so that two nets err on the same images more often than by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.random import Generator
from scipy import stats

from bench.report.stats import Bools, Interval, contrast, paired_images, sample, wilson
from bench.report.tables import Table
from bench.tasks.detection import made_up as detectors

SEED = 2015  # fixed, so that the same sweep gives the same page
NS = (2, 3, 5, 10)  # seeds
RATIOS = (1, 3, 10)  # of the spread of two nets
IMAGES = (100, 1_000, 10_000)
ERRORS = (6.0, 9.0)  # in percent

Draw = Callable[[int, Generator], Interval | None]  # the interval of one drawn study, by n; the truth is 0


def share_held(truth: float, intervals: Iterable[Interval | None]) -> float:
    """The share in percent of intervals with the truth inside; none is not there to hold it."""
    return 100 * float(np.mean([one is not None and one.low <= truth <= one.high for one in intervals]))


def one_net(n: int, rng: Generator, floor: float = 0.0) -> Interval | None:
    """Student's, of one net; as well of two recipes of one net seed by seed, whose differences are such numbers."""
    return sample(rng.normal(0, 1, n)).at_least(floor).interval


def nets(
    stds: Sequence[float], n: int, rng: Generator, *, first: int | None = None, floor: float = 0.0
) -> Interval | None:
    """Of a difference of two nets, or of a difference of differences of four; first: the seeds of the first net."""
    ns = [n if first is None else first, *[n] * (len(stds) - 1)]
    samples = [sample(rng.normal(0, std, k)).at_least(floor) for std, k in zip(stds, ns, strict=True)]
    return contrast(samples, [-1, 1, 1, -1][: len(stds)]).interval()


def over_seeds() -> Iterator[tuple[str, Draw]]:
    """Each kind of interval over seeds in words, and what draws one."""
    yield "Student's t: one net, or two recipes seed by seed", one_net
    yield "the same, the spread as large as its floor", partial(one_net, floor=1.0)
    for ratio in RATIOS:
        yield f"Welch's t: two nets, spreads {ratio} : 1", partial(nets, (ratio, 1))
    for ratio in RATIOS[1:]:
        yield f"the same, the smaller spread at half its floor, {ratio} : 1", partial(nets, (ratio, 1), floor=2.0)
    for ratio in RATIOS:
        yield f"the same, but the first with two seeds, spreads {ratio} : 1", partial(nets, (ratio, 1), first=2)
    for ratio in RATIOS:
        yield f"difference of differences: four nets, spreads {ratio} : 1 : 1 : 1", partial(nets, (ratio, 1, 1, 1))


def seeds_table(draws: int) -> Table:
    """A row a kind of interval over seeds, a column a number of seeds."""
    rng = np.random.default_rng(SEED)
    rows = [
        (words, *(f"{share_held(0.0, (one(n, rng) for _ in range(draws))):.1f}" for n in NS))
        for words, one in over_seeds()
    ]
    return Table(("95 % over seeds", *(f"n = {n}" for n in NS)), rows, note=SEEDS_NOTE.format(draws=draws))


SEEDS_NOTE = (
    "Share of intervals that hold the truth, in percent; {draws:,} studies a cell. Above 97: where the spread is at "
    "its floor, which no sample falls below; Welch's t at two seeds, where the spreads are hardly known; and where the "
    "degrees of freedom are those of the fewest seeds (two seeds of one net, or of each of four)."
)


def wilson_held(error: float, images: int) -> float:
    """The exact share, by the probability of each count of wrong images."""
    wrong = np.arange(images + 1)
    chances = stats.binom.pmf(wrong, images, error / 100)
    likely = chances > 1e-9
    ranges = (wilson(100 * k / images, images) for k in wrong[likely])
    return 100 * float(sum(p for p, one in zip(chances[likely], ranges, strict=True) if one.low <= error <= one.high))


def pairs(errors: Sequence[float], seeds: int, images: int, rng: Generator) -> list[Bools]:
    """Nets with these errors in percent on the same images, of which three in ten are hard; on the others none errs."""
    hard = rng.random(images) < 0.3
    return [~(hard & (rng.random((seeds, images)) < error / 30)) for error in errors]


def over_images(draws: int, images: int, rng: Generator) -> Iterator[tuple[str, float]]:
    """Each kind of interval over images in words, and how often it holds the truth."""
    for error in ERRORS:
        yield f"Wilson: one net, error {error:g} %", wilson_held(error, images)
    means = (float(100 - 100 * pairs(ERRORS[:1], 3, images, rng)[0].mean()) for _ in range(draws))
    yield "Wilson: mean of three seeds", share_held(ERRORS[0], (wilson(mean, images) for mean in means))
    for seeds in (1, 3):
        held = share_held(3.0, (paired_images(*pairs(ERRORS, seeds, images, rng)) for _ in range(draws)))
        yield f"Agresti and Min: two nets, {seeds} {'seed' if seeds == 1 else 'seeds'} each", held
    few = (paired_images(*pairs((1.0, 1.5), 1, images, rng)) for _ in range(draws))
    yield "Agresti and Min: two nets, errors 1 and 1.5 %", share_held(0.5, few)


def ap_held(images: int, skills: Sequence[float], draws: int, rng: Generator) -> float:
    """How often the jackknife's interval holds the AP, or the gain in AP, of very many images."""
    truth = detectors.ap_of(detectors.detections(detectors.MANY, skills, rng))
    return share_held(truth, detectors.intervals(images, skills, draws, rng))


def images_table(draws: int) -> Table:
    """A row a kind of interval over images, a column a number of images."""
    rng = np.random.default_rng(SEED)
    columns = [dict(over_images(draws, images, rng)) for images in IMAGES]
    for column, images in zip(columns, IMAGES, strict=True):
        if images <= 1_000:
            column["jackknife: AP of a detector"] = ap_held(images, detectors.ONE, draws, rng)
            column["jackknife: what a detector has over another"] = ap_held(images, detectors.TWO, draws, rng)
    rows = [(words, *(f"{c[words]:.1f}" if words in c else "–" for c in columns)) for words in columns[0]]
    header = ("95 %, images only", *(f"{images:,} images" for images in IMAGES))
    return Table(header, rows, note=IMAGES_NOTE.format(draws=draws))


IMAGES_NOTE = (
    "As above; Wilson's for one net is exact, the others are of {draws:,} test sets a cell. Above 97: a mean of "
    "several seeds, which varies less over images than the one net that Wilson's is made for; nets that hardly any "
    "image tells apart, where the two images more of Agresti and Min count for much; and the jackknife, which "
    "overstates a spread rather than understating it (Efron and Stein 1981)."
)
