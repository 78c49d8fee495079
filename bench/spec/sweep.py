"""Sweep: one claim of the paper as a value; the Scales at which it runs, its Claims and Ensembles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from bench.spec.net import Net
from bench.spec.recipe import Recipe, variant
from bench.spec.run import Resources, Run
from bench.spec.words import KINDS, METRICS, SCALES, TASKS, SpecError, require

CLAIM_NETS = {  # the fewest and the most nets of a claim, by its kind
    "equals": (1, 1),
    "exceeds": (1, 1),
    "worse with depth": (2, 99),
    "better with depth": (2, 99),
    "residual beats plain": (2, 2),
    "interaction": (4, 4),
    "unchanged": (1, 1),
}


@dataclass(frozen=True, slots=True)
class Scale:
    """The cells of a sweep at one scale: each net with its recipe, and the seeds of each.

    cells: a net may be there by several recipes; the first is its own, the others are variants, named by what differs.
    deviations: where this scale differs from the paper beyond the sweep's own deviations.
    classes: of ImageNet the first so many; 0 for all.
    about: what the scale is, in words, where it is not what such a scale is in general.
    resources: of its runs, and data: what they are trained on, where they are not the sweep's.
    """

    cells: tuple[tuple[Net, Recipe], ...]
    seeds: tuple[int, ...]
    deviations: tuple[str, ...] = ()
    classes: int = 0
    about: str = ""
    resources: Resources | None = None
    data: str = ""

    def __post_init__(self) -> None:
        pairs = all(isinstance(c, tuple) and [type(x) for x in c] == [Net, Recipe] for c in self.cells)
        require(
            "scale",
            (bool(self.cells) and pairs, "cells must be pairs (Net, Recipe), at least one"),
            (len(set(self.cells)) == len(self.cells), "a cell is there twice"),
            (not self.data or self.data in KINDS, f"data {self.data!r} is not one of: {', '.join(KINDS)}"),
            (bool(self.seeds) and len(set(self.seeds)) == len(self.seeds), f"seeds {self.seeds} must be distinct"),
        )
        names = self.names
        twice = sorted({name for name in names if names.count(name) > 1})
        require("scale", (not twice, f"two nets are both named {', '.join(twice)}: give each a sweep of its own"))

    def name_of(self, run: Run) -> str:
        """The name in tables and ids of the run's cell: its net's, with the variant: `resnet-20-A+bf16`."""
        return _names(self.cells)[run.net, run.recipe]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all cells in their order."""
        return tuple(_names(self.cells).values())


@cache
def _names(cells: tuple[tuple[Net, Recipe], ...]) -> Mapping[tuple[Net, Recipe], str]:
    first = dict(reversed(cells))  # of each net the first
    return {(n, r): "+".join(filter(None, (n.name, variant(r, first[n])))) for n, r in cells}


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement, most often the paper's, that a sweep can decide, written down before its runs with its tolerance.

    kind, with what `nets` then are, and what is claimed of their mean `metric` (percent) over the seeds:
        "equals": one net; it lies within `margin` points of the paper's number
        "exceeds": one net; it is above the paper's number by more than `margin`
        "worse with depth": shallow to deep; each net is worse than the one before it by more than `margin`
        "better with depth": shallow to deep; each net is better than the one before it by more than `margin`
        "residual beats plain": the plain and the residual net; the second is better by more than `margin`
        "interaction": plain shallow, plain deep, residual shallow, residual deep; depth costs the plain net
            more points than the residual one, by more than `margin`
        "unchanged": one net; by the recipe of `variant` it is within `margin` points of what it has by its own
    number: the id in bench/paper.yaml of the number that "equals" and "exceeds" compare with.
    """

    id: str
    text: str
    source: str
    kind: str
    nets: tuple[Net, ...]
    metric: str = "test_error"
    margin: float = 0.0
    number: str = ""
    variant: str = ""

    def __post_init__(self) -> None:
        fewest, most = CLAIM_NETS.get(self.kind, (0, 99))
        require(
            f"claim {self.id!r}",
            (self.kind in CLAIM_NETS, f"kind {self.kind!r} is not one of: {', '.join(CLAIM_NETS)}"),
            (self.metric in METRICS, f"metric {self.metric!r} is not one of: {', '.join(METRICS)}"),
            (fewest <= len(self.nets) <= most, f"{self.kind!r} is not about {len(self.nets)} nets"),
            (self.margin >= 0, f"margin must not be negative, got {self.margin}"),
            (
                self.kind not in ("equals", "unchanged") or self.margin > 0,
                "no seeds prove two numbers equal: give a margin",
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


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Nets whose scores at many scales are averaged, seed by seed, as in Table 5. id: its name in ids of numbers."""

    id: str
    text: str
    nets: tuple[Net, ...]

    def __post_init__(self) -> None:
        require(
            f"ensemble {self.id!r}",
            (bool(re.fullmatch(r"[a-z0-9-]+", self.id)), "its id must be of small letters, digits and -"),
            (len(set(self.nets)) == len(self.nets) > 1, f"needs two different nets or more, got {len(self.nets)}"),
        )


