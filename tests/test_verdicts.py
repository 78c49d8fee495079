"""A thousand made-up sweeps whose truth is known: intervals cover it, verdicts err as seldom as they claim."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.random import Generator

from bench.report import stats
from bench.report.claims import NOT_REPRODUCED, REPRODUCED, UNDECIDED, judge, seeds_to_go
from bench.report.stats import Interval, Sample, contrast, sample
from bench.spec import Claim, Net

SWEEPS = 1_000
SEEDS = 5
STD = 0.16  # the paper's ResNet-110 over its seeds
PLAIN = tuple(Net("cifar", d, "none") for d in (20, 32, 44, 56))
RESIDUAL = tuple(Net("cifar", d, "A") for d in (20, 32, 44, 56))
PAPER_20 = 8.75


@pytest.fixture
def rng() -> Generator:
    return np.random.default_rng(2015)


def covered(truth: float, intervals: list[Interval | None]) -> float:
    """The share of intervals with the truth inside, in percent."""
    return 100 * float(np.mean([i is not None and i.low <= truth <= i.high for i in intervals]))


def draw(rng: Generator, mean: float, std: float = STD, n: int = SEEDS) -> Sample:
    return sample(rng.normal(mean, std, n))


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_a_means_interval_covers_the_truth(rng: Generator, n: int) -> None:
    assert 93 < covered(6.61, [draw(rng, 6.61, n=n).interval for _ in range(SWEEPS)]) < 97


@pytest.mark.parametrize("spreads", [(0.16, 0.16), (0.1, 0.8)])
def test_a_differences_interval_covers_the_truth_with_unequal_spreads_too(
    rng: Generator, spreads: tuple[float, float]
) -> None:
    pairs = [(draw(rng, 7.0, spreads[0]), draw(rng, 9.0, spreads[1])) for _ in range(SWEEPS)]

    assert 93 < covered(2.0, [contrast(pair, [-1, 1]).interval() for pair in pairs]) < 97


def test_the_interactions_interval_covers_the_truth(rng: Generator) -> None:
    found = [
        stats.interaction((draw(rng, 9.5), draw(rng, 13.5, 0.9)), (draw(rng, 8.5), draw(rng, 7.0, 0.3))).interval()
        for _ in range(SWEEPS)
    ]

    assert 93 < covered(5.5, found) < 97


def test_wilsons_interval_covers_the_truth(rng: Generator) -> None:
    wrong = rng.binomial(10_000, 0.0661, SWEEPS)

    assert 93 < covered(6.61, [stats.wilson(k / 100, 10_000) for k in wrong]) < 97


def test_the_paired_bootstrap_covers_the_truth_over_images(rng: Generator) -> None:
    """Fewer draws and images than in a report, so that a thousand take seconds; one seed a net."""
    found: list[Interval | None] = []
    for _ in range(SWEEPS):
        which = rng.random(500)  # an image is right for both, for one of the two, or for neither
        first, second = which < 0.92, (which < 0.86) | (which > 0.96)
        found.append(stats.paired_bootstrap(first, second, rng, draws=200))

    assert 93 < covered(2.0, found) < 97


Means = dict[Net, float]


def sweeps(rng: Generator, claims: tuple[Claim, ...], means: Means) -> list[Any]:
    """The verdicts of a thousand sweeps."""
    metrics = sorted({claim.metric for claim in claims})
    drawn = {(net, m): rng.normal(means[net], STD, (SWEEPS, SEEDS)) for net in means for m in metrics}
    return [
        [j.verdict for j in judge(claims, {(net.name, m): sample(v[i]) for (net, m), v in drawn.items()})]
        for i in range(SWEEPS)
    ]


def share(verdicts: list[Any], verdict: str) -> float:
    """The share of sweeps, in percent, with at least one such verdict."""
    return 100 * float(np.mean([verdict in one for one in verdicts]))


def claim(kind: str, *nets: Net, margin: float = 0.0, number: str = "") -> Claim:
    return Claim("c", "It is so.", "Table 6", kind, nets, margin=margin, number=number)


EQUALS = claim("equals", RESIDUAL[0], margin=0.5, number="t6.resnet-20.error")
# a claim, the truth exactly on its bound, well inside, and well outside
CASES: list[tuple[Claim, Means, Means, Means]] = [
    (EQUALS, {RESIDUAL[0]: PAPER_20 + 0.5}, {RESIDUAL[0]: PAPER_20}, {RESIDUAL[0]: PAPER_20 - 1.2}),
    (
        claim("exceeds", PLAIN[0], number="txt.plain-110.error"),
        {PLAIN[0]: 60.0}, {PLAIN[0]: 61.0}, {PLAIN[0]: 59.0},
    ),
    (
        claim("residual beats plain", PLAIN[0], RESIDUAL[0]),
        {PLAIN[0]: 9.0, RESIDUAL[0]: 9.0}, {PLAIN[0]: 9.6, RESIDUAL[0]: 9.0}, {PLAIN[0]: 9.0, RESIDUAL[0]: 9.6},
    ),
    (
        claim("worse with depth", *PLAIN[:3], margin=0.1),
        dict(zip(PLAIN, (9.0, 10.0, 10.1), strict=False)),  # the second step is on the bound, the first far inside
        dict(zip(PLAIN, (9.0, 10.0, 11.0), strict=False)),
        dict(zip(PLAIN, (9.0, 10.0, 9.0), strict=False)),
    ),
    (
        claim("better with depth", *RESIDUAL[:2]),
        dict(zip(RESIDUAL, (8.0, 8.0), strict=False)),
        dict(zip(RESIDUAL, (8.75, 7.5), strict=False)),
        dict(zip(RESIDUAL, (7.5, 8.75), strict=False)),
    ),
    (
        claim("interaction", PLAIN[0], PLAIN[3], RESIDUAL[0], RESIDUAL[3]),
        {PLAIN[0]: 9.0, PLAIN[3]: 10.0, RESIDUAL[0]: 7.0, RESIDUAL[3]: 8.0},
        {PLAIN[0]: 9.0, PLAIN[3]: 13.0, RESIDUAL[0]: 8.0, RESIDUAL[3]: 7.0},
        {PLAIN[0]: 9.0, PLAIN[3]: 8.0, RESIDUAL[0]: 7.0, RESIDUAL[3]: 9.0},
    ),
]  # fmt: skip
KINDS = [case[0].kind for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=KINDS)
def test_on_its_bound_a_claim_is_called_reproduced_once_in_twenty_sweeps(
    rng: Generator, case: tuple[Claim, Means, Means, Means]
) -> None:
    verdicts = sweeps(rng, (case[0],), case[1])

    assert 3 < share(verdicts, REPRODUCED) < 7
    assert share(verdicts, NOT_REPRODUCED) < 7


@pytest.mark.parametrize("case", CASES, ids=KINDS)
def test_a_clear_truth_is_found_and_hardly_ever_called_the_opposite(
    rng: Generator, case: tuple[Claim, Means, Means, Means]
) -> None:
    true, false = sweeps(rng, (case[0],), case[2]), sweeps(rng, (case[0],), case[3])

    assert share(true, REPRODUCED) > 95
    assert share(true, NOT_REPRODUCED) == 0
    assert share(false, NOT_REPRODUCED) > 95
    assert share(false, REPRODUCED) == 0


def family(size: int) -> tuple[tuple[Claim, ...], Means]:
    """As many claims about nets of their own, each with its truth exactly on the bound."""
    nets = [(Net("cifar", 8 + 6 * i, "none"), Net("cifar", 8 + 6 * i, "A")) for i in range(size)]
    claims = tuple(replace(claim("residual beats plain", *pair), id=f"c{i}") for i, pair in enumerate(nets))
    return claims, {net: 8.0 for pair in nets for net in pair}


def test_of_many_claims_any_wrong_verdict_comes_at_most_once_in_twenty_sweeps(rng: Generator) -> None:
    """3.8 % and 3.6 % in 6,000 sweeps: Welch's test is a little timid at five seeds and Holm's small levels."""
    verdicts = sweeps(rng, *family(10))

    assert 2 < share(verdicts, REPRODUCED) < 7
    assert 2 < share(verdicts, NOT_REPRODUCED) < 7


def at_n(rng: Generator, n: int, one: Claim, means: Means) -> float:
    samples = [{(net.name, one.metric): draw(rng, mean, n=n) for net, mean in means.items()} for _ in range(SWEEPS)]
    return 100 * float(np.mean([judge((one,), s)[0].verdict != UNDECIDED for s in samples]))


@pytest.mark.parametrize("difference", [0.15, 0.25])
def test_the_seeds_that_a_report_asks_for_decide_in_four_of_five_sweeps(rng: Generator, difference: float) -> None:
    one = claim("residual beats plain", PLAIN[0], RESIDUAL[0])
    spread = sample([8 - STD, 8.0, 8 + STD])  # three seeds with exactly this spread
    seen = {(PLAIN[0].name, one.metric): replace(spread, mean=8 + difference), (RESIDUAL[0].name, one.metric): spread}
    judged = judge((one,), seen)

    more = seeds_to_go(judged)["c"]

    assert judged[0].verdict == UNDECIDED
    assert more is not None
    assert 76 < at_n(rng, 3 + more, one, {PLAIN[0]: 8 + difference, RESIDUAL[0]: 8.0}) < 88
