"""reports/summary.md: its numbers follow from the results, and it is checked and linked as the other pages are."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.report.answers import RUNNABLE, Study
from bench.report.collect import collect
from bench.report.coverage import coverage, load, write_index
from bench.report.summary import summary
from bench.report.verify import index_problems
from tests.report.builders import SWEEP, fake, fake_sweep

pytestmark = pytest.mark.usefixtures("figures_not_rendered")

PARTS = [
    "Scope", "What was reproduced", "What was easy", "What was hard", "Resources spent", "Deviations from the paper",
    "What was not done",
]  # fmt: skip
DEVIATING = replace(SWEEP, deviations=("Pixels are divided by 255.",))


def studies(where: Path, scale: str = "quick", names: tuple[str, ...] = ("plain_vs_residual",)) -> list[Study]:
    """The made-up sweep's results under these names: 8 runs, 4 of 30 s and 4 of 66 s."""
    for name in names:
        collect(where / "results" / name, [fake_sweep(where, scale)], SWEEP.runs(scale))
    return load(dict.fromkeys(names, DEVIATING), where / "results")


def page(found: list[Study]) -> dict[str, str]:
    """The page's sections by heading."""
    text = summary(found, coverage(found))
    assert "$" not in text
    return dict(part.split("\n\n", 1) for part in text.split("\n## ")[1:])


def test_the_page_has_the_parts_of_a_reproducibility_summary(tmp_path: Path) -> None:
    assert list(page(studies(tmp_path))) == list(page([])) == PARTS


def test_hours_are_the_sum_of_the_results_and_a_run_of_two_sweeps_counts_once(tmp_path: Path) -> None:
    found = page(studies(tmp_path, names=("first", "second")))["Resources spent"]

    assert found.startswith("8 finished runs took 0.11 hours")  # 4 x 30 + 4 x 66 s
    assert re.findall(r"^\| made up \| (.*) \|$", found, re.MULTILINE) == ["first | quick | 8 | 8 | 0.11"]


NONE = "decided at the paper's schedule yet**: none of the 2 claims that it judges has all of its planned seeds."


@pytest.mark.parametrize(
    ("scale", "left_out", "words"),
    [
        ("quick", 0, NONE),
        ("paper", 2, NONE),
        ("paper", 0, "At the paper's schedule 2 undecided."),
    ],
)
def test_what_is_decided_is_said_of_the_papers_schedule_alone(
    scale: str, left_out: int, words: str, tmp_path: Path
) -> None:
    runs = SWEEP.runs(scale)
    for i, run in enumerate(runs[: len(runs) - left_out * 2]):
        fake(tmp_path / "runs" / "made_up", run, error=10.0 + i)
    collect(tmp_path / "results" / "plain_vs_residual", [tmp_path / "runs" / "made_up"], runs)

    found = page(load({"plain_vs_residual": SWEEP}, tmp_path / "results"))

    assert words in found["What was reproduced"]


def test_deviations_are_those_of_what_ran_by_the_papers_schedule_and_the_others_are_counted(tmp_path: Path) -> None:
    assert "- Pixels are divided by 255." in page(studies(tmp_path / "a", "paper"))["Deviations from the paper"]
    quick = page(studies(tmp_path / "b"))["Deviations from the paper"]
    assert "Pixels" not in quick
    assert "plain_vs_residual (1)." in quick


def test_what_is_left_has_its_numbers_runs_and_time(tmp_path: Path) -> None:
    """Of Table 6 the sweep has two of its five nets; eight runs, of which four take 30 and four 66 seconds."""
    found = page(studies(tmp_path))["What was not done"]

    numbers = sum(a.status == RUNNABLE for a in coverage(studies(tmp_path)))
    assert f"| plain_vs_residual | {numbers} | 8 | 6.4 min |" in found
    assert "quoted from others (29)" in found


def test_verify_finds_a_changed_digit_in_the_summary_and_the_browser_shows_it_after_the_index(tmp_path: Path) -> None:
    collect(tmp_path / "results" / "plain_vs_residual", [fake_sweep(tmp_path)], SWEEP.runs("quick"))
    sweeps, reports = {"plain_vs_residual": SWEEP}, tmp_path / "reports"
    write_index(load(sweeps, tmp_path / "results"), reports)
    assert list(index_problems(sweeps, tmp_path / "results", reports)) == []
    shown = (reports / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'<article id="([^"]+)">', shown)[:2] == ["reports", "summary"]

    summary = reports / "summary.md"
    summary.write_text(summary.read_text(encoding="utf-8").replace("0.11 hours", "0.12 hours"), encoding="utf-8")

    problems = list(index_problems(sweeps, tmp_path / "results", reports))
    assert len(problems) == 2, "and index.html, which follows from it"
    assert problems[0].startswith(f"{summary}, line ")
