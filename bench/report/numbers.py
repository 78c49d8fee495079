"""Every number that a report publishes, with its id, uncertainty, n and runs: what can be cited and re-checked.

An id says sweep, scale, net (or claim) and metric: `plain_vs_residual.paper.resnet-110-A.test_error`. The page has an
anchor of that name at the number.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.paper import paper_error, paper_number
from bench.report.claims import WAITING, Judged
from bench.report.evidence import Evidence
from bench.report.frame import display_name, on_one_machine
from bench.report.pairs import Pair
from bench.report.stats import Interval, of_percent, sample
from bench.tasks.classification.imagenet.ensembles import ERRORS as ERRORS_OF_ENSEMBLES
from bench.tasks.diagnosis import layers


@dataclass(frozen=True, slots=True)
class Metric:
    """A column of the results: its name in words, its unit and the digits that are printed."""

    column: str
    words: str
    unit: str
    digits: int


METRICS = (
    Metric("test_error", "test error after the last step", "%", 2),
    Metric("train_error", "training error of the last window", "%", 2),
    Metric("train_loss", "training loss of the last window", "", 3),
    Metric("val_error", "error on the 5,000 held-out training images", "%", 2),
    Metric("best_test_error", "lowest test error on the way (never the result)", "%", 2),
    Metric("top5_error", "top-5 error, centre crop", "%", 2),
    Metric("ten_crop_error", "top-1 error, 10 crops", "%", 2),
    Metric("ten_crop_top5_error", "top-5 error, 10 crops", "%", 2),
    Metric("multi_scale_error", "top-1 error, many scales", "%", 2),
    Metric("multi_scale_top5_error", "top-5 error, many scales", "%", 2),
    Metric("images_per_s", "training speed", "images/s", 0),
    Metric("seconds", "training time", "s", 0),
)


ERRORS, COSTS = METRICS[:-2], METRICS[-2:]  # the latter are on every page, and no estimate of anything
OF_PAIRS = (
    Metric("test_error", "pairs judged wrong, ten folds", "%", 2),
    Metric("fixed_threshold_error", "pairs judged wrong at one fixed threshold", "%", 2),
    Metric("untrained_error", "pairs judged wrong before training, ten folds", "%", 2),
    Metric("pixels_error", "pairs judged wrong by pixels, ten folds", "%", 2),
    Metric("auc", "area under the ROC", "", 3),
    Metric("eer", "equal error rate", "%", 2),
    *(Metric(f"tar_at_far_{far:g}", f"TAR at FAR {100 * far:g} %", "%", 2) for far in (0.1, 0.01, 0.001)),
)


OF_BOXES = (
    Metric("ap50", "AP at IoU .5", "%", 2),
    Metric("ap", "AP over IoU .50 to .95", "%", 2),
    Metric("ap75", "AP at IoU .75", "%", 2),
    *(Metric(f"ap_{size}", f"AP of {size} objects", "%", 2) for size in ("small", "medium", "large")),
    Metric("voc07_map", "VOC mAP, 11 points", "%", 2),
    Metric("voc12_map", "VOC mAP, every point", "%", 2),
    *(
        Metric(f"{option}_{metric}", f"{words} with {how}", "%", 2)
        for option, how in (
            ("refined", "box refinement"),
            ("multi_scale", "testing in several scales (and box refinement)"),
        )
        for metric, words in (("ap50", "AP at IoU .5"), ("ap", "AP over IoU .50 to .95"))
    ),
    Metric("source_error", "classification error of the backbone's source", "%", 2),
)


OF_TASK = {"classify": METRICS, "evaluate": METRICS, "verify": (*OF_PAIRS, *COSTS), "detect": (*OF_BOXES, *COSTS)}


@dataclass(frozen=True, slots=True)
class Number:
    """A published number.

    value, std: mean and standard deviation (n - 1) over `n` seeds; NaN where there is none.
    interval: 95 %, None where there is none. paper: the id of the paper's number beside it, or "".
    verdict: of a claim; "" of any other number. runs: the ids of the runs it was made of.
    digits, form: as in Python's format: digits after the point ("f"), or significant ones ("g").
    """

    id: str
    what: str
    value: float
    std: float
    n: int
    interval: Interval | None
    unit: str
    digits: int
    runs: tuple[str, ...]
    paper: str = ""
    verdict: str = ""
    form: str = "f"

    def printed(self, value: float) -> str:
        """A value of this number with its digits."""
        return f"{value:.{self.digits}{self.form}}".replace("-", "−")

    @property
    def text(self) -> str:
        """As it is cited: `8.61 ± 0.16 % (n = 5)`."""
        spread = "" if math.isnan(self.std) else f" ± {self.printed(self.std)}"
        return f"{self.printed(self.value)}{spread}{' ' * bool(self.unit)}{self.unit} (n = {self.n})"


def numbers(evidence: Evidence) -> tuple[Number, ...]:
    """All numbers of one set's page, in its order: the nets', the claims', the pairs'."""
    return (
        *_of_nets(evidence),
        *(one for judged in evidence.judged for one in _of_claim(evidence, judged)),
        *(_of_pair(evidence, pair) for pair in evidence.pairs),
        *_of_layers(evidence),
        *_of_ensembles(evidence),
        *_of_gains(evidence),
    )


def _of_nets(evidence: Evidence) -> Iterator[Number]:
    results = evidence.results
    alike = set(on_one_machine(results.done)["id"])
    for net, part in results.done.groupby("net", sort=False):
        for metric in OF_TASK.get(evidence.sweep.task, COSTS):
            runs = part[part["id"].isin(alike)] if metric in COSTS else part
            values = runs.set_index("id")[metric.column].dropna()
            if len(values):
                beside = _paper(str(net), metric) if results.comparable else ""
                yield _of_net(evidence.id(str(net), metric.column), str(net), metric, values, beside)


def _paper(net: str, metric: Metric) -> str:
    """The id of the paper's number for it, "" where there is none."""
    number = paper_error(net) if metric.column == "test_error" else paper_number(net, metric.column)
    return str(number["id"]) if number else ""


