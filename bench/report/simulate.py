"""The procedure of bench/report/claims.py on made-up sweeps whose truth is known: how often it errs, what it can see.

Every sweep is drawn anew: the declared nets, planned seeds and claims, means that make the claims true, and one
comparison at a time moved exactly onto its bound, where a verdict in either direction is wrong. Standard deviations of
the nets are unequal. The verdicts are those of `judge`, the function that judges the committed results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.random import Generator

from bench.paper import paper_numbers, paper_value
from bench.report import claims
from bench.report.calibration import SEED, images_table, seeds_table
from bench.report.claims import NOT_REPRODUCED, REPRODUCED, Seeds, judge
from bench.report.stats import POWER, Region, detectable, power, total
from bench.report.tables import Table
from bench.spec import LEVEL, Claim, Comparison, Sweep

FAR = 1_000.0  # points between nets where a claim is to be true beyond doubt
TAIL = 1.645  # one-sided 95 % of a share of draws

Means = Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class Plan:
    """What a sweep judges at one scale. spread: the least and the largest standard deviation over seeds, in points."""

    sweep: Sweep
    scale: str
    spread: tuple[float, float]

    @cached_property
    def judged(self) -> tuple[Claim, ...]:
        """The judged claims."""
        return self.sweep.judged_at(self.scale)

    @cached_property
    def planned(self) -> dict[str, tuple[int, ...]]:
        """The planned seeds by name of a net."""
        return self.sweep.scales[self.scale].planned

    @cached_property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """The nets and metrics that the claims are about."""
        return tuple(dict.fromkeys((name, claim.metric) for claim in self.judged for name in claim.names))


def effect_of(claim: Claim, one: Comparison, means: Means) -> float:
    """The true effect of a comparison, in points."""
    against = paper_value(paper_numbers()[claim.number]) if claim.number else 0.0
    return total(weight * means[name, claim.metric] for name, weight in one.weights.items()) - against


def true_means(plan: Plan) -> dict[tuple[str, str], float]:
    """Means far apart: plain nets rise with depth from far above the residual ones, which fall, but for what is equal.

    A net that a claim holds against the paper's number has that number, and so lies near others; a net by another
    recipe has its own's.
    """
    published = {
        (claim.names[0], claim.metric): paper_value(paper_numbers()[claim.number])
        for claim in plan.judged
        if claim.kind == "equals"
    }
    places = {name: FAR * place for place, name in enumerate(plan.planned) if "+" not in name}

    def mean(name: str) -> float:
        return 2 * FAR * len(places) + places[name] if name.startswith("plain") else -places[name]

    return {(name, m): published.get((name, m), mean(name.partition("+")[0])) for name, m in plan.keys}


def on_the_bounds(plan: Plan) -> Iterator[tuple[str, Means]]:
    """All nets alike; then each comparison of each claim exactly on each of its bounds, other nets apart."""
    yield "all nets alike", dict.fromkeys(plan.keys, 50.0)
    far = true_means(plan)
    for claim in plan.judged:
        for number, one in enumerate(claim.comparisons, 1):
            for bound in filter(math.isfinite, (one.low, one.high)):
                (name, weight), step = next(iter(one.weights.items())), f" ({number})" * (len(claim.comparisons) > 1)
                shift = (bound - effect_of(claim, one, far)) / weight
                yield f"{claim.id}{step} at {bound:+g}", {**far, (name, claim.metric): far[name, claim.metric] + shift}


def wrong(claim: Claim, means: Means) -> tuple[str, ...]:
    """The verdicts that are wrong of a claim: on a bound both are."""
    effects = [(effect_of(claim, one, means), one) for one in claim.comparisons]
    inside = min(min(effect - one.low, one.high - effect) for effect, one in effects)
    return (REPRODUCED, NOT_REPRODUCED) if abs(inside) < 1e-9 else (NOT_REPRODUCED,) if inside > 0 else (REPRODUCED,)


Spreads = Callable[[Plan, Generator], dict[str, float]]


def _drawn(plan: Plan, rng: Generator) -> dict[str, float]:
    low, high = np.log(plan.spread)
    return {name: float(np.exp(rng.uniform(low, high))) for name in plan.planned}


SPREADS: Mapping[str, Spreads] = {
    "drawn for each net and sweep": _drawn,
    "rising from the first net to the last": lambda plan, _: dict(
        zip(plan.planned, np.geomspace(*plan.spread, len(plan.planned)), strict=True)
    ),
    "least and largest in turn": lambda plan, _: {n: plan.spread[k % 2] for k, n in enumerate(plan.planned)},
}


def draw(plan: Plan, means: Means, spreads: Mapping[str, float], rng: Generator, *, humps: bool = False) -> Seeds:
    """One sweep: each net's planned seeds, normal about its mean; with `humps` three in ten lie apart from the rest."""
    found = {}
    for name, metric in plan.keys:
        seeds = plan.planned[name]
        noise = rng.normal(size=len(seeds))
        if humps:
            noise = ((rng.random(len(seeds)) < 0.3) - 0.3) / math.sqrt(0.21) + 0.05 * noise
        found[name, metric] = dict(zip(seeds, means[name, metric] + spreads[name] * noise, strict=True))
    return found


def share_wrong(
    plan: Plan, means: Means, spreads: Spreads, draws: int, rng: Generator, *, humps: bool = False, floor: float = 0.0
) -> float:
    """The share of sweeps, in percent, with any wrong verdict in either direction. floor: of each net's spread."""
    errors = {claim: wrong(claim, means) for claim in plan.judged}
    count = 0
    for _ in range(draws):
        seeds = draw(plan, means, spreads(plan, rng), rng, humps=humps)
        judged = judge(plan.judged, plan.judged, seeds, plan.planned, lambda *_: floor)
        count += any(one.verdict in errors[one.claim] for one in judged)
    return 100 * count / draws


