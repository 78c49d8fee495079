"""What was seen of the layers, in words and tables: the gradients on their way back, and Fig. 7's responses."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd

from bench.report.evidence import Evidence
from bench.report.frame import PLAIN, Set, display_name, nets_of, own_recipes, with_bn
from bench.report.numbers import Cell
from bench.report.sections import Drawing, Findings, Section, bullets, diverged
from bench.report.stats import sample
from bench.report.tables import Table
from bench.spec import FAMILIES
from bench.tasks.diagnosis import figures, layers
from bench.tasks.diagnosis.gradients import (
    after,
    drawings,
    gradient_findings,
    gradient_table,
    not_drawn,
    number_of,
    two_digits,
)

STALE = (
    "These nets are hardly trained: {after} the running averages, by which evaluation mode normalises, are behind the "
    "weights, and from layer to layer that can add up."
)
SMALLER = " In training mode, the last but one column, responses are smaller."
TRAINING = ", in training mode"
RESPONSES = (
    "Standard deviation of a layer's responses, the outputs of a 3x3 layer after BN, before ReLU and addition, over "
    "test images, positions and channels, in evaluation mode, after the last step. {cells}, averaged over the layers; "
    "beside it the smallest and the largest of the layers."
)
FIGURE_7 = (
    "The standard deviation of each layer's responses in the manner of the paper's Fig. 7. Top: layers in their order; "
    "bottom: sorted by size. Plain nets dashed, residual nets solid; {lines}."
)
CELLS = "One seed of each net (n = 1)", "Mean ± standard deviation over seeds (n)"
LINES = (
    "one seed of each net",
    "arithmetic mean over the seeds, and a band from the lowest to the highest where there are several",
)
OWN = " Variants of a net's recipe are left out."
OTHERS = " Nets of other units dash-dotted or dotted."
OWN_OUTPUT = " Of {} nets, whose BN comes before a convolution: the convolution's own outputs."
ONE_BATCH = " In training mode: the same over the one batch of training images that the gradients are taken on."


def findings(evidence: Evidence) -> Findings:
    """What the gradients do from layer to layer, with the figure and the table of it; Fig. 7."""
    results = evidence.results
    answer, said = gradient_findings(results)
    seen = layers.gradients(results)
    drawn = [*drawings(results, seen)] if len(layers.changes(seen)) else []
    first, others = next(iter(drawn), None), drawn[1:]
    return Findings(
        answer or ["No layer has been measured yet."],
        first,
        Section("Gradient norms, first layer to last", (gradient_table(evidence),)) if first else None,
        [*diverged(results), *said],
        [
            *([Section("Gradients during training and of kernels; responses", tuple(others))] if others else []),
            *response_sections(evidence),
        ],
    )


def response_findings(results: Set) -> list[str]:
    """Fig. 7's two statements against the numbers: residual against plain, and residual nets with depth.

    After a few steps of scale quick they are of training mode where that was measured: evaluation mode has running
    averages that are behind the weights, as the page says, and tells nothing of depth.
    """
    frame, stale = layers.responses(results), results.scale == "quick"
    measured = bool(frame["batch_std"].notna().any())
    if stale and measured:
        frame = frame.assign(response_std=frame["batch_std"])
    basic = frame[(frame["unit"] == layers.BASIC) & (frame["shortcut"] == "A")]  # the paper has no other units in it
    plain, residual = _by_depth_and_layer(frame[frame["unit"] == PLAIN]), _by_depth_and_layer(basic)
    both = sorted(set(plain.index) & set(residual.index))
    against = [
        _residual_against_plain(plain.loc[depth].dropna(), residual.loc[depth].dropna(), depth) for depth in both
    ]
    paper = (*["in the paper they are generally smaller"] * len(against), "in the paper it falls")
    with_depth = _residual_with_depth(basic) if measured or not stale else []
    mode = TRAINING if stale and measured else ""
    lines = zip([*against, *with_depth], paper, strict=False)
    return [f"{line}{mode}." if stale else f"{line}; {theirs}." for line, theirs in lines]


def _by_depth_and_layer(frame: pd.DataFrame) -> pd.DataFrame:
    """Depths x layers: the std averaged over seeds, NaN beyond a net's last layer."""
    return frame.pivot_table(values="response_std", index="depth", columns="layer", aggfunc="mean")


def _residual_against_plain(plain: pd.Series[float], residual: pd.Series[float], depth: int) -> str:
    ours, theirs = residual.mean(), plain.mean()
    return (
        f"At {depth} layers the responses of the residual net are {'smaller' if ours < theirs else 'not smaller'} than "
        f"the plain net's on average (mean std over the layers {_std(ours)} against {_std(theirs)}), and smaller in "
        f"{(residual.sub(plain) < 0).sum()} of {len(plain)} layers"
    )


