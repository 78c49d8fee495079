"""The report of a verification of faces: accuracy by LFW's protocol, ROC, baselines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.report.evidence import Evidence
from bench.report.frame import Set, display_name, own_recipes
from bench.report.numbers import Cell, Metric, decimals, of_net, signed, with_worst_case
from bench.report.render import style
from bench.report.render.figures import not_run
from bench.report.sections import Drawing, Findings, Section, diverged
from bench.report.stats import sample, wilson
from bench.report.tables import Table, caption, with_intervals
from bench.tasks.verification.roc import FARS, Roc, across_folds

HEADER = (
    "net", "loss", "accuracy %", "95 %, seeds", "95 %, pairs only", "at a fixed threshold %", "before training %",
    "by pixels %", "AUC", "EER %", "TAR % at FAR 10 %", "at FAR 1 %", "at FAR 0.1 %",
)  # fmt: skip
NOTE = (
    "Accuracy over ten folds, each at the threshold that is best on the other nine; beside it, accuracy at one "
    "threshold fixed on pairs of training people. A score is the cosine of two embeddings, each summed over an image "
    "and its mirror image. TAR: share of same pairs accepted at that share of different pairs accepted (FAR); – where "
    "the pairs are too few. By pixels: the images themselves, averaged down to 16x16. View 1 of LFW is for model "
    "selection; these are not results on its test set, View 2."
)
ACCURACIES = (
    Metric("test_error", "pairs judged right, ten folds", accuracy=True, guess=50.0),
    Metric("fixed_threshold_error", "pairs judged right at one fixed threshold", accuracy=True),
    Metric("untrained_error", "pairs judged right before training, ten folds", accuracy=True),
    Metric("pixels_error", "pairs judged right by pixels, ten folds", accuracy=True, bounds=None),
)
OF_ROC = (
    Metric("auc", "area under the ROC", "", decimals(3), (0.0, 1.0)),
    Metric("eer", "equal error rate"),
    *(Metric(f"tar_at_far_{far:g}", f"TAR at FAR {100 * far:g} %") for far in FARS),
)
ROC = (
    "ROC: the share of same pairs accepted against the share of different ones, by threshold; a line a run, its "
    "colour and marker the depth's, dashed for a plain net. Dotted: chance."
)
PUBLISHED = (
    ("ArcFace 0.5, IResNet-50, CASIA-WebFace", "99.53", "ArcFace (arXiv:1801.07698), Table 2"),
    ("CosFace 0.35, IResNet-50, CASIA-WebFace", "99.51", "the same"),
    ("softmax, IResNet-50, CASIA-WebFace", "99.08", "the same"),
    ("ArcFace, IResNet-100, MS1MV2", "99.77", "insightface's model zoo"),
)
HARDEST = (
    "Each run leaves its hardest pairs as an image, `hardest.png` in its folder of `runs/`: left, pairs of one person "
    "with the lowest scores; right, pairs of two people with the highest. Faces are not published here."
)
NOT_COMPARABLE = (
    "Not comparable: these are results on LFW's View 2, of nets with other blocks than the paper's, trained on a "
    "hundred times as many images or more. They show how far a few minutes on 111 people are from the state of the art."
)


def verification_table(evidence: Evidence) -> Table:
    """A row a net."""
    rows = [_row(evidence, str(net), part) for net, part in evidence.results.done.groupby("net", sort=False)]
    return Table(
        HEADER, rows, text=2, note=f"{NOTE} {caption(evidence.results, '', 'pairs', 'accuracy')}", name="verification"
    )


def _row(evidence: Evidence, net: str, part: pd.DataFrame) -> tuple[Cell, ...]:
    first, *more = ACCURACIES
    return (
        display_name(net),
        str(part["faces_loss"].iloc[0]),
        *with_intervals(with_worst_case(evidence, net, first), float(part["test_images"].iloc[0])),
        *(of_net(evidence, net, metric) for metric in (*more, *OF_ROC)),
    )


def net_findings(results: Set) -> list[str]:
    """Of each net, whether it is better than pixels and than before its training, on the same pairs."""
    lines = []
    for net, part in results.done.groupby("net", sort=False):
        pairs = int(part["test_images"].iloc[0])
        ours, start, pixels = (sample(100 - part[m]) for m in ("test_error", "untrained_error", "pixels_error"))
        low = wilson(ours.mean, pairs).low
        beaten = [
            f"{words} ({one.mean:.2f} %)"
            for words, one in (("the pixels", pixels), ("the net before training", start))
            if wilson(one.mean, pairs).high < low
        ]
        how = f"clearly above {' and '.join(beaten)}" if beaten else "not clearly above the baselines"
        lines.append(
            f"{display_name(str(net))}: {ours.mean:.2f} % of {pairs:,} pairs right, {how}; n = {ours.n}. "
            f"At one fixed threshold {100 - part['fixed_threshold_error'].mean():.2f} %."
        )
    return lines


def contrasts_of(results: Set) -> Iterator[str]:
    """Plain against residual at one depth, transferred against from scratch."""
    by_net = own_recipes(results.done).groupby("net", sort=False)
    means, seeds = 100 - by_net["test_error"].mean(), by_net.size()
    for name in map(str, means.index):
        scratch, _, transferred = name.partition("-run.")
        if transferred:
            other, words = scratch, f"{display_name(scratch)} transferred against from scratch"
        elif name.startswith("resnet-"):
            other = f"plain-{name.split('-')[1]}"
            words = f"{display_name(name)} against {display_name(other)}"
        else:
            continue
        if other in means:
            gain = signed(means[name] - means[other])
            yield (
                f"{words}: {gain} points of accuracy, {means[name]:.2f} % against {means[other]:.2f} % "
                f"(n = {seeds[name]} and {seeds[other]})."
            )


def curves_of(results: Set) -> list[tuple[str, Roc]]:
    """Net and ROC of each done run whose pairs are stored."""
    return [
        (str(net), Roc.of(results.pair_scores[name], results.pair_scores[f"{name}:same"].astype(bool)))
        for name, net in zip(results.done["id"], results.done["net"], strict=True)
        if name in results.pair_scores
    ]


def roc(found: Sequence[tuple[str, Roc]], depths: Mapping[str, int], note: str = "") -> Figure:
    """A line a run, false acceptances on a logarithmic axis. depths: by net. note: what is not drawn."""
    looks = style.looks({net: depths[net] for net, _ in found})
    lowest = min(1 / int(curve.false[-1]) for _, curve in found)
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(style.COLUMN, 3.6), layout="constrained")
        ax = figure.subplots()
        ax.set_xscale("log")
        for net, curve in found:
            style.line(ax, 100 * curve.far, 100 * curve.tar, *looks[net])
        chance = np.geomspace(100 * lowest, 100, 50)
        ax.plot(chance, chance, ":", color=style.GUIDE, lw=style.THIN)
        ax.set(xlim=(100 * lowest, 100), ylim=(0, 100), ylabel="same pairs accepted, TAR in %")
        style.logarithmic(ax, "x", "different pairs accepted, FAR in %")
        handles = [style.handle(display_name(net), *how) for net, how in looks.items()]
        style.below(figure, [*handles, style.handle("chance", dash=":", width=style.THIN)], note)
    return figure


def findings(evidence: Evidence) -> Findings:
    """The contrasts, the ROC, the table; each net beside its baselines, the hardest pairs, the field's numbers."""
    results = evidence.results
    if not len(results.done):
        return Findings(["No run has ended with a number."], said=diverged(results))
    depths = {str(net): int(depth) for net, depth in zip(results.done["net"], results.done["depth"], strict=True)}
    curves, alt = curves_of(results), "Same pairs accepted against different pairs accepted"
    draw = partial(roc, curves, depths, not_run(results, results.nets.index))
    published = Table(("published, LFW View 2", "accuracy %", "source"), PUBLISHED, text=1, note=NOT_COMPARABLE)
    of_nets, contrasts = net_findings(results), list(contrasts_of(results))
    return Findings(
        contrasts or of_nets[:3],
        Drawing("roc", alt, ROC, draw) if curves else None,
        Section("Verification accuracy", (verification_table(evidence),)),
        [*diverged(results), *(of_nets if contrasts else of_nets[3:])],
        [Section("The hardest pairs", (HARDEST,)), Section("Published results on LFW", (published,))],
    )


def problems(row: Mapping[str, str], arrays: Mapping[str, NDArray[np.float64]]) -> Iterator[str]:
    """What in a verification's row does not follow from its pairs' scores."""
    name = row["id"]
    if name not in arrays:
        yield "its pairs' scores are missing"
        return
    scores, same, fold = arrays[name], arrays[f"{name}:same"].astype(bool), arrays[f"{name}:fold"]
    correct = across_folds(scores, same, fold)
    expected = {"test_error": 100 * int((~correct).sum()) / len(correct)} | Roc.of(scores, same).columns()
    for metric, value in expected.items():
        if not math.isclose(float(row[metric]), value, rel_tol=1e-12):
            yield f"{metric} is {row[metric]}, and its pairs say {value}"
