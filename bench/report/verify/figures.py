"""Figures drawn once more from the results, and what the published files draw otherwise.

A file of the same bytes needs no more. Another matplotlib gives other bytes: it lays labels, legends and panels out
otherwise. The figure is then drawn with its panels where the file has them; what lies in a panel must be where the file
has it to within AT, and letters and legends, whose places follow from the widths of letters, to within LAID_OUT.

Measured between matplotlib 3.10.0 and 3.11.2 on all published figures: panels lie up to 7.5 points apart, with their
panels in one place data less than 0.0001, ends of lines of text 1.9, letters within a text 1.2.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from bench.report.evidence import load_sets
from bench.report.frame import Set
from bench.report.page import report
from bench.report.render import style
from bench.report.verify.pdf import pdf_differences
from bench.report.verify.svg import Drawn, Mark, Points, read_svg
from bench.spec import Sweep
from bench.store import StoreError

# points, 72 an inch
AT = 0.01
LETTER = 0.05  # the outline of a letter or of a mark of a legend in itself
WITHIN_A_TEXT = 2.0
LAID_OUT = 3.0
PANEL = 10.0
MOST = 5  # sentences a figure
KINDS = {
    "line2d": "line",
    "text": "text",
    "patch": "area",
    "FillBetweenPolyCollection": "band",
    "LineCollection": "bars",
}
LIGATURES = {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl"}
UNKNOWN = "\N{WHITE SQUARE}"
COLOUR = re.compile(r"(?:stroke|fill): (#[0-9a-f]{6})")

Place = tuple[str, ...]
Box = tuple[float, float, float, float]


def figure_problems(name: str, sweep: Sweep, results: Path, reports: Path, skipped: list[Path]) -> Iterator[str]:
    """What the figures of a report draw that the results do not. Raises StoreError where these cannot be read.

    skipped: gets the PDFs that are not compared, as another matplotlib wrote them.
    """
    drawn, _ = report(name, sweep, load_sets(results, sweep))
    with TemporaryDirectory() as folder:
        for svg, (draw, one) in drawn.items():
            found = list(_of_file(reports / svg, Path(folder, svg), draw(), one, skipped))
            yield from (f"{reports / svg}: {problem}" for problem in found[:MOST])
            if len(found) > MOST:
                yield f"{reports / svg}: and {len(found) - MOST:,} differences more"


def _of_file(there: Path, here: Path, figure: Figure, results: Set, skipped: list[Path]) -> Iterator[str]:
    style.save(figure, here, results)
    pdfs = [one.with_suffix(".pdf") for one in (there, here)]
    try:
        content = there.read_bytes()
        if content == here.read_bytes():
            yield from (f"its PDF: {words}" for words in pdf_differences(*(one.read_bytes() for one in pdfs)))
            return
        skipped.append(pdfs[0])
        found = read_svg(content)
        boxes, own = _panels(found), _panels(read_svg(here.read_bytes()))
        if boxes.keys() != own.keys():
            yield f"it has {len(boxes)} panels, and the results give {len(own)}"
            return
        far = max(abs(np.subtract(boxes[one], own[one])).max() for one in own)
        if far > PANEL:
            yield f"a panel lies {far:.1f} points from where it is drawn; {PANEL:g} are allowed"
        _place(figure, list(boxes.values()))
        style.save(figure, here, results)
        yield from _Comparison(found, read_svg(here.read_bytes()), figure).differences()
    except (OSError, StoreError) as error:
        yield str(error)


def _panels(drawn: Drawn) -> dict[str, Box]:
    """The corners of the panels' frames, by the ids of their groups, in the order of the figure's axes."""
    found: dict[str, Box] = {}
    for place, marks in drawn.marks.items():
        if len(place) == 3 and place[1].startswith("axes_") and len(marks[0].points):
            low, high = marks[0].points.min(axis=0), marks[0].points.max(axis=0)
            found.setdefault(place[1], (low[0], low[1], high[0], high[1]))
    return found


def _place(figure: Figure, boxes: Sequence[Box]) -> None:
    width, height = 72 * figure.get_size_inches()
    for ax, (left, top, right, bottom) in zip(figure.axes, boxes, strict=True):
        ax.set_position((left / width, 1 - bottom / height, (right - left) / width, (bottom - top) / height))


class _Comparison:
    """A file against the figure as it is drawn from the results, in sentences."""

    def __init__(self, there: Drawn, here: Drawn, figure: Figure) -> None:
        self.there, self.here, self.figure = there, here, figure

    def differences(self) -> Iterator[str]:
        there, here = self.there.marks, self.here.marks
        if self.there.page != self.here.page:
            yield f"its size is {dict(self.there.page)}, and the figure's {dict(self.here.page)}"
        if self.there.rules != self.here.rules:
            yield "its rules of style (CSS) are not those of figures"
        yield from (f"{self._name(k, there[k])} is drawn, and no result says so" for k in there if k not in here)
        yield from (f"{self._name(k, here[k])} is missing" for k in here if k not in there)
        both = [place for place in here if place in there]
        if [place for place in there if place in here] != both:
            yield "what is drawn over what is not in the figure's order"
        for place in both:
            yield from (f"{self._name(place, here[place])} {words}" for words in self._within(place))

    def _within(self, place: Place) -> Iterator[str]:
        there, here = self.there.marks[place], self.here.marks[place]
        if place[-1].startswith("text_"):
            yield from self._of_text(there, here)
            return
        if len(there) != len(here):
            yield f"is drawn with {len(there)} marks, and of the results with {len(here)}"
            return
        for found, expected in zip(there, here, strict=True):
            yield from _looks(found, expected)
            if found.commands != expected.commands:
                yield f"has {len(found.points)} points or other curves, and of the results {len(expected.points)}"
            elif any(part.startswith("legend_") for part in place):
                if _apart(found.points, expected.points) > LAID_OUT or not _alike(found, expected):
                    yield "is not where it stands in the figure's legend"
            elif _apart(found.points, expected.points) > AT:
                yield self._moved(place, found.points, expected.points)

    def _of_text(self, there: Sequence[Mark], here: Sequence[Mark]) -> Iterator[str]:
        letters = dict[tuple[str, bytes], str]()
        if [(one.commands, one.own) for one in there] != [(one.commands, one.own) for one in here]:
            letters = alphabet("".join(self.here.texts.values()))
        said, meant = (_spelled(marks, letters) for marks in (there, here))
        words = ["".join(part for _, part in spelled.values()) for spelled in (said, meant)]
        if letters and (words[0] != words[1] or UNKNOWN in words[0]):
            yield f"says {words[0]!r}, and the results {words[1]!r}"
            return
        pairs = [(said[k][0], meant[k][0]) for k in said if k in meant and said[k][1] == meant[k][1]]
        yield from islice((words for pair in pairs for words in _looks(*pair)), 1)
        pairs = [(a, b) for a, b in pairs if len(a.points)]
        moved = [a.points[0] - b.points[0] for a, b in pairs if _alike(a, b)]
        if len(moved) < len(pairs):
            yield "has letters of another form"
        elif moved and (np.abs(moved).max() > LAID_OUT or np.abs(np.subtract(moved, moved[0])).max() > WITHIN_A_TEXT):
            yield f"has letters up to {np.abs(moved).max():.1f} points from where they are drawn"

    def _moved(self, place: Place, found: Points, expected: Points) -> str:
        """Where the first point that differs is, and where the results have it, by the scales of its panel."""
        apart = np.abs(found - expected).max(axis=1)
        k = int(np.argmax(apart > AT))
        where = [(points[k, 0], points[k, 1]) for points in (found, expected)]
        ax = self._panel(place)
        if ax is not None:
            height, dot = 72 * self.figure.get_figheight(), self.figure.dpi / 72
            where = [tuple(ax.transData.inverted().transform((x * dot, (height - y) * dot))) for x, y in where]
        (x, y), (right_x, right_y) = where
        at = f"at ({x:.6g}, {y:.6g}), and the results say ({right_x:.6g}, {right_y:.6g})"
        return f"has point {k + 1} of {len(found)} {at}; {(apart > AT).sum()} differ, by up to {apart.max():.2f} points"

    def _panel(self, place: Place) -> Axes | None:
        number = next((int(part.removeprefix("axes_")) for part in place if part.startswith("axes_")), 0)
        return self.figure.axes[number - 1] if 0 < number <= len(self.figure.axes) else None

    def _name(self, place: Place, marks: Sequence[Mark]) -> str:
        """`panel 1 (residual nets): line2d_31 (line, as of ResNet-110)`."""
        ax = self._panel(place)
        legends = [legend for legend in (ax and ax.get_legend(), *self.figure.legends) if legend]
        colours = {colour for mark in marks for words in mark.styles for colour in COLOUR.findall(words)}
        series = [label for legend in legends for colour, label in _labels(legend) if colour in colours]
        kind = KINDS.get(place[-1].rpartition("_")[0], "mark") if place else "mark"
        of = f", as of {' or '.join(dict.fromkeys(series[:3]))}" if series and kind != "text" else ""
        title = (ax.get_title() or ax.get_ylabel()) if ax is not None else ""
        panel = f"panel {self.figure.axes.index(ax) + 1}{f' ({title})' if title else ''}: " if ax is not None else ""
        inner = next((f"{part}, " for part in place[:-1] if "tick_" in part or "legend_" in part), "")
        return f"{panel}{inner}{place[-1] if place else 'the file'} ({kind}{of})"


def _labels(legend: Legend) -> Iterator[tuple[str, str]]:
    for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
        if handle is not None and hasattr(handle, "get_color"):
            yield to_hex(handle.get_color()), text.get_text()


def _looks(found: Mark, expected: Mark) -> Iterator[str]:
    """Whether colours, widths, dashes and what cuts a mark off differ."""
    if found.styles != expected.styles:
        own, right = ([part for words in one.styles for part in words.split("; ")] for one in (found, expected))
        only = [[part for part in a if part not in b] for a, b in ((own, right), (right, own))]
        says, meant = ("; ".join(parts) or "nothing of it" for parts in only)
        yield f"is drawn with {says!r}, and of the results with {meant!r}"
    if len(found.clips) != len(expected.clips) or np.abs(np.subtract(found.clips, expected.clips)).max(initial=0) > AT:
        yield "is cut off elsewhere"


def _apart(one: Points, other: Points) -> float:
    return float(np.abs(one - other).max(initial=0))


def _alike(one: Mark, other: Mark) -> bool:
    """Whether two outlines have one form, wherever they are."""
    return (
        one.commands == other.commands and _apart(one.points - one.points[:1], other.points - other.points[:1]) < LETTER
    )


def _spelled(marks: Sequence[Mark], letters: Mapping[tuple[str, bytes], str]) -> dict[int, tuple[Mark, str]]:
    """The outlines of a text with their letters, by how many are before them; UNKNOWN without `letters`."""
    found: dict[int, tuple[Mark, str]] = {}
    count = 0
    for mark in marks:
        word = letters.get((mark.commands, mark.own), UNKNOWN)
        found[count] = mark, word
        count += len(word)
    return found


def alphabet(text: str) -> dict[tuple[str, bytes], str]:
    """The letters of a text, and those that stand for two or three of them, by outlines as this matplotlib has them."""
    signs = sorted({*text, *LIGATURES})
    with mpl.rc_context(style.STYLE), io.BytesIO() as file:
        figure = Figure()
        for sign in signs:
            figure.text(0.5, 0.5, style.literal(sign))
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        drawn = [mark for place, (mark, *_) in read_svg(file.getvalue()).marks.items() if place[-1].startswith("text_")]
    return {(mark.commands, mark.own): LIGATURES.get(sign, sign) for mark, sign in zip(drawn, signs, strict=True)}
