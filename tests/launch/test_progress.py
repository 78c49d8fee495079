"""What a person sees while a sweep runs: how far each run is, and how long it still takes."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.launch import pace, progress
from bench.launch.pace import Forecast, makespan, seconds_left
from bench.launch.plan import Item
from bench.launch.progress import COLUMNS, DROPPED, GAP, Bars, Lines, fitting, short_names
from bench.spec import Net, Recipe, Run
from bench.store import RunFolder
from bench.train import loop
from tests.builders import needs, tiny_run

MINE = Net("cifar", 8, "B", weights="file:mine.pth")
ONE_IMAGE = replace(Recipe(), test_images=1)
PAPER = tuple(Run("paper", Net("cifar", depth, "A"), "cifar10", ONE_IMAGE, 0) for depth in (20, 110))


def items_of(tmp_path: Path, runs: Any) -> list[Item]:
    found = [Item(run, RunFolder(tmp_path / run.id), "pending", None) for run in runs]
    for item in found:
        item.folder.create(item.run)
    return found


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    """Two runs of 12 steps."""
    return items_of(tmp_path, [tiny_run(seed=seed) for seed in (0, 1)])


class Time:
    """A clock that a test sets, in place of a module's `time`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *modules: Any) -> None:
        self.now = 1000.0
        for module in modules:
            ticking = SimpleNamespace(monotonic=lambda: self.now, time=lambda: self.now, strftime=lambda _: "12:00:00")
            monkeypatch.setattr(module, "time", ticking)

    def wait(self, seconds: float) -> None:
        self.now += seconds


