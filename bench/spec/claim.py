"""Claim: one statement that the numbers of a sweep can decide, declared before its runs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

from pydantic import NonNegativeFloat

from bench.spec.declare import AS_WRITTEN, declaration, one_of
from bench.spec.net import Net
from bench.spec.words import METRICS, counted, require

LEVEL = 0.05  # of all verdicts of one sweep at one scale together: bench/report/claims.py says how it is held
PROCEDURE = 1  # version of the rules in bench/report/claims.py: raised by whatever could change a verdict

CLAIM_NETS = {  # the fewest and the most nets of a claim, by its kind
    "equals": (1, 1),
    "exceeds": (1, 1),
    "worse with depth": (2, 99),
    "better with depth": (2, 99),
    "not worse with depth": (2, 99),
    "residual beats plain": (2, 2),
    "second beats first": (2, 2),
    "interaction": (4, 4),
    "unchanged": (1, 1),
}
WITH_PLAIN = {"residual beats plain": (True, False), "interaction": (True, True, False, False)}  # its nets in order
ROLES = {
    "residual beats plain": "a plain and then a residual net",
    "interaction": "two plain and then two residual nets",
}
WITH_MARGIN = ("equals", "unchanged", "not worse with depth")  # no seeds prove that two numbers are equal


@declaration
class Claim:
    """One statement, most often the paper's, that a sweep can decide, written down before its runs with its tolerance.

    kind, with what `nets` then are, and what is claimed of their mean `metric` (percent) over the seeds:
        "equals": one net; it lies within `margin` points of the paper's number
        "exceeds": one net; it is above the paper's number by more than `margin`
        "worse with depth": shallow to deep; each net is worse than the one before it by more than `margin`
        "better with depth": shallow to deep; each net is better than the one before it by more than `margin`
        "not worse with depth": shallow to deep; each net is worse than the one before it by less than `margin`
        "residual beats plain": the plain and the residual net; the second is better by more than `margin`
        "second beats first": two nets that differ in another way; the second is better by more than `margin`
        "interaction": plain shallow, plain deep, residual shallow, residual deep; depth costs the plain net
            more points than the residual one, by more than `margin`
        "unchanged": one net; by the recipe of `variant` it is within `margin` points of what it has by its own
    number: the id in bench/paper.yaml of the number that "equals" and "exceeds" compare with.
    """

    id: str
    text: str
    source: str
    kind: Annotated[str, one_of(*CLAIM_NETS)]
    nets: tuple[Net, ...]
    metric: Annotated[str, one_of(*METRICS)] = "test_error"
    margin: Annotated[NonNegativeFloat, AS_WRITTEN] = 0.0
    number: str = ""
    variant: str = ""

    def __post_init__(self) -> None:
        fewest, most = CLAIM_NETS.get(self.kind, (0, 99))
        plain = WITH_PLAIN.get(self.kind)
        require(
            f"claim {self.id!r}",
            (bool(re.fullmatch(r"[A-Za-z0-9_=+-]+", self.id)), "its id must be of letters, digits, -, _, = and +"),
            (
                fewest <= len(self.nets) <= most,
                f"{self.kind!r} needs {counted(fewest, 'net')}{' or more' * (most > fewest)}, got {len(self.nets)}",
            ),
            (len(set(self.nets)) == len(self.nets), "its nets must be different ones"),
            (
                plain is None or len(plain) != len(self.nets) or plain == tuple(net.plain for net in self.nets),
                f"{self.kind!r} needs {ROLES.get(self.kind)}, got {', '.join(net.name for net in self.nets)}",
            ),
            (
                self.kind not in WITH_MARGIN or self.margin > 0,
                f"no seeds prove two numbers equal: {self.kind!r} needs a margin above 0",
            ),
            (
                bool(self.variant) == (self.kind == "unchanged"),
                f'{self.kind!r} {"has no" if self.variant else "needs a"} variant, such as "bf16"',
            ),
            (
                bool(self.number) == (self.kind in ("equals", "exceeds")),
                f"{self.kind!r} {'names no' if self.number else 'needs the id of a'} number of the paper",
            ),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names in tables and ids of what the claim compares."""
        nets = tuple(net.name for net in self.nets)
        return (*nets, f"{nets[0]}+{self.variant}") if self.variant else nets

    @property
    def paired(self) -> bool:
        """Whether its two sides share seeds, so that they are compared seed by seed: two recipes of one net."""
        return bool(self.variant)

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """What the claim says in numbers: every one of these must hold."""
        return tuple(_comparisons(self.kind, self.names, self.margin))

    def declared(self, seeds: Mapping[str, Sequence[int]]) -> dict[str, Any]:
        """What decides the claim, without its prose, as plain JSON values.

        seeds: the planned ones, by name of a net.
        """
        return {
            "id": self.id,
            "metric": self.metric,
            "number": self.number,
            "paired": self.paired,
            "comparisons": [one.declared() for one in self.comparisons],
            "seeds": {name: list(seeds[name]) for name in self.names},
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """A weighted sum of means (minus the paper's number, where the claim names one) lies between `low` and `high`.

    weights: a net's name in tables and ids, and its weight. label: the sum in words, each `{name}` a net's.
    """

    weights: Mapping[str, int]
    label: str
    low: float
    high: float = math.inf

    def declared(self) -> dict[str, Any]:
        """As plain JSON values; a bound that is infinite is None."""
        low, high = (bound if math.isfinite(bound) else None for bound in (self.low, self.high))
        return {"weights": dict(self.weights), "low": low, "high": high}


def _difference(more: str, less: str, low: float, high: float = math.inf) -> Comparison:
    return Comparison({more: 1, less: -1}, f"{{{more}}} − {{{less}}}", low, high)


def _comparisons(kind: str, names: tuple[str, ...], margin: float) -> Iterator[Comparison]:
    if kind == "equals":
        yield Comparison({names[0]: 1}, f"{{{names[0]}}} − paper's", -margin, margin)
    elif kind == "exceeds":
        yield Comparison({names[0]: 1}, f"{{{names[0]}}} − paper's", margin)
    elif kind == "unchanged":
        yield _difference(names[1], names[0], -margin, margin)
    elif kind == "interaction":
        plain, plain_deep, residual, residual_deep = names
        weights = {plain: -1, plain_deep: 1, residual: 1, residual_deep: -1}
        label = f"({{{plain_deep}}} − {{{plain}}}) − ({{{residual_deep}}} − {{{residual}}})"
        yield Comparison(weights, label, margin)
    else:
        for one, other in pairwise(names):
            if kind == "worse with depth":
                yield _difference(other, one, margin)
            else:
                yield _difference(one, other, -margin if kind == "not worse with depth" else margin)
