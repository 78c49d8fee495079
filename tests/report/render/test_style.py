"""Figures hold by day, by night and in print: colours, type, a look a depth, files that are the same each time."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.frame import Set
from bench.report.render import style
from bench.report.render.style import COLUMN, DARK, DEPTHS, LOOKS, OTHERS, PAGE, SMALL, look, looks
from tests.report.builders import made_up_set

ROOT = Path(__file__).resolve().parents[3]
FIGURES = sorted((ROOT / "reports").glob("*/*.svg"))
GROUNDS = {"#ffffff", "#d9d9d9", "#b0b0b0"}  # white, the band of the healthy, the grid
NAMES = [f"{path.parent.name}/{path.name}" for path in FIGURES]


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """As WCAG has it: from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def least(colour: str) -> float:
    """A colour's contrast with white, or in the dark with the dark, whichever is less."""
    return min(contrast(colour, "#ffffff"), contrast(DARK.get(colour, colour), DARK["#ffffff"]))


def drawn(svg: str) -> tuple[set[str], set[str]]:
    """The colours of an SVG's lines and faces, and those of its letters."""
    letters = "".join(re.findall(r'<g id="text_\d+">.*?\n   ? ? ?</g>', svg, re.DOTALL))
    colours = r"(?:fill|stroke): (#[0-9a-f]{6})"
    return set(re.findall(colours, svg.partition("</style>")[2])), {"#000000", *re.findall(colours, letters)}


@pytest.mark.parametrize("path", FIGURES, ids=NAMES)
def test_every_colour_of_a_committed_figure_holds_by_day_and_by_night(path: Path) -> None:
    svg = path.read_text(encoding="utf-8")
    lines, letters = drawn(svg)

    assert {colour: least(colour) for colour in lines - GROUNDS if least(colour) < 3} == {}
    assert {colour: least(colour) for colour in letters if least(colour) < 4.5} == {}
    assert "@media screen and (prefers-color-scheme: dark) {" in svg
    assert lines & GROUNDS <= set(DARK)


@pytest.mark.parametrize("path", FIGURES, ids=NAMES)
def test_a_committed_figure_is_one_or_two_columns_wide_and_its_letters_can_be_read_in_print(path: Path) -> None:
    svg = path.read_text(encoding="utf-8")
    sizes = [100 * float(scale) for scale in re.findall(r'transform="translate\([^)]*\) [^"]*?scale\(([\d.]+)', svg)]

    assert float(re.findall(r'<svg [^>]*width="([\d.]+)pt"', svg)[0]) / 72 in (COLUMN, PAGE)
    assert min(sizes) == pytest.approx(SMALL)


def test_every_look_stands_out_from_both_grounds() -> None:
    colours = {one.colour for one in (*LOOKS, *OTHERS)}

    assert {colour: least(colour) for colour in colours if least(colour) < 3} == {}


def test_without_colours_a_depth_is_told_by_its_marker() -> None:
    """And depths that the paper draws beside each other by their lightness, too."""
    lightness = [116 * luminance(one.colour) ** (1 / 3) - 16 for one in LOOKS]

    assert len({one.marker for one in LOOKS}) == len(LOOKS)
    assert min(abs(a - b) for a, b in pairwise(lightness)) > 8
    assert not {one.marker for one in LOOKS} & {one.marker for one in OTHERS}


def test_the_papers_depths_have_looks_of_their_own_and_any_other_depth_has_always_the_same() -> None:
    assert len({look(depth) for depth in (20, 32, 44, 56, 110, 1202)}) == 6
    assert len({look(depth) for depth in (18, 34, 50, 101, 152)}) == 5
    others = [depth for depth in range(8, 120, 6) if depth not in DEPTHS]
    assert len({look(depth) for depth in others}) == len(others)


def test_nets_of_timm_are_told_apart_by_name() -> None:
    assert look(0, "vgg16.tv_in1k") == look(0, "vgg16.tv_in1k") != look(0, "densenet121.tv_in1k")


def test_nets_of_one_depth_share_its_look_and_differ_in_their_lines() -> None:
    nets = {"plain-20": 20, "resnet-20-A": 20, "resnet-20-A-run.x": 20, "resnet-32-A": 32}

    found = looks(nets)

    assert [of for of, _ in found.values()] == [look(depth) for depth in nets.values()]
    assert [dash for _, dash in found.values()] == ["--", "-", "-.", "-"]


