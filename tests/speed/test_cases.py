"""What the benchmark says is true of what it measures; how fast anything is, no test asks."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bench.cli.commands import main
from bench.machine import KEEPS_PAGES, TUNABLES
from bench.spec import Net, SpecError
from bench.speed import agreement, processes
from bench.speed.cases import starting
from bench.speed.processes import Setting
from bench.speed.timing import Case, measure
from bench.tasks.classification import synthetic

SMALL = replace(agreement.RECIPE, batch=4, bn_group=2, test_images=20)


def test_the_fast_path_has_the_plain_ones_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "STEPS", 3)
    monkeypatch.setattr(agreement, "EARLY", 2)
    monkeypatch.setattr(agreement, "RECIPE", SMALL)
    images = synthetic.stand_in(200, 50)

    found = list(agreement.agreements(images, "fp32", compiled=False, seeds=1))

    assert [one.net for one in found] == ["resnet-20-A", "plain-20"]
    assert all(one.exact < 1e-10 for one in found), "one algorithm"
    assert all(one.early <= one.all for one in found)
    assert all(0 < one.loss < 1e-5 for one in found), "a step from the same weights"
    # with groups of two images a rounding that switches a ReLU moves the update by a percent
    assert all(0 < one.update < 0.1 for one in found)
    assert all(0 < one.statistics < 1e-4 for one in found)
    words = agreement.summary(found).splitlines()
    assert [line.split(",")[0] for line in words[::4]] == ["resnet-20-A", "plain-20"]
    assert f"{found[0].plain_error:.2f} (1) plain" in words[3], "one seed has no deviation"


def test_starts_are_timed_from_any_folder_and_one_that_fails_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sweeps").mkdir()
    monkeypatch.chdir(tmp_path)

    assert starting("a plan", ["plain_vs_residual", "--scale", "paper", "--dry-run"]).ours() == 1
    with pytest.raises(
        SpecError, match=r"^a plan cannot be timed, as it fails: bench: there is no sweep 'none'\. There are: "
    ):
        starting("a plan", ["none"]).ours()


def test_rounds_alternate_and_ratios_are_paired() -> None:
    turns: list[str] = []

    def turn(name: str) -> float:
        turns.append(name)
        return 1.0

    found = measure(Case("c", "units", partial(turn, "ours"), partial(turn, "theirs"), "reference", rounds=3))

    assert turns[:2] == ["ours", "theirs"], "both are warmed up"
    assert turns[2:] == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert found.ratio[1] <= found.ratio[0] <= found.ratio[2]


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without a GPU, with a compiler."""
    monkeypatch.setattr(processes, "cuda_devices", lambda: ())
    monkeypatch.setattr(processes, "cxx_compiler", lambda: "/usr/bin/g++")
    monkeypatch.setattr(sys, "platform", "linux")
    return monkeypatch


def test_each_way_says_what_its_processes_start_with(processor: pytest.MonkeyPatch) -> None:
    found, left_out = processes.settings(4)

    assert [(way.name, way.processes, way.threads, way.compiled, way.usual) for way in found] == [
        ("eager", 1, 4, False, False),
        ("compiled", 1, 4, True, False),
        ("compiled, allocator", 1, 4, True, False),
        ("compiled, allocator, 4 side by side", 4, 1, True, False),
        ("the usual loop, fp32", 1, 4, False, True),
    ]
    assert [way.environment[TUNABLES] for way in found] == [None, None, KEEPS_PAGES, KEEPS_PAGES, None]
    assert left_out == ""
    assert len(processes.settings(1)[0]) == 4, "one process of one thread is nobody's neighbour"
    processor.setattr(sys, "platform", "darwin")
    assert [way.name for way in processes.settings(4)[0]] == ["eager", "compiled", "the usual loop, fp32"]
    processor.setattr(processes, "cxx_compiler", lambda: None)
    found, left_out = processes.settings(4)
    assert [way.name for way in found] == ["eager", "the usual loop, fp32"]
    assert "left out: torch.compile needs a C++ compiler" in left_out


def test_a_ways_processes_take_turns_with_their_own_environment_and_a_dead_one_is_left_out(
    processor: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    processor.setenv(TUNABLES, "the user's")
    turns: list[tuple[str, str | None]] = []

    def pretend(way: Setting, _: object) -> list[tuple[float, float]] | None:
        turns.append((way.name, os.environ.get(TUNABLES)))
        return None if way.name == "eager" and len(turns) > 5 else [(10.0, 1.0)] * way.processes

    processor.setattr(processes, "_side_by_side", pretend)
    ways = processes.settings(2)[0]
    found = processes.measure(Net("cifar", 8, "A"), "fp32", ways, tmp_path, rounds=3, steps=2)

    names = [way.name for way in ways]
    assert [name for name, _ in turns[:10]] == [*names, *reversed(names)], "the order changes every round"
    assert [value for _, value in turns[:5]] == [None, None, KEEPS_PAGES, KEEPS_PAGES, None]
    assert len(turns) == 5 + 5 + 4, "it is not tried again"
    assert os.environ[TUNABLES] == "the user's"
    assert found["compiled, allocator, 2 side by side"] == [(20, 1)] * 3, "the sum of both, and the larger memory"
    assert list(found) == names[1:]
    assert "eager: a process died" in capsys.readouterr().out


def test_ratios_are_medians_of_those_within_a_round() -> None:
    found = {
        "eager": [(80.0, 1.0), (45.0, 1.0), (140.0, 1.0)],
        "compiled": [(100.0, 1.0), (50.0, 1.0), (200.0, 1.0)],
        "the usual loop, fp32": [(40.0, 1.0), (15.0, 1.0), (50.0, 1.0)],
    }

    eager, compiled, usual = processes.rows(found)

    assert (eager.way, eager.rates) == ("eager", (80, 45, 140))
    assert eager.compiled == pytest.approx(0.8)
    assert eager.usual == pytest.approx(2.8)
    assert (compiled.compiled, usual.usual) == (1, 1)
    assert compiled.usual == pytest.approx(10 / 3)
    assert processes.rows({"eager": [(80.0, 1.0)]}) == [processes.Row("eager", (80,), None, None)]
    assert processes.rows({}) == [], "all died"


@pytest.mark.team
def test_settings_are_measured_by_real_processes(
    processor: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    processor.setattr(processes, "cxx_compiler", lambda: None)
    processor.setenv("XDG_CACHE_HOME", str(tmp_path))
    processor.delenv("BENCH_DATA", raising=False)
    words = ["speed", "settings", "--depths", "8", "--threads", "1", "--rounds", "1", "--steps", "2", "--json"]

    assert main([*words, str(tmp_path / "figures.json")]) == 0

    kept = json.loads((tmp_path / "figures.json").read_text())["settings"]
    assert [(row["net"], row["way"], row["compiled"]) for row in kept] == [
        ("resnet-8-A", "eager", None),
        ("resnet-8-A", "the usual loop, fp32", None),
    ]
    eager, usual = kept
    assert eager["usual"] == pytest.approx(eager["rates"][0] / usual["rates"][0])
    assert "the compiled ways are left out" in capsys.readouterr().out


def test_settings_are_about_processors(processor: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    processor.setattr(processes, "cuda_devices", lambda: ("a GPU",))

    assert main(["speed", "settings"]) == 2
    assert "about CPUs" in capsys.readouterr().err
