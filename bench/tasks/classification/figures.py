"""The forest plot of a classification: a net's test error here, in the paper, and as other people reproduced it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.paper import paper_error, paper_value, reproductions
from bench.report.evidence import Evidence
from bench.report.frame import display_name, nets_of
from bench.report.numbers import TEST_ERROR, Number, of_net
from bench.report.render import style
from bench.report.render.figures import squashing
from bench.report.stats import Interval, Sample, wilson

HERE, PAPER, OTHERS = "#0173b2", "#1a1a1a", "#666666"
MARKERS = "^vs<>pP*"  # of the others, in turn
BAND = 0.72  # of a net, which takes 1 of the axis
EDGE = 0.06  # of the axis beyond the outermost point


@dataclass(frozen=True, slots=True)
class Row:
    """A net: our mean over n runs, None where it was not run, with its intervals over seeds and test images.

    paper: its value, and the interval where it tells of several runs. others: theirs, by their names.
    """

    name: str
    paper: tuple[float, Interval | None] | None
    others: Mapping[str, float]
    n: int = 0
    ours: float | None = None
    seeds: Interval | None = None
    images: Interval | None = None


def forest_rows(evidence: Evidence) -> tuple[dict[str, list[Row]], dict[str, bool]]:
    """The nets of each kind, and the others by name: whether theirs is the best epoch on the test images."""
    panels: dict[str, list[Row]] = {}
    nets = evidence.results.nets
    for (name, about), kind in zip(nets.iterrows(), nets_of(nets), strict=True):
        net, number = str(name), paper_error(str(name))
        theirs = {one["name"]: one["error"][net] for one in reproductions() if net in one["error"]}
        ours = of_net(evidence, net, TEST_ERROR)
        row = Row(display_name(net), paper=_of_paper(number), others=theirs)
        if isinstance(ours, Number):
            images = wilson(ours.value, int(about["test_images"]))
            row = replace(row, n=ours.n, ours=ours.value, seeds=ours.over_seeds, images=images)
        panels.setdefault(f"{kind} nets", []).append(row)
    panels = {kind: rows for kind, rows in panels.items() if any(row.n or row.paper or row.others for row in rows)}
    named = {name for rows in panels.values() for row in rows for name in row.others}
    return panels, {one["name"]: one["statistic"] == "best" for one in reproductions() if one["name"] in named}


def _of_paper(number: dict[str, Any] | None) -> tuple[float, Interval | None] | None:
    """What the paper prints, with Student's interval where it says of how many runs it is the mean."""
    if number is None:
        return None
    runs = Sample(number["n"], 0, number["mean"], number["std"]).interval if "mean" in number else None
    return paper_value(number), runs


def forest(panels: Mapping[str, Sequence[Row]], open_marks: Mapping[str, bool]) -> Figure:
    """A panel a kind of nets, in it a band a net, from the top: ours with both intervals, the paper's, each other's.

    open_marks: of the others by name, whether theirs is the best epoch on the test images, which flatters.
    """
    most = max(map(len, panels.values()))
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(style.PAGE, 1.0 + 0.52 * most), layout="constrained")
        for ax, (title, rows) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
            ours = pd.Series({row.name: row.ours for row in rows if row.ours is not None}, dtype=float)
            above = squashing(ours)
            ax.set(ylim=(most - 0.5, -0.5), xlim=_range(rows, above), title=title, xlabel="test error (%)")
            for place, row in enumerate(rows):
                if place % 2:
                    ax.axhspan(place - 0.5, place + 0.5, color="0.85", alpha=0.4, lw=0, zorder=0)
                _band(ax, row, place, open_marks, drawn=row.name not in above)
            ax.set_yticks(range(len(rows)), [_named(row) for row in rows])
            ax.tick_params(axis="y", length=0)
            ax.grid(visible=False, axis="y")
        style.below(figure, _handles(open_marks))
    return figure


def _named(row: Row) -> str:
    return f"{row.name}\n({f'n = {row.n}' if row.n else 'not run yet'})"


def _range(rows: Sequence[Row], above: pd.Series[float]) -> tuple[float, float]:
    """All points and the intervals over images; those over few seeds may run out of it."""
    points = [value for row in rows for value in row.others.values()]
    for row in rows:
        points += [row.paper[0]] if row.paper else []
        if row.ours is not None and row.images and row.name not in above:
            points += [row.images.low, row.images.high]
    low, high = min(points, default=0), max(points, default=100)
    edge = EDGE * (high - low)
    return max(0, low - edge), min(100, high + edge)


def _band(ax: Axes, row: Row, place: int, open_marks: Mapping[str, bool], *, drawn: bool) -> None:
    """Lines of one net below each other, those of all sources at the same heights."""
    count = len(open_marks) + 3
    over_seeds, over_images, paper, *others = (place + BAND * (k / (count - 1) - 0.5) for k in range(count))
    if row.ours is not None and not drawn:
        words: dict[str, Any] = {"ha": "right", "va": "center", "color": HERE, "fontsize": style.SMALL}
        ax.text(ax.get_xlim()[1], over_images, f"{row.ours:.1f} %, off the axis ▸ ", **words)
    elif row.ours is not None:
        _interval(ax, row.seeds, over_seeds, HERE, style.BOLD)
        _interval(ax, row.images, over_images, HERE, style.THIN, capped=True)
        ax.plot(row.ours, over_seeds if row.seeds else over_images, "o", color=HERE, ms=4.5)
    if row.paper:
        _interval(ax, row.paper[1], paper, PAPER, style.BOLD)
        ax.plot(row.paper[0], paper, "D", color=PAPER, ms=3.5)
    for (name, best), marker, height in zip(open_marks.items(), cycle(MARKERS), others, strict=False):
        if name in row.others:
            ax.plot(row.others[name], height, marker, **_mark(open=best))


def _interval(ax: Axes, of: Interval | None, y: float, colour: str, width: float, *, capped: bool = False) -> None:
    """A line; an arrow's head where it leaves the axis."""
    if of is None:
        return
    low, high = ax.get_xlim()
    ends = max(of.low, low), min(of.high, high)
    ax.plot(ends, (y, y), color=colour, lw=width, marker="|" if capped else "", ms=5, solid_capstyle="butt")
    for end, out, head in ((low, of.low < low, "<"), (high, of.high > high, ">")):
        if out:
            ax.plot(end, y, head, color=colour, ms=3.5, clip_on=False)


def _mark(*, open: bool) -> dict[str, Any]:
    return {"color": OTHERS, "mfc": "white" if open else OTHERS, "ms": 4, "ls": ""}


def _handles(open_marks: Mapping[str, bool]) -> list[Line2D]:
    ours = [
        Line2D([], [], color=HERE, marker="o", ms=4.5, lw=style.BOLD, label="here, 95 % over seeds"),
        Line2D([], [], color=HERE, marker="|", ms=5, lw=style.THIN, label="here, 95 % over test images"),
        Line2D([], [], color=PAPER, marker="D", ms=3.5, lw=style.BOLD, label="the paper"),
    ]
    others = [
        Line2D([], [], marker=marker, label=style.literal(name), **_mark(open=best))
        for (name, best), marker in zip(open_marks.items(), cycle(MARKERS), strict=False)
    ]
    return [*ours, *others]
