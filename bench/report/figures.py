"""Figures in the paper's manner, and the style of all figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.frame import Set, with_bn
from bench.store import atomic

# no dates and no random ids: the same numbers give the same file
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "bench",
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
}


def curves(results: Set, path: Path) -> None:
    """Fig. 6: error against iterations, plain nets left, residual nets right; dashed training, bold test error.

    Mean over the seeds with the band from the lowest to the highest. Writes `path` (SVG) and a PNG beside it.
    """
    frame = results.curves.merge(with_bn(results.runs)[["id", "depth", "shortcut", "steps"]], on="id")
    longest = int(results.runs["steps"].max())
    unit, name = (1e4, "iterations (1e4)") if longest >= 10_000 else (1, "iterations")
    frame = frame.assign(x=frame["step"] / unit, plain=frame["shortcut"] == "none")
    depths = sorted(frame["depth"].unique())
    colours = dict(zip(depths, sns.color_palette("colorblind", len(depths)), strict=True))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.8), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for ax, plain, family in zip(axes, (True, False), ("plain", "ResNet"), strict=True):
            _panel(ax, frame[frame["plain"] == plain], colours, family)
            ax.set(xlabel=name, ylabel="error (%)", xlim=(0, longest / unit))
        axes[0].set_ylim(*_limits(frame))
        save(figure, path)


def _panel(ax: Axes, frame: pd.DataFrame, colours: dict[int, tuple[float, float, float]], family: str) -> None:
    handles = []
    for depth, part in frame.groupby("depth"):
        for column, style, width in (("error", "--", 0.9), ("test_error", "-", 2.0)):
            _line(ax, part, column, colours[int(str(depth))], style, width)
        handles.append(Line2D([], [], color=colours[int(str(depth))], lw=2, label=f"{family}-{depth}"))
    handles += [
        Line2D([], [], color="0.3", ls="--", lw=0.9, label="training"),
        Line2D([], [], color="0.3", lw=2, label="test"),
    ]
    ax.legend(handles=handles, fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4)
    ax.set_title("plain nets" if family == "plain" else "residual nets")


def _line(
    ax: Axes, part: pd.DataFrame, column: str, colour: tuple[float, float, float], style: str, width: float
) -> None:
    points = part.dropna(subset=[column]).groupby("x")[column].agg(["mean", "min", "max"])
    ax.plot(points.index, points["mean"], style, color=colour, lw=width)
    ax.fill_between(points.index, points["min"], points["max"], color=colour, alpha=0.15, lw=0)


def _limits(frame: pd.DataFrame) -> tuple[float, float]:
    """The paper's 0 to 20 % where every run ends below that, else the range there is."""
    values = pd.concat([frame["error"], frame["test_error"]]).dropna()
    if frame.sort_values("step").groupby("id")["error"].last().max() < 20:
        return 0, 20
    return max(0, values.min() - 3), min(100, values.max() + 3)


def save(figure: Figure, path: Path) -> None:
    """Writes `path` (SVG) and a PNG beside it, without a date."""
    for target, metadata in ((path, {"Date": None}), (path.with_suffix(".png"), {"Software": None})):
        with atomic(target) as temporary:
            figure.savefig(temporary, format=target.suffix[1:], dpi=160, metadata=metadata)
