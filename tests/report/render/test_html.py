"""index.html of all reports and of one: all that the pages have, figures from files beside it, no foreign script."""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from bench.report.collect import collect
from bench.report.coverage import load, write_index
from bench.report.page import write_report
from bench.report.render.html import html, write_html
from bench.report.render.style import COLUMN, PAGE
from bench.speed.made_up import finish
from bench.store import RunFolder, StoreError
from tests.report.builders import SWEEP

ROOT = Path(__file__).resolve().parents[3]
VOID = {"meta", "link", "br", "hr", "img"}
LOADS = {"src", "srcset", "data", "poster", "action", "formaction", "background"}
ATTACK = '<script>document.title = "run"</script> <img src=x onerror="document.title=1"> <a id="x" onclick="y">z</a>'


class Elements(HTMLParser):
    """What a browser would make of the text: elements with their attributes, and the words between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.words += data

    def each(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.all if name == tag]

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.all if "id" in attributes]


def written(tmp_path: Path, **pages: str) -> Path:
    """Reports of an index and pages of a sweep: `index`, `page` (its README.md), and others by their names."""
    reports = tmp_path / "reports"
    (reports / "sweep").mkdir(parents=True)
    (reports / "README.md").write_text(pages.pop("index", "# Reports\n\n[one](sweep/README.md)\n"))
    for name, text in pages.items():
        (reports / "sweep" / f"{'README' if name == 'page' else name}.md").write_text(text)
    (reports / "sweep" / "curves.svg").write_text("<svg/>")
    return reports


@pytest.fixture(scope="module")
def committed() -> str:
    return html(ROOT / "reports")


def test_the_committed_file_follows_from_the_committed_pages(committed: str) -> None:
    assert committed == (ROOT / "reports" / "index.html").read_text(encoding="utf-8")


def test_the_committed_file_has_every_heading_table_row_and_figure_of_the_committed_pages(committed: str) -> None:
    """Of the pages that the index leads to, which are all that are there."""
    pages = [path.read_text() for path in (ROOT / "reports").rglob("*.md")]
    lines = [line for page in pages for line in page.splitlines()]
    headings = [line.lstrip("# ").replace("`", "") for line in lines if re.match("#+ ", line)]

    found = Elements(committed)

    assert all(heading in found.words for heading in headings)
    assert len(found.each("table")) == sum(line.startswith("| --") for line in lines)
    assert len(found.each("tr")) == sum(line.startswith("|") and not line.startswith("| --") for line in lines)
    assert len(found.each("img")) == sum(page.count(".svg)") for page in pages)
    assert len(found.each("article")) == len(pages)


def test_nothing_is_loaded_but_the_committed_figures_when_they_come_into_view(committed: str) -> None:
    found = Elements(committed)

    loads = [(tag, name) for tag, attributes in found.all for name in attributes if name in LOADS]
    assert {*loads} == {("img", "src")}
    assert all((ROOT / "reports" / unquote(image["src"])).suffix == ".svg" for image in found.each("img"))
    assert all((ROOT / "reports" / unquote(image["src"])).is_file() for image in found.each("img"))
    assert {image["loading"] for image in found.each("img")} == {"lazy"}
    assert [link["href"] for link in found.each("link")] == ["data:,"]  # or a browser asks for /favicon.ico
    assert not re.search(r"@import|url\(", committed)


def test_the_committed_file_is_small_enough_to_be_committed(committed: str) -> None:
    assert len(committed.encode()) < 500_000


def test_the_files_policy_lets_its_own_script_run_and_only_images_beside_it_load(committed: str) -> None:
    (policy,) = (m["content"] for m in Elements(committed).each("meta") if m.get("http-equiv"))
    (script,) = re.findall("<script>(.*?)</script>", committed, re.DOTALL)

    assert policy.startswith("default-src 'none'; ")
    assert "img-src 'self' data:;" in policy
    assert f"script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}';" in policy


def test_every_link_within_the_file_has_its_target_and_no_id_comes_twice(committed: str) -> None:
    found = Elements(committed)
    inner = [unquote(a["href"][1:]) for _, a in found.all if a.get("href", "").startswith("#")]

    assert [name for name, times in Counter(found.ids).items() if times > 1] == []
    assert {*inner} <= set(found.ids)
    assert len(inner) > 100


def test_pages_come_in_the_order_of_the_indexs_links_and_stray_files_do_not(tmp_path: Path) -> None:
    index = "# Reports\n\n[b](sweep/short.md), [a](sweep/README.md), [none](sweep/quick.md)\n"
    reports = written(tmp_path, index=index, page="# A\n\n[c](paper.md)", short="# B", paper="# C", stray="# Stray")

    found = Elements(html(reports))

    assert [a["id"] for a in found.each("article")] == ["reports", "sweep/short", "sweep", "sweep/paper"]
    assert "Stray" not in found.words
    assert "resnet-bench" in found.words


@pytest.mark.usefixtures("figures_not_rendered")
def test_a_single_study_has_a_page_of_its_own(tmp_path: Path) -> None:
    """Its report alone, as it lies beside a user's runs: the pages of its scales, no index above them."""
    report = tmp_path / "report"
    for scale in ("quick", "paper"):
        for run in SWEEP.runs(scale):
            finish(RunFolder(tmp_path / "runs" / run.id), run, error=10)
    collect(tmp_path / "results", [tmp_path / "runs"], [*SWEEP.runs("quick"), *SWEEP.runs("paper")])
    write_report("made_up", SWEEP, tmp_path / "results", report)

    page = write_html(report, "My <own> study")

    found = Elements(page.read_text(encoding="utf-8"))
    inner = [unquote(a["href"][1:]) for a in found.each("a") if a.get("href", "").startswith("#")]
    assert page == report / "index.html"
    assert found.words.strip().splitlines()[0] == "My <own> study", "a user's study is not called ours"
    assert len(found.each("article")) == 2
    assert {image["src"] for image in found.each("img")} == {path.name for path in report.glob("*.svg")}
    assert {*inner} <= set(found.ids)
    assert "numbers.csv" in [a.get("href") for a in found.each("a")]
    assert str(tmp_path) not in page.read_text(encoding="utf-8")