def marks(line: Line2D) -> list[int]:
    """Which points of a line are marked."""
    places = line.get_markevery()
    assert isinstance(places, list)
    return [int(k) for k in places]


@pytest.mark.parametrize(("points", "marked"), [(1, 1), (9, 9), (10, 6), (640, 6)])
def test_each_point_of_a_short_curve_is_marked_and_some_of_a_long_one(points: int, marked: int) -> None:
    ax = Figure().subplots()

    line = style.line(ax, np.arange(points), np.zeros(points), look(20))

    assert line.get_marker() == "o"
    assert len(marks(line)) == marked


def test_marks_of_different_depths_do_not_hide_each_other() -> None:
    ax = Figure().subplots()

    places = [marks(style.line(ax, np.arange(320), np.zeros(320), look(depth))) for depth in (20, 32, 56)]

    assert len({k for own in places for k in own}) == 3 * style.MARKS


@pytest.mark.parametrize("most", [20, 19, 300, 3])
def test_layers_and_iterations_have_whole_numbers(most: int) -> None:
    ax = Figure().subplots()
    ax.plot([0, most], [0, 0])
    style.whole_numbers(ax)

    assert all(float(tick).is_integer() for tick in ax.get_xticks())


@pytest.mark.parametrize(
    ("value", "text"), [(0.001, "0.001"), (100, "100"), (2000, "2000"), (1e4, "1e4"), (1e-10, "1e−10")]
)
def test_a_logarithmic_axis_says_so_and_has_no_raised_digits(value: float, text: str) -> None:
    ax = Figure().subplots()
    ax.plot([1, 10], [1e-10, 1e6])
    style.logarithmic(ax, "y", "std")

    assert ax.get_ylabel() == "std (log scale)"
    assert ax.yaxis.get_major_formatter()(value) == text


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Set, list[dict[str, bytes]]]:
    """A figure twice, by ending."""
    tmp = tmp_path_factory.mktemp("saved")
    results, contents = made_up_set(tmp), []
    for name in ("one", "two"):
        figure = Figure(figsize=(1, 1))
        figure.text(0, 0, "words")
        style.save(figure, tmp / f"{name}.svg", results)
        contents.append({path.suffix: path.read_bytes() for path in tmp.glob(f"{name}.*")})
    return results, contents


def test_a_figure_is_an_svg_and_a_pdf_which_say_what_they_are_made_of(
    saved: tuple[Set, list[dict[str, bytes]]],
) -> None:
    results, (first, second) = saved

    assert set(first) == {".svg", ".pdf"}
    assert first == second
    assert [kind for kind, data in first.items() if style.drawn_from(results).encode() not in data] == []


def test_a_pdf_has_its_fonts_within_and_no_date(saved: tuple[Set, list[dict[str, bytes]]]) -> None:
    pdf = saved[1][0][".pdf"]

    assert b"/FontFile2" in pdf
    assert b"Date" not in pdf
    assert b"/MediaBox [ 0 0 72 72 ]" in pdf


def test_a_legend_has_as_many_columns_as_fit() -> None:
    figure = Figure(figsize=(COLUMN, 2))
    short, long = ([style.handle(f"{word}{k}") for k in range(4)] for word in ("a", "a net with a long name, "))

    columns = [style.below(figure, handles)._ncols for handles in (short, long)]  # type: ignore[attr-defined]

    assert columns == [4, 1]


@pytest.mark.parametrize(("count", "columns"), [(4, 2), (5, 3), (6, 3), (7, 3), (3, 3), (1, 1)])
def test_a_legend_is_read_row_by_row_in_its_own_order(count: int, columns: int) -> None:
    """Four entries of which three fit beside each other stand two by two."""
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(COLUMN, 2))
        legend = style.below(figure, [style.handle(f"ResNet-{k}0") for k in range(count)])
        figure.draw_without_rendering()

    boxes = [(text.get_window_extent(), text.get_text()) for text in legend.get_texts()]
    read = [text for _, text in sorted(boxes, key=lambda one: (-round(one[0].y0), one[0].x0))]
    assert read == [f"ResNet-{k}0" for k in range(count)]
    assert len({round(box.x0) for box, _ in boxes}) == columns
    assert legend.get_window_extent().width <= figure.bbox.width


def test_the_dark_ground_is_the_pages() -> None:
    css = (ROOT / "bench" / "report" / "render" / "page.css").read_text(encoding="utf-8")

    assert f"--paper: {DARK['#ffffff']};" in css
    assert f"--ink: {DARK['#000000']};" in css