def errors_table(plan: Plan, draws: int) -> Table:
    """A row a truth; the share of sweeps with any wrong verdict, by how the spreads are unequal."""
    rng = np.random.default_rng(SEED)
    rows = [
        (words, *(f"{share_wrong(plan, means, spreads, draws, rng):.1f}" for spreads in SPREADS.values()))
        for words, means in on_the_bounds(plan)
    ]
    alike = dict.fromkeys(plan.keys, 50.0)
    humps = share_wrong(plan, alike, _drawn, draws, rng, humps=True)
    floor = math.sqrt(math.prod(plan.spread))  # below which half of the drawn spreads are
    floored = share_wrong(plan, alike, _drawn, draws, rng, floor=floor)
    sampling = TAIL * math.sqrt(100 * LEVEL * (100 - 100 * LEVEL) / draws)
    return Table(
        ("the truth", *(f"spreads {words}" for words in SPREADS)),
        rows,
        note=ERRORS.format(
            draws=draws,
            low=plan.spread[0],
            high=plan.spread[1],
            sampling=sampling,
            humps=humps,
            floor=floor,
            floored=floored,
        ),
    )


ERRORS = (
    "Share of made-up sweeps, in percent, with any wrong verdict in either direction; allowed are 5. Of each row "
    "{draws:,} sweeps a column, so that a true 5.0 shows as up to {sampling:.1f} more in one cell of twenty. Standard "
    "deviations lie between {low:g} and {high:g} points. On a bound both verdicts count as wrong. The seeds are drawn "
    "from normal distributions. With spreads taken to be at least {floor:.2g} points (rule 4), drawn for each net, all "
    "nets alike, {floored:.1f} % of sweeps have a wrong verdict. Where seeds are not normal, nothing is promised: with "
    "three seeds in ten a jump away from the others, all nets alike, {humps:.1f} % of sweeps have a wrong verdict. A "
    "net whose seeds lie in two heaps must be looked at."
)


def power_table(plan: Plan) -> Table:
    """A row a claim: what its planned seeds can show, from the largest spread to the least."""
    rows = [(claim.id, *_terms(plan, claim), *_power(plan, claim)) for claim in plan.judged]
    low, high = plan.spread
    return Table(HEADER, rows, text=4, note=POWERS.format(low=low, high=high, power=POWER, level=LEVEL))


HEADER = (
    "claim", "metric", "what is compared", "lies", "planned seeds", "shown with power 0.8", "power if nothing differs",
)  # fmt: skip
POWERS = (
    "Ranges go from a standard deviation over seeds of {low:g} points and the last step of Holm's procedure (p ≤ "
    "{level:g}/2) to {high:g} points and its first (shared among all judged claims). Shown with power {power:g}: how "
    "far beyond its bound an effect must lie, in points; of several comparisons the hardest one. Where a claim says "
    "that nothing differs by more than a margin, its power is given for a true difference of 0. Recipes compared seed "
    "by seed are taken to be independent: sharing seeds can only help."
)


def _terms(plan: Plan, claim: Claim) -> tuple[str, str, str, str]:
    regions = dict.fromkeys((one.low, one.high) for one in claim.comparisons)
    bounds = ", ".join(f"above {low:g}" if math.isinf(high) else f"{low:g} to {high:g}" for low, high in regions)
    compared = "; ".join(one.label.replace("{", "").replace("}", "") for one in claim.comparisons)
    ns = ", ".join(str(len(plan.planned[name])) for name in claim.names)
    return claim.metric, compared, bounds, ns


def _power(plan: Plan, claim: Claim) -> tuple[str, str]:
    """What is shown with power 0.8, or the power at no difference, at both ends of the spreads and of Holm's levels."""
    margin = all(one.low < 0 for one in claim.comparisons)
    found = []
    for std, level in zip(plan.spread, (LEVEL / 2, LEVEL / 2 / len(plan.judged)), strict=True):
        each = []
        for one in claim.comparisons:
            region, ns = Region(one.low, one.high), [len(plan.planned[name]) for name in one.weights]
            variances = [(w * std) ** 2 for w in one.weights.values()]
            if claim.paired:
                variances, ns = [total(variances)], ns[:1]
            shown = power(0.0, region, level, variances, ns) if margin else detectable(region, level, variances, ns)
            each.append(shown)
        found.append(min(each) if margin else max(each))
    return ("–", f"{found[1]:.2f} to {found[0]:.2f}") if margin else (f"{found[0]:.2g} to {found[1]:.2g}", "–")


def procedure_page(name: str, plan: Plan, draws: int) -> str:
    """The page of one scale: the rules, how often they err on made-up sweeps, their power; how good intervals are."""
    errors, powers = errors_table(plan, draws), power_table(plan)
    over_seeds, over_images = seeds_table(10 * draws), images_table(draws)
    low, high = plan.spread
    command = f"python -m bench simulate {name} --scale {plan.scale} --spread {low:g} {high:g} --draws {draws}"
    sections = [
        f"# How the claims of {name} are judged at scale {plan.scale}",
        str(claims.__doc__).strip(),
        f"Digest of the declaration: `{plan.sweep.claims_digest(plan.scale)}`.",
        "## How often the procedure errs",
        errors.markdown(),
        errors.note,
        "## What the planned seeds can show",
        powers.markdown(),
        powers.note,
        "## How often the intervals hold the truth",
        over_seeds.markdown(),
        over_seeds.note,
        over_images.markdown(),
        over_images.note,
        f"Command: `{command}`",
    ]
    return "\n\n".join(sections) + "\n"
