"""Figures in the paper's manner, and the style of all figures."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator

from bench.report.claims import floor_of
from bench.report.frame import NETS, PLAIN, RESIDUAL, Set, first_option, nets_of, on_one_machine, with_bn
from bench.report.stats import of_percent, sample
from bench.store import atomic

# no dates and no random ids: the same numbers give the same file
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "bench",
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
}

# seaborn's "colorblind" with its light colours darker: a line stands out from white and from the dark ground, 3 to 1
BLUE = "#0173b2"
PALETTE = [BLUE, "#c98100", "#029e73", "#c9472b", "#cc78bc", "#b9814f", "#2f93cc", "#808080", "#9c8b00", "#d9699c"]
HIT, FALSE_HIT = "#12803a", "#c01f2e"  # of a detection, letters too
# what an SVG file has in the dark in the place of these; whoever shows it without asking for the dark has it on white
DARK = {
    "#ffffff": "#17181a",  # the ground: the pages' own, page.css
    "#000000": "#dededa",
    "#4c4c4c": "#b4b4ae",
    "#666666": "#a2a29c",
    "#b0b0b0": "#7c7d82",  # the grid
    "#d9d9d9": "#35373c",
    BLUE: "#409de0",
    HIT: "#4dbd6f",
    FALSE_HIT: "#ff7b86",
}
IN_THE_DARK = "\n".join(
    (
        "@media screen and (prefers-color-scheme: dark) {",
        f"svg {{ fill: {DARK['#000000']} }}",  # letters, which name no colour
        *(f'[style*="fill: {light}"] {{ fill: {dark} !important }}' for light, dark in DARK.items()),
        *(f'[style*="stroke: {light}"] {{ stroke: {dark} !important }}' for light, dark in DARK.items()),
        "}",
    )
)

Key = TypeVar("Key")
TITLES = {kind.nets: kind.title for kind in reversed(RESIDUAL.values())} | {PLAIN: PLAIN}


def palette(keys: Collection[Key]) -> dict[Key, tuple[float, float, float]]:
    """A colour for each, in order."""
    return dict(zip(keys, sns.color_palette(PALETTE, len(keys)), strict=True))


def curves(results: Set) -> Figure:
    """Fig. 6: error against iterations, plain nets left, residual nets right; dashed training, bold test error.

    Residual nets with another unit have a panel of their own, further right. Mean over the seeds with the band from the
    lowest to the highest.
    """
    runs = first_option(with_bn(results.runs))
    frame = results.curves.merge(runs.assign(nets=nets_of(runs))[["id", "depth", "nets", "steps"]], on="id")
    longest = int(runs["steps"].max())
    unit, name = (1e4, "iterations (1e4)") if longest >= 10_000 else (1, "iterations")
    frame = frame.assign(x=frame["step"] / unit)
    depths = sorted(frame["depth"].unique())
    colours = palette(depths)
    with mpl.rc_context(STYLE):
        there = set(frame["nets"]) or set(NETS[:2])
        families = [nets for nets in NETS if nets in there]
        figure = Figure(figsize=(1 + 3.5 * len(families), 3.8), layout="constrained")
        axes = figure.subplots(1, len(families), sharey=True, squeeze=False)[0]
        for ax, nets in zip(axes, families, strict=True):
            _panel(ax, frame[frame["nets"] == nets], colours, nets)
            ax.set(xlabel=name, ylabel="error (%)", xlim=(0, longest / unit))
        axes[0].set_ylim(*_limits(frame))
    return figure


# marker, line, points from it to its depth, off a plain net's rising line; further kinds of nets as the last
FAMILIES = (("s", "--", (-9, 5)), ("o", "-", (9, -12)), ("^", "-", (9, 6)))


def tradeoff(results: Set) -> Figure:
    """Test error against depth, parameters, multiply-adds and measured training time.

    Mean over the seeds with its 95 % interval. Times are of the machine that most nets have their runs on.
    """
    runs = on_one_machine(first_option(with_bn(results.done)))
    machine = str(runs.groupby("hardware")["net"].nunique().idxmax())
    minutes = runs[runs["hardware"] == machine].groupby("net")["seconds"].mean() / 60
    unit, size = ("h", 60) if minutes.max() >= 100 else ("min", 1)
    frame = first_option(with_bn(results.nets)).query("n > 0").assign(time=minutes / size)
    frame = frame.assign(params=frame["params"] / 1e6, multiply_adds=frame["multiply_adds"] / 1e6)
    frame[["low", "high"]] = [_interval(results, str(net)) for net in frame.index]
    axes = {
        "depth": "layers",
        "params": "parameters (M)",
        "multiply_adds": "multiply-adds (M)",
        "time": f"training ({unit}) on {literal(machine)}" if runs["hardware"].nunique() > 1 else f"training ({unit})",
    }
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 5.4), layout="constrained")
        for ax, (column, label) in zip(figure.subplots(2, 2, sharey=True).flat, axes.items(), strict=True):
            _against(ax, frame.dropna(subset=column), column)
            ax.set(xlabel=label, ylabel="test error (%)")
            ax.xaxis.set_major_locator(
                FixedLocator(sorted(set(frame["depth"]))) if column == "depth" else MaxNLocator(6)
            )
            ax.margins(0.08, 0.12)
        handles = [
            Line2D([], [], color=c, ls=s, marker=m, label=f"{nets} nets") for nets, (m, s, _), c in _families(frame)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def _families(frame: pd.DataFrame) -> list[tuple[str, tuple[str, str, tuple[int, int]], tuple[float, float, float]]]:
    """Of plain and residual nets, and of other units that are there: their name, style and colour."""
    named = [*NETS[:2], *(nets for nets in NETS[2:] if nets in set(nets_of(frame)))]
    styles = [FAMILIES[min(place, len(FAMILIES) - 1)] for place in range(len(named))]
    return list(zip(named, styles, palette(named).values(), strict=True))


def _interval(results: Set, net: str) -> tuple[float, float]:
    """The 95 % interval of a net's mean error; with one seed there is none to draw."""
    errors = sample(results.done.loc[results.done["net"] == net, "test_error"])
    interval = of_percent(errors.at_least(floor_of(results)((net,), "test_error")).interval)
    return (interval.low, interval.high) if interval else (errors.mean, errors.mean)


