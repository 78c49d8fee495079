"""Figures in the paper's manner: errors against iterations (Fig. 6), and errors against what nets cost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import ScaledTranslation

from bench.report.claims import floor_of
from bench.report.frame import Set, display_name, first_option, kinds_of, nets_of, with_bn
from bench.report.machines import STEADY, on_one_machine
from bench.report.render import style
from bench.report.render.style import BOLD, COLUMN, PAGE, STYLE, THIN, handle, literal, look
from bench.report.stats import of_percent, sample

VERY_DEEP = 1_000  # nets of more layers have a panel of their own, beside the deepest of the others, as in the paper
SQUASHES = 1.75  # a net above 50 % whose error is so many times the next lower one's would squash the others' curves
WIDE = 20  # times: a wider range of layers or costs has a logarithmic axis
LAYERS = "layers"
# what a net costs by arithmetic: the axis's label, and its column of the nets with the unit
COMPUTED = {LAYERS: ("depth", 1), "parameters (M)": ("params", 1e6), "multiply-adds (M)": ("multiply_adds", 1e6)}
APART = 5  # points between nets that cost the same: their intervals would lie on each other
FEWEST = 3  # nets: of fewer the table says all
TRAINING, TEST = "--", "-"
# line, width, whether its points are filled and how large, how dark the band; points of both are seen where they meet
CURVES = (("test_error", TEST, BOLD, True, 5, 0.3), ("error", TRAINING, THIN, False, 3.2, 0.12))
# dash of the line over depth, and whether its points are filled; further kinds of nets as the last
KINDS = (("--", False), ("-", True), ("-.", True), (":", True))


def curves(results: Set) -> Figure:
    """Fig. 6: error against iterations, a panel a kind of nets; dashed training, bold test error.

    Mean over the seeds with the band from the lowest to the highest. A net that would squash the others is named.
    """
    runs = first_option(with_bn(results.runs))
    frame = results.curves.merge(runs[["id", "net", "depth", "state"]], on="id")
    longest = int(runs["steps"].max())
    unit, name = (1e4, "iterations (1e4)") if longest >= 10_000 else (1, "iterations")
    frame = frame.assign(x=frame["step"] / unit)
    low, high, above = limits(frame)
    panels = panels_of(runs)
    width = COLUMN if len(panels) == 1 else PAGE
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, 3.2), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for ax, (title, nets) in zip(axes, panels.items(), strict=True):
            drawn = frame[frame["net"].isin(nets) & ~frame["net"].isin(above.index)]
            handles = _panel(ax, drawn)
            note = _notes(not_run(results, nets), _above(above[above.index.isin(nets)]))
            place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.19)}
            style.under(ax, handles, note, width / len(panels) - 0.2, **place)
            ax.set(title=title, xlabel=name, xlim=(0, 1.03 * longest / unit), ylim=(low, high))
            style.whole_numbers(ax, most=8)
        axes[0].set_ylabel("error (%)")
        style.off_the_edges(axes)
        ends = (("training", TRAINING, THIN, False), ("test", TEST, BOLD, True))
        style.below(figure, [_of_any_depth(*words) for words in ends])
    return figure


def panels_of(runs: pd.DataFrame) -> dict[str, list[str]]:
    """The nets of each panel by its title: plain nets, residual nets, other units, and last what is VERY_DEEP."""
    panels, last = {}, {}
    for kind in kinds_of(runs):
        depths = runs[nets_of(runs) == kind].groupby("net")["depth"].first().sort_values()
        deep, others = depths[depths > VERY_DEEP], depths[depths <= VERY_DEEP]
        if len(deep) and len(others) > 1:
            both = pd.concat([others.tail(1), deep])
            last[" and ".join(map(str, both)) + " layers"] = list(map(str, both.index))
            depths = others
        if len(depths):
            panels[f"{kind} nets"] = list(map(str, depths.index))
    return panels | last


def _panel(ax: Axes, frame: pd.DataFrame) -> list[Line2D]:
    """The curves of some nets, the training's above; returns the legend's lines, by depth."""
    nets = [(look(int(part["depth"].iloc[0]), str(net)), str(net), part) for net, part in frame.groupby("net")]
    nets.sort(key=lambda one: one[2]["depth"].iloc[0])
    for column, dash, width, filled, size, shade in CURVES:
        for of, _, part in reversed(nets):  # the marks of the shallow ones are the smaller ones
            points = part.dropna(subset=[column]).groupby("x")[column].agg(["mean", "min", "max"])
            face = of.colour if filled else "white"
            style.band(ax, points.index, points["min"], points["max"], of, shade)
            style.line(ax, points.index, points["mean"], of, dash, width, ms=size, mfc=face)
    return [handle(display_name(net), of, width=BOLD) for of, net, _ in nets]


def _above(errors: pd.Series[float]) -> str:
    words = ", ".join(f"{display_name(str(net))} ({error:.1f} %)" for net, error in errors.items())
    return f"above the axis: {words}" if words else ""


def _notes(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def not_run(results: Set, nets: Iterable[Any]) -> str:
    """`not run yet: plain-32, plain-44; failed: plain-110`, of these nets those without a number, by kind and depth."""
    rows = results.nets.loc[results.nets.index.isin(list(nets)) & (results.nets["n"] == 0)]
    rows = rows.iloc[nets_of(rows).map(kinds_of(rows).index).argsort(kind="stable")]
    failed = rows["failed"] > 0
    parts = (("not run yet", rows[~failed]), ("failed", rows[failed]))
    return "; ".join(
        f"{why}: {', '.join(display_name(str(net)) for net in part.index)}" for why, part in parts if len(part)
    )


def limits(frame: pd.DataFrame) -> tuple[float, float, pd.Series[float]]:
    """The range of the errors that is drawn, and the test errors of nets that lie above it, which would squash it.

    Up to 1.4 times what the worst net ends with, and to the paper's 20 % at least: the first steps run out of it, as
    in the paper.
    """
    last = frame[frame["state"] == "done"].sort_values("step").groupby(["net", "id"])[["error", "test_error"]].last()
    ends = last.groupby("net").mean()
    worst = ends.max(axis=1).dropna()
    if worst.empty:
        return 0, 100, worst
    above = squashing(worst)
    values = frame.loc[~frame["net"].isin(above.index), ["error", "test_error"]]
    lowest, highest = float(values.min().min()), float(values.max().max())
    high = min(max(20, _up(1.4 * float(worst.drop(above.index).max()))), _up(highest), 100)
    low = 0 if high <= 50 or lowest < high / 4 else max(0, -_up(1 - lowest))
    return low, high, ends["test_error"].fillna(ends["error"]).reindex(above.index)


def squashing(errors: pd.Series[float]) -> pd.Series[float]:
    """Those that lie so far above the others that these could not be told apart beside them."""
    ordered = errors.sort_values()
    jump = (ordered > 50) & (ordered / ordered.shift() > SQUASHES)
    return ordered[jump.cumsum() > 0]


def _up(value: float) -> int:
    """To the next five percent."""
    return 5 * math.ceil(value / 5)


def costs(results: Set) -> pd.DataFrame:
    """What the nets that have a number cost, a row a net, a column an axis by its label; the time where `times` are.

    Fewer nets than FEWEST are not worth a figure.
    """
    frame = first_option(with_bn(results.nets)).query("n > 0")
    computed = pd.DataFrame({label: frame[column] / unit for label, (column, unit) in COMPUTED.items()})
    measured = times(results)
    return computed if measured.empty else computed.join(measured)


def times(results: Set) -> pd.Series[float]:
    """Training times by net on the machine that most nets have runs on, under the label of their axis.

    Empty where they cannot be compared: each net must have two runs or more there, none faster than STEADY times
    another of its net, as where something else used the machine; and there must be as many nets as make a figure.
    """
    runs = on_one_machine(first_option(with_bn(results.done)))
    nets = runs.groupby("hardware")["net"].nunique()
    machine = str(nets.idxmax()) if len(nets) else ""
    of_net = runs[runs["hardware"] == machine].groupby("net")
    speeds, seconds = of_net["images_per_s"].agg(["size", "min", "max"]), of_net["seconds"].mean()
    steady = (speeds["size"] > 1) & (speeds["max"] <= STEADY * speeds["min"])
    if len(seconds) < FEWEST or not steady.all():
        return seconds.iloc[:0]
    unit, size = ("h", 3600) if seconds.max() >= 100 * 60 else ("min", 60)
    on = f" on {literal(machine)}" if runs["hardware"].nunique() > 1 else ""
    return (seconds / size).rename(f"training ({unit}){on}")


def tradeoff(results: Set) -> Figure:
    """Test error against depth, parameters and multiply-adds, and against the training time where it says something.

    Mean over the seeds with its 95 % interval.
    """
    declared, paid = first_option(with_bn(results.nets)), costs(results)
    frame = declared.loc[paid.index].join(paid)
    frame[["low", "high"]] = [_interval(results, str(net)) for net in frame.index]
    above = squashing(frame["test_error_mean"])
    frame = frame.drop(above.index)
    rows, columns, height = (1, 3, 2.7) if len(paid.columns) == 3 else (2, 2, 4.6)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, height), layout="constrained")
        axes = figure.subplots(rows, columns, sharey=True)
        for ax, label in zip(axes.flat, map(str, paid), strict=True):
            _against(ax, frame.dropna(subset=label), label)
            ax.margins(0.08, 0.12)
            _measure(ax, frame[label], label)
        for ax in axes.flat[::columns]:
            ax.set_ylabel("test error (%)")
        note = _notes(not_run(results, declared.index), _above(above))
        style.below(figure, [*_kind_handles(frame), *_depth_handles(frame)], note)
    return figure


def _measure(ax: Axes, values: pd.Series[float], label: str) -> None:
    """The axis of what is paid: depths at their own places where they are few, logarithmic where the range is wide."""
    ax.set_xlabel(label)
    if values.max() > WIDE * values.min():
        style.logarithmic(ax, "x", label)
    elif label != LAYERS:
        ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    if label == LAYERS:
        depths = sorted(set(values))
        ax.set_xticks(depths if len(depths) < 8 else depths[:: len(depths) // 4], minor=False)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))


def _kinds(frame: pd.DataFrame) -> dict[str, tuple[str, bool]]:
    """Of plain, residual and other nets that are there: the line over depth, and whether its points are filled."""
    kinds = kinds_of(frame)
    return {nets: KINDS[min(kinds.index(nets), len(KINDS) - 1)] for nets in kinds if nets in set(nets_of(frame))}


def _kind_handles(frame: pd.DataFrame) -> list[Line2D]:
    return [_of_any_depth(f"{nets} nets", dash, style.LINE, filled) for nets, (dash, filled) in _kinds(frame).items()]


def _of_any_depth(label: str, dash: str, width: float, filled: bool) -> Line2D:
    """A legend's line with a point that stands for those of all depths."""
    one = handle(label, dash=dash, width=width)
    one.set(marker="o", markersize=4, markerfacecolor=style.GUIDE if filled else "white")
    return one


