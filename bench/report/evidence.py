"""What the results of one sweep at one scale come to: computed once, then printed in many forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.report import frame
from bench.report.claims import Judged, judge_set
from bench.report.frame import Set, page_names
from bench.report.resampling import SEED, paired_bootstrap
from bench.report.stats import Interval, McNemar, mcnemar
from bench.spec import Sweep, task_of


@dataclass(frozen=True, slots=True)
class Pair:
    """Two nets, or a net by two recipes, on the same test images: the second minus the first.

    key: for the number's id. names: the first's and the second's, as in ids. depth: of the second. seeds: of each.
    difference: in points of test error. interval: bootstrap over images and seeds.
    first: McNemar's test of the first seed of each. runs: of both.
    """

    key: str
    names: tuple[str, str]
    depth: int
    seeds: tuple[int, int]
    difference: float
    interval: Interval
    first: McNemar
    runs: tuple[str, ...]

    @property
    def variant(self) -> bool:
        """Whether they are one net by two recipes."""
        return "+" in self.names[1]


def compare(results: Set, first: str, second: str, key: str) -> Pair | None:
    """Two nets over all seeds that each has, two recipes of a net over those that both have.

    None if no images are stored of one of them, or not equally many.
    """
    done = results.done
    by_net = [done[done["net"] == name] for name in (first, second)]
    both = set(by_net[0]["seed"]) & set(by_net[1]["seed"]) if "+" in second else None
    a, b = (results.correct_images(name, both) for name in (first, second))
    if a is None or b is None or a.shape[1] != b.shape[1]:
        return None
    depth, ours = int(by_net[1]["depth"].iloc[0]), done[done["net"].isin([first, second])]
    return Pair(
        key=key,
        names=(first, second),
        depth=depth,
        seeds=(len(a), len(b)),
        difference=100 * float(a.mean() - b.mean()),
        interval=paired_bootstrap(a, b, np.random.default_rng([SEED, depth])),
        first=mcnemar(a[0], b[0]),
        runs=tuple(ours.loc[ours["seed"].isin(both) if both else ours["net"].notna(), "id"]),
    )


def pairs(results: Set) -> tuple[Pair, ...]:
    """Each depth's plain net with its residual net, of option A if there is one; then each net with its variants."""
    done = results.done
    found = []
    for depth in map(int, sorted(done["depth"].unique())):
        residual = [name for option in "ABC" if (name := f"resnet-{depth}-{option}") in set(done["net"])]
        found += [compare(results, f"plain-{depth}", name, f"pair-{depth}") for name in residual[:1]]
    for name in map(str, done.loc[done["variant"] != "", "net"].drop_duplicates()):
        found.append(compare(results, name.partition("+")[0], name, f"pair-{name}"))
    return tuple(pair for pair in found if pair)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The results of one set with their verdicts (in the order of the sweep's claims) and pairs of nets.

    page: the file of its page in the sweep's folder of reports. scales: those with a page of their own.
    """

    name: str
    sweep: Sweep
    results: Set
    page: str
    judged: tuple[Judged, ...]
    pairs: tuple[Pair, ...]
    scales: tuple[str, ...] = ()

    @property
    def of_paper(self) -> bool:
        """Whether tables are called as the paper's are: in this suite's sweeps, at its schedule, on its data."""
        return self.results.comparable and not self.results.authorship.own

    @property
    def describes(self) -> bool:
        """Whether nothing is tested: at scale quick, whose recipe was tuned on what it shows, and on a stand-in."""
        return self.results.scale == "quick" or self.results.dataset.made_up

    def named(self, words: str, table: str) -> str:
        """A heading: `10 crops (Table 3)`, where tables are not called as the paper's `10 crops`."""
        return f"{words} ({table})" if self.of_paper and table else words

    def id(self, *parts: str) -> str:
        """The id of a number of this set: `plain_vs_residual.paper.resnet-110-A.test_error`."""
        return ".".join((self.name, self.results.label, *parts))


def load_sets(results: Path, sweep: Sweep) -> list[Set]:
    """Every set in a sweep's results: those with a verdict first, then by scale. Raises StoreError."""
    sets = frame.load(results, sweep)
    return sorted(sets, key=lambda one: not any(judged.decided for judged in judge_set(sweep, one)))


def weigh(name: str, sweep: Sweep, sets: Sequence[Set]) -> tuple[Evidence, ...]:
    """The evidence of each set of the sweep."""
    pages, scales = page_names(sets), tuple(one.scale for one in sets)
    compared = task_of(sweep.task).only_trains
    return tuple(
        Evidence(
            name, sweep, one, pages[one.scale, one.data], judge_set(sweep, one), pairs(one) if compared else (), scales
        )
        for one in sets
    )
