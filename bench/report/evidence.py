"""What the results of one sweep at one scale come to: computed once, then printed in many forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.report import frame
from bench.report.claims import Floor, Judged, floor_of, judge_set
from bench.report.frame import Set, page_names
from bench.report.stats import Contrast, Interval, McNemar, contrast, mcnemar, paired_images, sample, within
from bench.spec import Sweep


@dataclass(frozen=True, slots=True)
class Pair:
    """Two nets, or a net by two recipes, on the same test images: the second minus the first.

    key: for the number's id. names: the first's and the second's, as in ids. depth: of the second. seeds: of each.
    difference: in points of test error. over_seeds: Welch's interval, of two recipes of one net Student's over the
    seeds that both have. over_images: the trained nets as they are. first: McNemar's test of the first seed of each.
    runs: of both.
    """

    key: str
    names: tuple[str, str]
    depth: int
    seeds: tuple[int, int]
    difference: float
    over_seeds: Interval | None
    over_images: Interval
    first: McNemar
    runs: tuple[str, ...]

    @property
    def variant(self) -> bool:
        """Whether they are one net by two recipes."""
        return "+" in self.names[1]


def compare(results: Set, floor: Floor, first: str, second: str, key: str) -> Pair | None:
    """Two nets over all seeds that each has, two recipes of a net over those that both have.

    None if no images are stored of one of them, or not equally many; the interval over images is of those stored.
    """
    done = results.done[results.done["net"].isin([first, second])]
    if variant := "+" in second:
        done = done[done.groupby("seed")["net"].transform("nunique") == 2]
    a, b = (results.correct_images(name, set(done["seed"])) for name in (first, second))
    if a is None or b is None or a.shape[1] != b.shape[1]:
        return None
    errors = [done[done["net"] == name].set_index("seed")["test_error"] for name in (first, second)]
    effect = effect_of(floor, (first, second), errors, paired=variant)
    return Pair(
        key=key,
        names=(first, second),
        depth=int(done.loc[done["net"] == second, "depth"].iloc[0]),
        seeds=(len(errors[0]), len(errors[1])),
        difference=effect.effect,
        over_seeds=within(effect.interval(), -100.0, 100.0),
        over_images=paired_images(a, b),
        first=mcnemar(a[0], b[0]),
        runs=tuple(done["id"]),
    )


def effect_of(floor: Floor, names: tuple[str, str], errors: Sequence[pd.Series[float]], *, paired: bool) -> Contrast:
    """The second net's error minus the first's, over seeds, by which the errors are indexed; paired: seed by seed."""
    if paired:
        return contrast([sample(errors[1] - errors[0]).at_least(floor(names, "test_error"))], [1])
    samples = [sample(its).at_least(floor((name,), "test_error")) for name, its in zip(names, errors, strict=True)]
    return contrast(samples, [-1, 1])


def pairs(results: Set, floor: Floor) -> tuple[Pair, ...]:
    """Each depth's plain net with its residual net, of option A if there is one; then each net with its variants."""
    done = results.done
    found = []
    for depth in map(int, sorted(done["depth"].unique())):
        residual = [name for option in "ABC" if (name := f"resnet-{depth}-{option}") in set(done["net"])]
        found += [compare(results, floor, f"plain-{depth}", name, f"pair-{depth}") for name in residual[:1]]
    for name in map(str, done.loc[done["variant"] != "", "net"].drop_duplicates()):
        found.append(compare(results, floor, name.partition("+")[0], name, f"pair-{name}"))
    return tuple(pair for pair in found if pair)


def claimed_pairs(evidence: Evidence) -> list[Pair]:
    """The first and the second net of each claim that compares two kinds of nets which are not plain and residual.

    And of each depth the residual net with the others that are not plain.
    """
    sides: list[tuple[str, str]] = []
    for claim in evidence.sweep.claims:
        names = claim.names
        if claim.kind == "second beats first":
            sides.append((names[0], names[1]))
        elif claim.kind == "depth costs first more":
            sides += [(names[0], names[2]), (names[1], names[3])]
    nets = frame.first_option(frame.with_bn(evidence.results.done)).drop_duplicates("net")
    for _, of_depth in nets.assign(kind=frame.nets_of(nets)).sort_values("depth").groupby("depth"):
        one, others = of_depth["kind"] == frame.NETS[1], ~of_depth["kind"].isin(frame.NETS[:2])
        sides += [(str(a), str(b)) for a in of_depth.loc[one, "net"] for b in of_depth.loc[others, "net"]]
    found = (
        compare(evidence.results, evidence.floor, first, second, f"pair-{first}-{second}")
        for first, second in dict.fromkeys(sides)
    )
    return [pair for pair in found if pair]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The results of one set with their verdicts (in the order of the sweep's claims) and pairs of nets.

    page: the file of its page in the sweep's folder of reports. scales: those with a page of their own. floor: the
    least standard deviation over seeds that an interval is given (rule 4 of bench/report/claims.py).
    """

    name: str
    sweep: Sweep
    results: Set
    page: str
    judged: tuple[Judged, ...]
    pairs: tuple[Pair, ...]
    floor: Floor
    scales: tuple[str, ...] = ()

    @property
    def of_paper(self) -> bool:
        """Whether tables are called as the paper's are: in this suite's sweeps, at its schedule, on its data."""
        return self.results.comparable and not self.results.authorship.own

    @property
    def describes(self) -> bool:
        """Whether nothing is tested: at scale quick, whose recipe was tuned on what it shows, and on a stand-in."""
        return self.results.scale == "quick" or self.results.dataset.made_up

    def display(self, net: str) -> str:
        """The net's name on the page."""
        name = frame.display_name(net)
        if self.sweep.task_row.trains:
            return name
        _, run, source = net.partition("-run.")  # of which a sweep of tests may have several of one net
        return f"{name.partition(', transferred')[0]} of {source.replace('.', ', run ', 1)}" if run else name

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
    compared = sweep.task_row.only_trains
    found = []
    for one in sets:
        floor = floor_of(one)
        nets = pairs(one, floor) if compared else ()
        page = pages[one.scale, one.data]
        found.append(Evidence(name, sweep, one, page, judge_set(sweep, one), nets, floor, scales))
    return tuple(found)
