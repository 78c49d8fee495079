"""Figures of detection: training, what was found, and what the backbone was trained to before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from bench.report.frame import Set, display_name
from bench.report.render import style
from bench.report.render.figures import not_run
from bench.report.render.style import COLUMN, FALSE_HIT, HIT, PAGE, SMALL, STYLE, Dash, Look
from bench.store import StoreError


def _looks(results: Set) -> dict[str, tuple[Look, Dash]]:
    depths = results.done.drop_duplicates("net").set_index("net")["depth"].astype(int)
    return style.looks({str(net): depth for net, depth in depths.items()})


def curves(results: Set) -> Figure:
    """Loss and AP50 against iterations, a line a net."""
    frame = results.curves.merge(results.done[["id", "net"]], on="id")
    handles = []
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, 2.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        for net, (of, dash) in _looks(results).items():
            part = frame[frame["net"] == net].assign(ap50=lambda rows: 100 - rows["test_error"])
            for ax, column in ((left, "loss"), (right, "ap50")):
                points = part.dropna(subset=[column]).groupby("step")[column].agg(["mean", "min", "max"])
                style.line(ax, points.index, points["mean"], of, dash)
                style.band(ax, points.index, points["min"], points["max"], of)
            handles.append(style.handle(display_name(net), of, dash))
        last = 1.03 * frame["step"].max()
        left.set(xlabel="iterations", ylabel="training loss", ylim=(0, None), xlim=(0, last))
        right.set(xlabel="iterations", ylabel="AP50 (%)", ylim=(0, 100), xlim=(0, last))
        for ax in (left, right):
            style.whole_numbers(ax)
        style.below(figure, handles, not_run(results, results.nets.index))
    return figure


def boxes(results: Set) -> Figure:
    """A row a net (its first seed), a column an image: what was found, on an empty canvas of the image's size."""
    runs = shown_runs(results)
    images = max(results.matches.get(f"{name}:shown_size", np.zeros(0)).size // 2 for _, name in runs)
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(PAGE, 0.25 + 1.35 * len(runs) * 4 / max(images, 3)), layout="constrained")
        axes = figure.subplots(len(runs), images, squeeze=False)
        for row, (net, name) in zip(axes, runs, strict=True):
            classes = str(results.done.set_index("id").loc[name, "classes"]).split(" ")
            found, sizes, objects = _shown(results, name, len(classes))
            for number, ax in enumerate(row):
                if number < len(sizes):
                    _canvas(ax, found[found[:, 0] == number], sizes[number], int(objects[number]), classes)
            row[0].set_ylabel(display_name(net).replace(", ", ",\n").replace("from ", "from\n"), fontsize=SMALL)
    return figure


def shown_runs(results: Set) -> list[tuple[str, str]]:
    """Net and id of the first seed of each net that kept what it found."""
    first = results.done.sort_values("seed").drop_duplicates("net")
    named = [(str(net), str(name)) for net, name in zip(first["net"], first["id"], strict=True)]
    return [pair for pair in named if f"{pair[1]}:shown" in results.matches]


def _shown(results: Set, run: str, classes: int) -> list[NDArray[Any]]:
    """What bench.tasks.detection.drawings.shown kept of a run. Raises StoreError where it is missing or damaged."""
    names = [f"{run}:{part}" for part in ("shown", "shown_size", "shown_objects")]
    arrays = [results.matches.get(name, np.zeros(0)) for name in names]
    found, sizes, objects = arrays
    fits = (
        found.ndim == sizes.ndim == 2 and found.shape[1] == 8 and objects.ndim == 1 and sizes.shape == (objects.size, 2)
    )
    numbers = all(array.dtype.kind in "iuf" and np.isfinite(array).all() for array in arrays)
    if not (fits and numbers and ((found[:, 1] >= 1) & (found[:, 1] <= classes)).all()):
        raise StoreError(f"what is shown of {run} is damaged: take matches.npz from git again, or collect again")
    return arrays


def _canvas(ax: Axes, rows: NDArray[Any], size: NDArray[Any], objects: int, classes: Sequence[str]) -> None:
    letter = 0.08 * size[0]  # about what one takes
    for _, label, _, x1, y1, x2, y2, hit in rows:
        colour, dash = (HIT, "-") if hit else (FALSE_HIT, "--")
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=colour, ls=dash, lw=0.8))
        inside = min(x2 - x1, y2 - y1) > letter
        words: dict[str, Any] = {"fontsize": SMALL, "color": colour, "va": "top", "clip_on": True}
        ax.text((x1 if inside else x2) + letter / 9, y1 + letter / 9 * inside, classes[int(label) - 1][:1], **words)
    hits = int(rows[:, 7].sum())
    ax.set_title(f"{hits} of {objects} found, {len(rows) - hits} false", fontsize=SMALL)
    ax.set(xlim=(0, size[0]), ylim=(size[1], 0), aspect="equal", xticks=[], yticks=[])


def backbone(results: Set) -> Figure:
    """AP50 against the classification error of the backbone's source."""
    handles = []
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(COLUMN, 2.9), layout="constrained")
        ax = figure.subplots()
        for net, (of, _) in _looks(results).items():
            part = results.done[(results.done["net"] == net) & results.done["source_error"].notna()]
            if len(part):
                ax.plot(part["source_error"], part["ap50"], of.marker, color=of.colour)
                handles.append(style.handle(display_name(net), of, ""))
        ax.set(xlabel="classification error of the source (%)", ylabel="AP50 (%)")
        style.below(figure, handles)
    return figure
