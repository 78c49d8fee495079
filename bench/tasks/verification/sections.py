"""The report of a verification of faces: accuracy by LFW's protocol, ROC, baselines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.report.evidence import Evidence
from bench.report.frame import Set, display_name
from bench.report.numbers import TRAIN_ERROR, Cell, Metric, decimals, listed, of_net, with_worst_case
from bench.report.render import style
from bench.report.render.figures import not_run
from bench.report.sections import (
    NO_DIFFERENCE,
    Drawing,
    Findings,
    Section,
    diverged,
    shared_starts,
    tells_apart,
    told_apart,
)
from bench.report.stats import wilson
from bench.report.tables import Table, caption, with_intervals
from bench.tasks.verification.gains import Gain, between_nets, hardly_learnt, over_baselines, over_pairs
from bench.tasks.verification.roc import FARS, Roc, across_folds

HEADER = (
    "net", "loss", "accuracy %", "95 %, seeds", "95 %, pairs only", "training error %", "at a fixed threshold %",
    "before training %", "by pixels %", "AUC", "EER %", "TAR % at FAR 10 %", "at FAR 1 %", "at FAR 0.1 %",
)  # fmt: skip
NOTE = (
    "Each of ten folds is judged at the threshold that is best on the other nine; the fixed threshold is the best on "
    "pairs of training people. The training error is of the images' people, over the last window. A score is "
    "the cosine of two embeddings, each the sum over an image and its mirror. Before training: the same net with its "
    "random or transferred weights. By pixels: the images themselves, averaged down to 16x16. TAR: the share of same "
    "pairs accepted where that share of different pairs is (FAR); a FAR of less than one pair is left out."
)
OF_PAIRS = {  # by data set, of own ones the word before the colon: what its pairs are
    "lfw-view1": "View 1 of LFW is for model selection; these are not results on its test set, View 2.",
    "faces": (
        'Own faces: "About these runs" says how people and pairs were chosen. The pairs share people and images; '
        "intervals over pairs take them as independent, and would be wider over other people."
    ),
}
GAINS = ("net", "over", "seeds", "gain in accuracy, points", "95 %, seeds", "95 %, pairs only")
GAINS_NOTE = (
    "Accuracy over ten folds, the net's minus the other's on the same pairs. Intervals over pairs only (Agresti and "
    "Min) take trained nets as they are. None is corrected for their number."
)
GAINS_OVER_SEEDS = " Over seeds they are Welch's, over the untrained net and the pixels Student's, seed by seed."
ONE_SEED = "One seed of each net: no interval covers other seeds."
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
OTHER_NETS = "of nets with other blocks than the paper's"
NOT_COMPARABLE = {  # by data set, as above, of those that the published results have to do with
    "lfw-view1": (
        f"Not comparable: these are results on LFW's View 2, {OTHER_NETS}, trained on a hundred times as many images "
        "or more. They show how far a few minutes on 111 people are from the state of the art."
    ),
    "lfw-view2": (
        f"On the same pairs, {OTHER_NETS}, trained on 490,000 images (CASIA-WebFace) or more. Theirs were aligned "
        "by five points of each face, these are not."
    ),
    "insightface": (
        f"On the same pairs, {OTHER_NETS}: comparable where a net is trained on the same set, for as long."
    ),
}


def verification_table(evidence: Evidence) -> Table:
    """A row a net."""
    results = evidence.results
    rows = [_row(evidence, str(net), part) for net, part in results.done.groupby("net", sort=False)]
    note = f"{caption(results, '', 'pairs', 'accuracy', training=False)}{shared_starts(results)} {NOTE}"
    note = " ".join(filter(None, (note, OF_PAIRS.get(_kind(results)))))
    return _without_empty(Table(HEADER, rows, text=2, note=note, name="verification"))


def _row(evidence: Evidence, net: str, part: pd.DataFrame) -> tuple[Cell, ...]:
    first, *more = ACCURACIES
    over_images = wilson(100 - float(part["test_error"].mean()), int(part["test_images"].iloc[0]))
    return (
        display_name(net),
        str(part["faces_loss"].iloc[0]),
        *with_intervals(with_worst_case(evidence, net, first), over_pairs(over_images)),
        *(of_net(evidence, net, metric) for metric in (TRAIN_ERROR, *more, *OF_ROC)),
    )


def _kind(results: Set) -> str:
    """The data set, of own ones the word before the colon."""
    return results.data.partition(":")[0]


def gains_table(gains: Sequence[Gain]) -> Table:
    """A row a difference."""
    rows: list[tuple[Cell, ...]] = []
    for gain in gains:
        number, seeds = gain.number, " and ".join(map(str, dict.fromkeys(gain.seeds)))
        ranges = map(number.range, (number.over_seeds, number.over_images))
        rows.append((gain.net, gain.other, seeds, number, *ranges))
    note = GAINS_NOTE + GAINS_OVER_SEEDS * any(gain.number.over_seeds for gain in gains)
    return _without_empty(Table(GAINS, rows, text=2, note=note, name="gains"))


def _without_empty(table: Table) -> Table:
    """The table without columns that have nothing but dashes."""
    kept = [k for k, column in enumerate(zip(*table.rows, strict=True)) if set(column) != {"–"}]
    rows = [[row[k] for k in kept] for row in table.rows]
    return replace(table, header=[table.header[k] for k in kept], rows=rows)


def gain_findings(gains: Sequence[Gain]) -> list[str]:
    """Each net over another, in words, and which of its intervals exclude 0; last that one seed tells of no other."""
    lines, alone = [], all(max(gain.seeds) == 1 for gain in gains)
    for gain in gains:
        both = " against ".join(f"{one:.2f} %" for one in gain.accuracies)
        n = " and ".join(map(str, gain.seeds)) if len(set(gain.seeds)) > 1 else f"{gain.seeds[0]} each"
        pair = f"{gain.net.replace(', ', ' ')} over {gain.other}"
        lines.append(f"{pair}: {gain.words}, {both}{f' (n = {n})' * (not alone)}. {told_apart(gain.number)}")
    return [*lines, ONE_SEED] if lines and alone else lines


def net_findings(results: Set, gains: Sequence[Gain]) -> list[str]:
    """Of each net what it has over itself before training and over the pixels."""
    lines = []
    for net, pairs in results.done.groupby("net", sort=False)["test_images"].first().items():
        ours = [gain for gain in gains if gain.net == display_name(str(net))]
        lines.append(
            f"{ours[0].net}: {ours[0].accuracies[0]:.2f} % of {int(pairs):,} pairs right (n = {ours[0].seeds[0]}), "
            f"{' and '.join(f'{gain.words} above {gain.other}{_not(gain)}' for gain in ours)}."
        )
    return lines


def _not(gain: Gain) -> str:
    return "" if any(map(tells_apart, gain.number.intervals.values())) else " (no difference detected)"


def learnt_little(results: Set) -> str:
    """Of the nets that have hardly learnt, how much they err on what they are trained on; "" where there are none."""
    hardly, others = hardly_learnt(results)
    if hardly.empty:
        return ""
    rest = f" (others {' to '.join(f'{one:.1f}' for one in dict.fromkeys((others.min(), others.max())))} %)"
    return (
        f"{listed(list(map(display_name, hardly.index)))} ha{'ve' if len(hardly) > 1 else 's'} hardly learnt: training "
        f"error {listed([f'{one:.1f}' for one in hardly])} %{rest * (len(others) > 0)}."
    )


def of_claim(results: Set, gains: Sequence[Gain]) -> str:
    """What was measured of plain and residual nets, to stand below what was expected; "" where nothing was.

    The expectation is of scale `quick`, and of plain nets that train.
    """
    ours = [gain for gain in gains if gain.depth]
    if not ours:
        return ""
    apart = [gain.depth for gain in ours if any(map(tells_apart, gain.number.intervals.values()))]
    measured = listed([f"{gain.words} at {gain.depth} layers" for gain in ours])
    said = f"Measured, residual over plain nets: {measured}."
    if not apart:
        return f"{said} {NO_DIFFERENCE}"
    said += f" At {listed(apart)} layers an interval excludes 0."
    failed = [net for net in map(str, hardly_learnt(results)[0].index) if net.startswith("plain-")]
    if not failed:
        return said
    nets = f"{listed(list(map(display_name, failed)))} ha{'ve' if len(failed) > 1 else 's'}"
    return f"{said} {nets} hardly learnt (training error): these are no differences between trained nets."


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
    what = NOT_COMPARABLE.get(_kind(results), "")
    published = Table(("published, LFW View 2", "accuracy %", "source"), PUBLISHED, text=1, note=what)
    between, baselines = list(between_nets(evidence)), list(over_baselines(evidence))
    of_nets, contrasts = net_findings(results, baselines), gain_findings(between)
    measured, little = of_claim(results, between), learnt_little(results)
    return Findings(
        [*(contrasts or of_nets[:3]), *filter(None, [little])],
        Drawing("roc", alt, ROC, draw) if curves else None,
        Section("Verification accuracy", (verification_table(evidence),)),
        [*diverged(results), *(of_nets if contrasts else of_nets[3:])],
        [
            *([Section("", (measured,))] if measured else []),
            Section("Differences in accuracy", (gains_table([*between, *baselines]),)),
            Section("The hardest pairs", (HARDEST,)),
            *([Section("Published results on LFW", (published,))] if what else []),
        ],
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
