"""Names, notices and messages from outside: pages, tables, figures and CSV files show them and obey none of them."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from matplotlib.figure import Figure

from bench.report import frame, page, sections
from bench.report.collect import collect
from bench.report.numbers import Number
from bench.report.numbers import as_csv as numbers_csv
from bench.report.render import figures, latex, style
from bench.report.rows import as_csv, cell, read_rows
from bench.report.tables import Table, plain
from bench.store import RunFolder, write_json, write_text
from tests.report.builders import SWEEP, evidence, fake_sweep, made_up_set

HOSTILE = (
    "<script>alert(1)</script>",
    '<img src=x onerror="y">',
    "a | b",
    "`code` and ``more`",
    "**bold** _it_ __x__ *y*",
    "[here](javascript:alert(1)) ![x](http://e.org/x.png)",
    r"\| \` ends in \ ",
    "$\\frac{1}{2}$ and $$x$$ at 5$",
    "50 % of A&B #1 ~x~ ^y^ {z}",
    "&lt;b&gt; &amp;",
    "line\nbreak\r\nand # heading\n\n- item\n| 1 | 2 |",
    "Intel(R) Xeon(R) CPU @ 2.20GHz, 2 cores",
    "BloodImage_00343, a_b_c",
)
RESULTS = Path(__file__).resolve().parents[2] / "results" / "plain_vs_residual" / "runs.csv"
NUMBERS = ("-1", "-0.5", "+3", "-1e-05", "-inf", "nan", "-.5", "12", "")
FORMULAS = ("=1+1", "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "-", "-x", "+")


def words(text: str) -> str:
    return " ".join(text.split())


def shown(markdown: str) -> tuple[str, set[str]]:
    """The text that a reader sees, and the kinds of markup in it."""
    tokens = MarkdownIt("gfm-like", {"html": True, "linkify": False}).parse(markdown)
    inline = [child for token in tokens for child in token.children or ()]
    assert all(re.match('<a id="[^"]*">|</a>', one.content) for one in inline if one.type == "html_inline")
    return "".join(one.content for one in inline), {one.type for one in (*tokens, *inline)}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_foreign_text_is_seen_on_a_page_as_it_is(text: str) -> None:
    seen, kinds = shown(f"- Notice: {plain(text)}.")

    assert seen == f"Notice: {words(text)}."
    assert kinds <= {
        *("bullet_list_open", "list_item_open", "paragraph_open", "inline", "text", "text_special"),
        *("paragraph_close", "list_item_close", "bullet_list_close"),
    }


@pytest.mark.parametrize("text", HOSTILE)
def test_a_foreign_text_stays_in_its_cell(text: str) -> None:
    table = Table(("net", plain(text)), [(text, "1"), (plain(text), "2")], name="x")

    parsed = MarkdownIt("gfm-like", {"linkify": False}).parse(table.markdown())
    cells = [token.content for token in parsed if token.type == "inline"]

    assert len(cells) == 6
    assert shown(cells[1])[0] == shown(cells[4])[0] == words(text)
    assert table.markdown().count("\n") == 3


@pytest.mark.parametrize("text", HOSTILE)
def test_a_foreign_text_is_typeset_in_latex_as_it_is(text: str) -> None:
    """Nothing that TeX obeys is left of it, and it is one line."""
    found = latex.prose(plain(text))

    bare = re.sub(r"\\text(backslash|ascii(tilde|circum))\{\}|\$[<>]\$|\\[{}%&#$_]", "", found)
    assert not set(bare) & set("\\{}%&#$_~^<>\n")
    assert latex.prose(plain(text)) == latex.escape(words(text))
    assert latex.tabular(Table((plain(text), "n"), [(plain(text), "1")])).count(" & ") == 2


def test_markup_of_our_own_stays_markup_in_latex() -> None:
    assert latex.prose("`a_b` of **all** 5 %") == r"\texttt{a\_b} of \textbf{all} 5 \%"


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> frame.Set:
    return made_up_set(tmp_path_factory.mktemp("made_up"))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_title_leaves_a_bibliography_whole(text: str, made_up: frame.Set) -> None:
    entry = latex.entry(evidence(made_up, replace(SWEEP, title=text)))

    title = next(line for line in entry.splitlines() if line.startswith("  title = "))
    assert entry.count("{") == entry.count("}")
    assert len(entry.splitlines()) == 7
    assert not re.search(r"(?<!\\)[%#$]", title)


def test_what_a_machine_a_notice_and_an_error_say_goes_through_a_whole_page(tmp_path: Path) -> None:
    text = " ".join(HOSTILE)
    folder = fake_sweep(tmp_path)
    for number, path in enumerate(sorted(folder.iterdir())):
        env = {"hardware": f"{text} {number % 2}", "notice": f"={text}", "started": 0.0, "ended": 1.0}
        write_json(path / "env.json", {**(RunFolder(path).env() or {}), **env})
    collect(tmp_path / "results", [folder], SWEEP.runs("quick"))
    (one,) = frame.load(tmp_path / "results", SWEEP)
    failed = replace(one, runs=one.runs.assign(state="failed", error_message=text))

    pages = [page.page(evidence(one)), "\n".join(f"- {line}" for line in sections.diverged(failed))]

    for markdown in pages:
        seen, kinds = shown(markdown)
        assert words(text) in seen
        assert not {"html_block", "s_open", "em_open"} & kinds
    figures.tradeoff(one).savefig(io.BytesIO(), format="svg")


@pytest.mark.parametrize("text", [r"$\frac", "$x$ $y$", "5$", "$$", r"\$a$"])
def test_a_name_is_no_formula_in_a_figure(text: str) -> None:
    figure = Figure()
    figure.text(0, 0, style.literal(text))
    figure.savefig(io.BytesIO(), format="svg")


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_of_a_csv_file_is_a_formula(text: str, tmp_path: Path) -> None:
    once = as_csv([{**read_rows(RESULTS)[0], "error_message": text}])
    (tmp_path / "runs.csv").write_text(once)
    kept = read_rows(tmp_path / "runs.csv")

    assert kept[0]["error_message"] == f"'{text}"
    assert as_csv(kept) == once, "it does not grow when it is collected again"
    number = Number(id="a", what=text, value=1.0, n=1, runs=())
    assert next(csv.DictReader(io.StringIO(numbers_csv([number]))))["what"] == f"'{text}"


@pytest.mark.parametrize("text", NUMBERS)
def test_negative_numbers_stay_numbers(text: str) -> None:
    assert cell(text) == text
    assert cell(-0.5) == -0.5


@pytest.mark.parametrize("text", ["a\rb", "a\r\nb", "a\nb", "\r=1", 'a"b,c', "\udcff.jpg"])
def test_odd_letters_neither_break_a_row_nor_end_the_writing(text: str, tmp_path: Path) -> None:
    first, second, *_ = read_rows(RESULTS)
    write_text(tmp_path / "runs.csv", as_csv([{**first, "notice": text}, second]))

    kept = read_rows(tmp_path / "runs.csv")

    assert [row["id"] for row in kept] == [first["id"], second["id"]]
    assert kept[0]["notice"] == text.replace("\r\n", "\n").replace("\r", "\n").replace("\udcff", r"\udcff")
