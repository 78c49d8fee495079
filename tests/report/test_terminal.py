"""What a start prints at its end: a table, chance, the question and one sentence that answers it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.sweep_files import load_sweep
from bench.report.evidence import load_sets
from bench.report.first_screen import on_a_terminal
from bench.report.frame import Set
from bench.report.sections import MADE_UP
from bench.report.tables import chance_of
from bench.spec import Sweep

RESULTS = Path(__file__).resolve().parents[2] / "results"


def committed(name: str, scale: str) -> tuple[Sweep, Set]:
    _, sweep = load_sweep(name)
    return sweep, next(one for one in load_sets(RESULTS / name, sweep) if one.scale == scale)


def told(sweep: Sweep, one: Set, width: int = 79) -> list[str]:
    return on_a_terminal("made_up", sweep, [one], (one.scale, one.data), width).splitlines()


def test_the_table_the_question_and_its_answer() -> None:
    sweep, one = committed("plain_vs_residual", "quick")

    lines = told(sweep, one)

    assert lines[0].split("  ")[-1] == "training error % (n)"
    errors = one.done.loc[one.done["net"] == "plain-56", "test_error"]
    assert f"{errors.mean():.2f} ± {errors.std():.2f} ({len(errors)})" in "\n".join(lines)
    said = " ".join(" ".join(lines).split())
    assert f"Guessing gives 90 %. Question: {sweep.question} Answer: Described, not tested: no claim is judged" in said
    assert "- Plain networks: the training error rises from" in said
    assert "- Residual networks: the training error rises from" in said
    assert max(map(len, lines)) <= 79


def test_a_users_numbers_have_the_published_ones_beside_them() -> None:
    sweep, one = committed("plain_vs_residual", "quick")

    lines = told(sweep, replace(one, published=one))

    row = next(line for line in lines if line.startswith("plain-20")).split("  ")
    assert "test error % (n)  resnet-bench's (n)  training" in " ".join(lines[0].split(" ")).replace("     ", "  ")
    _, ours, published, _ = (cell.strip() for cell in row if cell.strip())
    assert ours == published


@pytest.mark.parametrize(
    ("name", "chance"),
    [("plain_vs_residual", 90), ("imagenet_depth", 99), ("faces", 50), ("detection", 0)],
)
def test_chance_is_that_of_the_task(name: str, chance: float) -> None:
    assert chance_of(committed(name, "quick")[1]) == pytest.approx(chance)


@pytest.mark.parametrize("name", ["cifar_details", "detection", "faces", "gradients", "thousand_layers"])
def test_every_task_answers_in_one_sentence(name: str) -> None:
    sweep, one = committed(name, "quick")

    said = " ".join(" ".join(told(sweep, one)).split())

    assert f"Question: {sweep.question} Answer: " in said
    assert "Described, not tested" in said


def test_a_stand_in_says_that_its_numbers_mean_nothing() -> None:
    sweep, one = committed("plain_vs_residual", "quick")

    said = " ".join(" ".join(told(sweep, replace(one, data="stand-in"))).split())

    assert f"Answer: {MADE_UP.strip('*')} - Plain networks:" in said