def _residual_with_depth(basic: pd.DataFrame) -> list[str]:
    """It rises or falls where the seeds of no two neighbouring depths overlap."""
    by_seed = basic.groupby(["depth", "seed"])["response_std"].mean()
    depths = by_seed.groupby("depth").agg(["mean", "min", "max", "count"])
    if len(depths) < 2:
        return []
    means, low, high = depths["mean"], depths["min"].to_numpy(), depths["max"].to_numpy()
    if (high[1:] < low[:-1]).all():
        how = "falls"
    elif (low[1:] > high[:-1]).all():
        how = "rises"
    elif means.is_monotonic_decreasing or means.is_monotonic_increasing:
        how = "has no trend beyond the spread over seeds"
    else:
        how = "neither falls nor rises throughout"
    steps = ", ".join(f"{_std(value)} at {depth} layers" for depth, value in means.items())
    n = ", ".join(map(str, depths["count"].unique() if depths["count"].nunique() == 1 else depths["count"]))
    return [f"With depth the mean response of residual nets {how} ({steps}; n = {n})"]


def _std(value: float) -> str:
    """Three decimals; three digits from 10 on; two of what is far from any response of a trained net."""
    if value >= 1_000:
        return two_digits(value)
    return "–" if math.isnan(value) else f"{value:.3f}" if value < 10 else f"{value:.3g}"


def response_table(evidence: Evidence) -> Table:
    """A row a net with BN: the mean, the smallest and the largest std over its layers, each averaged over seeds."""
    rows: list[tuple[Cell, ...]] = []
    seen = layers.responses(evidence.results)
    for net, part in seen.groupby("net", sort=False):
        by_seed = part.groupby("seed").agg(
            mean=("response_std", "mean"),
            low=("response_std", "min"),
            high=("response_std", "max"),
            batch=("batch_std", "mean"),
        )
        means = by_seed.pop("mean")
        ours, what = sample(means), "std of responses, mean over the layers"
        values = {"value": ours.mean, "std": ours.std, "write": _std}
        mean = number_of(evidence, str(net), "response_std", what, means, **values)
        others = map(_std, by_seed.mean())
        rows.append((display_name(str(net)), f"{part['depth'].iloc[0]}", mean, *others, f"{len(by_seed)}"))
    header = ["net", "layers", "std, mean over layers", "smallest", "largest", "mean, in training mode", "seeds"]
    how = RESPONSES.format(cells=CELLS[_several(seen)])
    if seen["batch_std"].notna().any():
        how += ONE_BATCH
    else:  # a classification looks in evaluation mode alone
        del header[-2]
        rows = [(*row[:-2], row[-1]) for row in rows]
    bn_first = {row.residual.nets: None for row in FAMILIES.values() if row.norm_first}
    how += "".join(OWN_OUTPUT.format(nets) for nets in bn_first if nets in set(nets_of(seen)))
    how += OWN if (evidence.results.runs["variant"] != "").any() else ""
    return Table(header, rows, note=how, name="responses")


def _several(seen: pd.DataFrame) -> bool:
    """Whether any net has two seeds or more."""
    return bool(seen.groupby("net")["seed"].nunique().max() > 1)


def _stale(results: Set, seen: pd.DataFrame) -> list[str]:
    """What few steps do to evaluation mode; that responses are smaller in training mode where those of all nets are."""
    if results.scale != "quick":
        return []
    means = seen.groupby("net")[["response_std", "batch_std"]].mean()
    return [STALE.format(after=after(results)) + SMALLER * bool((means["batch_std"] < means["response_std"]).all())]


def response_sections(evidence: Evidence) -> list[Section]:
    """Fig. 7 with its table and its statements; nothing where no responses were measured."""
    results = evidence.results
    seen = layers.responses(results)
    if seen.empty:
        return []
    found = [bullets(lines)] if (lines := response_findings(results)) else []
    how = FIGURE_7.format(lines=LINES[_several(seen)]) + (OTHERS if set(seen["unit"]) - {PLAIN, layers.BASIC} else "")
    draw = partial(figures.figure_7, seen, not_drawn(results, with_bn(own_recipes(results.nets))))
    drawing = Drawing("responses", "Standard deviations of layer responses", how, draw)
    heading = evidence.named("Layer responses", "Fig. 7")
    return [Section(heading, (*_stale(results, seen), *found, drawing, response_table(evidence)))]