def _against(ax: Axes, frame: pd.DataFrame, column: str) -> None:
    for nets, (marker, style, aside), colour in _families(frame):
        part = frame[nets_of(frame) == nets].sort_values(column)
        x, y = part[column], part["test_error_mean"]
        ax.errorbar(x, y, (y - part["low"], part["high"] - y), color=colour, marker=marker, ls=style, capsize=3)
        words: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 7.5}
        for depth, *point in zip(part["depth"], x, y, strict=True):
            ax.annotate(f"{depth}", tuple(point), aside, **words)


def _panel(ax: Axes, frame: pd.DataFrame, colours: dict[int, tuple[float, float, float]], nets: str) -> None:
    handles = []
    for depth, part in frame.groupby("depth"):
        colour = colours[int(str(depth))]
        for column, style, width in (("error", "--", 0.9), ("test_error", "-", 2.0)):
            points = part.dropna(subset=[column]).groupby("x")[column].agg(["mean", "min", "max"])
            (line,) = ax.plot(points.index, points["mean"], style, color=colour, lw=width)
            if len(points) == 1:  # no line would be seen
                line.set(marker="o", markersize=4, clip_on=False)
            ax.fill_between(points.index, points["min"], points["max"], color=colour, alpha=0.15, lw=0)
        handles.append(Line2D([], [], color=colour, lw=2, label=f"{TITLES[nets]}-{depth}"))
    handles.append(Line2D([], [], color="0.3", ls="--", lw=0.9, label="training"))
    handles.append(Line2D([], [], color="0.3", lw=2, label="test"))
    ax.legend(handles=handles, fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4)
    ax.set_title(f"{nets} nets")


def _limits(frame: pd.DataFrame) -> tuple[float, float]:
    """The paper's 0 to 20 % where every run ends below that, else the range there is."""
    values = pd.concat([frame["error"], frame["test_error"]]).dropna()
    if frame.sort_values("step").groupby("id")["error"].last().max() < 20:
        return 0, 20
    return max(0, values.min() - 3), min(100, values.max() + 3)


def save(figure: Figure, path: Path, results: Set) -> None:
    """Writes `path` (SVG) and a PNG beside it; each says within which results it was drawn from, and no date."""
    made_of = drawn_from(results)
    svg = {"Date": None, "Creator": None, "Description": made_of}
    for target, metadata in ((path, svg), (path.with_suffix(".png"), {"Software": None, "Description": made_of})):
        with mpl.rc_context(STYLE), atomic(target) as temporary:
            figure.savefig(temporary, format=target.suffix[1:], dpi=160, metadata=metadata)
            if target is path:
                drawn = temporary.read_text(encoding="utf-8")
                temporary.write_text(drawn.replace("</style>", f"\n{IN_THE_DARK}</style>", 1), encoding="utf-8")


def drawn_from(results: Set) -> str:
    """What a figure of these results says within: `verify` looks for it."""
    return f"resnet-bench results SHA-256 {results.digest}"


def literal(text: str) -> str:
    """A text from outside as matplotlib draws it as it is: nothing in it is a formula."""
    return text.replace("$", r"\$")
