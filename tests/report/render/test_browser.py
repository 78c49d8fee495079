"""reports/index.html in a real browser: it opens, sorts, fits a phone, and can be read by day and by night."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="needs playwright")

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from bench.report.render.html import html, write_html

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[3]
COMMITTED = ROOT / "reports" / "index.html"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# as tables have them, in no order; below in the order in which a reader would look for them
NUMBERS = (
    "65.97 ± 1.73 (2)", "–", "8.75", "100.00", "< 0.001", "0.27M", "failed", "−1.2", "0.001", "3.8 billion", "64,000",
    "", "+18.28 [−14.98, +51.55]", "about 400 iterations", "> 60 %", "60 %", "−7.45 to −1.83",
    "6.43 (6.61 ± 0.16, n = 5)", "1.7e+15",
)  # fmt: skip
ASCENDING = [
    "−7.45 to −1.83", "−1.2", "< 0.001", "0.001", "6.43 (6.61 ± 0.16, n = 5)", "8.75", "+18.28 [−14.98, +51.55]",
    "60 %", "> 60 %", "65.97 ± 1.73 (2)", "100.00", "about 400 iterations", "64,000", "0.27M", "3.8 billion", "1.7e+15",
]  # fmt: skip
WORDS = ("ResNet-110", "plain-56", "ResNet-20 (1 failed)", "plain-20", "2.14.1", "2.9.0")
SORTED_WORDS = ["2.9.0", "2.14.1", "plain-20", "plain-56", "ResNet-20 (1 failed)", "ResNet-110"]
COLUMN = """column => [...document.querySelectorAll('tbody tr')].map(
  row => row.cells[column].innerText.replaceAll('\\u00a0', ' '))"""
WORST_CONTRAST = """() => {
  const light = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return colour === "rgba(0, 0, 0, 0)" ? behind(element.parentElement) : colour;
  };
  const written = [...document.querySelectorAll(".skip, nav *, main *")].filter((element) =>
    [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  return Math.min(...written.map((element) => {
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The machine's own Chromium; the test is skipped, saying so, where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        # root, as in containers, has no sandbox; the one page that is opened is ours
        one = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page of a window of a laptop's size, by day."""
    one = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
    yield one
    one.close()


def table(tmp_path: Path) -> str:
    """The address of reports whose one table has the awkward numbers, some words, and a total."""
    rows = [f"| {WORDS[i % len(WORDS)]} | {number} |" for i, number in enumerate(NUMBERS)]
    text = "\n".join(["# Reports", "", "| | number |", "| --- | --: |", *rows, "| all | 7 |", ""])
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    return write_html(tmp_path).as_uri()


def test_it_opens_without_a_complaint_and_asks_for_nothing_but_its_figures(page: Page) -> None:
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(request.url))
    page.on("request", lambda request: asked.append(request.url.partition("#")[0]))

    page.goto(COMMITTED.as_uri())
    page.evaluate("document.querySelectorAll('a[href^=\"#\"]').forEach((link) => link.click())")
    for figure in page.locator("main img").all():
        figure.scroll_into_view_if_needed()
        figure.evaluate("image => image.decode()")  # raises where it is none

    figures = sorted(path.as_uri() for path in COMMITTED.parent.glob("*/*.svg"))
    assert said == []
    assert asked[0] == COMMITTED.as_uri()
    assert sorted(asked[1:]) == figures
    assert len(set(page.locator("main img").evaluate_all("all => all.map(one => one.src)"))) == len(figures)


def test_a_click_on_a_header_sorts_up_then_down_then_not_at_all(page: Page, tmp_path: Path) -> None:
    page.goto(table(tmp_path))
    header = page.get_by_role("columnheader", name="number")
    found: dict[str | None, list[str]] = {}
    for _ in range(3):
        header.get_by_role("button").click()
        found[header.get_attribute("aria-sort")] = page.evaluate(COLUMN, 1)

    assert found == {
        "ascending": [*ASCENDING, "failed", "–", ""],
        "descending": [*ASCENDING[::-1], "failed", "–", ""],
        "none": list(NUMBERS),
    }
    assert page.locator("tfoot").inner_text().split() == ["all", "7"]


def test_words_are_sorted_with_the_numbers_in_them_by_the_keyboard(page: Page, tmp_path: Path) -> None:
    page.goto(table(tmp_path))
    first, second = page.locator("th button").all()
    second.click()
    first.focus()
    page.keyboard.press("Enter")

    assert list(dict.fromkeys(page.evaluate(COLUMN, 0))) == SORTED_WORDS
    assert [th.get_attribute("aria-sort") for th in page.locator("th").all()] == ["ascending", "none"]
    page.keyboard.press("Tab")
    assert second.evaluate("button => button === document.activeElement")
    assert page.get_by_role("button", name="first column").count() == 1  # its header has no words of its own


def test_it_can_be_read_by_day_and_by_night(page: Page) -> None:
    page.goto(COMMITTED.as_uri())
    grounds = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        grounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")

        assert page.evaluate(WORST_CONTRAST) >= 4.5, scheme
    assert grounds == {"light": "rgb(255, 255, 255)", "dark": "rgb(23, 24, 26)"}


def test_figures_have_the_pages_ground_by_day_by_night_and_on_paper(page: Page) -> None:
    page.goto(COMMITTED.as_uri())
    figure = page.locator(".figure img").first
    figure.scroll_into_view_if_needed()
    figure.evaluate("image => image.decode()")

    assert ground(figure) == (255, 255, 255)
    page.emulate_media(color_scheme="dark")
    assert ground(figure) == (23, 24, 26)
    page.emulate_media(media="print", color_scheme="dark")
    assert ground(figure) == (255, 255, 255)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_narrow_screen_a_shadow_says_that_a_figure_goes_on_until_its_end_is_seen(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(COMMITTED.as_uri())
    figure = page.locator(".figure:not(.narrow)").first
    figure.scroll_into_view_if_needed()
    figure.locator("img").evaluate("image => image.decode()")
    edges = [edge(figure), figure.evaluate("figure => { figure.scrollLeft = 1e4; }") or edge(figure)]
    page.set_viewport_size({"width": 1280, "height": 800})

    paper = (255, 255, 255) if scheme == "light" else (23, 24, 26)
    assert sum(edges[0]) < sum(paper)
    assert edges[1] == edge(figure) == paper


def edge(figure: Locator) -> tuple[int, ...]:
    """The colour of its top right corner, where nothing is drawn."""
    with Image.open(io.BytesIO(figure.screenshot())) as picture:
        return picture.convert("RGB").getpixel((picture.width - 2, 2))  # type: ignore[return-value]  # of RGB a tuple


def ground(figure: Locator) -> tuple[int, ...]:
    """The colour that most of it has."""
    with Image.open(io.BytesIO(figure.screenshot())) as picture:
        counted = picture.convert("RGB").getcolors(picture.width * picture.height) or []
    return max(counted)[1]  # type: ignore[return-value]  # of an RGB image a colour is a tuple


def test_wide_tables_scroll_within_themselves_and_the_page_never_does(page: Page) -> None:
    page.goto(COMMITTED.as_uri())
    for width in (320, 400, 800, 1023, 1024, 1280):
        page.set_viewport_size({"width": width, "height": 800})

        assert page.evaluate("document.documentElement.scrollWidth") == width
        if width <= 400:
            assert page.locator(".table").last.evaluate("t => t.scrollWidth > t.clientWidth")
            assert page.locator(".table").last.get_attribute("tabindex") == "0", "the keyboard can scroll it"


def test_a_long_word_in_a_heading_or_an_id_breaks(page: Page, tmp_path: Path) -> None:
    word = "a_study_with_a_very_long_name_" * 4
    text = f"# {word}\n\n## {word}\n\n`{word}` {word}\n\n| run | n |\n| --- | --: |\n| `{word}` | 1 |\n"
    (tmp_path / "README.md").write_text(text)
    for width in (320, 1100):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(write_html(tmp_path).as_uri())

        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator("nav").evaluate("nav => nav.scrollWidth <= nav.clientWidth")
        assert page.locator("td code").evaluate("id => id.clientWidth") <= 320 or width > 320


@pytest.mark.parametrize("width", [400, 1440])
def test_the_contents_follow_what_is_read(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(COMMITTED.as_uri() + "#gradients:layer-responses")
    marked = page.locator("nav [aria-current]")
    expect(marked).to_have_text("Layer responses")
    listed = page.locator("nav li.open ul a")

    assert page.locator("nav").evaluate("nav => nav.getBoundingClientRect().top") == 0, "it stays in view"
    assert listed.count() == page.locator("[id='gradients'] h2").count()
    page.evaluate("document.getElementById('detection:costs').scrollIntoView()")
    expect(marked).to_have_text("Costs")
    assert listed.first.get_attribute("href") == "#detection:ap50-by-backbone"
    if width > 1000:
        assert marked.evaluate("link => link.getBoundingClientRect().bottom <= innerHeight")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(marked).to_have_attribute("href", re.compile("#procedure/"))
    assert marked.count() == 1


def test_on_a_narrow_screen_the_contents_unfold_over_the_page_and_fold_again(page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(COMMITTED.as_uri() + "#gradients:layer-responses")
    links, bar = page.locator("nav details > ul"), page.locator("summary")
    before = page.evaluate("scrollY")

    assert not links.is_visible()
    bar.press("Enter")
    assert links.is_visible()
    assert bar.inner_text() == "ContentsLayer responses"  # and a dot between them, which is style
    assert page.evaluate("scrollY") == before, "nothing moves below it"
    page.keyboard.press("Escape")
    assert not links.is_visible()
    bar.click()
    links.get_by_text("Face verification").click()
    assert not links.is_visible()
    assert page.locator("[id='faces'] h1").is_visible()
    page.set_viewport_size({"width": 1440, "height": 800})
    assert links.is_visible()


@pytest.mark.parametrize("width", [400, 1440])
def test_without_its_script_all_of_it_is_there(browser: Browser, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, java_script_enabled=False)
    page.goto(COMMITTED.as_uri())

    assert page.locator("nav details > ul > li > a").first.is_visible()
    assert page.locator("nav ul ul a").first.is_visible() is (width == 1440)
    page.locator("nav a[href='#gradients']").click()
    assert page.locator("[id='gradients'] h1").bounding_box()["y"] < 100  # type: ignore[index]  # it is there
    page.close()


def test_by_the_keyboard_the_contents_can_be_skipped(page: Page) -> None:
    page.goto(COMMITTED.as_uri())
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip the contents"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_on_paper_nothing_is_cut_off_and_the_navigation_is_left_out(page: Page) -> None:
    page.set_viewport_size({"width": 700, "height": 1000})  # A4 less its margins
    page.goto(COMMITTED.as_uri())
    page.emulate_media(media="print", color_scheme="dark")

    assert not page.locator("nav").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 700


def test_a_script_that_got_into_the_file_would_not_run(page: Page, tmp_path: Path) -> None:
    """The second line of defence: even where the pages' text were let through as HTML, the file's policy holds."""
    attack = '<script>document.title = "run"</script><img src="x.png" onerror="document.title = 1">'
    path = tmp_path / "index.html"
    path.write_text(html(ROOT / "reports").replace('<main id="main">', f'<main id="main">{attack}'), encoding="utf-8")
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))

    page.goto(path.as_uri())

    assert page.title() == "Reports · resnet-bench"
    assert sum("Content Security Policy" in text for text in said) >= 2
    assert page.locator("th button").count() > 100  # the file's own script runs
