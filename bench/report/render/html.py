"""Reports on one page, index.html, with links to the SVG figures beside it: all of reports/, or a single study's.

It follows from the markdown pages in its folder and from nothing else. Some of their text comes from outside (error
messages of runs, notices of data sets): no HTML in it is let through but `<a id="…"></a>`, and the page's own policy
lets the browser run the one script whose digest it names, and load nothing but images from where the page lies.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain, count, pairwise
from pathlib import Path
from string import Template
from urllib.parse import quote, unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from bench.store import StoreError, write_text

KEPT = re.compile(r"(?<=\d) (?=%)|(?<=\bn) (?== \d)|(?<=\bn =) (?=\d)")  # no line ends within `44.55 %` and `n = 1`
ANCHOR = re.compile(r'<a id="([\w.:+=/-]+)"></a>')
SIZE = re.compile(r'<svg [^>]*width="([\d.]{1,9})pt" height="([\d.]{1,9})pt"')  # as matplotlib writes it
ON_SCREEN = 1.8  # pixels a point: figures are as large as they are printed, and a screen is read from farther off
NARROW = 300  # points: a figure of one column is narrower, and fits a phone
LONG = 20  # a cell of a table with more letters may be broken into lines
TOTAL = "all"  # what the first cell of a table's last row says where that row is the sum of the others
WEB = ("http", "https", "mailto")

Place = tuple[str, str]  # a page's path below reports/, and the fragment in it
Ids = dict[Place, str]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of markdown, taken apart. path: below reports/, as links name it."""

    path: str
    tokens: list[Token]

    def each(self, kind: str) -> Iterator[Token]:
        """The tokens of this kind, within lines too."""
        every = chain.from_iterable((token, *(token.children or ())) for token in self.tokens)
        return (token for token in every if token.type == kind)


def write_html(reports: Path, title: str = "") -> Path:
    """Writes index.html in this folder, from README.md, the pages that it leads to and the figures.

    title: of the browser's tab; README.md's heading if it is empty. Raises StoreError if a file cannot be read.
    """
    write_text(reports / "index.html", html(reports, title))
    return reports / "index.html"


def html(reports: Path, title: str = "") -> str:
    """The file's text."""
    parser = _parser()
    pages = read_pages(reports, parser)
    ids = _give_ids(pages)
    figures = _files(reports, "svg")
    articles = []
    for page in pages:
        for token in page.each("image"):
            _place_figure(page, token, figures)
        for token in page.each("link_open"):
            _relink(page, token, ids)
        _mark_tables(page.tokens)
        rendered = parser.renderer.render(page.tokens, parser.options, {})
        articles.append(f'<article id="{_escaped(ids[page.path, ""])}">\n{rendered}</article>')
    markup, style, script = (
        files("bench").joinpath(f"report/render/page.{kind}").read_text(encoding="utf-8")
        for kind in ("html", "css", "js")
    )
    return Template(markup).substitute(
        title=_escaped(title or f"{next((_title(page) for page in pages), 'Reports')} · resnet-bench"),
        digest=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=style,
        nav=_navigation(pages, ids),
        main="\n".join(articles),
        script=script,
    )


def _navigation(pages: Sequence[Page], ids: Ids) -> str:
    """The pages by their titles, with their sections."""
    entries = []
    for page in pages:
        sections = [_entry(str(token.attrs["id"]), text) + "</li>" for token, text in _headings(page, "h2")]
        inner = "\n".join(["", "<ul>", *sections, "</ul>", ""]) if sections else ""
        entries.append(f"{_entry(ids[page.path, ''], _title(page))}{inner}</li>")
    return "\n".join(["<ul>", *entries, "</ul>"])


def _title(page: Page) -> str:
    return next((text for _, text in _headings(page, "h1")), page.path)


def _entry(target: str, text: str) -> str:
    return f'<li><a href="{_fragment(target)}">{_escaped(text)}</a>'


def _parser() -> MarkdownIt:
    """CommonMark with tables and without HTML, which is shown as the text that it is; but anchors are known."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.inline.ruler.before("autolink", "anchor", _anchor)
    parser.add_render_rule("table_open", lambda *_: '<div class="table">\n<table>\n')
    parser.add_render_rule(
        "text", lambda _, tokens, at, *__: _escaped(KEPT.sub("\N{NO-BREAK SPACE}", tokens[at].content))
    )
    parser.add_render_rule("table_close", lambda *_: "</table>\n</div>\n")
    return parser


def _anchor(state: StateInline, silent: bool) -> bool:
    match = ANCHOR.match(state.src, state.pos)
    if match is None:
        return False
    if not silent:
        state.push("anchor_open", "a", 1).attrs = {"id": match[1]}
        state.push("anchor_close", "a", -1)
    state.pos = match.end()
    return True


def read_pages(reports: Path, parser: MarkdownIt) -> list[Page]:
    """The index, then the pages that its links and theirs lead to, in that order; no stray file beside them."""
    there = _files(reports, "md")
    pages: dict[str, Page] = {}
    waiting = ["README.md"]
    while waiting:
        path = waiting.pop(0)
        if path not in there or path in pages:
            continue
        pages[path] = page = Page(path, parser.parse(_read(there[path])))
        places = (_place(path, str(link.attrs["href"])) for link in page.each("link_open"))
        waiting += [place[0] for place in places if place]
    return list(pages.values())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}; write the report again") from None


def _files(reports: Path, kind: str) -> dict[str, Path]:
    """Files of reports/ and of its sweeps' folders, by their path below it."""
    found = sorted([*reports.glob(f"*.{kind}"), *reports.glob(f"*/*.{kind}")])
    return {path.relative_to(reports).as_posix(): path for path in found}