@dataclass(frozen=True, slots=True)
class Sweep:
    """One claim of the paper as a value: importing a sweep file does nothing but name it.

    title, question, claim: what the report says at its top; the claim is written before the runs.
    scales: what runs at "paper", "short" and "quick".
    deviations: where the suite knowingly differs from the paper, a sentence each.
    claims: the claim in parts that the numbers can decide, each of which gets a verdict.
    task: what its runs do, "classify", "diagnose", "evaluate", "verify" or "detect".
    data: what they are trained and tested on, "cifar10", "imagenet", "lfw-view1", "insightface", "bccd", "voc07",
    "voc07+12" or "coco14", where a scale does not say otherwise.
    ensembles: of its nets, tested at many scales (ImageNet).
    """

    title: str
    question: str
    claim: str
    scales: Mapping[str, Scale]
    deviations: tuple[str, ...] = ()
    resources: Resources = field(default=Resources())
    claims: tuple[Claim, ...] = ()
    task: str = "classify"
    data: str = "cifar10"
    ensembles: tuple[Ensemble, ...] = ()

    def __post_init__(self) -> None:
        ids = [claim.id for claim in self.claims]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        wrong = {n for n, s in self.scales.items() if n not in SCALES or not isinstance(s, Scale)}
        named = bool(self.scales) and not wrong
        require("sweep", (named, f"scales {wrong or '{}'} must map {', '.join(SCALES)} to a Scale"))
        run_here = {name for scale in self.scales.values() for name in scale.names}
        named_nets = {name for claim in self.claims for name in claim.names}
        named_nets |= {net.name for ensemble in self.ensembles for net in ensemble.nets}
        absent = sorted(named_nets - run_here)
        several = {name.partition("+")[0] for name in run_here if "+" in name}
        mixed = sorted({net.name for ensemble in self.ensembles for net in ensemble.nets} & several)
        require(
            f"sweep {self.title!r}",
            (self.task in TASKS, f"task {self.task!r} is not one of: {', '.join(TASKS)}"),
            (self.data in KINDS, f"data {self.data!r} is not one of: {', '.join(KINDS)}"),
            (not twice, f"two claims have the id {', '.join(twice)}"),
            (
                not absent,
                f"claims and ensembles are about nets that no scale runs: {', '.join(absent)}; "
                f"there are: {', '.join(sorted(run_here))}",
            ),
            (not mixed, f"an ensemble is of nets by one recipe each, and {', '.join(mixed)} is here by several"),
        )

    def at(self, scale: str) -> Scale:
        """What is declared at the scale. Raises SpecError naming the scales there are."""
        if scale not in self.scales:
            raise SpecError(f"scale {scale!r} is not one of this sweep's: {', '.join(self.scales)}")
        return self.scales[scale]

    def data_at(self, scale: str) -> str:
        """What the scale's runs are trained on, as it is declared. Raises SpecError."""
        return self.at(scale).data or self.data

    def runs(self, scale: str, seeds: Iterable[int] | None = None, data: str = "cifar10") -> tuple[Run, ...]:
        """All runs at `scale`, seed by seed, so that every cell has its first seed before any has its second."""
        at = self.at(scale)
        return tuple(
            Run(scale, net, data, recipe, seed, self.task, at.resources or self.resources)
            for seed in (at.seeds if seeds is None else tuple(seeds))
            for net, recipe in at.cells
        )
