"""A figure that draws something else than the results is found, whatever is forged; the suite's own is not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.report.collect import collect
from bench.report.page import write_report
from bench.report.verify import figure_problems
from bench.report.verify.svg import read_svg
from bench.spec import Scale
from bench.store import StoreError
from tests.report.builders import CELLS, SWEEP, fake

NAME = "made_up"
ONE = replace(SWEEP, scales={"quick": Scale(CELLS, (0, 1))}, claims=())
FIGURE = "curves-quick.svg"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    for i, run in enumerate(ONE.runs("quick")):
        fake(root / "runs", run, error=10.0 + i)
    collect(root / "results", [root / "runs"], ())
    write_report(NAME, ONE, root / "results", root / "reports")
    return root


@pytest.fixture
def copy(published: Path, tmp_path: Path) -> Path:
    for part in ("results", "reports"):
        shutil.copytree(published / part, tmp_path / part)
    for svg in (tmp_path / "reports").glob("*.svg"):  # others draw in the time of one
        if svg.name != FIGURE:
            svg.unlink()
    return tmp_path


def found(root: Path, skipped: list[Path] | None = None) -> list[str]:
    every = figure_problems(NAME, ONE, root / "results", root / "reports", [] if skipped is None else skipped)
    return [problem for problem in every if FIGURE in problem]


def test_the_suites_own_figures_have_no_fault(published: Path) -> None:
    skipped: list[Path] = []

    assert list(figure_problems(NAME, ONE, published / "results", published / "reports", skipped)) == []
    assert skipped == []


def test_digits_that_a_solver_rounds_otherwise_are_no_fault_and_the_pdf_is_said_to_be_skipped(copy: Path) -> None:
    svg, skipped = copy / "reports" / FIGURE, list[Path]()
    svg.write_text(re.sub(r"(\.\d{5})\d\b", r"\g<1>7", svg.read_text()))

    assert found(copy, skipped) == []
    assert skipped == [svg.with_suffix(".pdf")]


def first_curve(svg: str) -> str:
    every: list[str] = re.findall(r'<path d="[^"]*" clip-path[^>]*/>', svg)
    return next(one for one in every if "stroke: #1f4e9c" in one)


def moved(svg: str) -> str:
    """The second point of the first curve, by 0.1 of the 100 points of error that the axis has at most."""
    curve = first_curve(svg)
    return svg.replace(curve, re.sub(r"(L [\d.]+) ([\d.]+)", lambda m: f"{m[1]} {float(m[2]) + 0.14}", curve, count=1))


def without_a_line(svg: str) -> str:
    return svg.replace(first_curve(svg), "")


def another_legend(svg: str) -> str:
    letters = re.search(r'<!-- plain-20 -->.*?(<use xlink:href="(#\w+)"/>)', svg, re.DOTALL)
    other = re.search(r'<!-- ResNet-20 -->.*?(<use xlink:href="(#\w+)"/>)', svg, re.DOTALL)
    assert letters
    assert other
    return svg[: letters.start(2)] + other[2] + svg[letters.end(2) :]


def swapped_colours(svg: str) -> str:
    blue, other = "#1f4e9c", "#d1432b"
    rules, drawn = svg.split("</style>", 1)
    return f"{rules}</style>" + drawn.replace(blue, "@").replace(other, blue).replace("@", other)


def drawn_over(svg: str) -> str:
    white = '<g id="patch_99"><path d="M 0 0 \nL 100 0 \nL 100 100 \nz\n" style="fill: #ffffff"/></g>'
    end = svg.rindex("</g>")
    return svg[:end] + white + svg[end:]


def drawn_over_in_a_group(svg: str) -> str:
    start = svg.index('<g id="line2d_1">') + len('<g id="line2d_1">')
    return svg[:start] + '<path d="M 0 0 \nL 9 9 \n" style="fill: #ffffff"/>' + svg[start:]


def of_another_shape(svg: str) -> str:
    return svg.replace('<use xlink:href="#d', '<use transform="scale(2)" xlink:href="#d', 1)


def before_the_end(added: str) -> Callable[[str], str]:
    return lambda svg: svg.replace("</svg>", f"{added}</svg>")


def replaced(old: str, new: str) -> Callable[[str], str]:
    def forge(svg: str) -> str:
        assert old in svg
        return svg.replace(old, new, 1)

    return forge


FORGERIES: dict[str, tuple[Callable[[str], str], str]] = {
    "a point moved by 0.1 points of error": (moved, r"line2d_\d+ .* has point 2 of \d+ at "),
    "a line removed": (without_a_line, "is missing|marks, and of the results with"),
    "a letter of a legend": (another_legend, r"says '\w+lain-20', and the results 'plain-20'"),
    "colours swapped": (swapped_colours, "is drawn with .*(stroke|fill): #"),
    "drawn over": (drawn_over, r"patch_99 .* is drawn, and no result says so"),
    "drawn over within a group": (drawn_over_in_a_group, "marks, and of the results with"),
    "a mark of another size": (of_another_shape, r" has point 1 of \d+ at "),
    "a script": (before_the_end("<script>alert(1)</script>"), "an element <script>"),
    "an image": (before_the_end('<image href="x.png"/>'), "an element <image>"),
    "what runs on a click": (replaced('<g id="line2d_1"', '<g onclick="x()" id="line2d_1"'), "<g> has onclick="),
    "a rule that hides": (replaced("</style>", "#line2d_30{display:none}</style>"), r"rules of style \(CSS\)"),
    "a transparent line": (
        replaced("fill: none; stroke: #1f4e9c", "fill: none; opacity: 0; stroke: #1f4e9c"),
        "'opacity: 0'",
    ),
    "a sheet of styles": (replaced("<!DOCTYPE", '<?xml-stylesheet href="x.css"?><!DOCTYPE'), "processing instruction"),
    "another size of the page": (replaced('viewBox="0 0', 'viewBox="90 0'), "its size is"),
    "two of one id": (replaced('<g id="line2d_2"', '<g id="line2d_1"'), "two elements have the id 'line2d_1'"),
    "cut off": (
        lambda svg: re.sub(r'(<rect x="[\d.]+" y="[\d.]+" width=")[\d.]+', r"\g<1>20", svg),
        "cut off elsewhere",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_figure_is_found(forgery: str, copy: Path) -> None:
    forge, said = FORGERIES[forgery]
    svg = copy / "reports" / FIGURE
    before = svg.read_text()
    svg.write_text(forge(before))

    assert svg.read_text() != before
    assert re.search(said, "\n".join(found(copy))), found(copy)


def test_another_figure_under_the_name_is_found(copy: Path, published: Path) -> None:
    other = next(path for path in (published / "reports").glob("*.svg") if path.name != FIGURE)
    shutil.copyfile(other, copy / "reports" / FIGURE)

    assert found(copy)


def test_a_figure_of_other_numbers_is_found(copy: Path, tmp_path: Path) -> None:
    for i, run in enumerate(ONE.runs("quick")):
        fake(tmp_path / "other", run, error=10.1 + i)
    collect(tmp_path / "others", [tmp_path / "other"], ())
    write_report(NAME, ONE, tmp_path / "others", copy / "reports")

    assert any("and the results say" in problem for problem in found(copy))


def test_a_pdf_that_draws_something_else_is_found(copy: Path, published: Path) -> None:
    pdf = copy / "reports" / "curves-quick.pdf"
    shutil.copyfile(next(p for p in (published / "reports").glob("*.pdf") if p.name != pdf.name), pdf)

    assert any("its PDF" in problem for problem in found(copy))


def test_no_file_is_said_and_an_entity_is_not_read(copy: Path) -> None:
    with pytest.raises(StoreError, match="declares entities"):
        read_svg(b'<!DOCTYPE svg [<!ENTITY a "aaaa">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>')
    (copy / "reports" / FIGURE).unlink()

    assert len(found(copy)) == 1


DRAW = """
import sys
from pathlib import Path
from tests.report.verify.test_figures import NAME, ONE
from bench.report.page import write_report
write_report(NAME, ONE, Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_the_same_numbers_give_the_same_bytes_in_every_process(published: Path, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("axes.facecolor: 0.9\nfont.family: serif\n")
    for seed in "12":
        env = {**os.environ, "PYTHONHASHSEED": seed, "MATPLOTLIBRC": str(tmp_path), "MPLCONFIGDIR": str(tmp_path)}
        subprocess.run([sys.executable, "-c", DRAW, published / "results", tmp_path / seed], env=env, check=True)
    drawn = [path.name for path in (published / "reports").iterdir() if path.suffix in (".svg", ".pdf")]

    assert len(drawn) > 2
    for name in drawn:
        files = [folder / name for folder in (published / "reports", tmp_path / "1", tmp_path / "2")]
        assert len({file.read_bytes() for file in files}) == 1, name