# how a training goes: seconds of a step by its number, of the test every 100 steps, the step at which this start begins
TRAININGS: dict[str, tuple[Any, float, int]] = {
    "even": (lambda _: 0.3, 0.0, 0),
    "the first step compiles": (lambda step: 90.0 if step == 1 else 0.3, 0.0, 0),
    "fast start": (lambda step: 0.05 if step < 40 else 0.5, 0.0, 0),
    "slow start": (lambda step: 3.0 if step < 8 else 0.5, 0.0, 0),
    "the machine pauses": (lambda step: 200.0 if step == 130 else 0.3, 0.0, 0),
    "steps of minutes": (lambda step: 300.0 if step == 1 else 120.0, 0.0, 0),
    "long tests": (lambda _: 0.3, 60.0, 0),
    "resumed": (lambda step: 45.0 if step == 501 else 0.3, 60.0, 500),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_the_time_left_of_a_run_is_near_what_it_takes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a while after the start on, whatever happened before: 20 signs of life and the first test."""
    step_seconds, test_seconds, first = TRAININGS[name]
    clock, beats = Time(monkeypatch, loop), list[tuple[float, dict[str, Any]]]()
    run = tiny_run(steps=1000, drops=(), test_every=100, curve_every=100)
    trainer: Any = SimpleNamespace(seconds=0.0, step=first, curve=[])

    def beat(step: int, **values: float) -> None:
        beats.append((clock.now, {"step": step, **values}))

    hooks = loop.Hooks(lambda _: None, lambda: False, beat, checkpoint_seconds=1e9)
    timed: dict[str, float] = {}
    ticking = loop._Clock(trainer, run.recipe.steps, hooks, timed)
    for trainer.step in range(first + 1, 1001):
        clock.wait(step_seconds(trainer.step))
        if test_seconds and trainer.step % 100 == 0:
            clock.wait(test_seconds)
            timed["test_s"] = test_seconds
        ticking.tick()

    assert "steps_per_s" not in beats[0][1], "a first step says nothing"
    assert seconds_left(run, beats[0][1]) is None
    end = clock.now
    for now, said in beats[1:]:
        left = seconds_left(run, said)
        assert left is not None
        if said["step"] > first + 150:
            assert left == pytest.approx(end - now, rel=0.05, abs=3 * step_seconds(900)), said["step"]


@pytest.mark.parametrize(
    ("running", "waiting", "slots", "seconds"),
    [
        ([5, 9], [], 2, 9),
        ([5, 9], [10, 1], 2, 15),
        ([5], [1, 1], 4, 5),
        ([], [3, 4], 0, 7),
        ([5, 9], [1], 1, 9),
        ([0.0], [], 1, 0),
    ],
)
def test_runs_that_wait_start_as_soon_as_there_is_room(
    running: list[float], waiting: list[float], slots: int, seconds: float
) -> None:
    assert makespan(running, waiting, slots) == seconds


def test_nothing_is_said_before_each_run_of_the_start_has_a_speed(
    items: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Time(monkeypatch, pace)
    forecast = Forecast()
    assert forecast.look(items, []) == ""
    for item, speed in zip(items, (1.0, 0.5), strict=True):
        item.folder.beat(step=2)
        clock.wait(10)
        assert forecast.look(items, []) == "", "no speed yet"
        item.folder.beat(step=2, steps_per_s=speed)
    clock.wait(10)

    assert forecast.look(items, []) == "27 s left"  # 10 steps of 2 s and two tests of 3.3 s, by their images
    clock.wait(1)
    items[1].folder.beat(step=8, steps_per_s=0.5)
    assert forecast.look(items, []) == "27 s left", "it is not asked at every look"
    clock.wait(10)
    assert forecast.look(items[1:], []) == "11 s left"
    clock.wait(10)
    assert forecast.look([], []) == ""


def test_a_run_that_does_not_begin_holds_the_forecast_up_for_a_while_only(
    items: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one in a cluster's queue."""
    clock = Time(monkeypatch, pace)
    forecast = Forecast()
    items[0].folder.beat(step=2, steps_per_s=1.0)
    assert forecast.look(items, []) == ""
    clock.wait(pace.FIRST_SECONDS + 1)

    assert forecast.look(items, []) == "29 s left"  # one after the other, as no two have trained at once


def test_a_sign_of_life_of_an_earlier_start_is_none(items: list[Item], monkeypatch: pytest.MonkeyPatch) -> None:
    items[0].folder.beat(step=6, steps_per_s=1.0)
    clock = Time(monkeypatch, pace)
    clock.now = 4e9
    forecast = Forecast()

    assert forecast.look(items, []) == ""
    assert forecast.beat(items[0]) == {}
    assert not forecast.has_to_save(items[0])
    items[0].folder.beat(step=12)
    assert forecast.has_to_save(items[0]), "its last test may have begun"


def test_a_costlier_run_that_waits_is_reckoned_by_its_multiply_adds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ResNet-110 has about 6.2 times the multiply-adds of ResNet-20."""
    clock = Time(monkeypatch, pace)
    small, large = items_of(tmp_path, PAPER)
    forecast = Forecast()
    small.folder.beat(step=32_000, steps_per_s=20.0)
    assert forecast.look([small], []) == "27 min left"
    clock.wait(10)

    assert forecast.look([small], [large]) == "6.0 h left"


def said_by(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.split("  ", 1)[1] for line in capsys.readouterr().out.splitlines()]


def test_lines_say_how_far_the_sweep_and_each_run_is(
    items: list[Item], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    items[0].folder.beat(step=3, steps_per_s=2.0, test_s=0.25)
    lines = Lines(items)
    lines.forecast.began = 0.0
    lines.refresh(items[:1], items[1:], done=0)

    assert said_by(capsys) == [
        "0 of 2 runs done; about 12 s left",
        f"  {items[0].run.id}: step 3/12, 16 images/s, 5 s left",
    ]


def test_a_long_test_says_how_many_images_are_tested_and_left(
    items: list[Item], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the last step of a training, and of weights that are only tested."""
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    tested = replace(items[0].run, task="evaluate", recipe=Recipe(steps=0, drops=()), net=MINE)
    only, *_ = items_of(tmp_path, [tested])
    for item in (items[0], only):
        item.folder.beat(step=item.run.recipe.steps, steps_per_s=2.0)
        item.folder.beat_again(test="ten_crop", tested=1_200, to_test=5_000, test_images_per_s=38.0)
    lines = Lines([items[0], only])
    lines.forecast.began = 0.0
    lines.refresh([items[0], only], [], done=0)

    assert said_by(capsys)[1:] == [
        f"  {item.run.id}: tested 1,200/5,000 images, ten crop, 38 images/s, 1.7 min left" for item in (items[0], only)
    ]
    assert progress.how_far(tested, only.folder.heartbeat() or {})[:2] == (1_200, 5_000), "for its bar"
    assert progress.cells(tested, {}) == {"error": "no image tested yet"}
    items[0].folder.beat(step=3, steps_per_s=2.0)
    assert progress.cells(items[0].run, items[0].folder.heartbeat() or {})["step"] == "3/12", "it trains again"


def test_the_lines_of_a_month_are_few_enough_to_read(
    items: list[Item], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every half minute in the first hour, and every hundredth of the time that it takes from then on."""
    now = 0.0
    counts = []
    clock = SimpleNamespace(monotonic=lambda: now, strftime=lambda _: "12:00:00")
    monkeypatch.setattr(progress, "time", clock)
    lines = Lines(items)
    monkeypatch.setattr(lines.forecast, "look", lambda *_: "")
    for until in (3_600, 24 * 3_600, 30 * 24 * 3_600):
        while now < until:
            now += 15
            lines.refresh([], items, done=0)
        counts.append(len(said_by(capsys)))

    first, day, month = counts
    assert 110 <= first <= 120
    assert day < 400
    assert month < 400


def screen(items: list[Item], width: int, *, done: int = 1, height: int = 24) -> list[str]:
    """The last frame that a terminal of this size shows of runs that train."""
    shown = io.StringIO()
    bars = Bars(items, file=shown, force_terminal=True, width=width, height=height, color_system=None)
    bars.forecast.began = 0.0
    with bars:
        bars.refresh(items, [], done)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())
    frames = [line.rstrip() for line in re.split(r"[\r\n]+", plain.strip("\r\n"))]
    return frames[max(place for place, line in enumerate(frames) if line.startswith("runs done")) :]


SCREENS = {
    120: """\
runs done              ━━━━━                 1/2                                             8.8 h left
resnet-20-A-paper-s0   ━━━━━       32,000/64,000  61.3 % test   loss 1.250  2,560 images/s  27 min left
resnet-110-A-paper-s0                 640/64,000  85.2 % train  loss 2.100    256 images/s   8.8 h left""",
    80: """\
runs done              ━━━━━                 1/2                 8.8 h left
resnet-20-A-paper-s0   ━━━━━       32,000/64,000  61.3 % test   27 min left
resnet-110-A-paper-s0                 640/64,000  85.2 % train   8.8 h left""",
    60: """\
runs done                        1/2   8.8 h left
resnet-20-A-paper-s0   32,000/64,000  27 min left
resnet-110-A-paper-s0     640/64,000   8.8 h left""",
    40: """\
runs done                        1/2
resnet-20-A-paper-s0   32,000/64,000
resnet-110-A-paper-s0     640/64,000""",
    24: """\
runs done            1/2
resnet-2…  32,000/64,000
resnet-1…     640/64,000""",
}


@needs("rich")
@pytest.mark.parametrize("width", SCREENS)
def test_a_screen_of_any_width_shows_whole_counts_and_breaks_no_row(width: int, tmp_path: Path) -> None:
    items = items_of(tmp_path, PAPER)
    items[0].folder.beat(32_000, steps_per_s=20.0, loss=1.25, error=45.25, test_error=61.27)
    items[1].folder.beat(640, steps_per_s=2.0, loss=2.1, error=85.15625)

    assert screen(items, width) == SCREENS[width].splitlines()


@needs("rich")
def test_the_last_frame_says_that_all_are_done(items: list[Item]) -> None:
    shown = io.StringIO()
    with Bars(items, file=shown, force_terminal=True, width=80) as bars:
        bars.refresh(items, [], 0)
        bars.refresh([], [], 2)

    assert "2/2" in shown.getvalue().split("runs done")[-1]
    assert "left" not in shown.getvalue().split("runs done")[-1]


@needs("rich")
def test_a_run_without_a_step_says_so_and_more_runs_than_rows_are_counted_whole(tmp_path: Path) -> None:
    items = items_of(tmp_path, [tiny_run(seed=seed) for seed in range(30)])

    assert screen(items[:1], 80, done=0)[1].split() == ["resnet-8-A-quick-s0", "0/12", "no", "step", "yet"]
    assert [line.split() for line in screen(items, 80, done=0)] == [["runs", "done", "0/30"]], "a queue has no rows"
    for item in items:
        item.folder.beat(6, steps_per_s=1.0)
    assert len(screen(items, 80, done=0, height=12)) == 10


def test_a_message_is_not_broken(items: list[Item]) -> None:
    """What is copied from the screen is one line."""
    shown = io.StringIO()
    Bars(items, file=shown, force_terminal=True, width=40).say("a: failed: see " + "/long/path" * 9)

    assert shown.getvalue() == "a: failed: see " + "/long/path" * 9 + "\n"


def test_a_name_has_no_digest_unless_two_would_be_the_same() -> None:
    ids = ("plain-20-quick-s0-449993bf", "plain-20-quick-s1-711fc445", "plain-20-quick-s1-811fdd6d", "faces")

    assert list(short_names(ids).values()) == ["plain-20-quick-s0", *ids[1:]]


def test_columns_go_in_the_declared_order() -> None:
    widths = dict.fromkeys(COLUMNS, 10)
    for count in range(len(COLUMNS), 1, -1):
        kept = fitting(widths, count * (10 + GAP) - GAP)
        assert kept == [name for name in COLUMNS if name not in DROPPED[: len(COLUMNS) - count]]
    assert fitting(widths, 1) == ["name", "step"]
