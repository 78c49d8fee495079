"""How figures look and how they are written: sizes as printed, type, colours by day and by night, a look a depth."""

from __future__ import annotations

import math
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from bench.report.frame import PLAIN, Set
from bench.report.render.font import own_font
from bench.store import atomic

COLUMN, PAGE = 3.25, 6.75  # inches: the widths of one and of two columns of a conference's page
TYPE, SMALL = 8, 7  # points as printed, at these widths; no letter is smaller than SMALL
LETTERS = 18  # of SMALL that are an inch
LINE, THIN, BOLD = 1.2, 0.7, 1.6  # points
GUIDE = "0.3"  # lines that belong to no depth

# no dates, no random ids, nothing of the user's own settings: the same numbers give the same file
STYLE: dict[Any, Any] = {
    **{name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith("backend")},
    **sns.plotting_context("paper"),
    "font.family": own_font(),
    "svg.hashsalt": "bench",
    "path.simplify": False,  # each point is in the file, for whoever compares it with the results
    "svg.fonttype": "path",
    "pdf.fonttype": 42,  # embedded as TrueType, which publishers ask for
    "font.size": TYPE,
    "axes.titlesize": TYPE,
    "axes.labelsize": TYPE,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.title_fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.columnspacing": 1.2,
    "legend.labelspacing": 0.3,
    "lines.linewidth": LINE,
    "lines.markersize": 3.5,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
}

