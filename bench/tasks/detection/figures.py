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
from bench.report.render.figures import FALSE_HIT, HIT, STYLE, palette
from bench.store import StoreError


def _colours(results: Set) -> dict[str, Any]:
    nets = [str(net) for net in dict.fromkeys(results.done["net"])]
    return palette(nets)


def curves(results: Set) -> Figure:
    """Loss and AP50 against iterations, a line a net."""
    frame = results.curves.merge(results.done[["id", "net", "weights"]], on="id")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        for net, colour in _colours(results).items():
            part = frame[frame["net"] == net].assign(ap50=lambda rows: 100 - rows["test_error"])
            style = "-" if part["weights"].fillna("").iloc[0] else "--"
            for ax, column, mark in ((left, "loss", ""), (right, "ap50", "o")):
                mean = part.dropna(subset=[column]).groupby("step")[column].mean()
                ax.plot(mean.index, mean, style, marker=mark, ms=4, color=colour, lw=1.5, label=display_name(net))
        left.set(xlabel="iterations", ylabel="training loss", ylim=(0, None))
        right.set(xlabel="iterations", ylabel="AP50 (%)", ylim=(0, 100), xlim=(0, None))
        left.legend(fontsize=7, frameon=False)
    return figure


def boxes(results: Set) -> Figure:
    """A row a net (its first seed), a column an image: what was found, on an empty canvas of the image's size."""
    runs = shown_runs(results)
    images = max(results.matches.get(f"{name}:shown_size", np.zeros(0)).size // 2 for _, name in runs)
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(2.6 * images, 2.25 * len(runs)), layout="constrained")
        axes = figure.subplots(len(runs), images, squeeze=False)
        for row, (net, name) in zip(axes, runs, strict=True):
            classes = str(results.done.set_index("id").loc[name, "classes"]).split(" ")
            found, sizes, objects = _shown(results, name, len(classes))
            for number, ax in enumerate(row):
                if number < len(sizes):
                    _canvas(ax, found[found[:, 0] == number], sizes[number], int(objects[number]), classes)
            row[0].set_ylabel(display_name(net).replace(", ", ",\n"), fontsize=7)
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
    for _, label, _, x1, y1, x2, y2, hit in rows:
        colour, style = (HIT, "-") if hit else (FALSE_HIT, "--")
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=colour, ls=style, lw=1.0))
        ax.text(x1 + 2, y1 + 2, classes[int(label) - 1][:1], fontsize=5, color=colour, va="top")
    hits = int(rows[:, 7].sum())
    ax.set_title(f"{hits} of {objects} found, {len(rows) - hits} false", fontsize=7)
    ax.set(xlim=(0, size[0]), ylim=(size[1], 0), aspect="equal", xticks=[], yticks=[])


def backbone(results: Set) -> Figure:
    """AP50 against the classification error of the backbone's source."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        ax = figure.subplots()
        for net, colour in _colours(results).items():
            part = results.done[(results.done["net"] == net) & results.done["source_error"].notna()]
            if len(part):
                ax.plot(part["source_error"], part["ap50"], "o", color=colour, label=display_name(net))
        ax.set(xlabel="classification error of the source (%)", ylabel="AP50 (%)")
        ax.legend(fontsize=7, frameon=False)
    return figure
