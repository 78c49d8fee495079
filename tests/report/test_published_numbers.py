"""Over all committed results: page, numbers.csv, the card of `cite` and LaTeX say one and the same of every number."""

from __future__ import annotations

import csv
import math
import re
from functools import cache
from pathlib import Path

import pytest

from bench.cli.sweep_files import load_sweep
from bench.report.cite import Source, card
from bench.report.evidence import Evidence, load_sets, weigh
from bench.report.numbers import OF_INTERVAL, OVER, Number, as_csv
from bench.report.page import page, sections_of
from bench.report.render.latex import escape, macros
from bench.report.sections import numbers_of
from bench.report.stats import FROM_ONE_START, IMAGES, SEEDS

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.parent.name for path in (ROOT / "results").glob("*/runs.csv"))
ANCHOR = re.compile(r'<a id="([^"]+)"></a>(.*?)(?=; <a id=| \|)')
MACRO = re.compile(r"csname bench@(.+)\\endcsname\{(.*)\}$", re.MULTILINE)
UNITS = {"h": 3600.0, "min": 60.0, "s": 1.0}
RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


@cache
def published(name: str) -> tuple[list[str], list[tuple[Number, Evidence]]]:
    """The pages of a sweep, written anew, and their numbers, each with the evidence of its page."""
    _, sweep = load_sweep(str(ROOT / "sweeps" / f"{name}.py"))
    said = [(one, sections_of(one)) for one in weigh(name, sweep, load_sets(ROOT / "results" / name, sweep))]
    numbers = [(number, one) for one, sections in said for number in numbers_of(sections)]
    return [page(one, (), sections) for one, sections in said], numbers


def numbers(name: str) -> list[Number]:
    return [number for number, _ in published(name)[1]]


def said_by_cite(name: str) -> dict[str, str]:
    """The card of each number."""
    _, sweep = load_sweep(str(ROOT / "sweeps" / f"{name}.py"))
    source = Source(name, sweep, ROOT / "results" / name, ROOT / "reports" / name)
    return {number.id: card(number, evidence, source) for number, evidence in published(name)[1]}


def rows_of_tables(name: str) -> dict[str, list[str]]:
    """The cells of a table from each anchor on."""
    lines = [line for text in published(name)[0] for line in text.splitlines() if line.startswith("| ")]
    cut = [cell.strip() for line in lines for cell in (*line.strip("| ").split(" | "), "")]
    anchors = [(anchor, k) for k, cell in enumerate(cut) for anchor in re.findall(r'<a id="([^"]+)"></a>', cell)]
    return {anchor: cut[k : k + 3] for anchor, k in anchors}


def cells(name: str) -> dict[str, str]:
    """What stands on the pages behind each anchor."""
    found = [pair for text in published(name)[0] for pair in ANCHOR.findall(text)]
    assert len(found) == len(dict(found))
    return dict(found)


def rows(name: str) -> dict[str, dict[str, str]]:
    return {row["id"]: row for row in csv.DictReader(as_csv(numbers(name)).splitlines())}


def macros_of(name: str) -> dict[str, str]:
    return dict(MACRO.findall(macros(numbers(name))))


def value(text: str) -> tuple[float, float]:
    """A printed number and half of its last digit: `−0.72`, `1.2 × 10⁴`, `3.5 min`, `1,024`."""
    match = re.fullmatch(r"([+−]?)([\d,]+(?:\.\d+)?)(?: × 10(\S+))?(?: (h|min|s))?", text)
    assert match, text
    sign, digits, power, unit = match.groups()
    scale = UNITS.get(unit or "", 1.0) * 10.0 ** int((power or "0").translate(RAISED))
    half = 0.5 * 10.0 ** -len(digits.partition(".")[2])
    return (-1 if sign == "−" else 1) * float(digits.replace(",", "")) * scale, half * scale


@pytest.mark.parametrize("name", NAMES)
def test_every_id_has_an_anchor_and_a_row_and_a_macro_and_the_reverse(name: str) -> None:
    ids = [number.id for number in numbers(name)]
    in_latex = macros_of(name)

    assert len(ids) == len(set(ids))
    assert set(cells(name)) == set(ids)
    assert set(rows(name)) == set(ids)
    assert {macro.removesuffix(".n") for macro in in_latex if macro.endswith(".n")} == set(ids)


