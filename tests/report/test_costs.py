"""What a page says of the runs that are still to come."""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bench.launch.cost import hours
from bench.launch.plan import make_plan
from bench.launch.slurm.profile import Profile
from bench.nets.speeds import predicted_seconds, published_speeds
from bench.report import costs, frame, machines
from bench.report.collect import collect
from bench.report.costs import remaining_sections
from bench.report.coverage import coverage, load
from bench.report.evidence import Evidence, weigh
from bench.store import RunFolder
from tests.report.builders import SWEEP, evidence, fake_sweep, made_up_set


def _texts(of: Evidence) -> list[str]:
    """The section's paragraphs."""
    return [text for section in remaining_sections(of) for text in section.markdown(of.results.label)]


def _rows(section: list[str]) -> list[list[str]]:
    return [re.split(r" \| ", line.strip("| ")) for line in section[1].splitlines()[2:]]


def test_what_is_left_has_its_time_and_its_command(tmp_path: Path) -> None:
    """ResNet-56 took 66 s, its tests in them: what the last test says of their speed cannot be true."""
    folder = fake_sweep(tmp_path)
    runs = SWEEP.runs("quick")
    shutil.rmtree(folder / runs[-1].id)
    failed = RunFolder(folder / runs[-2].id)
    failed.path.joinpath("result.json").unlink()
    failed.fail("the training loss is nan at step 7", retry=False)
    collect(tmp_path / "results", [folder], runs)
    (one,) = frame.load(tmp_path / "results", SWEEP)

    section = _texts(evidence(one))

    assert section[0] == "## What has not been run"
    rows = _rows(section)
    assert rows[0] == ["quick", "ResNet-56", "1", "100", "1", "66 s", "66 s"], "the failed run is not among them"
    assert [row[:5] for row in rows[1:]] == [
        ["paper", net, "0, 1", "100", "2"] for net in ("plain-20", "ResNet-20", "plain-56", "ResNet-56")
    ], "a larger scale has no page of its own yet"
    assert rows[4][5:] == ["66 s", "2.2 min"]
    commands = ("python -m bench.sweep made_up --scale quick", "python -m bench.sweep made_up --scale paper")
    assert section[-1] == "\n".join(("```sh", *commands, "```"))


def test_a_page_beside_a_larger_scales_speaks_of_its_own_runs(tmp_path: Path) -> None:
    one = made_up_set(tmp_path)
    larger = replace(one, scale="paper")
    small = next(e for e in weigh("made_up", SWEEP, [larger, one]) if e.results.scale == "quick")

    assert small.page == "quick.md"
    assert _texts(small) == []
    assert "## What has not been run" in _texts(evidence(one))


def test_times_that_cannot_be_predicted_are_left_out(tmp_path: Path) -> None:
    one = evidence(replace(made_up_set(tmp_path), speeds=()))

    section = _texts(one)
    assert {row[5] for row in _rows(section)} == {"–"}
    assert section[2].startswith("Failed runs")


