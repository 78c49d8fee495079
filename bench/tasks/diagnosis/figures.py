"""Figures of what was seen of the layers: Fig. 7, and the gradients of plain and residual nets with BN and without."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.frame import PLAIN, display_name
from bench.report.render.figures import STYLE, palette
from bench.spec import HEALTHY
from bench.tasks.diagnosis import layers

Colour = tuple[float, float, float]
DASHED, SOLID = "--", "-"
STYLES = dict(zip(layers.UNITS, (DASHED, SOLID, "-.", ":"), strict=False))
LINEAR_BELOW = 30  # the paper's Fig. 7 has a linear axis up to 3; beyond ten times that it would hide all but one net


def _colours(frame: pd.DataFrame) -> dict[int, Colour]:
    depths = sorted(int(depth) for depth in frame["depth"].unique())
    return palette(depths)


def figure_7(frame: pd.DataFrame) -> Figure:
    """Fig. 7: std against the layer's index, in the original order above, sorted in descending order below."""
    ranked = frame.sort_values("response_std", ascending=False, kind="stable")
    ranked = ranked.assign(layer=ranked.groupby(["net", "seed"]).cumcount() + 1).sort_index()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 5), layout="constrained")
        top, bottom = figure.subplots(2, 1)
        handles = _stds(top, frame)
        _stds(bottom, ranked)
        if frame["response_std"].max() > LINEAR_BELOW:
            top.set(yscale="log")
            bottom.set(yscale="log")
        top.set(ylabel="std", xlabel="layer index (original order)")
        bottom.set(ylabel="std", xlabel="layer index (sorted by magnitude)")
        figure.legend(handles=handles, fontsize=8, frameon=False, loc="outside right center")
    return figure


def _stds(ax: Axes, frame: pd.DataFrame) -> list[Line2D]:
    """One line a net; returns the legend, plain nets first."""
    colours, handles = _colours(frame), []
    for net, part in frame.groupby("net", sort=False):
        colour = colours[int(part["depth"].iloc[0])]
        style = STYLES[part["unit"].iloc[0]]
        _band(ax, part, "layer", "response_std", colour, style, log=False)
        handles.append(Line2D([], [], color=colour, ls=style, label=display_name(str(net))))
    return handles


def by_layer(frame: pd.DataFrame, column: str, label: str) -> Figure:
    """A panel a kind of nets: `column` against the layer's index on a log axis, at initialisation and at the end."""
    colours = _colours(frame)

    def panel(ax: Axes, of_net: pd.DataFrame, colour: Colour) -> None:
        for at, style in ((of_net["step"] == 0, DASHED), (of_net["last"], SOLID)):
            _band(ax, of_net[at], "layer", column, colour, style)

    ends = ((DASHED, "at initialisation"), (SOLID, "after the last step"))
    more = [Line2D([], [], color="0.3", ls=style, label=words) for style, words in ends]
    return _panels(frame, colours, panel, ("layer index", label), more)


def over_steps(frame: pd.DataFrame) -> Figure:
    """A panel a kind of nets: the change of the gradient over the layers against iterations, on a log axis."""

    def panel(ax: Axes, of_net: pd.DataFrame, colour: Colour) -> None:
        _band(ax, of_net, "step", "change", colour, SOLID, marker="o")

    return _panels(frame, _colours(frame), panel, ("iterations", "gradient norm, first / last layer"), healthy=True)


def _panels(
    frame: pd.DataFrame,
    colours: dict[int, Colour],
    panel: Callable[[Axes, pd.DataFrame, Colour], None],
    labels: tuple[str, str],
    more: Sequence[Line2D] = (),
    *,
    healthy: bool = False,
) -> Figure:
    """Kinds as panels: plain left, residual right, other units further right; with BN above, without it below.

    panel: draws one net in its depth's colour. healthy: with a band of what is called so.
    """
    norms = [norm for norm in layers.NORMS if norm in set(frame["norm"])]
    units = [unit for unit in layers.UNITS if unit in {PLAIN, layers.BASIC, *frame["unit"]}]
    handles = [Line2D([], [], color=colour, label=f"{depth} layers") for depth, colour in colours.items()] + [*more]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4 * len(units), 0.8 + 2.6 * len(norms)), layout="constrained")
        axes = figure.subplots(len(norms), len(units), sharex=True, sharey="row", squeeze=False)
        for row, norm in zip(axes, norms, strict=True):
            for ax, unit in zip(row, units, strict=True):
                if healthy:
                    ax.axhspan(1 / HEALTHY, HEALTHY, color="0.85", lw=0, zorder=0)
                part = frame[(frame["unit"] == unit) & (frame["norm"] == norm)]
                for _, of_net in part.groupby(["depth", "net"]):
                    panel(ax, of_net, colours[int(of_net["depth"].iloc[0])])
                ax.set(title=layers.kind(unit, norm), yscale="log")
                ax.minorticks_off()  # over ten powers of ten they are a black bar
            row[0].set_ylabel(labels[1])
        for ax in axes[-1]:
            ax.set_xlabel(labels[0])
        figure.legend(handles=handles, fontsize=8, frameon=False, loc="outside lower center", ncols=len(handles))
    return figure


def _band(
    ax: Axes,
    part: pd.DataFrame,
    x: str,
    y: str,
    colour: Colour,
    style: str,
    *,
    marker: str = "",
    log: bool = True,
) -> None:
    """Mean over the seeds (the geometric one on a log axis) with the band from the lowest to the highest."""
    groups = part[part[y] > 0].groupby(x)[y]
    mean = groups.agg(layers.geometric) if log else groups.mean()
    ax.plot(mean.index, mean, style, color=colour, lw=1.2, marker=marker, ms=3)
    ax.fill_between(mean.index, groups.min(), groups.max(), color=colour, alpha=0.15, lw=0)