@pytest.mark.parametrize("name", NAMES)
def test_page_csv_cite_and_latex_show_one_number_with_one_sign(name: str) -> None:
    on_page, in_csv, in_latex = cells(name), rows(name), macros_of(name)
    for number in numbers(name):
        cell = on_page[number.id].removeprefix(f"{number.label}: ")
        shown = re.split(r" ± | \(| \[", cell)[0]
        exact, half = value(shown)
        row = in_csv[number.id]

        assert number.cited.startswith(shown), number.id
        assert in_latex[number.id] == escape(shown), number.id
        assert math.isclose(float(row["value"]), exact, rel_tol=1e-9, abs_tol=half * (1 + 1e-9)), (
            number.id,
            row["value"],
        )
        if number.unit == "points":
            assert shown[0] in "+−" or float(shown) == 0, number.id


@pytest.mark.parametrize("name", NAMES)
def test_an_interval_has_a_width_within_its_bounds(name: str) -> None:
    for number in numbers(name):
        intervals = number.intervals.values()

        assert all(one.low < one.high for one in intervals), number.id
        assert all("bootstrap" not in one.method for one in intervals), number.id
        assert "seeds" not in number.intervals or number.n > 1, number.id
        low, high = {"%": (0, 100), "points": (-200, 200)}.get(number.unit, (-math.inf, math.inf))
        assert all(low <= one.low and one.high <= high for one in intervals), number.id
        if number.label == "" and number.unit == "points":  # a difference; claims have differences of differences
            assert all(one.low >= -100 and one.high <= 100 for one in intervals), number.id


@pytest.mark.parametrize("name", NAMES)
def test_both_intervals_travel_everywhere_each_with_what_it_covers(name: str) -> None:
    in_csv, in_latex, in_cite, on_page = rows(name), macros_of(name), said_by_cite(name), rows_of_tables(name)
    for number, evidence in published(name)[1]:
        runs = evidence.results.runs.set_index("id").loc[list(number.runs)]
        covers = {"seeds": FROM_ONE_START if (runs["weights"] != "").any() else SEEDS, "images": IMAGES}
        for over in OVER:
            fields = [in_csv[number.id][f"{over}_{part}"] for part in OF_INTERVAL]
            macro = {part: in_latex.get(f"{number.id}.{over}.{part}") for part in ("low", "high", "covers")}
            if one := number.intervals.get(over):
                written = number.range(one)
                assert (float(fields[0]), float(fields[1]), *fields[2:]) == (one.low, one.high, one.method, one.covers)
                assert (f"{macro['low']} to {macro['high']}", macro["covers"]) == (escape(written), one.covers)
                assert f"  95 % interval over {one.covers}: {written} ({one.method})\n" in in_cite[number.id]
                assert one.covers.replace("pairs", "images") == covers[over], number.id
            else:
                assert fields == ["", "", "", ""], number.id
                assert set(macro.values()) == {None}, number.id
        assert in_cite[number.id].count("  95 % interval over ") == len(number.intervals), number.id
        if number.over_images:
            ranges = [number.range(number.over_seeds), number.range(number.over_images)]
            alone = ranges[1:] if not number.over_seeds else ranges  # a table without two seeds of a net
            assert on_page[number.id][1:] == ranges or on_page[number.id][1:2] == alone, number.id
        elif number.label and number.over_seeds:
            assert f"[{number.range(number.over_seeds)}]" in on_page[number.id][0], number.id


@pytest.mark.parametrize("name", NAMES)
def test_a_column_of_intervals_says_what_they_cover(name: str) -> None:
    for text in published(name)[0]:
        heads = [cell.strip() for line in text.splitlines() if line.startswith("| ") for cell in line.split("|")]
        ours = {head for head in heads if "95 %" in head}

        assert all(re.search(r"seeds|(images|pairs) only", head) for head in ours), ours