def _depth_handles(frame: pd.DataFrame) -> list[Line2D]:
    return [
        handle(f"{depth} layers", look(depth, str(net)), dash="")
        for net, depth in frame.drop_duplicates("depth").sort_values("depth")["depth"].items()
    ]


def _interval(results: Set, net: str) -> tuple[float, float]:
    """The 95 % interval of a net's mean error; with one seed there is none to draw."""
    errors = sample(results.done.loc[results.done["net"] == net, "test_error"])
    interval = of_percent(errors.at_least(floor_of(results)((net,), "test_error")).interval)
    return (interval.low, interval.high) if interval else (errors.mean, errors.mean)


def _against(ax: Axes, frame: pd.DataFrame, column: str) -> None:
    """A line a kind of nets over depth, each point in its depth's look; kinds stand beside each other."""
    kinds = _kinds(frame)
    for place, (nets, (dash, filled)) in enumerate(kinds.items()):
        part = frame[nets_of(frame) == nets].sort_values("depth")
        drawn: list[Artist] = []
        if part[column].is_monotonic_increasing:  # times need not be
            drawn += ax.plot(part[column], part["test_error_mean"], ls=dash, color=style.GUIDE, lw=THIN, zorder=1)
        for net, row in part.iterrows():
            of, y = look(int(row["depth"]), str(net)), row["test_error_mean"]
            spread = [[y - row["low"]], [row["high"] - y]]
            face = of.colour if filled else "white"
            point = ax.errorbar(row[column], y, spread, fmt=of.marker, color=of.colour, mfc=face, capsize=2, ms=5)
            drawn += point.get_children()
        aside = APART / 72 * (place - (len(kinds) - 1) / 2)
        for one in drawn:  # only now: the axis's range is the data's
            one.set_transform(ax.transData + ScaledTranslation(aside, 0, ax.figure.dpi_scale_trans))
