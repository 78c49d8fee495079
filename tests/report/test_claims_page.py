"""Claims on a page: their verdicts in words, what they wait for, what was declared when."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.report.claims import WAITING
from bench.report.collect import collect
from bench.report.evidence import load_sets, weigh
from bench.report.sections import numbers_of
from bench.report.verdicts import BOLDER, claims, claims_table, seeds_words, verdict_words
from bench.spec import Recipe, Scale, Sweep
from tests.report.builders import fake
from tests.report.claimed import (
    BEATS,
    DEGRADES,
    EQUALS,
    HIGH,
    LOW,
    PLAIN,
    claims_of,
    evidence,
    judged,
    made_up,
    one,
    runs,
)


def test_the_verdict_in_words_says_where_it_holds_and_the_seeds_what_it_waits_for() -> None:
    here, nothing = one(DEGRADES, plain_20=LOW, plain_56=HIGH), judged((DEGRADES,), 3)[0]
    some, all_alike = (judged((DEGRADES,), 3, plain_20=LOW[:n], plain_56=HIGH[:1])[0] for n in (3, 1))

    assert verdict_words(here, comparable=True) == "**reproduced**"
    assert verdict_words(here, comparable=False) == "**reproduced** at this scale"
    assert seeds_words(here) == "3"
    assert {verdict_words(waits, comparable=True) for waits in (nothing, some, all_alike)} == {"not yet judged"}
    assert [seeds_words(waits) for waits in (nothing, some, all_alike)] == ["0/3", "3/3, 1/3", "1/3"]


def test_the_page_counts_the_verdicts_and_says_how_they_came_about() -> None:
    of = evidence(runs(), DEGRADES, BEATS, EQUALS)
    page = "\n".join(claims_of(of))

    assert "**Of 3 claims to be judged: 2 reproduced, 1 waiting for seeds.**" in page
    assert "plain-56 − plain-20: +3.73 [" in page
    assert "Holm-adjusted over the 3 claims to be judged at this scale" in page
    assert f"(digest `{of.sweep.claims_digest('paper')[:12]}`)" in page
    assert claims_of(evidence(runs())) == ["## The claim", "It is."]


@pytest.mark.parametrize("seeds", [(0, 1, 2), (0, 1)])
def test_where_an_interval_at_unequal_n_stands_beside_a_p_the_page_says_which_is_the_bolder(
    seeds: tuple[int, ...],
) -> None:
    plan = made_up(DEGRADES)
    scale = replace(plan.scales["paper"], seeds_by_net={PLAIN[20]: seeds})
    sweep = replace(plan, scales={**plan.scales, "paper": scale})

    table = claims_table(weigh("made_up", sweep, [runs()])[0])

    assert table.rows[0][-1] != "–"
    assert table.rows[0][-2] == ("3" if len(seeds) == 3 else "3 and 2")
    assert (BOLDER in table.note) == (len(seeds) == 2)


def test_the_page_does_not_speak_of_p_values_at_unequal_n_where_none_is_given() -> None:
    waits = evidence(runs(errors={"plain-20": LOW, "plain-56": HIGH[:2]}), DEGRADES)

    assert BOLDER not in "\n".join(claims_of(waits))


@pytest.mark.parametrize(
    ("digests", "words"),
    [
        (("", "", ""), "before the claims were declared"),
        (("", "now", ""), "before the claims were declared (some of them)"),
        (("now", "now", ""), ""),
        (("other", "other", ""), "under other claims than today's"),
    ],
)
def test_the_page_says_which_claims_are_younger_than_runs_that_they_judge(
    digests: tuple[str, str, str], words: str
) -> None:
    results = runs(errors={"plain-20": LOW[:1], "plain-56": HIGH[:1], "resnet-56-A": LOW[:1]})
    now = evidence(results, DEGRADES).sweep.claims_digest("paper")
    dated = results.runs.assign(claims_sha256=[now if text == "now" else text for text in digests])

    page = "\n".join(claims_of(evidence(replace(results, runs=dated), DEGRADES)))

    assert ("| 1/3 † |" in page) == bool(words)
    assert (f"† Counts runs that started {words}." in page) == bool(words)


def test_a_judged_claim_says_in_its_verdict_that_its_runs_are_older() -> None:
    page = "\n".join(claims_of(evidence(runs(), DEGRADES)))

    assert "| **reproduced**; started before the claims were declared |" in page


def test_a_table_of_claims_that_all_wait_is_compact_after_one_sentence() -> None:
    page = claims_of(evidence(runs(errors={"plain-20": LOW, "plain-56": HIGH[:1]}), DEGRADES, BEATS))

    assert page[2] == "**2 claims to be judged at this scale; none has all of its planned seeds yet.**"
    assert page[3].splitlines()[0] == "| claim | source | so far: difference in points | seeds of each net |"
    assert [row.split(" | ")[-1] for row in page[3].splitlines()[2:]] == ["3/3, 1/3 † |", "1/3, 0/3 † |"]
    assert max(len(re.sub(r"<a id=\S+></a>", "", row)) for row in page[3].splitlines()) < 120


def test_the_first_page_is_that_of_a_scale_with_verdicts(tmp_path: Path) -> None:
    net, other = PLAIN[20], PLAIN[56]
    cells = tuple((n, Recipe(steps=100, drops=(50, 75), curve_every=10, test_every=50)) for n in (net, other))
    scales = {"paper": Scale(cells, (0, 1)), "short": Scale(cells, (0, 1), judges=("degrades",))}
    sweep = Sweep("Made up", "Is it?", "It is.", scales, claims=(DEGRADES,))
    ended = [*sweep.runs("paper", (0,)), *sweep.runs("short", (0,))]
    for number, run in enumerate(ended):
        fake(tmp_path / "runs", run, 10.0 + number)
    collect(tmp_path / "results", [tmp_path / "runs"], ended)
    first = [one.scale for one in load_sets(tmp_path / "results", sweep)]
    for number, run in enumerate(sweep.runs("short", (1,))):
        fake(tmp_path / "runs", run, 11.0 + number)
    collect(tmp_path / "results", [tmp_path / "runs"], ended)

    assert first == ["paper", "short"]
    assert [one.scale for one in load_sets(tmp_path / "results", sweep)] == ["short", "paper"]


def test_a_claim_that_waits_has_an_effect_and_no_interval_on_the_page_or_in_its_number() -> None:
    of = evidence(runs(errors={"plain-20": LOW, "plain-56": HIGH[:2]}), DEGRADES)

    assert "</a>plain-56 − plain-20: +3.75 | 3/3, 2/3" in "\n".join(claims_of(of))
    (number,) = numbers_of([claims(of)])
    assert (round(number.value, 2), number.over_seeds, number.verdict) == (3.75, None, WAITING)


ROOT = Path(__file__).resolve().parents[2]
TEXTS = [path for where in ("bench/**/*.py", "sweeps/*.py", "**/*.md") for path in ROOT.glob(where)]
ADVICE = re.compile(
    r"\b(?:\d+|k|one|two|three|some|a few|how many|enough)\s+(?:more|further|additional)\s+seeds?\b"
    r"|\bmore\s+seeds?\s+(?:are\s+needed|needed|to\s+(?:decide|show|settle)|would|will|could|might)\b"
    r"|\bseeds?\s+(?:more|needed|missing)\s+(?:for|to)\s+(?:a\s+)?(?:verdict|power|significance|decide|show)",
    re.IGNORECASE,
)


@pytest.mark.parametrize(
    "text", ["3 more seeds would decide", "k more seeds", "more seeds are needed", "2 seeds missing to decide"]
)
def test_what_advice_to_add_seeds_reads_like(text: str) -> None:
    assert ADVICE.search(text)


def test_nobody_is_told_how_many_seeds_to_add_until_a_claim_turns_significant() -> None:
    """Stopping then gives 17 % false verdicts; how many seeds judge a claim is declared before the runs."""
    texts = [path for path in TEXTS if not {".git", ".venv", "shared", "CHANGELOG.md"} & set(path.parts)]
    found = [f"{path.relative_to(ROOT)}: {match[0]}" for path in texts for match in ADVICE.finditer(path.read_text())]

    assert len(texts) > 100
    assert found == []
