"""The verdicts in words and tables: what a sweep's claims came to, and two nets compared image by image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from bench.report.claims import NOT_REPRODUCED, REPRODUCED, UNDECIDED, Judged, Link, judge_set, seeds_to_go
from bench.report.frame import Set
from bench.report.stats import LEVEL, MOST_SEEDS, Interval, mcnemar, paired_bootstrap
from bench.report.tables import display_name, low_to_high, markdown, p_words, signed
from bench.spec import Claim

BOOTSTRAP_SEED = 2015  # fixed, so that the same results give the same page
HERE = {REPRODUCED: "seen at this scale", NOT_REPRODUCED: "the opposite at this scale"}
HOW = (
    "The claims and their tolerances stand in the sweep's file, whose history dates them. Measured are means over the "
    "seeds and their differences in points, with 95 % intervals (Student's t, Welch's degrees of freedom) that are not "
    "corrected for their number. p is one-sided, for an equal number the larger of two (TOST), for an order that of "
    "its weakest step, and corrected by Holm over all {count} claims. At 5 %, “reproduced” and “not reproduced” are "
    "each shown by a test of their own; “undecided” is what neither shows."
)
TO_GO = " The seeds still needed are for a power of 0.8, as if what was observed were the truth."
NOT_THE_PAPER = (
    "**Not comparable with the paper:** these runs are not {what}. What is seen here is about this scale only."
)


def claims_section(claims: Sequence[Claim], results: Set) -> list[str]:
    """The paragraphs of the claims: the verdicts counted, the table, how it was judged. None without claims."""
    if not claims:
        return []
    judged = judge_set(claims, results)
    to_go = seeds_to_go(judged) if results.comparable else {}
    how = HOW.format(count=len(claims)) + (TO_GO if any(to_go.values()) else "")
    what = "on the paper's data" if results.data == "stand-in" else "at the paper's schedule"
    first = _summary(judged) if results.comparable else NOT_THE_PAPER.format(what=what)
    return ["## Claims", first, claims_table(judged, to_go), how]


def _summary(judged: Sequence[Judged]) -> str:
    counts = Counter(one.verdict for one in judged)
    parts = [f"{counts[verdict]} {verdict}" for verdict in (REPRODUCED, NOT_REPRODUCED, UNDECIDED) if counts[verdict]]
    return f"**Verdicts on the paper's {len(judged)} claims: {', '.join(parts)}.**"


def claims_table(judged: Sequence[Judged], to_go: dict[str, int | None]) -> str:
    """A row a claim, the verdict first."""
    header = ("verdict", "claim", "in the paper", "measured: difference in points, 95 % interval", "seeds", "p (Holm)")
    rows = [
        (
            verdict_words(one, to_go),
            one.claim.text,
            one.claim.source,
            "; ".join(map(_measured, one.links)) or "–",
            _seeds(one),
            _p(one),
        )
        for one in judged
    ]
    return markdown(header, rows, text=4)


def verdict_words(one: Judged, to_go: dict[str, int | None]) -> str:
    """The verdict, with what an undecided claim still needs and what another scale shows of it."""
    if one.verdict in HERE:
        return f"**{one.verdict}**"
    if one.verdict == UNDECIDED:
        return f"{UNDECIDED} ({_needs(one, to_go.get(one.claim.id))})"
    if not one.links:
        return f"{one.verdict} (not run at this scale)"
    if one.claim.number:
        return one.verdict  # another schedule has no say on the paper's own number
    return f"{one.verdict} ({HERE.get(one.finding, 'undecided at this scale')})"


def _needs(one: Judged, more: int | None) -> str:
    if one.missing:
        return f"no number of {', '.join(map(display_name, one.missing))}"
    if min(one.ns) < 2:
        return "needs two seeds of each net"
    if more is None:
        return f"{MOST_SEEDS:,} seeds of each net would not decide what was observed"
    return f"about {more} more seed{'s' if more > 1 else ''} of each net"


def _measured(link: Link) -> str:
    interval = link.effect.interval()
    within = f" [{signed(interval.low)}, {signed(interval.high)}]" if interval else ""
    return f"{link.label}: {signed(link.effect.effect)}{within}"


def _seeds(one: Judged) -> str:
    ns = sorted(set(one.ns))
    return "–" if not ns else f"{ns[0]}" if len(ns) == 1 else f"{ns[0]} to {ns[-1]}"


def _p(one: Judged) -> str:
    if one.finding == NOT_REPRODUCED:
        return p_words(one.p_against)
    return p_words(one.p_for) if one.testable else "–"


IMAGE_BY_IMAGE = (
    "Both nets of a row saw the same test images. The interval bootstraps images and seeds together{few}; it is the "
    "{level:.0f} % percentile interval of {draws:,} draws with the fixed seed {seed}. McNemar's test (mid-p, "
    "two-sided) compares the first seed of each net on the images that only one of the two gets right: test-set "
    "sampling alone."
)
FEW = ", and with fewer than 20 seeds of a net it is too narrow, with one seed it speaks of the images alone"
DRAWS = 1_000


def paired_section(results: Set) -> list[str]:
    """The paragraphs that compare the plain and the residual net of each depth on the same images, if stored."""
    rows, few = [], False
    for depth in sorted(results.done["depth"].unique()):
        nets = f"plain-{depth}", f"resnet-{depth}-A"
        plain, residual = map(results.correct_images, nets)
        if plain is None or residual is None or plain.shape[1] != residual.shape[1]:
            continue
        rng = np.random.default_rng([BOOTSTRAP_SEED, int(depth)])
        interval = paired_bootstrap(plain, residual, rng, draws=DRAWS)
        few |= interval.small
        rows.append(_pair_row(int(depth), plain, residual, interval))
    if not rows:
        return []
    header = (
        "layers", "seeds (plain, residual)", "error: residual − plain, points", "95 %, images and seeds",
        "only plain right", "only residual right", "McNemar p",
    )  # fmt: skip
    note = IMAGE_BY_IMAGE.format(few=FEW if few else "", level=100 * LEVEL, draws=DRAWS, seed=BOOTSTRAP_SEED)
    return ["## Plain and residual nets, image by image", markdown(header, rows), note]


def _pair_row(depth: int, plain: np.ndarray, residual: np.ndarray, interval: Interval) -> tuple[str, ...]:
    first = mcnemar(plain[0], residual[0])
    difference = 100 * (plain.mean() - residual.mean())
    return (
        f"{depth}",
        f"{len(plain)}, {len(residual)}",
        signed(difference),
        low_to_high(interval),
        f"{first.only_first}",
        f"{first.only_second}",
        p_words(first.p_mid),
    )