def test_without_any_page_there_is_an_empty_file(tmp_path: Path) -> None:
    assert "<article" not in html(tmp_path)


LINKS = (
    ("README.md", "#sweep"),
    ("../README.md#the-numbers", "#reports:the-numbers"),
    ("README.md#no-such-heading", "#sweep"),
    ("#two", "#sweep/short:two"),
    ("#two-1", "#sweep/short:two-1"),
    ("#here", "#sweep/short:here"),
    ("README.md#here", "#sweep:here"),
    ("quick.md", "sweep/quick.md"),
    ("../../sweeps/a%20b.py#L3", "../sweeps/a%20b.py#L3"),
    ("https://arxiv.org/abs/1512.03385#x", "https://arxiv.org/abs/1512.03385#x"),
    ("mailto:a@example.org", "mailto:a@example.org"),
    ("ftp://example.org", None),
    ("//example.org/x.md", None),
    ("/etc/passwd", None),
    ("http://[", "http://%5B"),
)


@pytest.mark.parametrize(("link", "href"), LINKS)
def test_links_between_pages_lead_to_their_place_in_the_file(tmp_path: Path, link: str, href: str | None) -> None:
    index = "# Reports\n\n## The numbers\n\n[one](sweep/README.md) [two](sweep/short.md)\n"
    short = f'# S\n\n## Two\n\n## Two\n\n| a | b |\n| --- | --- |\n| <a id="here"></a>x | [THE LINK]({link}) |\n'
    reports = written(tmp_path, index=index, page='<a id="here"></a>\n\n# A', short=short)

    text = html(reports)

    (attributes,) = re.findall("<a([^>]*)>THE LINK</a>", text)
    assert attributes.split('rel="')[0].strip() == (f'href="{href}"' if href else "")
    assert {"sweep:here", "sweep/short:here", "sweep/short:two", "sweep/short:two-1"} <= set(Elements(text).ids)


def test_numbers_are_set_to_the_right_and_a_total_stays_below_them(tmp_path: Path) -> None:
    page = "| of | n |\n| --- | --: |\n| a | 1 |\n| all | 3 |\n\n| of | n |\n| --- | --: |\n| all | 1 |\n| b | 3 |\n"

    first, second = re.findall("<table>.*?</table>", html(written(tmp_path, page=page)), re.DOTALL)

    assert '<th scope="col">of</th>\n<th class="number" scope="col">n</th>' in first
    assert re.search(r'<tfoot>\s*<tr>\s*<td>all</td>\s*<td class="number">3</td>\s*</tr>\s*</tfoot>', first)
    assert "tfoot" not in second


