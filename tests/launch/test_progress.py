"""What a person sees while a sweep runs: how far it is and how long all of it still takes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.launch import progress
from bench.launch.plan import Item
from bench.launch.progress import Bars, Forecast, Lines
from bench.store import RunFolder
from tests.builders import tiny_run


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    """Two runs of 12 steps, begun 10 seconds ago."""
    runs = [tiny_run(seed=seed) for seed in (0, 1)]
    found = [Item(run, RunFolder(tmp_path / run.id), "pending", None) for run in runs]
    for item in found:
        item.folder.create(item.run)
    return found


def ten_seconds_ago(forecast: Forecast) -> None:
    forecast.began -= 10


def test_the_time_left_is_that_of_all_runs_at_the_speed_since_the_start(items: list[Item]) -> None:
    forecast = Forecast(items)
    assert str(forecast) == ""
    ten_seconds_ago(forecast)
    forecast.asked = 0.0
    items[0].folder.beat(step=6)

    assert str(forecast) == "about 30 s left"  # a quarter took ten seconds


def test_steps_of_an_earlier_start_do_not_count_as_speed(items: list[Item]) -> None:
    items[0].folder.beat(step=6)
    forecast = Forecast(items)
    ten_seconds_ago(forecast)
    items[1].folder.beat(step=6)

    assert str(forecast) == "about 20 s left"


def test_lines_say_how_far_the_sweep_and_each_run_is(
    items: list[Item], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    items[0].folder.beat(step=3, steps_per_s=2.0)
    lines = Lines(items)
    lines.refresh(items, done=0)

    said = [line.split("  ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert said == ["0 of 2 runs done", f"  {items[0].run.id}: step 3 of 12; 16 images/s, 4 s left"]


def test_bars_show_the_time_left_of_the_sweep(items: list[Item]) -> None:
    bars = Bars(items)
    ten_seconds_ago(bars.forecast)
    items[0].folder.beat(step=6, steps_per_s=1.0)
    with bars:
        bars.refresh(items, done=1)
        time.sleep(0.01)

    shown = {task.description: (task.completed, task.fields["words"]) for task in bars._progress.tasks}
    assert shown["runs"] == (1, "about 30 s left")
    assert shown[items[0].run.id] == (6, "8 images/s, 6 s left")
