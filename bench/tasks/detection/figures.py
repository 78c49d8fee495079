"""Figures of detection: training, what was found, and what the backbone was trained to before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from bench.report.frame import Set, display_name
from bench.report.render import style
from bench.report.render.figures import not_run
from bench.report.render.style import COLUMN, FALSE_HIT, HIT, PAGE, SMALL, STYLE, Dash, Look
from bench.store import StoreError

BOXES: dict[str, dict[str, Any]] = {  # how each kind is drawn, what was missed below the others
    "hit": {"edgecolor": HIT, "linestyle": "-", "facecolor": "none"},
    "false": {"edgecolor": FALSE_HIT, "linestyle": "--", "facecolor": "none"},
    "missed": {"edgecolor": style.GUIDE, "linestyle": ":", "facecolor": "0.85", "zorder": 0.5},
}


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
    """A row a net (its first seed), a column an image: what was found and missed, on an empty canvas of its size."""
    runs = shown_runs(results)
    images = max(results.matches.get(f"{name}:shown_size", np.zeros(0)).size // 2 for _, name in runs)
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(PAGE, 0.35 + 1.35 * len(runs) * 4 / max(images, 3)), layout="constrained")
        axes = figure.subplots(len(runs), images, squeeze=False)
        for row, (net, name) in zip(axes, runs, strict=True):
            classes = _classes(results, name)
            *boxes_of, sizes, objects = _shown(results, name, len(classes))
            for number, ax in enumerate(row):
                if number < len(sizes):
                    found, missed = (x[x[:, 0] == number] for x in boxes_of)
                    _canvas(ax, found, missed, sizes[number], int(objects[number]), classes)
            row[0].set_ylabel(display_name(net).replace(", ", ",\n").replace("from ", "from\n"), fontsize=SMALL)
        kinds = BOXES if keeps_missed(results) else ("hit", "false")
        handles = [Patch(label=kind, lw=0.8, **BOXES[kind]) for kind in kinds]
        figure.legend(handles=handles, ncols=len(handles), loc="outside lower center")
    return figure


def shown_runs(results: Set) -> list[tuple[str, str]]:
    """Net and id of the first seed of each net that kept what it found."""
    first = results.done.sort_values("seed").drop_duplicates("net")
    named = [(str(net), str(name)) for net, name in zip(first["net"], first["id"], strict=True)]
    return [pair for pair in named if f"{pair[1]}:shown" in results.matches]


def shown_counts(results: Set) -> list[tuple[str, int, int, int]]:
    """Net, objects found, objects there and false detections, over all images that are shown of it."""
    counts = []
    for net, name in shown_runs(results):
        found, _, _, objects = _shown(results, name, len(_classes(results, name)))
        hits = int(found[:, 7].sum())
        counts.append((net, hits, int(objects.sum()), len(found) - hits))
    return counts


def one_letter(results: Set) -> bool:
    """Whether the first letter tells each class from the others."""
    return all(len(name) == 1 for _, run in shown_runs(results) for name in beginnings(_classes(results, run)))


def keeps_missed(results: Set) -> bool:
    """Whether the runs that are shown kept where the objects are that they missed, as older ones did not."""
    return all(f"{name}:shown_missed" in results.matches for _, name in shown_runs(results))


def _shown(results: Set, run: str, classes: int) -> list[NDArray[Any]]:
    """What bench.tasks.detection.drawings.shown kept of a run. Raises StoreError where it is missing or damaged."""
    older = {"shown_missed": np.zeros((0, 6))}
    parts = ("shown", "shown_missed", "shown_size", "shown_objects")
    arrays = [results.matches.get(f"{run}:{part}", older.get(part, np.zeros(0))) for part in parts]
    *boxes_of, sizes, objects = arrays
    fits = objects.ndim == 1 and sizes.shape == (objects.size, 2)
    fits = fits and all(x.ndim == 2 and x.shape[1] == width for x, width in zip(boxes_of, (8, 6), strict=True))
    numbers = all(array.dtype.kind in "iuf" and np.isfinite(array).all() for array in arrays)
    if not (fits and numbers and all(((x[:, 1] >= 1) & (x[:, 1] <= classes)).all() for x in boxes_of)):
        raise StoreError(f"what is shown of {run} is damaged: take matches.npz from git again, or collect again")
    return arrays


def _classes(results: Set, run: str) -> list[str]:
    return str(results.done.set_index("id").loc[run, "classes"]).split(" ")


def beginnings(classes: Sequence[str]) -> list[str]:
    """The first letters of each class, as many as tell it from the others; all where another goes on with them."""

    def alone(start: str) -> bool:
        return sum(name.startswith(start) for name in classes) == 1

    return [next((name[:n] for n in range(1, len(name)) if alone(name[:n])), name) for name in classes]


def _canvas(
    ax: Axes, found: NDArray[Any], missed: NDArray[Any], size: NDArray[Any], objects: int, classes: Sequence[str]
) -> None:
    letter = 0.08 * size[0]  # about what one takes
    short = beginnings(classes)
    kinds = [("hit" if row[7] else "false", row[1], row[3:7]) for row in found]
    for kind, label, (x1, y1, x2, y2) in [*kinds, *(("missed", row[1], row[2:]) for row in missed)]:
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, lw=0.8, **BOXES[kind]))
        name = short[int(label) - 1]
        inside = y2 - y1 > letter and x2 - x1 > letter * (1 + len(name)) / 2
        words: dict[str, Any] = {"fontsize": SMALL, "color": BOXES[kind]["edgecolor"], "va": "top", "clip_on": True}
        ax.text((x1 if inside else x2) + letter / 9, y1 + letter / 9 * inside, name, **words)
    hits = int(found[:, 7].sum())
    ax.set_title(f"{hits} of {objects} found, {len(found) - hits} false", fontsize=SMALL)
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
