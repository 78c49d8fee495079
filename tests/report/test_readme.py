"""The READMEs' numbers follow from what is published; a block that does not is named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli import publish
from bench.report import readme
from bench.report.collect import collect
from bench.report.coverage import load, write_index
from bench.report.readme import BLOCK, BLOCKS, Project, texts, write_blocks
from bench.report.verify import index_problems
from bench.spec import Net, Scale
from bench.store import StoreError
from tests.report.builders import CELLS, RECIPE, SWEEP, fake

pytestmark = pytest.mark.usefixtures("figures_not_rendered")

ROOT = Path(__file__).resolve().parents[2]
NAME = "made_up"
TEXT = "# T\n\n<!-- generated: {} -->\nold\n<!-- end -->\n\nafter\n"
HALF = replace(RECIPE, steps=50, drops=(25, 40), test_every=50)
SCALES = {
    "paper": replace(SWEEP.scales["paper"], judges=("worse",)),
    "short": Scale(tuple((net, HALF) for net, _ in CELLS), (0, 1)),
    "quick": SWEEP.scales["quick"],
}
DECLARED = replace(SWEEP, scales=SCALES)


def project(
    root: Path, runs: dict[str, Sequence[tuple[Net, int, float]]], text: str = TEXT.format("missing")
) -> Project:
    """A checkout whose sweep has these runs by scale: net, seed, test error."""
    declared = [run for scale in DECLARED.scales for run in DECLARED.runs(scale)]
    for run in declared:
        for net, seed, error in runs.get(run.scale, ()):
            if (run.net, run.seed) == (net, seed):
                fake(root / "runs" / NAME, run, error)
    if runs:
        collect(root / "results" / NAME, [root / "runs" / NAME], declared)
    (root / "README.md").write_text(text, encoding="utf-8", errors="surrogateescape")
    return Project(load({NAME: DECLARED}, root / "results"), root)


PLAIN_20, RESNET_20, PLAIN_56, _ = (net for net, _ in CELLS)
ONE = [(PLAIN_20, 0, 10.0), (RESNET_20, 0, 9.0)]
ALL = [(net, 0, 10.0 + k) for k, (net, _) in enumerate(CELLS)]


def test_nothing_decided_is_said_first_and_every_scale_with_what_there_is(tmp_path: Path) -> None:
    text = readme.found(project(tmp_path, {"paper": ONE, "short": ALL, "quick": ALL}), NAME)
    claim, _, *lines = text.splitlines()

    assert claim == "*The claim of the paper.* It is."
    assert lines[0].startswith("**Nothing is decided yet: of 1 claim none has all of its planned seeds.**")
    assert lines[2].startswith("- With 50 of")
    assert "schedule ([scale paper](reports/made_up/README.md), 2 of 8 runs, 2 of them begun " in lines[3]
    assert "before the claims were declared): At 20 layers the residual net" in lines[3]
    assert (
        "With 50 of the paper's 100 steps ([scale short](reports/made_up/short.md), 4 of 8 runs): Plain networks: the "
        in text
    )
    assert lines[0].endswith(" One seed of each net says nothing about the spread over seeds.")
    assert "reports/made_up/curves-short.svg" in lines[5], "the longest schedule with both kinds at two depths"
    assert "quick" not in text, "it decides nothing"
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    assert [row[0] for row in table[2:]] == ["plain-20", "plain-56", "ResNet-20", "ResNet-56"]
    assert table[4] == ["ResNet-20", "10.00 (1)", "9.00 (1)", "10.00 (1)", "11.00 (1)", "8.75"]
    assert table[5][1:3] == ["–", "–"]


def test_verdicts_take_the_place_of_waiting_when_all_seeds_have_ended(tmp_path: Path) -> None:
    runs = [(net, seed, 10.0 + (net is PLAIN_56) * 30 + seed / 10) for net, _ in CELLS for seed in (0, 1)]
    text = readme.found(project(tmp_path, {"paper": runs}), NAME)

    assert text.splitlines()[2] == "**Of 1 claim: 1 reproduced.**"
    assert text.splitlines()[4].startswith("- By the paper's schedule")
    assert "says nothing about the spread" not in text
    assert "curves-paper.svg" in text
    assert "| plain-20 | 10.00 ± 0.00 (2) | 10.05 ± 0.07 (2) | – |" in text


def test_what_is_missing_names_the_sweeps_and_the_hardware(tmp_path: Path) -> None:
    only_quick = readme.missing(project(tmp_path / "a", {"quick": ONE}), "")

    assert "Run at scale `quick` alone, minutes of training that decide nothing: `made_up`." in only_quick
    assert "Not run" not in only_quick
    (total, counts) = re.findall(r"Of the paper's (\d+) results \(.*\): (.*)\.", only_quick)[0]
    assert sum(map(int, re.findall(r"\d+", counts))) == int(total) == 138
    assert "Published runs trained on: made up." in only_quick, "which is no processor with its cores"
    assert "No GPU" not in only_quick


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A checkout whose index and blocks are as published."""
    one = project(tmp_path, {"paper": ONE}, TEXT.format(f"found {NAME}"))
    write_index(load({NAME: DECLARED}, tmp_path / "results"), tmp_path / "reports")
    write_blocks(one)
    return tmp_path


def problems(root: Path) -> list[str]:
    return list(index_problems({NAME: DECLARED}, root / "results", root / "reports"))


def test_published_blocks_are_whole_and_a_changed_digit_in_one_is_named(published: Path) -> None:
    page = published / "README.md"
    text = page.read_text()

    assert problems(published) == []
    assert text.startswith("# T\n\n<!-- generated: found made_up -->\n*The claim")
    assert text.endswith("<!-- end -->\n\nafter\n")

    page.write_text(text.replace("9.00 (1) |", "8.00 (1) |"))
    (found,) = problems(published)
    assert re.fullmatch(r".*README.md, line \d+: it says '.*8.00 .1.*', and the results '.*9.00 .1.*'", found)

    page.write_text("# Another README, without a block\n")
    assert problems(published) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TEXT.format("nonsense"), "no block 'nonsense'; there are: found, missing, first, speeds"),
        ("<!-- generated: missing -->\nno end\n", "of 1 block 0 can be read: end each with <!-- end -->"),
        (TEXT.format("found nowhere"), "nothing is published of the sweep 'nowhere'"),
        (TEXT.format("first nowhere"), "nothing is published of the sweep 'nowhere'"),
        ("\udcff", "README.md cannot be read: 'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_a_block_that_cannot_be_made_out_is_named(text: str, words: str, tmp_path: Path) -> None:
    one = project(tmp_path, {"quick": ONE}, text)

    with pytest.raises(StoreError, match=re.escape(words)):
        list(texts(one))


@pytest.mark.parametrize("suite", [True, False])
def test_publish_fills_the_blocks_in_this_suites_checkout_alone(
    suite: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's README is the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(publish, "in_suite", lambda: suite)
    before = TEXT.format("missing")
    (tmp_path / "README.md").write_text(before)

    publish.write_index({})

    assert ((tmp_path / "README.md").read_text() != before) is suite


def test_the_first_pages_numbers_are_all_generated() -> None:
    """What is measured or counted stands in blocks; outside them a figure is a name (CIFAR-10, 50m) or a year."""
    text = BLOCK.sub("", (ROOT / "README.md").read_text(encoding="utf-8"))
    prose = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", text, flags=re.DOTALL)

    assert re.findall(r"(?<![-\w])\d[\d.,]*(?![-\w])", prose) == ["2015"]
    names = {name for page in readme.PAGES for name, *_ in BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))}
    assert names == set(BLOCKS), "each block is used"
