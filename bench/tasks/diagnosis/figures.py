"""Figures of what was seen of the layers: Fig. 7, and the gradients of plain and residual nets with BN and without."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.frame import PLAIN, display_name
from bench.report.render import style
from bench.report.render.style import COLUMN, PAGE, STYLE, Look, look
from bench.spec import HEALTHY
from bench.tasks.diagnosis import layers

DASHED, SOLID = "--", "-"
DASHES = dict(zip(layers.UNITS, (DASHED, SOLID, "-.", ":"), strict=False))
FINE = 0.9  # points, of lines that run close to each other
TOGETHER = 4  # nets whose lines are told apart in one panel
LINEAR_BELOW = 6  # the paper's Fig. 7 has a linear axis up to 3; beyond twice that it would hide all but one net


def figure_7(frame: pd.DataFrame, note: str = "") -> Figure:
    """Fig. 7: std against the layer's index, in the original order above, sorted in descending order below.

    Plain and residual nets in one panel as in the paper, each kind in its own where they are many. note: what is not
    drawn.
    """
    ranked = frame.sort_values("response_std", ascending=False, kind="stable")
    ranked = ranked.assign(layer=ranked.groupby(["net", "seed"]).cumcount() + 1).sort_index()
    kinds = list(dict.fromkeys(frame["unit"]))
    panels = [[kind] for kind in kinds] if frame["net"].nunique() > TOGETHER else [kinds]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PAGE if len(panels) > 1 else COLUMN, 4.2), layout="constrained")
        axes = figure.subplots(2, len(panels), sharey="row", squeeze=False)
        for row, (rows, order) in zip(axes, ((frame, "original order"), (ranked, "sorted by magnitude")), strict=True):
            handles: list[Line2D] = []
            for ax, units in zip(row, panels, strict=True):
                handles += _stds(ax, rows[rows["unit"].isin(units)])
                ax.set_xlabel(f"layer index ({order})")
                style.whole_numbers(ax)
                if frame["response_std"].max() > LINEAR_BELOW:
                    style.logarithmic(ax, "y")
                if rows is frame and len(panels) > 1:
                    ax.set_title(f"{units[0]} nets")
            row[0].set_ylabel("std (log scale)" if row[0].get_yscale() == "log" else "std")
        style.below(figure, handles, note)
    return figure


def _stds(ax: Axes, frame: pd.DataFrame) -> list[Line2D]:
    """One line a net; returns the legend, plain nets first."""
    handles = []
    for net, part in frame.groupby("net", sort=False):
        of, dash = look(int(part["depth"].iloc[0]), str(net)), DASHES.get(part["unit"].iloc[0], ":")
        _band(ax, part, "layer", "response_std", of, dash, log=False)
        handles.append(style.handle(display_name(str(net)), of, dash))
    return handles


def by_layer(frame: pd.DataFrame, column: str, label: str, note: str = "") -> Figure:
    """A panel a kind of nets: `column` against the layer's index on a log axis, at initialisation and at the end."""

    def panel(ax: Axes, of_net: pd.DataFrame, of: Look) -> None:
        _band(ax, of_net[of_net["step"] == 0], "layer", column, of, DASHED, mfc="white")
        _band(ax, of_net[of_net["last"]], "layer", column, of, SOLID)

    ends = ((DASHED, "at initialisation"), (SOLID, "after the last step"))
    more = [style.handle(words, dash=dash) for dash, words in ends]
    return _panels(frame, panel, ("layer index", label), note, more)


def over_steps(frame: pd.DataFrame, note: str = "") -> Figure:
    """A panel a kind of nets: the change of the gradient over the layers against iterations, on a log axis."""

    def panel(ax: Axes, of_net: pd.DataFrame, of: Look) -> None:
        _band(ax, of_net, "step", "change", of, SOLID)

    return _panels(frame, panel, ("iterations", "gradient norm, first / last layer"), note, healthy=True)


def _panels(
    frame: pd.DataFrame,
    panel: Callable[[Axes, pd.DataFrame, Look], None],
    labels: tuple[str, str],
    note: str = "",
    more: Sequence[Line2D] = (),
    *,
    healthy: bool = False,
) -> Figure:
    """Kinds as panels: plain left, residual right, other units further right; with BN above, without it below.

    panel: draws one net in its depth's look. healthy: with a band of what is called so.
    """
    norms = [norm for norm in layers.NORMS if norm in set(frame["norm"])]
    units = [unit for unit in layers.units_of(frame) if unit in {PLAIN, layers.BASIC, *frame["unit"]}]
    depths = sorted(int(depth) for depth in frame["depth"].unique())
    handles = [*(style.handle(f"{depth} layers", look(depth)) for depth in depths), *more]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, 0.6 + 2.1 * len(norms)), layout="constrained")
        axes = figure.subplots(len(norms), len(units), sharex=True, sharey="row", squeeze=False)
        for row, norm in zip(axes, norms, strict=True):
            for ax, unit in zip(row, units, strict=True):
                if healthy:
                    ax.axhspan(1 / HEALTHY, HEALTHY, color="0.85", lw=0, zorder=0)
                part = frame[(frame["unit"] == unit) & (frame["norm"] == norm)]
                for (_, net), of_net in part.groupby(["depth", "net"]):
                    panel(ax, of_net, look(int(of_net["depth"].iloc[0]), str(net)))
                ax.set(title=layers.kind(unit, norm))
                style.logarithmic(ax, "y")
                style.whole_numbers(ax)
        for ax in axes[-1]:
            ax.set_xlabel(labels[0])
        figure.supylabel(f"{labels[1]} (log scale)", fontsize=style.TYPE)
        style.below(figure, handles, note)
    return figure


def _band(
    ax: Axes, part: pd.DataFrame, x: str, y: str, of: Look, dash: style.Dash, *, log: bool = True, **more: str
) -> None:
    """Mean over the seeds (the geometric one on a log axis) with the band from the lowest to the highest."""
    groups = part[part[y] > 0].groupby(x)[y]
    mean = groups.agg(layers.geometric) if log else groups.mean()
    style.line(ax, mean.index, mean, of, dash, FINE, **more)
    style.band(ax, mean.index, groups.min(), groups.max(), of)
