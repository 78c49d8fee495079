"""A number that can be cited: it is the cell of a table, and has an id, its uncertainty, n and runs.

An id says sweep, scale, net (or claim) and metric: `plain_vs_residual.paper.resnet-110-A.test_error`. The page has an
anchor of that name at the number. Pages, `cite`, numbers.csv and LaTeX all write it by `Number.printed`.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import pandas as pd

from bench.paper import paper_error, paper_number
from bench.report.claims import guess_of, has_diverged
from bench.report.evidence import Evidence
from bench.report.frame import display_name
from bench.report.rows import cell
from bench.report.stats import FROM_ONE_START, Interval, sample, within
from bench.spec import counted

Write = Callable[[float], str]


@cache
def decimals(digits: int) -> Write:
    """Writes a number with so many decimals."""
    return partial(_fixed, digits)


def _fixed(digits: int, value: float) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


TWO = decimals(2)


def signed(value: float) -> str:
    """Writes a difference: `+0.12`, `−1.33`."""
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")  # and no −0.00


@dataclass(frozen=True, slots=True)
class Metric:
    """A column of the results: its name in words, its unit, how its numbers are written.

    bounds: within which its mean over other seeds lies; None: no interval is given. accuracy: 100 minus it is published
    in its place, under the name of an accuracy. guess: what a diverged seed counts with in the worst case; None: the
    error of a guess.
    """

    column: str
    words: str
    unit: str = "%"
    write: Write = TWO
    bounds: tuple[float, float] | None = (0.0, 100.0)
    accuracy: bool = False
    guess: float | None = None

    @property
    def name(self) -> str:
        """In ids."""
        return self.column.replace("error", "accuracy") if self.accuracy else self.column


AFTER = " after the last step"  # of weights that are tested as they are there is none
TEST_ERROR = Metric("test_error", f"test error{AFTER}")
TRAIN_ERROR = Metric("train_error", "training error of the last window")
TRAIN_LOSS = Metric("train_loss", "training loss of the last window", "", decimals(3), bounds=None)
BEST_TEST_ERROR = Metric("best_test_error", "lowest test error on the way (never the result)")
OVER = ("seeds", "images")  # what there is an interval over
POINTS = "points"  # the unit of differences, which are written with their sign


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A published number.

    value, std: mean and standard deviation (n - 1) over `n` seeds; NaN for none. ns: of a difference of nets the seeds
    of each, as `what` names them; `n` is then the fewest. over_seeds, over_images: 95 % intervals, None for none.
    paper: the id of the paper's number beside it, or "". verdict: of a claim; "" of any other number. runs: the ids of
    the runs it was made of. write: how it and its intervals are written. label: what stands before it in a cell that
    has several.
    """

    id: str
    what: str
    value: float
    n: int
    runs: tuple[str, ...]
    ns: tuple[int, ...] = ()
    std: float = math.nan
    over_seeds: Interval | None = None
    over_images: Interval | None = None
    unit: str = POINTS
    write: Write = signed
    paper: str = ""
    verdict: str = ""
    label: str = ""

    def __str__(self) -> str:
        """As it stands in a table: `8.61 ± 0.16 (5)`; a difference without n, a claim's with its interval."""
        label = f"{self.label}: " if self.label else ""
        if self.unit != POINTS:
            return f"{label}{self.printed()} ({self.n})"
        return f"{label}{self.printed()}" + (f" [{self.range(self.over_seeds)}]" if label and self.over_seeds else "")

    def printed(self) -> str:
        """`8.61 ± 0.16`; with one seed there is no deviation."""
        return self.write(self.value) + ("" if math.isnan(self.std) else f" ± {self.write(self.std)}")

    def range(self, interval: Interval | None) -> str:
        """`6.41 to 6.81`, `–` for none."""
        return f"{self.write(interval.low)} to {self.write(interval.high)}" if interval else "–"

    @property
    def intervals(self) -> dict[str, Interval]:
        """Those there are, by what numbers.csv and LaTeX call them."""
        both = zip(OVER, (self.over_seeds, self.over_images), strict=True)
        return {over: one for over, one in both if one}

    @property
    def cited(self) -> str:
        """As it is cited: `8.61 ± 0.16 % (n = 5)`, `+0.51 points (n = 5 and 3)`; a time has its unit within."""
        text = self.printed()
        return f"{text}{f' {self.unit}' if self.unit and not text[-1].isalpha() else ''} (n = {self.seeds})"

    @property
    def seeds(self) -> str:
        """n in words."""
        return n_words(self.ns or (self.n,))


Cell = str | Number | tuple[str | Number, ...]


def parts(cell: Cell) -> tuple[str | Number, ...]:
    """The text or the numbers of a table's cell."""
    return cell if isinstance(cell, tuple) else (cell,)


def text_of(cell: Cell) -> str:
    """A cell without anchors."""
    return "; ".join(map(str, parts(cell)))


def n_words(ns: Sequence[int]) -> str:
    """`5`; of nets with unequally many seeds `5 and 3`."""
    return listed(ns if len(set(ns)) > 1 else ns[:1])