def test_no_line_ends_between_a_number_and_its_unit(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# A\n\nFrom 13.14 % to 47.04 % in 2 runs (n = 1).\n")

    assert "From 13.14\xa0% to 47.04\xa0% in 2 runs (n\xa0=\xa01)." in html(tmp_path)


def test_figures_are_links_to_their_files_and_other_images_their_description(tmp_path: Path) -> None:
    page = '![Errors of <nets> & "co"](curves.svg) ![Gone](gone.svg) ![P](curves.png) ![Q](https://e.org/c.svg)\n'

    found = Elements(html(written(tmp_path, page=page)))

    label = 'Errors of <nets> & "co"'
    assert found.each("img") == [{"src": "sweep/curves.svg", "loading": "lazy", "alt": label}]
    assert " Gone P Q\n" in found.words


def test_a_figure_has_its_size_before_it_is_loaded(tmp_path: Path) -> None:
    reports = written(tmp_path, page="![Errors](curves.svg)\n")
    (reports / "sweep" / "curves.svg").write_text('<svg width="576pt" height="273.6pt" viewBox="0 0 576 273.6"/>')

    (image,) = Elements(html(reports)).each("img")

    assert (image["width"], image["height"]) == ("1037", "492")


@pytest.mark.parametrize(("width", "narrow"), [(COLUMN, True), (PAGE, False)])
def test_a_figure_of_one_column_fits_a_phone_and_a_wider_one_scrolls(
    tmp_path: Path, width: float, *, narrow: bool
) -> None:
    reports = written(tmp_path, page="![Errors](curves.svg)\n")
    (reports / "sweep" / "curves.svg").write_text(f'<svg width="{72 * width}pt" height="99pt"/>')

    assert ('<span class="figure narrow">' in html(reports)) is narrow


def test_a_damaged_figure_is_named(tmp_path: Path) -> None:
    reports = written(tmp_path, page="![Errors](curves.svg)\n")
    (reports / "sweep" / "curves.svg").write_bytes(b"\xff\xfe")

    with pytest.raises(StoreError, match=r"curves.svg cannot be read: .*; write the report again"):
        html(reports)


@pytest.mark.usefixtures("figures_not_rendered")
def test_what_comes_from_outside_is_shown_and_cannot_run(tmp_path: Path) -> None:
    """An error message and a NOTICE of the data with HTML in them, through the whole way from the run's folder."""
    runs, bad = tmp_path / "runs" / "made_up", SWEEP.runs("quick")[-1]
    for run in SWEEP.runs("quick")[:-1]:
        finish(RunFolder(runs / run.id), run, error=10)
    (env := runs / SWEEP.runs("quick")[0].id / "env.json").write_text(
        env.read_text().replace('"notice": ""', f'"notice": "{ATTACK.replace(chr(34), chr(39))}"')
    )
    RunFolder(runs / bad.id).create(bad)
    RunFolder(runs / bad.id).fail(
        f"{ATTACK} [c](javascript:x()) ![d](http://example.org/d.png) ![e](../../../e.svg)", retry=False
    )
    collect(tmp_path / "results" / "made_up", [runs], SWEEP.runs("quick"))
    write_report("made_up", SWEEP, tmp_path / "results" / "made_up", tmp_path / "reports" / "made_up")
    write_index(load({"made_up": SWEEP}, tmp_path / "results"), tmp_path / "reports")

    found = Elements((tmp_path / "reports" / "index.html").read_text(encoding="utf-8"))

    assert len(found.each("script")) == 1
    assert [image["src"] for image in found.each("img")] == [f"made_up/{f}-quick.svg" for f in ("curves", "tradeoff")]
    assert [a for _, a in found.all if any(name.startswith("on") for name in a)] == []
    assert [a for _, a in found.all if re.match("javascript|http", a.get("href", ""))] == []
    assert ATTACK in found.words
    assert ATTACK.replace('"', "'") in found.words


def test_ids_of_another_recipe_are_anchors_and_not_words(tmp_path: Path) -> None:
    name = "made_up.paper.resnet-20-A+split=45k/5k+bn_group=128.test_error"
    found = Elements(html(written(tmp_path, page=f'# A\n\n| a |\n| --: |\n| <a id="{name}"></a>8.70 (1) |\n')))

    assert "<a id" not in found.words
    assert [a["id"] for a in found.each("a") if a.get("id", "").endswith(name)], "it can be linked to"


def test_the_same_pages_give_the_same_bytes_wherever_they_lie(tmp_path: Path) -> None:
    texts = {html(written(tmp_path / name, page="# A\n\n![b](curves.svg)\n")) for name in ("one", "two")}

    assert len(texts) == 1
