"""Claim: one statement that the numbers of a sweep can decide, declared before its runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat

from bench.spec.declare import AS_WRITTEN, Text, declaration, one_of, spelled
from bench.spec.net import Net
from bench.spec.words import METRICS, counted, require

LEVEL = 0.05  # of all verdicts of one sweep at one scale together: bench/report/claims.py says how it is held
PROCEDURE = 1  # version of the rules in bench/report/claims.py: raised by whatever could change a verdict

CLAIM_NETS = {  # the fewest and the most nets of a claim, by its kind, and how they are written
    "equals": (1, 1, "(NET,)"),
    "exceeds": (1, 1, "(NET,)"),
    "worse with depth": (2, 99, "(SHALLOW, DEEP)"),
    "better with depth": (2, 99, "(SHALLOW, DEEP)"),
    "not worse with depth": (2, 99, "(SHALLOW, DEEP)"),
    "residual beats plain": (2, 2, "(PLAIN, RESIDUAL)"),
    "second beats first": (2, 2, "(FIRST, SECOND)"),
    "interaction": (4, 4, "(PLAIN_SHALLOW, PLAIN_DEEP, RESIDUAL_SHALLOW, RESIDUAL_DEEP)"),
    "depth costs first more": (4, 4, "(FIRST_SHALLOW, FIRST_DEEP, SECOND_SHALLOW, SECOND_DEEP)"),
    "unchanged": (1, 1, "(NET,)"),
}
WITH_PLAIN = {"residual beats plain": (True, False), "interaction": (True, True, False, False)}  # its nets in order
Id = Annotated[str, spelled(r"[A-Za-z0-9_=+-]+", "must be of letters, digits, -, _, = and +")]
Nets = Annotated[tuple[Net, ...], Field(examples=['(Net("cifar", 20, "none"), Net("cifar", 20, "A"))'])]
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
        "depth costs first more": the same of any two kinds of nets: first shallow, first deep, second shallow, second
            deep
        "unchanged": one net; by the recipe of `variant` it is within `margin` points of what it has by its own
    number: the id in bench/paper.yaml of the number that "equals" and "exceeds" compare with.
    """

    id: Annotated[Id, Field(examples=['"residual-wins"'])]
    text: Annotated[Text, Field(examples=['"ResNet-20 has the lower error."'])]
    source: Annotated[str, Field(examples=['"Table 6"'])]
    kind: Annotated[str, one_of(*CLAIM_NETS), Field(examples=['"residual beats plain"'])]
    nets: Nets
    metric: Annotated[str, one_of(*METRICS)] = "test_error"
    margin: Annotated[NonNegativeFloat, AS_WRITTEN, Field(examples=["0.5"])] = 0.0
    number: Annotated[str, Field(examples=['"t6.resnet-20.error"'])] = ""
    variant: Annotated[str, Field(examples=['"bf16"'])] = ""

    def __post_init__(self) -> None:
        fewest, most, written = CLAIM_NETS.get(self.kind, (0, 99, ""))
        plain, names = WITH_PLAIN.get(self.kind), ", ".join(net.name for net in self.nets)
        require(
            f"claim {self.id!r}",
            (
                fewest <= len(self.nets) <= most,
                f"{self.kind!r} needs {counted(fewest, 'net')}{' or more' * (most > fewest)}, got {len(self.nets)}: "
                f"write nets={written}",
            ),
            (len(set(self.nets)) == len(self.nets), f"its nets must be different, got {names}"),
            (
                plain is None or len(plain) != len(self.nets) or plain == tuple(net.plain for net in self.nets),
                f"{self.kind!r} compares plain with residual nets, got {names}: write nets={written}",
            ),
            (
                self.kind not in WITH_MARGIN or self.margin > 0,
                f"no seeds prove two numbers equal: {self.kind!r} needs a margin above 0, such as margin=0.5",
            ),
            (
                bool(self.variant) == (self.kind == "unchanged"),
                f'{self.kind!r} has no variant: leave it out, or write kind="unchanged"'
                if self.variant
                else f'{self.kind!r} needs a variant, such as variant="bf16"',
            ),
            (
                bool(self.number) == (self.kind in ("equals", "exceeds")),
                f'{self.kind!r} names no number of the paper: leave it out, or write kind="equals"'
                if self.number
                else f'{self.kind!r} needs the id of a number of the paper, such as number="t6.resnet-20.error"',
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
    elif kind in ("interaction", "depth costs first more"):
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