def listed(numbers: Sequence[object]) -> str:
    """`1, 2 and 3`."""
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last


def mean_std(mean: float, std: float, n: int, digits: int = 2) -> str:
    """`8.61 ± 0.16 (5)`; with one seed there is no deviation, with none no number."""
    if n == 0 or math.isnan(mean):
        return "–"
    spread = "" if n == 1 or math.isnan(std) else f" ± {std:.{digits}f}"
    return f"{mean:.{digits}f}{spread} ({n})"


def of_net(evidence: Evidence, net: str, metric: Metric, runs: pd.DataFrame | None = None) -> Number | str:
    """A net's mean over seeds, `–` where no seed has the metric. runs: its done ones by default."""
    done, data = evidence.results.done if runs is None else runs, evidence.results.data
    ours = done["net"] == net if runs is None else slice(None)
    values = done.loc[ours, ["id", metric.column]].set_index("id")[metric.column].dropna()
    if values.empty:
        return "–"
    there = paper_error(net) if metric.column == "test_error" else paper_number(net, metric.column, data)
    beside = there and evidence.results.comparable and not metric.accuracy
    values = 100 - values if metric.accuracy else values
    floor = evidence.floor((net,), metric.column) if metric.unit == "%" else 0.0
    over_seeds = within(sample(values).at_least(floor).interval, *metric.bounds) if metric.bounds else None
    mean, paper = _mean(evidence, net, metric, values), str(there["id"]) if there and beside else ""
    return replace(mean, over_seeds=of_starts(evidence, over_seeds, mean.runs), paper=paper)


def reached(evidence: Evidence, words: str, metric: Metric) -> str:
    """What each net has, where no two are compared."""
    nets = map(str, evidence.results.done["net"].unique())
    found = ", ".join(f"{display_name(net)} {of_net(evidence, net, metric)}" for net in nets)
    return f"{words} in % (n): {found}." if found else "No run has ended with a number."


def of_starts(evidence: Evidence, over_seeds: Interval | None, runs: Sequence[str]) -> Interval | None:
    """An interval over seeds of these runs, with what it covers: start weights are the same for all seeds of a net."""
    every = evidence.results.runs
    if not over_seeds or "weights" not in every or not (every.loc[every["id"].isin(runs), "weights"] != "").any():
        return over_seeds
    return replace(over_seeds, covers=FROM_ONE_START)


def _mean(evidence: Evidence, net: str, metric: Metric, values: pd.Series[float]) -> Number:
    ours = sample(values)
    words = metric.words if evidence.sweep.task_row.trains else metric.words.removesuffix(AFTER)
    return Number(
        id=evidence.id(net, metric.name),
        what=f"{evidence.display(net)}, {words}",
        value=ours.mean,
        std=ours.std,
        n=ours.n,
        unit=metric.unit,
        write=metric.write,
        runs=tuple(map(str, values.index)),
    )


def with_worst_case(evidence: Evidence, net: str, metric: Metric) -> Cell:
    """A net's mean over the seeds that ended; beside it, where seeds diverged, that with the guesses they count as.

    Seeds that failed for another reason, such as a full disk, are in neither: the page names them.
    """
    runs = evidence.results.runs
    diverged = runs.loc[has_diverged(runs) & (runs["net"] == net), "id"]
    ended = of_net(evidence, net, metric)
    if not len(diverged):
        return ended
    guess = guess_of(metric.column, evidence.results) if metric.guess is None else metric.guess
    if math.isnan(guess):
        return ended
    done = evidence.results.done
    values = done[done["net"] == net].set_index("id")[metric.column].dropna()
    values = pd.concat([values, pd.Series(guess, pd.Index(diverged))])
    worst = _mean(evidence, net, metric, 100 - values if metric.accuracy else values)
    worst = replace(
        worst,
        id=f"{worst.id}.worst_case",
        what=f"{worst.what}, {counted(len(diverged), 'diverged seed')} counted as a guess",
        label="worst case",
    )
    return (ended, worst)


OF_INTERVAL = ("low", "high", "interval", "covers")
COLUMNS = (
    "id", "what", "value", "std", "n", "ns", *(f"{over}_{part}" for over in OVER for part in OF_INTERVAL), "unit",
    "paper_id", "verdict", "runs",
)  # fmt: skip


def as_csv(published: Sequence[Number]) -> str:
    """numbers.csv: a row a number, floats in full; empty where there is no such value."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in published:
        intervals = (field for over in OVER for field in _fields(one.intervals.get(over)))
        std = "" if math.isnan(one.std) else one.std
        ns = " ".join(map(str, one.ns or (one.n,)))
        about = (one.unit, one.paper, one.verdict, " ".join(one.runs))
        writer.writerow(map(cell, (one.id, one.what, one.value, std, one.n, ns, *intervals, *about)))
    return out.getvalue()


def _fields(one: Interval | None) -> tuple[float | str, ...]:
    """What OF_INTERVAL names."""
    return (one.low, one.high, one.method, one.covers) if one else ("",) * len(OF_INTERVAL)