HIT, FALSE_HIT = "#12803a", "#c01f2e"  # of a detection, letters too
# what an SVG file has in the dark in the place of these; whoever shows it without asking for the dark has it on white
DARK = {
    "#ffffff": "#17181a",  # the ground: the pages' own, page.css
    "#000000": "#dededa",
    "#1a1a1a": "#e6e6e2",
    "#4c4c4c": "#b4b4ae",
    "#666666": "#a2a29c",
    "#b0b0b0": "#7c7d82",  # the grid
    "#d9d9d9": "#35373c",
    "#1f4e9c": "#7aa7f0",
    "#006b4a": "#3fbf93",
    "#0173b2": "#409de0",
    "#7a5c00": "#c9a94a",
    "#7b3f9e": "#b98ad6",
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


@dataclass(frozen=True, slots=True)
class Look:
    """What a depth is told by wherever it is drawn: a colour, and for eyes and printers without colours a marker."""

    colour: str
    marker: str


# unlike in hue to colour-blind eyes, unlike in grey from neighbour to neighbour
LOOKS = (
    Look("#1f4e9c", "o"),
    Look("#c98100", "^"),
    Look("#006b4a", "s"),
    Look("#d1432b", "D"),
    Look("#1a1a1a", "v"),
    Look("#b5479e", "X"),
)
DEPTHS = {
    depth: look
    for depths in ((20, 32, 44, 56, 110, 1202), (18, 34, 50, 101, 152, 1001))
    for depth, look in zip(depths, LOOKS, strict=True)
}
OTHERS = tuple(Look(("#0173b2", "#808080", "#7a5c00", "#7b3f9e")[k % 4], "pP*<>"[k % 5]) for k in range(20))
DASHES = ("-", "-.", ":")  # of nets of one look, in turn
OF_PLAIN = ("--", (0, (5, 3)), (0, (1, 2)))

Dash = str | tuple[int, tuple[int, int]]


def look(depth: int, net: str = "") -> Look:
    """The look of a depth, on every page the same; of a net of no depth (timm's), by its name."""
    return DEPTHS.get(depth) or OTHERS[(depth // 2 if depth else crc32(net.encode())) % len(OTHERS)]


def looks(nets: Mapping[str, int]) -> dict[str, tuple[Look, Dash]]:
    """Of nets by name, with their depths: the look of the depth, and a line that no other net of the look has.

    Dashed for plain nets, as in the paper's Fig. 7.
    """
    found: dict[str, tuple[Look, Dash]] = {}
    for net, depth in nets.items():
        own, dashes = look(depth, net), OF_PLAIN if net.startswith(PLAIN) else DASHES
        free = [dash for dash in dashes if (own, dash) not in found.values()]
        found[net] = own, free[0] if free else dashes[0]
    return found


FEW = 10  # a curve of fewer points shows each of them
MARKS = 6  # on a longer curve so many tell whose it is


def line(ax: Axes, x: ArrayLike, y: ArrayLike, of: Look, dash: Dash = "-", width: float = LINE, **more: Any) -> Line2D:
    """A curve in a depth's look, open marks but for the first line of it: each point of a short one, some of a long."""
    places = np.atleast_1d(np.asarray(x, float))
    marked = list(range(len(places))) if len(places) < FEW else _marks(places, of, log=ax.get_xscale() == "log")
    words = {"ls": dash, "lw": width, "color": of.colour, "marker": of.marker, "mfc": _face(of, dash), "mew": 0.7}
    return ax.plot(x, y, **{**words, "markevery": marked, **more})[0]


def _marks(x: NDArray[np.float64], of: Look, *, log: bool) -> list[int]:
    """Evenly along the axis, and not where those of another depth are."""
    along = np.log(np.maximum(x, x[x > 0].min())) if log else x
    shift = (LOOKS.index(of) + 0.5) / len(LOOKS) if of in LOOKS else 0.25
    places = along[0] + (along[-1] - along[0]) * (np.arange(MARKS) + shift) / MARKS
    return sorted({int(k) for k in np.searchsorted(along, places)})


EDGE = 0.02  # of an axis: half a mark, and a little


def off_the_edges(axes: Sequence[Axes]) -> None:
    """Moves the ends of the vertical axis, which these panels share, off the marks that they would cut in half."""
    marked = np.concatenate([_marked(line) for ax in axes for line in ax.get_lines()])
    low, high = axes[0].get_ylim()
    half = EDGE * (high - low)
    while (cut := marked[abs(marked - high) < half]).size:
        high = cut.max() + 1.01 * half
    while (cut := marked[abs(marked - low) < half]).size:
        low = cut.min() - 1.01 * half
    axes[0].set_ylim(low, high)


def _marked(of: Line2D) -> NDArray[np.float64]:
    """How high the marks are of a line that `line` drew."""
    return np.take(np.asarray(of.get_ydata(), np.float64), np.asarray(of.get_markevery(), np.intp))


def _face(of: Look, dash: Dash) -> str:
    return "white" if dash in (*DASHES[1:], *OF_PLAIN[1:]) else of.colour


def band(ax: Axes, x: ArrayLike, low: ArrayLike, high: ArrayLike, of: Look, alpha: float = 0.2) -> None:
    """From the lowest to the highest seed."""
    ax.fill_between(np.asarray(x), np.asarray(low), np.asarray(high), color=of.colour, alpha=alpha, lw=0)


def handle(label: str, of: Look | None = None, dash: Dash = "-", width: float = LINE) -> Line2D:
    """A line of a legend; without a look one that belongs to no depth."""
    words: dict[str, Any] = {"marker": of.marker, "mfc": _face(of, dash), "mew": 0.7, "ms": 4} if of else {}
    return Line2D([], [], color=of.colour if of else GUIDE, ls=dash, lw=width, label=literal(label), **words)


def below(figure: Figure, handles: Sequence[Line2D], note: str = "") -> Legend:
    """A figure's legend under it, off the data. note: what is not drawn, above the legend."""
    return under(figure, handles, note, figure.get_figwidth(), loc="outside lower center")


def under(of: Figure | Axes, handles: Sequence[Line2D], note: str, width: float, **place: Any) -> Legend:
    """A legend that is read row by row, of as few rows as fit into so many inches, and these as full as they can be."""
    letters = [len(str(one.get_label())) + 8 for one in handles]  # with the line before it
    room, count = int(LETTERS * width), max(len(letters), 1)
    fit = [n for n in range(1, count + 1) if n == 1 or sum(max(letters[k::n]) for k in range(n)) <= room]
    columns = min(fit, key=lambda n: (math.ceil(count / n), n))
    title = textwrap.fill(literal(note), room) or None
    by_column = [one for k in range(columns) for one in handles[k::columns]]  # as matplotlib fills it
    legend = of.legend(handles=by_column, ncols=columns, title=title, **place)
    legend.get_title().set_multialignment("center")
    return legend


def whole_numbers(ax: Axes, axis: Literal["x", "y"] = "x", most: int = 6) -> None:
    """Layers and iterations are counted: no tick lies between two of them."""
    getattr(ax, f"{axis}axis").set_major_locator(MaxNLocator(most, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def logarithmic(ax: Axes, axis: Literal["x", "y"], label: str = "") -> None:
    """Once all is drawn, a logarithmic axis, which its label says.

    Its numbers have no raised digits, which would be too small in print.
    """
    ax.set(**{f"{axis}scale": "log", f"{axis}label": f"{label} (log scale)" if label else ""})
    low, high = getattr(ax, f"get_{axis}lim")()
    side = getattr(ax, f"{axis}axis")
    few = high / low < 1e3
    side.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=7) if few else FixedLocator(tens(low, high)))
    side.set_major_formatter(FuncFormatter(lambda value, _: power(value)))
    ax.minorticks_off()  # over ten powers of ten they are a black bar


def tens(low: float, high: float, most: int = 7) -> list[float]:
    """Powers of ten, each so many times the one before: LogLocator's choice is another with each matplotlib."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    every = max(math.ceil((last - first) / (most - 1)), 1)
    return [10.0**k for k in range(math.ceil(first / every) * every, last + 1, every)]


def power(value: float) -> str:
    """`0.01`, `100`, `2000`, `1e4`."""
    if 0.9e-3 < value < 0.9e4:
        return f"{value:g}"
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    return f"{mantissa}e{int(exponent)}".replace("-", "−")


# by ending: the field that says what a figure was drawn from, and those left out, which would be another with each file
KINDS = {
    ".svg": ("Description", ("Date", "Creator")),  # for pages
    ".pdf": ("Subject", ("CreationDate", "Creator", "Producer")),  # for LaTeX
}


def pictures(drawn: Iterable[str]) -> list[str]:
    """All files of figures that are named by their SVGs."""
    return [svg.removesuffix(".svg") + kind for svg in drawn for kind in KINDS]


def lay_out(figure: Figure) -> None:
    """Gives all that is in the figure its final place."""
    for _ in range(2):  # matplotlib 3.10 finds a legend's and a label's room with the second drawing only
        figure.draw_without_rendering()
    figure.set_layout_engine("none")


def save(figure: Figure, path: Path, results: Set) -> None:
    """Writes `path` (SVG) and a PDF beside it; each says within which results it was drawn from, and no date."""
    with mpl.rc_context(STYLE):
        lay_out(figure)  # once for all files
        for kind, (field, undated) in KINDS.items():
            metadata = {field: drawn_from(results), **dict.fromkeys(undated)}
            with atomic(path.with_suffix(kind)) as temporary:
                figure.savefig(temporary, format=kind[1:], metadata=metadata)
                if kind == ".svg":
                    drawn = numbered_ids(temporary.read_text(encoding="utf-8"))
                    temporary.write_text(drawn.replace("</style>", f"\n{IN_THE_DARK}</style>", 1), encoding="utf-8")


MADE_ID = re.compile(r'(id="|#)([mp][0-9a-f]{10}|[\w-]+-[0-9a-f]+)(?=["\)])')


def numbered_ids(svg: str) -> str:
    """Numbers marks, clips and letters; matplotlib's ids are of more digits than it writes, and of its version."""
    numbers = defaultdict[str, int](count(1).__next__)
    return MADE_ID.sub(lambda made: f"{made[1]}d{numbers[made[2]]}", svg)


def drawn_from(results: Set) -> str:
    """What a figure of these results says within: `verify` looks for it."""
    return f"resnet-bench results SHA-256 {results.digest}"


def literal(text: str) -> str:
    """A text from outside as matplotlib draws it as it is: nothing in it is a formula."""
    return text.replace("$", r"\$")
