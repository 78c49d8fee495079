"""The verdicts in words and tables: what a sweep's claims came to, and two nets compared image by image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.report.claims import NOT_REPRODUCED, REPRODUCED, UNDECIDED, Judged, Link, seeds_to_go
from bench.report.evidence import Evidence
from bench.report.frame import difference, display_name
from bench.report.pairs import DRAWS, SEED, Pair
from bench.report.stats import LEVEL, MOST_SEEDS, contrast, sample
from bench.report.tables import Table, anchor, change, low_to_high, p_words, signed
from bench.spec import Claim

HERE = {REPRODUCED: "seen at this scale", NOT_REPRODUCED: "the opposite at this scale"}
HOW = (
    "The claims and their tolerances stand in the sweep's file, whose history dates them. Measured are means over the "
    "seeds and their differences in points, with 95 % intervals (Student's t, Welch's degrees of freedom) that are not "
    "corrected for their number. p is one-sided, for an equal number the larger of two (TOST), for an order that of "
    "its weakest step, and corrected by Holm over all {count} claims. At 5 %, “reproduced” and “not reproduced” are "
    "each shown by a test of their own; “undecided” is what neither shows."
)
TO_GO = " The seeds still needed are for a power of 0.8, as if what was observed were the truth."
UNSEEN = " Without a number at this scale: {claims}."
NOT_THE_PAPER = (
    "**Not comparable with the paper:** these runs are not {what}. What is seen here is about this scale only."
)


def claims_section(evidence: Evidence, table: Table | None) -> list[str]:
    """The paragraphs of the claims: the verdicts counted, the table, how it was judged. None without claims."""
    if table is None:
        return []
    results = evidence.results
    what = "on the paper's data" if results.data == "stand-in" else "at the paper's schedule"
    first = _summary(evidence.judged) if results.comparable else NOT_THE_PAPER.format(what=what)
    return ["## Claims", first, table.markdown(), table.note]


def _summary(judged: Sequence[Judged]) -> str:
    counts = Counter(one.verdict for one in judged)
    parts = [f"{counts[verdict]} {verdict}" for verdict in (REPRODUCED, NOT_REPRODUCED, UNDECIDED) if counts[verdict]]
    return f"**Verdicts on the sweep's {len(judged)} claim{'s' * (len(judged) > 1)}: {', '.join(parts)}.**"


CLAIMS = ("verdict", "claim", "in the paper", "measured: difference in points, 95 % interval", "seeds", "p (Holm)")


def claims_table(evidence: Evidence) -> Table:
    """A row a claim, the verdict first; at a scale that decides nothing, claims without a number stand in the note."""
    judged, comparable = evidence.judged, evidence.results.comparable
    to_go = seeds_to_go(judged) if comparable else {}
    shown = [one for one in judged if one.links or comparable] or judged
    unseen = [one.claim.text.rstrip(".") for one in judged if one not in shown]
    rows = [
        (
            anchor(evidence.id(one.claim.id)) + verdict_words(one, to_go),
            one.claim.text + _terms(one.claim),
            one.claim.source,
            _links(evidence, one) or "–",
            _seeds(one),
            _p(one),
        )
        for one in shown
    ]
    note = HOW.format(count=len(judged)) + (TO_GO if any(to_go.values()) else "")
    return Table(CLAIMS, rows, text=4, note=note + (UNSEEN.format(claims="; ".join(unseen)) if unseen else ""))


def _terms(claim: Claim) -> str:
    """The margin, and the metric where it is another than the test error."""
    metric = claim.metric.replace("train_", "training_").replace("_", " ")
    terms = [metric] if claim.metric != "test_error" else []
    terms += [f"margin {claim.margin:g}"] if claim.margin else []
    return f" ({', '.join(terms)})" if terms else ""


def _links(evidence: Evidence, one: Judged) -> str:
    """What was measured of each comparison of the claim; several have a number of their own each."""
    if len(one.links) == 1:
        return _measured(one.links[0])
    ids = (evidence.id(one.claim.id, str(k)) for k in range(1, len(one.links) + 1))
    return "; ".join(anchor(number) + _measured(link) for number, link in zip(ids, one.links, strict=True))


def verdict_words(one: Judged, to_go: dict[str, int | None]) -> str:
    """The verdict, with what an undecided claim still needs and what another scale shows of it."""
    if one.verdict in HERE:
        return f"**{one.verdict}**"
    if one.verdict == UNDECIDED:
        return f"{UNDECIDED} ({_needs(one, to_go.get(one.claim.id))})"
    if not one.links:
        return f"{one.verdict} (no number at this scale)"
    if one.claim.number:
        return one.verdict  # another schedule has no say on the paper's own number
    return f"{one.verdict} ({HERE.get(one.finding, 'undecided at this scale')})"


def _needs(one: Judged, more: int | None) -> str:
    if one.missing:
        return f"no number of {'; '.join(map(display_name, one.missing))}"
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
    "Both {what} of a row saw the same test images. The interval bootstraps images and seeds together{few}; it is the "
    "{level:.0f} % percentile interval of {draws:,} draws with the fixed seed {seed}. McNemar's test (mid-p, "
    "two-sided) compares the first seed of each on the images that only one of the two gets right: test-set "
    "sampling alone."
)
FEW = ", and with fewer than 20 seeds of a net it is too narrow, with one seed it speaks of the images alone"
PAIRED = (
    "layers", "seeds (plain, residual)", "error: residual − plain, points", "95 %, images and seeds",
    "only plain right", "only residual right", "McNemar p",
)  # fmt: skip


def paired_table(evidence: Evidence) -> Table | None:
    """A row a depth; None where no depth has both nets."""
    pairs = [pair for pair in evidence.pairs if not pair.variant]
    rows = [
        (
            f"{pair.depth}",
            f"{pair.seeds[0]}, {pair.seeds[1]}",
            anchor(evidence.id(pair.key, "test_error")) + signed(pair.difference),
            low_to_high(pair.interval),
            f"{pair.first.only_first}",
            f"{pair.first.only_second}",
            p_words(pair.first.p_mid),
        )
        for pair in pairs
    ]
    return Table(PAIRED, rows, note=_image_by_image("nets", pairs)) if rows else None


def _image_by_image(what: str, pairs: Sequence[Pair]) -> str:
    few = FEW if any(pair.interval.small for pair in pairs) else ""
    return IMAGE_BY_IMAGE.format(what=what, few=few, level=100 * LEVEL, draws=DRAWS, seed=SEED)


VARIANTS = (
    "net by another recipe", "its own", "seeds", "error: other − own, points", "95 %, seeds",
    "95 %, images and seeds", "only own right", "only other right", "McNemar p",
)  # fmt: skip
OVER_SEEDS = (
    "Compared over the seeds that both recipes have. A seed gives both the same weights to start from; the intervals "
    "take them as independent all the same. The one over seeds is Student's t with Welch's degrees of freedom. "
)


def variants_table(evidence: Evidence) -> Table | None:
    """A row a net by another recipe than its own, where both have ended on the same images; None where none has."""
    pairs = [pair for pair in evidence.pairs if pair.variant]
    done = evidence.results.done
    rows = []
    for pair in pairs:
        runs = done[done["id"].isin(pair.runs)]
        own, other = (sample(runs.loc[runs["net"] == name, "test_error"]) for name in pair.names)
        rows.append(
            (
                display_name(pair.names[1]),
                _own(runs[runs["net"] == pair.names[0]].iloc[0], pair.names[1]),
                f"{pair.seeds[0]}",
                anchor(evidence.id(pair.key, "test_error")) + signed(pair.difference),
                low_to_high(contrast([own, other], [-1, 1]).interval()),
                low_to_high(pair.interval),
                f"{pair.first.only_first}",
                f"{pair.first.only_second}",
                p_words(pair.first.p_mid),
            )
        )
    return Table(VARIANTS, rows, text=2, note=OVER_SEEDS + _image_by_image("recipes", pairs)) if rows else None


def _own(row: pd.Series[Any], other: str) -> str:
    """What the net's own recipe has where the other differs: `fp32`, `batch norm over 64`."""
    names = [part.partition("=")[0] if "=" in part else "precision" for part in other.split("+")[1:]]
    parts = (f"{name}={str(row[name]).replace(' ', '_')}" if name != "precision" else row[name] for name in names)
    return ", ".join(map(difference, parts))


def variant_findings(evidence: Evidence) -> list[str]:
    """What another recipe changes of a net, in words."""
    done, lines = evidence.results.done, []
    for pair in (pair for pair in evidence.pairs if pair.variant):
        runs = done[done["id"].isin(pair.runs)]
        own, other = (runs.loc[runs["net"] == name, "test_error"].mean() for name in pair.names)
        lines.append(
            f"{display_name(pair.names[1])}: the test error is {change(other - own, 2, ' points')} "
            f"{'than' if round(abs(other - own), 2) else 'as'} by its own recipe ({other:.2f} % against {own:.2f} %); "
            f"n = {pair.seeds[0]} of each."
        )
    return lines