def _place(page: str, link: str) -> Place | None:
    """What a link on `page` means, as a path below reports/ and a fragment; None where it leads elsewhere."""
    try:
        parts = urlsplit(link)
    except ValueError:  # such as http://[
        return None
    if parts.scheme or parts.netloc or parts.path.startswith("/"):
        return None
    path = posixpath.join(posixpath.dirname(page), unquote(parts.path))
    return (posixpath.normpath(path) if parts.path else page), unquote(parts.fragment)


def _give_ids(pages: Sequence[Page]) -> Ids:
    """Gives every page, heading and anchor an id that no other has; returns them by what a link has to say.

    A heading has the fragment that GitHub gives it.
    """
    ids: Ids = {}
    taken = {"main"}  # of page.html
    for page in pages:
        name = page.path.removesuffix(".md").removesuffix("/README") if page.path != "README.md" else "reports"
        ids[page.path, ""] = own = _unique(name, taken)
        targets = [(token, re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")) for token, text in _headings(page)]
        for token, wanted in (*targets, *((token, str(token.attrs["id"])) for token in page.each("anchor_open"))):
            unique = _unique(f"{own}:{wanted}", taken)
            token.attrSet("id", unique)
            ids.setdefault((page.path, unique.removeprefix(f"{own}:")), unique)
    return ids


def _unique(wanted: str, taken: set[str]) -> str:
    """`wanted`, or with the first number that makes it new, as GitHub does."""
    name = next(n for n in chain([wanted], (f"{wanted}-{i}" for i in count(1))) if n not in taken)
    taken.add(name)
    return name


def _headings(page: Page, tag: str = "") -> Iterator[tuple[Token, str]]:
    """The headings, or those of one rank, with their text."""
    for token, line in pairwise(page.tokens):
        if token.type == "heading_open" and tag in ("", token.tag):
            yield token, "".join(part.content for part in line.children or ())


def _relink(page: Page, link: Token, ids: Mapping[Place, str]) -> None:
    """A link to a page leads to its place in the file, another relative one starts from reports/; no other scheme."""
    href = str(link.attrs.pop("href"))
    place = _place(page.path, href)
    if place is None:
        if href.partition(":")[0].lower() in WEB:
            link.attrs |= {"href": href, "rel": "noreferrer"}
    elif target := ids.get(place) or ids.get((place[0], "")):
        link.attrs["href"] = _fragment(target)
    else:
        link.attrs["href"] = quote(place[0]) + (f"#{quote(place[1])}" if place[1] else "")


def _place_figure(page: Page, image: Token, figures: Mapping[str, Path]) -> None:
    """Loads the figure from its file when it comes into view; an image that is no figure of the reports is its text.

    Its size is there before, or what lies below it would move while it is read.
    """
    place = _place(page.path, str(image.attrs["src"]))
    if place is None or place[0] not in figures:
        image.type = "text"
    else:
        size = SIZE.search(_read(figures[place[0]]))
        points = [float(pt) for pt in size.groups()] if size else []
        sides = "".join(
            f'{name}="{ON_SCREEN * pt:.0f}" ' for name, pt in zip(("width", "height"), points, strict=False)
        )
        attributes = f'src="{quote(place[0])}" {sides}loading="lazy" alt="{_escaped(image.content)}"'
        narrow = " narrow" * bool(points and points[0] < NARROW)
        image.content = f'<span class="figure{narrow}"><img {attributes}></span>'
        image.type = "html_inline"


def _mark_tables(tokens: list[Token]) -> None:
    """Marks numbers, headers and long cells with classes, and lets a total stay below the rows when they are sorted."""
    for cell, text in pairwise(tokens):
        if cell.type in ("th_open", "td_open") and cell.attrs.pop("style", None) == "text-align:right":
            cell.attrJoin("class", "number")
        if cell.type == "td_open" and len(text.content) > LONG:
            cell.attrJoin("class", "long")
        if cell.type == "th_open":
            cell.attrSet("scope", "col")
    for start in reversed([i for i, t in enumerate(tokens) if t.type == "tr_open" and tokens[i + 2].content == TOTAL]):
        end = next(i for i in range(start, len(tokens)) if tokens[i].type == "tr_close") + 1
        if tokens[end].type == "tbody_close":
            tokens[end] = Token("tfoot_close", "tfoot", -1, block=True)
            tokens.insert(start, Token("tfoot_open", "tfoot", 1, block=True))
            tokens.insert(start, Token("tbody_close", "tbody", -1, block=True))


def _fragment(name: str) -> str:
    return f"#{quote(name, safe='/:')}"


def _escaped(text: str) -> str:
    return str(escapeHtml(text))