def _of_net(number: str, net: str, metric: Metric, values: pd.Series[float], paper: str) -> Number:
    ours = sample(values)
    return Number(
        id=number,
        what=f"{display_name(net)}, {metric.words}",
        value=ours.mean,
        std=ours.std,
        n=ours.n,
        interval=(of_percent(ours.interval) if metric.unit else ours.interval) if metric not in COSTS else None,
        unit=metric.unit,
        digits=metric.digits,
        runs=tuple(map(str, values.index)),
        paper=paper,
    )


def _of_claim(evidence: Evidence, judged: Judged) -> Iterator[Number]:
    claim, done = judged.claim, evidence.results.done
    for k, link in enumerate(judged.links, 1):
        yield Number(
            id=evidence.id(claim.id, *([str(k)] if len(judged.links) > 1 else [])),
            what=f"{link.label}, {claim.metric.replace('_', ' ')}, difference",
            value=link.effect.effect,
            std=math.nan,
            n=min(link.effect.ns),
            interval=None if judged.verdict == WAITING else link.effect.interval(),
            unit="points",
            digits=2,
            runs=tuple(done.loc[done["net"].isin(claim.names), "id"]),
            paper=claim.number,
            verdict=judged.verdict,
        )


def _of_pair(evidence: Evidence, pair: Pair) -> Number:
    return Number(
        id=evidence.id(pair.key, "test_error"),
        what=f"{pair.words}, test error on the same images, difference",
        value=pair.difference,
        std=math.nan,
        n=min(pair.seeds),
        interval=pair.interval,
        unit="points",
        digits=2,
        runs=pair.runs,
    )


def _of_layers(evidence: Evidence) -> Iterator[Number]:
    """Of each net the change of its gradient, a factor and hence a geometric mean, and the mean of its responses."""
    results = evidence.results
    ids = results.runs.set_index(["net", "seed"])["id"]
    for net, metric, by_seed in layers.measured(results):
        about = layers.METRICS[metric]
        ours = sample(by_seed)
        yield Number(
            id=evidence.id(net, metric),
            what=f"{display_name(net)}, {about.words}" + (", geometric mean over seeds" if about.factor else ""),
            value=layers.geometric(by_seed) if about.factor else ours.mean,
            std=math.nan if about.factor else ours.std,
            n=ours.n,
            interval=None,
            unit="",
            digits=3,
            form="g",
            runs=tuple(str(ids[net, seed]) for seed in by_seed.index),
        )


def _of_gains(evidence: Evidence) -> Iterator[Number]:
    for gain in evidence.detected.gains if evidence.detected else ():
        yield Number(
            id=evidence.id(gain.key),
            what=f"{gain.words}, AP at IoU .5 on the same images, difference",
            value=gain.difference,
            std=math.nan,
            n=min(gain.seeds),
            interval=gain.interval,
            unit="points",
            digits=2,
            runs=gain.runs,
        )


def _of_ensembles(evidence: Evidence) -> Iterator[Number]:
    found, words = evidence.results.ensembles, {metric.column: metric.words for metric in METRICS}
    for one in evidence.sweep.ensembles:
        part = found[found["id"] == one.id]
        for error in ERRORS_OF_ENSEMBLES if len(part) else ():
            ours = sample(part[error])
            yield Number(
                id=evidence.id(one.id, error),
                what=f"{one.text}, {words[error]}",
                value=ours.mean,
                std=ours.std,
                n=ours.n,
                interval=of_percent(ours.interval),
                unit="%",
                digits=2,
                runs=tuple(name for names in part["runs"] for name in str(names).split()),
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
        low, high, method = (one.interval.low, one.interval.high, one.interval.method) if one.interval else ("",) * 3
        std = "" if math.isnan(one.std) else one.std
        row = (one.id, one.what, one.value, std, one.n, low, high, method, one.unit, one.paper, one.verdict)
        writer.writerow((*row, " ".join(one.runs)))
    return out.getvalue()
