"""The verdicts on the claims that a sweep wrote down before its runs.

Each claim puts an effect (a mean, a difference, a difference of differences over the seeds) inside a region. It is
reproduced where the test for "inside" rejects, not reproduced where the one for "outside" does, else undecided. Both
families of tests are corrected by Holm over all claims of the sweep, so that in at most 5 % of sweeps any claim at
all is wrongly called reproduced, and in at most 5 % any is wrongly called not reproduced.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from bench.paper import paper_numbers, paper_value
from bench.report.frame import Set, display_name
from bench.report.stats import Contrast, Region, Sample, contrast, holm, interaction, sample, seeds_until_decided
from bench.spec import METRICS, Claim

ALPHA = 0.05
REPRODUCED, NOT_REPRODUCED, UNDECIDED = "reproduced", "not reproduced", "undecided"
NOT_COMPARABLE = "not comparable"

Samples = Mapping[tuple[str, str], Sample]


@dataclass(frozen=True, slots=True)
class Link:
    """One comparison of a claim: an effect over the seeds that the claim puts inside the region."""

    label: str
    effect: Contrast
    region: Region


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim with what was measured of it. A claim of several links holds where every one of them does.

    p_for, p_against: Holm-corrected p-values for "it holds" and for "it does not".
    finding: the verdict on the runs at hand; `verdict` is the one on the paper.
    missing: nets of the claim without a number.
    """

    claim: Claim
    links: tuple[Link, ...]
    p_for: float
    p_against: float
    finding: str
    verdict: str
    missing: tuple[str, ...] = ()

    @property
    def ns(self) -> tuple[int, ...]:
        """How many seeds each sample of each link has."""
        return tuple(n for link in self.links for n in link.effect.ns)

    @property
    def testable(self) -> bool:
        """Whether every net has the two seeds that a test needs."""
        return bool(self.links) and not self.missing and all(link.effect.known for link in self.links)


def judge_set(claims: Sequence[Claim], results: Set) -> tuple[Judged, ...]:
    """The verdicts on the paper from the runs of one set; at another scale than the paper's, findings alone."""
    return judge(claims, samples_of(results.runs), comparable=results.comparable)


def samples_of(runs: pd.DataFrame) -> dict[tuple[str, str], Sample]:
    """A sample a net and metric; runs without a number count as missing."""
    runs = runs.reindex(columns=[*runs.columns, *(metric for metric in METRICS if metric not in runs)])
    numbers = runs.assign(**{metric: runs[metric].where(runs["state"] == "done") for metric in METRICS})
    return {(str(net), m): sample(part[m]) for net, part in numbers.groupby("net") for m in METRICS}


def judge(claims: Sequence[Claim], samples: Samples, *, comparable: bool = True) -> tuple[Judged, ...]:
    """The verdicts on `claims` from the samples by net and metric."""
    links = [links_of(claim, samples) for claim in claims]
    missing = [_missing(claim, samples) for claim in claims]
    p_for = holm([_p_all_inside(one) if not none else math.nan for one, none in zip(links, missing, strict=True)])
    p_against = holm([_p_any_outside(one) for one in links])
    judged = []
    for claim, one, none, yes, no in zip(claims, links, missing, p_for, p_against, strict=True):
        finding = REPRODUCED if yes < ALPHA else NOT_REPRODUCED if no < ALPHA else UNDECIDED
        verdict = finding if comparable else NOT_COMPARABLE
        judged.append(Judged(claim, one, yes, no, finding, verdict, none))
    return tuple(judged)


def _p_all_inside(links: Sequence[Link]) -> float:
    """An intersection-union test: all links at once are shown by the weakest of them, without a correction."""
    ps = [link.region.p_inside(link.effect) for link in links]
    return math.nan if not ps or any(map(math.isnan, ps)) else max(ps)


def _p_any_outside(links: Sequence[Link]) -> float:
    """One link outside refutes the claim; there are as many ways to err as links, hence Bonferroni."""
    ps = [p for p in (link.region.p_outside(link.effect) for link in links) if not math.isnan(p)]
    return min(1.0, len(links) * min(ps)) if ps else math.nan


