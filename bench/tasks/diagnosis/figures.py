"""Figures of what was seen of the layers: Fig. 7, and the gradients of plain and residual nets with BN and without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.frame import display_name
from bench.report.render.figures import STYLE
from bench.spec import HEALTHY
from bench.tasks.diagnosis import layers

Colour = tuple[float, float, float]
DASHED, SOLID = "--", "-"
LINEAR_BELOW = 30  # the paper's Fig. 7 has a linear axis up to 3; beyond ten times that it would hide all but one net


def of_gradients(seen: pd.DataFrame) -> dict[str, Callable[[], Figure]]:
    """What draws each figure of the gradients in `seen`, by its name; none where there are none."""
    changes = layers.changes(seen)
    if changes.empty:
        return {}
    return {
        "gradients": partial(by_layer, seen, "response_grad_norm", "gradient norm w.r.t. responses"),
        "kernel-gradients": partial(by_layer, seen, "grad_norm", "gradient norm w.r.t. kernel"),
        "activations": partial(by_layer, seen, "batch_std", "std of responses, training mode"),
        "gradient-steps": partial(over_steps, changes),
    }


def _colours(frame: pd.DataFrame) -> dict[int, Colour]:
    depths = sorted(int(depth) for depth in frame["depth"].unique())
    return dict(zip(depths, sns.color_palette("colorblind", len(depths)), strict=True))


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
        style = DASHED if (part["shortcut"] == "none").all() else SOLID
        _band(ax, part, "layer", "response_std", colour, style, log=False)
        handles.append(Line2D([], [], color=colour, ls=style, label=display_name(str(net))))
    return handles


def by_layer(frame: pd.DataFrame, column: str, label: str) -> Figure:
    """A panel a family of nets: `column` against the layer's index on a log axis, at initialisation and at the end."""
    colours = _colours(frame)
    ends = [
        Line2D([], [], color="0.3", ls=DASHED, label="at initialisation"),
        Line2D([], [], color="0.3", ls=SOLID, label="after the last step"),
    ]
    panel = partial(_start_and_end, column=column, colours=colours)
    return _panels(frame, panel, ("layer index", label), [*_depths(colours), *ends])


def _start_and_end(ax: Axes, part: pd.DataFrame, *, column: str, colours: dict[int, Colour]) -> None:
    for depth, of_depth in part.groupby("depth"):
        for at, style in ((of_depth["step"] == 0, DASHED), (of_depth["last"], SOLID)):
            _band(ax, of_depth[at], "layer", column, colours[int(str(depth))], style)


def over_steps(frame: pd.DataFrame) -> Figure:
    """A panel a family of nets: the change of the gradient over the layers against iterations, on a log axis."""
    colours = _colours(frame)
    panel = partial(_changes, colours=colours)
    return _panels(frame, panel, ("iterations", "gradient norm, first / last layer"), _depths(colours))


def _changes(ax: Axes, part: pd.DataFrame, *, colours: dict[int, Colour]) -> None:
    ax.axhspan(1 / HEALTHY, HEALTHY, color="0.85", lw=0, zorder=0)
    for depth, of_depth in part.groupby("depth"):
        _band(ax, of_depth, "step", "change", colours[int(str(depth))], SOLID, marker="o")


def _depths(colours: dict[int, Colour]) -> list[Line2D]:
    return [Line2D([], [], color=colour, label=f"{depth} layers") for depth, colour in colours.items()]


def _panels(
    frame: pd.DataFrame,
    panel: Callable[[Axes, pd.DataFrame], None],
    labels: tuple[str, str],
    handles: Sequence[Line2D],
) -> Figure:
    """Families as panels: plain left, residual right; with BN above, without it below."""
    kinds = set(frame["kind"])
    norms = [norm for norm in ("bn", "none") if kinds & {layers.KINDS[norm, plain] for plain in (True, False)}]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 0.8 + 2.6 * len(norms)), layout="constrained")
        axes = figure.subplots(len(norms), 2, sharex=True, sharey="row", squeeze=False)
        for row, norm in zip(axes, norms, strict=True):
            for ax, plain in zip(row, (True, False), strict=True):
                kind = layers.KINDS[norm, plain]
                panel(ax, frame[frame["kind"] == kind])
                ax.set(title=kind, yscale="log")
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