@pytest.mark.parametrize("here", ["made up", "another machine"])
def test_all_places_tell_the_same_time_of_a_run(here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan before it starts, its hours, the page's list of what is left, the index of the paper's numbers.

    On the hardware of the results, too, of which the made-up ones had two threads of 16 cores.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing measured here"))
    monkeypatch.setattr("bench.launch.plan.hardware", lambda: here)
    monkeypatch.setattr("bench.launch.concurrency.cores", lambda: 16)
    for module in ("concurrency", "plan"):
        monkeypatch.setattr(f"bench.launch.{module}.cuda_devices", tuple)
    published = tmp_path / "published"
    collect(published / "plain_vs_residual", [fake_sweep(tmp_path)], SWEEP.runs("quick"))
    run = next(run for run in SWEEP.runs("paper") if run.net.name == "resnet-56-A")
    expected = predicted_seconds(run, 0, published_speeds(published, run.task))
    assert expected is not None
    words = costs.duration(expected)

    plan = make_plan([run], tmp_path / "new runs", published)
    on_page = _rows(_texts(evidence(frame.load(published / "plain_vs_residual", SWEEP)[0])))
    index = {one.number["id"]: one.how for one in coverage(load({"plain_vs_residual": SWEEP}, published))}

    assert plan.items[0].seconds == expected
    assert hours(plan.items, Profile(gpus=0, cpus=1))[0] == pytest.approx(expected / 3600)
    assert [row[5] for row in on_page if row[1] == "ResNet-56"] == [words]
    assert index["t6.resnet-56.error"].endswith(f"multiply-adds each, about {words} each")


def test_a_page_tells_times_by_the_speeds_that_all_sweeps_beside_it_have(tmp_path: Path) -> None:
    """A run that two sweeps declare has one time on the pages of both."""
    collect(tmp_path / "published" / "made_up", [fake_sweep(tmp_path)], SWEEP.runs("quick"))
    bare = [run for run in SWEEP.runs("quick") if run.net.name == "plain-20"]
    collect(tmp_path / "published" / "other", [fake_sweep(tmp_path)], bare)

    times = []
    for name in ("made_up", "other"):
        rows = _rows(_texts(evidence(frame.load(tmp_path / "published" / name, SWEEP)[0])))
        times.append([row[5] for row in rows if row[:2] == ["paper", "ResNet-56"]])

    assert times == [["66 s"]] * 2


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(math.nan, "–"), (42, "42 s"), (200, "3.3 min"), (43_200, "12 h"), (3.6e6, "1,000 h"), (41_627_000, "11,600 h")],
)
def test_a_time_has_about_three_digits(seconds: float, words: str) -> None:
    assert costs.duration(seconds) == words


def test_times_of_runs_that_may_have_shared_a_machine_are_called_upper_bounds(tmp_path: Path) -> None:
    one = made_up_set(tmp_path)
    beside = costs.cost_table(evidence(one)).note

    hours = [f"2026-01-01T{k:02}:00:00Z" for k in range(9)]
    slow = [speed / (2.5 if k == 0 else 1) for k, speed in enumerate(one.runs["images_per_s"])]
    apart = one.runs.assign(started=hours[:8], ended=hours[1:], images_per_s=slow)
    alone = costs.cost_table(evidence(replace(one, runs=apart))).note

    assert "All 8 runs ran while another of them did, on hardware of the same name: where that was one" in beside
    assert "as fast as the slowest" not in beside
    assert "upper bounds" not in alone
    assert alone.endswith(
        "Of one net (plain-20) the fastest run was 2.5 times as fast as the slowest, which the net does not explain."
    )


def test_runs_on_other_hardware_are_not_beside(tmp_path: Path) -> None:
    runs = made_up_set(tmp_path).runs.head(3).assign(hardware=["a", "a", "b"])

    assert list(machines.beside_another(runs)) == [True, True, False]


def test_runs_are_beside_each_other_where_any_two_overlap_in_any_order_of_rows(tmp_path: Path) -> None:
    """The first goes on during the next two, which follow each other; the last two of another machine touch."""
    spans = [(0, 5), (1, 2), (3, 4), (6, 7), (7, 8)]
    times = [[f"2026-01-01T{hour:02}:00:00Z" for hour in span] for span in spans]
    runs = (
        made_up_set(tmp_path)
        .runs.head(5)
        .assign(hardware=[*"aaabb"], started=[start for start, _ in times], ended=[end for _, end in times])
    )

    for rows in (runs, runs.iloc[::-1], runs.set_axis([0] * 5)):
        assert sorted(rows["id"][machines.beside_another(rows).to_numpy()]) == sorted(runs["id"].head(3))


def test_one_run_of_each_net_is_no_mean(tmp_path: Path) -> None:
    one = made_up_set(tmp_path)
    first = replace(one, runs=one.runs[one.runs["seed"] == 0])

    assert "Speeds and times are means over the runs" in costs.cost_table(evidence(one)).note
    assert "Speeds and times are those of the one run of each net" in costs.cost_table(evidence(first)).note
