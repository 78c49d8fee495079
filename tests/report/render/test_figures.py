"""Figures hold by day and by night: each colour stands out from the ground of both, letters as letters must."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.report.render.figures import DARK, PALETTE, palette

ROOT = Path(__file__).resolve().parents[3]
FIGURES = sorted((ROOT / "reports").glob("*/*.svg"))
GROUNDS = {"#ffffff", "#d9d9d9", "#b0b0b0"}  # white, the band of the healthy, the grid


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


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_colour_of_a_committed_figure_holds_by_day_and_by_night(path: Path) -> None:
    svg = path.read_text(encoding="utf-8")
    lines, letters = drawn(svg)

    assert {colour: least(colour) for colour in lines - GROUNDS if least(colour) < 3} == {}
    assert {colour: least(colour) for colour in letters if least(colour) < 4.5} == {}
    assert "@media screen and (prefers-color-scheme: dark) {" in svg
    assert lines & GROUNDS <= set(DARK)


def test_the_palette_holds_and_goes_on_for_more_lines_than_it_has_colours() -> None:
    assert {colour: least(colour) for colour in PALETTE if least(colour) < 3} == {}
    assert len(palette(range(25))) == 25
    assert palette("ab") == dict(list(palette("abc").items())[:2])


def test_the_dark_ground_is_the_pages() -> None:
    css = (ROOT / "bench" / "report" / "render" / "page.css").read_text(encoding="utf-8")

    assert f"--paper: {DARK['#ffffff']};" in css
    assert f"--ink: {DARK['#000000']};" in css