def _missing(claim: Claim, samples: Samples) -> tuple[str, ...]:
    return tuple(name for name in claim.names if not _has_number(name, claim.metric, samples))


def _has_number(name: str, metric: str, samples: Samples) -> bool:
    return (name, metric) in samples and samples[name, metric].n > 0


def links_of(claim: Claim, samples: Samples) -> tuple[Link, ...]:
    """The comparisons that the claim is made of, as far as its nets have numbers; the claimed direction is positive.

    An order is seen, and can be refuted, on some of its nets; any other claim needs all of them.
    """
    names = [name for name in claim.names if _has_number(name, claim.metric, samples)]
    ordered = claim.kind.endswith("with depth")
    if not names or (len(names) < len(claim.names) and not ordered):
        return ()
    nets = [display_name(name) for name in names]
    return _LINKS[claim.kind](claim, nets, [samples[name, claim.metric] for name in names])


def _against_the_paper(claim: Claim, nets: Sequence[str], samples: Sequence[Sample]) -> tuple[Link, ...]:
    published = paper_value(paper_numbers()[claim.number])
    bounds = (-claim.margin, claim.margin) if claim.kind == "equals" else (claim.margin, math.inf)
    label = f"{nets[0]} − paper's {published:g}"
    return (Link(label, contrast(samples, [1], published), Region(*bounds)),)


def _with_depth(claim: Claim, nets: Sequence[str], samples: Sequence[Sample]) -> tuple[Link, ...]:
    worse = claim.kind.startswith("worse")
    links = []
    for (shallow, deep), pair in zip(pairwise(nets), pairwise(samples), strict=True):
        first, second = (deep, shallow) if worse else (shallow, deep)
        effect = contrast(pair, [-1, 1] if worse else [1, -1])
        links.append(Link(f"{first} − {second}", effect, Region(claim.margin)))
    return tuple(links)


def _residual(claim: Claim, nets: Sequence[str], samples: Sequence[Sample]) -> tuple[Link, ...]:
    effect = contrast(samples, [1, -1])
    return (Link(f"{nets[0]} − {nets[1]}", effect, Region(claim.margin)),)


def _variant(claim: Claim, nets: Sequence[str], samples: Sequence[Sample]) -> tuple[Link, ...]:
    effect = contrast(samples, [-1, 1])
    return (Link(f"{nets[1]} − {nets[0]}", effect, Region(-claim.margin, claim.margin)),)


def _interaction(claim: Claim, nets: Sequence[str], samples: Sequence[Sample]) -> tuple[Link, ...]:
    a, b, c, d = nets
    effect = interaction((samples[0], samples[1]), (samples[2], samples[3]))
    return (Link(f"({b} − {a}) − ({d} − {c})", effect, Region(claim.margin)),)


_LINKS: Mapping[str, Callable[[Claim, Sequence[str], Sequence[Sample]], tuple[Link, ...]]] = {
    "equals": _against_the_paper,
    "exceeds": _against_the_paper,
    "worse with depth": _with_depth,
    "better with depth": _with_depth,
    "residual beats plain": _residual,
    "interaction": _interaction,
    "unchanged": _variant,
}


def seeds_to_go(judged: Iterable[Judged]) -> dict[str, int | None]:
    """By id of each undecided claim, how many more seeds a net would decide it; None where that is unknown or no use.

    As if what was observed were the truth. The level is Holm's next one: shared among the claims that are still open.
    """
    undecided = [j for j in judged if j.finding == UNDECIDED]
    return {j.claim.id: _to_go(j.links, ALPHA / len(undecided)) for j in undecided}


def _to_go(links: Sequence[Link], alpha: float) -> int | None:
    if not links:
        return None
    outside = [link for link in links if not link.region.holds(link.effect.effect)]
    level = alpha / len(links) if outside else alpha
    needed = [seeds_until_decided(link.effect, link.region, level) for link in outside or links]
    known = [n for n in needed if n is not None]
    if not known or (len(known) < len(needed) and not outside):
        return None
    total = min(known) if outside else max(known)
    return max(1, total - min(n for link in links for n in link.effect.ns))
