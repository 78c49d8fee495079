"""By how much a net's accuracy lies above another's, above its own before training and above the pixels'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd

from bench.report.evidence import Evidence, compare
from bench.report.frame import Set, display_name, own_recipes
from bench.report.numbers import Number, of_starts
from bench.report.sections import over
from bench.report.stats import Interval, contrast, paired_images, sample, within

PAIRS = "pairs only"  # what an interval covers: other pairs, the trained nets as they are
BASELINES = {"untrained": "its untrained net", "pixels": "the pixels"}


@dataclass(frozen=True, slots=True)
class Gain:
    """What `net` has over `other`, both in words, in points of accuracy. accuracies, seeds: of the two.

    depth: of a residual net over a plain one; 0 of others.
    """

    net: str
    other: str
    number: Number
    accuracies: tuple[float, float]
    seeds: tuple[int, int]
    depth: int = 0

    @property
    def words(self) -> str:
        """`+11.30 points of accuracy (95 %: +8.32 to +14.24 over pairs only)`."""
        return f"{self.number.printed()} points of accuracy ({over(self.number)})"


def hardly_learnt(results: Set) -> tuple[pd.Series[float], pd.Series[float]]:
    """Training errors by net, means over seeds: of nets that err on more than half of what a guess does; of others."""
    of_guess = 100 * (1 - 1 / results.done["people"].astype(float))
    by_net = results.done.assign(of_guess=of_guess).groupby("net", sort=False)[["train_error", "of_guess"]].mean()
    errors, much = by_net["train_error"], by_net["train_error"] > by_net["of_guess"] / 2
    return errors[much], errors[~much].dropna()


def over_pairs(interval: Interval) -> Interval:
    """An interval over images, which are pairs of them here."""
    return replace(interval, covers=PAIRS)


def between_nets(evidence: Evidence) -> Iterator[Gain]:
    """Residual over plain at one depth, transferred over from scratch."""
    done = own_recipes(evidence.results.done)
    accuracies = 100 - done.groupby("net", sort=False)["test_error"].mean()
    for net in map(str, accuracies.index):
        scratch, _, transferred = net.partition("-run.")
        depth = 0 if transferred or not net.startswith("resnet-") else int(net.split("-")[1])
        other = f"plain-{depth}" if depth else scratch if transferred else ""
        # the other's error minus this one's: this one's accuracy minus the other's
        pair = compare(evidence.results, evidence.floor, net, other, "") if other in accuracies else None
        if pair:
            names = display_name(net), display_name(other) + " from scratch" * bool(transferred)
            number = Number(
                id=evidence.id(f"gain-{other}-{net}"),
                what=f"{' over '.join(names)}, pairs judged right, ten folds, difference on the same pairs",
                value=pair.difference,
                n=min(pair.seeds),
                ns=pair.seeds,
                over_seeds=of_starts(evidence, pair.over_seeds, pair.runs),
                over_images=over_pairs(pair.over_images),
                runs=pair.runs,
            )
            yield Gain(*names, number, (float(accuracies[net]), float(accuracies[other])), pair.seeds, depth)


def over_baselines(evidence: Evidence) -> Iterator[Gain]:
    """Each net over itself before its training and over the pixels, seed by seed."""
    results = evidence.results
    for name, runs in results.done.groupby("net", sort=False):
        net = str(name)
        for baseline, words in BASELINES.items():
            ours, theirs = (100 - runs[metric] for metric in ("test_error", f"{baseline}_error"))
            gained = sample(ours - theirs)
            right, before = (results.correct_images(net, metric=m) for m in ("test_error", f"{baseline}_error"))
            over_seeds = contrast([gained.at_least(evidence.floor((net,), "test_error"))], [1]).interval()
            over_seeds = of_starts(evidence, within(over_seeds, -100.0, 100.0), tuple(runs["id"]))
            number = Number(
                id=evidence.id(net, f"gain_{baseline}"),
                what=f"{display_name(net)} over {words}, pairs judged right, ten folds, difference on the same pairs",
                value=gained.mean,
                n=gained.n,
                over_seeds=over_seeds,
                over_images=None if right is None or before is None else over_pairs(paired_images(right, before)),
                runs=tuple(runs["id"]),
            )
            yield Gain(display_name(net), words, number, (ours.mean(), theirs.mean()), (gained.n, gained.n))
