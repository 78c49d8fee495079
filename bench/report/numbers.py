"""A number that can be cited: it is the cell of a table, and has an id, its uncertainty, n and runs.

An id says sweep, scale, net (or claim) and metric: `plain_vs_residual.paper.resnet-110-A.test_error`. The page has an
anchor of that name at the number.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.paper import paper_error, paper_number
from bench.report.evidence import Evidence
from bench.report.frame import display_name
from bench.report.rows import cell
from bench.report.stats import Interval, Sample, of_percent, sample


@dataclass(frozen=True, slots=True)
class Metric:
    """A column of the results: its name in words, its unit and the digits that are printed."""

    column: str
    words: str
    unit: str = "%"
    digits: int = 2


TEST_ERROR = Metric("test_error", "test error after the last step")
TRAIN_ERROR = Metric("train_error", "training error of the last window")
TRAIN_LOSS = Metric("train_loss", "training loss of the last window", "", 3)
BEST_TEST_ERROR = Metric("best_test_error", "lowest test error on the way (never the result)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A published number.

    value, std: mean and standard deviation (n - 1) over `n` seeds; NaN for none. interval: 95 %, None for none.
    paper: the id of the paper's number beside it, or "". verdict: of a claim; "" of any other number.
    runs: the ids of the runs it was made of. digits, form: as in Python's format. shown: its text in a table if that
    is not `8.61 ± 0.16 (5)`.
    """

    id: str
    what: str
    value: float
    n: int
    runs: tuple[str, ...]
    std: float = math.nan
    interval: Interval | None = None
    unit: str = "points"
    digits: int = 2
    paper: str = ""
    verdict: str = ""
    form: str = "f"
    shown: str = ""

    def __str__(self) -> str:
        return self.shown or mean_std(self.value, self.std, self.n, self.digits)

    def printed(self, value: float) -> str:
        """A value of this number with its digits."""
        return f"{value:.{self.digits}{self.form}}".replace("-", "−")

    @property
    def cited(self) -> str:
        """As it is cited: `8.61 ± 0.16 % (n = 5)`."""
        spread = "" if math.isnan(self.std) else f" ± {self.printed(self.std)}"
        return f"{self.printed(self.value)}{spread}{' ' * bool(self.unit)}{self.unit} (n = {self.n})"


Cell = str | Number | tuple[Number, ...]


def parts(cell: Cell) -> tuple[str | Number, ...]:
    """The text or the numbers of a table's cell."""
    return cell if isinstance(cell, tuple) else (cell,)


def mean_std(mean: float, std: float, n: int, digits: int = 2) -> str:
    """`8.61 ± 0.16 (5)`; with one seed there is no deviation, with none no number."""
    if n == 0 or math.isnan(mean):
        return "–"
    spread = "" if n == 1 or math.isnan(std) else f" ± {std:.{digits}f}"
    return f"{mean:.{digits}f}{spread} ({n})"


def of_net(
    evidence: Evidence,
    net: str,
    metric: Metric,
    runs: pd.DataFrame | None = None,
    shown: Callable[[Sample], str] | None = None,
) -> Number | str:
    """A net's mean over seeds, `–` where no seed has the metric. runs: its done ones by default."""
    done = evidence.results.done
    values = (done[done["net"] == net] if runs is None else runs).set_index("id")[metric.column].dropna()
    if values.empty:
        return "–"
    ours = sample(values)
    there = paper_error(net) if metric.column == "test_error" else paper_number(net, metric.column)
    return Number(
        id=evidence.id(net, metric.column),
        what=f"{display_name(net)}, {metric.words}",
        value=ours.mean,
        std=ours.std,
        n=ours.n,
        interval={"%": of_percent(ours.interval), "": ours.interval}.get(metric.unit),
        unit=metric.unit,
        digits=metric.digits,
        runs=tuple(map(str, values.index)),
        paper=str(there["id"]) if there and evidence.results.comparable else "",
        shown=shown(ours) if shown else "",
    )


COLUMNS = (
    "id", "what", "value", "std", "n", "low", "high", "interval", "unit", "paper_id", "verdict", "runs",
)  # fmt: skip


def as_csv(published: Sequence[Number]) -> str:
    """numbers.csv: a row a number, floats in full; empty where there is no such value."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in published:
        interval = (one.interval.low, one.interval.high, one.interval.method) if one.interval else ("", "", "")
        std = "" if math.isnan(one.std) else one.std
        about = (one.unit, one.paper, one.verdict, " ".join(one.runs))
        writer.writerow(map(cell, (one.id, one.what, one.value, std, one.n, *interval, *about)))
    return out.getvalue()
