"""The first screen of a page and of the index: the answer in few words, a figure, a table; words that fit the task."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.sweep_files import load_sweep
from bench.report.answers import Study
from bench.report.evidence import Evidence, load_sets, weigh
from bench.report.first_screen import answer
from bench.report.index import beginning, furthest
from bench.report.page import page
from bench.report.sections import Findings
from bench.spec import Claim
from tests.report.builders import evidence as of_builders
from tests.report.builders import made_up_set
from tests.report.claimed import BEATS, DEGRADES, EQUALS, HIGH, LOW, PLAIN, evidence, made_up, runs

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path for path in (ROOT / "reports").glob("*/*.md") if path.parent.name != "procedure")
MOST = 150  # words before the figure
P_VALUE = re.compile(r"\bp (=|<|≤|\(Holm\))|p-value|McNemar|\breproduced\b(?! seed)")
BEHIND = ["## About these runs", "## Provenance", "## How to cite"]


def committed(name: str) -> Evidence:
    _, sweep = load_sweep(name)
    return weigh(name, sweep, load_sets(ROOT / "results" / name, sweep)[:1])[0]


def spoken(markdown: str) -> int:
    """How many words a reader sees below the title."""
    markdown = markdown.partition("\n")[2]
    return len(re.findall(r"\w[\w.,/'-]*", re.sub(r"\]\([^)]*\)", "", markdown)))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_committed_page_shows_its_figure_within_the_first_words(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    top = text.partition("![")[0]

    assert spoken(top) <= MOST
    assert "## " not in top, "nothing but the answer stands above the figure"
    assert "|" not in top
    assert [line for line in text.splitlines() if line.startswith("## ")][-3:] == BEHIND


def test_the_committed_index_shows_the_main_figure_within_the_first_words() -> None:
    top = (ROOT / "reports" / "README.md").read_text(encoding="utf-8").partition("![")[0]

    assert spoken(top) <= MOST
    assert "](plain_vs_residual/README.md)" in top


def told(of: Evidence) -> list[str]:
    return answer(of, Findings(["What the runs say."]))


def test_verdicts_are_told_in_the_order_of_the_declared_answers_and_then_counted() -> None:
    sweep = replace(made_up(DEGRADES, BEATS, EQUALS), answers=("beats", "same", "degrades"))

    lines = told(weigh("made_up", sweep, [runs()])[0])

    assert [line.partition(" (")[0] for line in lines] == [
        "**Reproduced:** Residual is better",
        "**Reproduced:** Deeper is worse",
        "Of 3 claims: 2 reproduced; **open:** 1 claim waiting for seeds.",
    ]
    assert re.search(r"\(plain-56 − plain-20: \+3\.73 points, 95 % \+\d.* to \+\d.*; n = 3; p .* for it\)\.$", lines[1])


def test_both_halves_of_the_claim_are_told_side_by_side(tmp_path: Path) -> None:
    lines = page(of_builders(made_up_set(tmp_path))).splitlines()

    plain, residual = (next(k for k, line in enumerate(lines) if line.startswith(f"- {kind}")) for kind in HALVES)
    assert residual == plain + 1
    assert residual < next(k for k, line in enumerate(lines) if line.startswith("!["))


HALVES = ("Plain networks: the training error", "Residual networks: the training error")


def test_what_is_open_is_said_in_runs_and_nothing_waits_in_silence() -> None:
    nothing = told(evidence(runs(errors={"plain-20": LOW, "plain-56": HIGH[:1]}), DEGRADES))
    several = told(evidence(runs(errors={"plain-20": LOW[:1]}), DEGRADES, EQUALS))

    assert nothing == [
        "**Open:** the claim is not judged yet: 4 of its 6 runs are done.",
        "What the runs say.",
    ]
    assert several[0] == "**Open:** none of the 2 claims is judged yet: 1 of their 9 runs are done."


def test_n_of_each_net_is_said_in_the_order_of_the_difference_as_in_the_table() -> None:
    plan = made_up(DEGRADES)
    scale = replace(plan.scales["paper"], seeds_by_net={PLAIN[20]: (0, 1)})

    (line, _) = told(weigh("made_up", replace(plan, scales={"paper": scale}), [runs()])[0])

    assert "plain-56 − plain-20: +3.78 points" in line
    assert "; n = 3 and 2; " in line


def test_runs_that_no_claim_needs_are_not_among_those_that_are_missing() -> None:
    """plain-32 has three runs here, which the one claim does not need."""
    one = runs(errors={"plain-20": LOW, "plain-56": HIGH[:1], "plain-32": LOW, "resnet-56-A": LOW})

    (line, *_) = told(evidence(one, DEGRADES))

    assert "4 of its 6 runs are done" in line


def test_a_claim_against_which_the_numbers_speak_has_its_p_value_against_it() -> None:
    (line, _) = told(evidence(runs(errors={"plain-20": HIGH, "plain-56": LOW}), DEGRADES))

    assert line.startswith("**Not reproduced:** Deeper is worse (plain-56 − plain-20: −3.73 points")
    assert re.search(r"n = 3; p (<|=) \S+ against it\)\.$", line)


@pytest.mark.parametrize(("scale", "data"), [("quick", "cifar10"), ("quick", "stand-in")])
def test_where_nothing_is_tested_a_page_has_no_p_value_and_no_verdict(tmp_path: Path, scale: str, data: str) -> None:
    one = replace(made_up_set(tmp_path, scale), data=data)
    text = page(of_builders(one))

    assert not P_VALUE.search(text)
    assert "Table 6)" not in text
    assert "paper: test error" not in text
    assert ("**Described, not tested:**" in text) == (data == "cifar10")
    assert P_VALUE.search(page(of_builders(made_up_set(tmp_path / "paper", "paper"))))


@pytest.mark.parametrize("name", ["faces", "gradients"])
def test_a_sweep_without_claims_says_that_it_describes(name: str) -> None:
    assert "- **Described, not tested:** the sweep declares no claim.\n" in page(committed(name))


def test_the_main_sweep_says_at_scale_quick_that_its_rate_was_tuned_on_what_it_shows() -> None:
    _, sweep = load_sweep("plain_vs_residual")
    quick = sweep.scales["quick"]

    assert "learning rate tuned on the very nets, seeds and test images shown here" in quick.about
    assert any(
        "was chosen, and a warm-up tried and dropped, by the errors of these nets" in d for d in quick.deviations
    )


@pytest.mark.parametrize(
    ("name", "foreign"),
    [
        ("faces", ("test error is", "Table 6", "paper's numbers", "training error and loss are")),
        ("detection", ("test error", "Tables 7", "Tables 10", "Table 6", "ResNet-101 over VGG-16, on VOC")),
        ("thousand_layers", ("(Table 6)", "paper: test error", "p (Holm)")),
    ],
)
def test_boilerplate_fits_the_task(name: str, foreign: tuple[str, ...]) -> None:
    body = page(committed(name)).partition("## Claims")[0].partition("## The claim")[0]

    assert [words for words in foreign if words in body] == []


def test_the_index_begins_with_the_set_of_the_main_sweep_that_says_most() -> None:
    sweep = made_up(DEGRADES, BEATS)
    nothing, decided = runs(errors={"plain-20": LOW}), runs("short")

    assert furthest(weigh("made_up", sweep, [nothing, decided])).results.scale == "short"
    assert furthest(weigh("made_up", sweep, [runs(), decided])).results.scale == "paper"


def test_a_study_without_results_is_a_row_of_the_index_with_its_question() -> None:
    (heading, table, *_) = beginning([Study("own", made_up(DEGRADES), ())])

    assert heading == "# Reports"
    assert table.splitlines()[2:] == ["| Made up | Not run yet. Is it? | – |"]


def test_the_first_claims_answer_where_none_are_named() -> None:
    claims = [replace(DEGRADES, id=f"c{k}") for k in range(5)]

    assert [claim.id for claim in made_up(*claims).answering()] == ["c0", "c1", "c2"]
    assert [claim.id for claim in replace(made_up(*claims), answers=("c4",)).answering()] == ["c4"]


def test_answers_are_in_no_digest() -> None:
    claims: tuple[Claim, ...] = (DEGRADES, BEATS)

    sweep, other = made_up(*claims), replace(made_up(*claims), answers=("beats",))

    assert sweep.claims_digest("paper") == other.claims_digest("paper")
