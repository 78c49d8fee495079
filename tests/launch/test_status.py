"""Where the runs are: by their own files first, by the queue second."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.commands import main
from bench.launch import status
from bench.launch.slurm.commands import SlurmError
from bench.launch.slurm.queue import Job, Queue
from bench.launch.worker import work
from bench.spec import Net, Recipe, SpecError, dataset_of
from bench.speed.made_up import finish
from bench.store import RunFolder, Submission
from tests.builders import tiny_run


@pytest.fixture
def sweep(made: Path, tmp_path: Path) -> Path:
    """One run of each: done, failed, with a sign of life from another machine, waiting, nowhere."""
    shutil.copytree(made, tmp_path / "tiny")
    beat = {"steps_per_s": 2.0, "loss": 1.0, "error": 50.0}
    RunFolder(tmp_path / "tiny" / tiny_run(seed=1).id).beat(4, **beat)
    path = tmp_path / "tiny" / tiny_run(seed=1).id / "heartbeat.json"
    path.write_text(path.read_text().replace('"host": "', '"host": "node-of-'))
    return tmp_path / "tiny"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What takes seconds of it, once for all tests."""
    tmp_path = tmp_path_factory.mktemp("made")
    runs = [tiny_run(), tiny_run("none", lr=1e30), *(tiny_run(seed=seed) for seed in (1, 2, 3))]
    for run in runs:
        RunFolder(tmp_path / "tiny" / run.id).create(run)
    for run in runs[:2]:
        work(tmp_path / "tiny" / run.id, tmp_path)
    Submission(tmp_path / "tiny" / "slurm" / "tiny-1").create([[runs[2].id], [runs[3].id]])
    return tmp_path / "tiny"


def queue_of(sweep: Path, monkeypatch: pytest.MonkeyPatch, *jobs: Job) -> Queue:
    monkeypatch.setattr("bench.launch.slurm.queue.listing", lambda: list(jobs))
    return Queue(sweep)


RUNNING = Job("tiny-1", 0, "77_0", "RUNNING", "n7", "3:00:00", "None")
WAITING = Job("tiny-1", 1, "77_1", "PENDING", "", "4:00:00", "QOSMaxJobsPerUserLimit")
OTHER = Job("tiny-2", 0, "78", "PENDING", "", "4:00:00", "None")


def test_every_state_has_its_row(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = status.table(sweep, queue_of(sweep, monkeypatch, RUNNING, WAITING, OTHER)).splitlines()

    assert lines[0] == "tiny: 5 runs: 1 done, 1 failed, 1 pending, 1 queued, 1 running"
    assert [line.split() for line in lines[1:3]] == [
        ["scale", "data", "runs", "done", "running", "waiting", "failed", "left"],
        ["quick", "stand-in", "5", "1", "1", "2", "1", "about", "21", "s"],
    ]
    assert lines[3:5] == ["", "quick on stand-in:"]
    assert lines[5].split() == ["run", "state", "step", "images/s", "error", "time", "job", "node"]
    rows = {line.split()[0].rsplit("-", 1)[0]: " ".join(line.split()[1:]) for line in lines[6:] if line[:1].strip()}
    assert rows["resnet-8-A-quick-s1"] == "running 4/12 16 50.00 % train 6 s left 77_0 n7"
    assert rows["resnet-8-A-quick-s2"] == "queued (QOSMaxJobsPerUserLimit) 0/12 77_1"
    assert rows["resnet-8-A-quick-s3"] == "pending 0/12"
    assert rows["plain-8-quick-s0"] == "failed 1/12"
    assert any(line.startswith("    the training loss is") for line in lines)
    assert re.fullmatch(r"done 12/12 [\d,]+ [\d.]+ % test took \d+ s", rows["resnet-8-A-quick-s0"])
    assert lines[-2] == f"logs: {sweep}/slurm/"
    assert lines[-1].startswith("data of the runs that are done: stand-in (SHA-256 ")


def test_a_test_of_weights_is_told_by_its_images(tmp_path: Path) -> None:
    net, recipe = Net("cifar", 8, "B", weights="file:mine.pth"), Recipe(steps=0, drops=())
    runs = [replace(tiny_run(seed=seed), net=net, recipe=recipe, task="evaluate") for seed in (0, 1)]
    folders = [RunFolder(tmp_path / "tiny" / run.id) for run in runs]
    for run, folder in zip(runs, folders, strict=True):
        folder.create(run)
        folder.beat(0, test="test", tested=600, to_test=1_000, test_images_per_s=20.0)
    about = {"images_per_s": 20.0, "seconds": 50.0, "step": 0, "test_images": 1_000, "test_error": 25.0}
    digests = {"weights_sha256": "", "curve_sha256": folders[0].write_curve([])}
    folders[0].finish({"id": runs[0].id, **about, **digests}, {"hardware": "a chip", "started": 0.0, "ended": 50.0})

    with folders[1].lock():
        rows = status.table(tmp_path / "tiny", None).splitlines()

    assert any(re.search(r"s0-\w+ +done +1,000/1,000 images ", row) for row in rows)
    assert any(re.search(r"s1-\w+ +running +600/1,000 images .*20 s left of this test", row) for row in rows)


def test_the_data_of_finished_runs_are_official_or_not(tmp_path: Path) -> None:
    for seed, digest in enumerate((dataset_of("cifar10").sha256, dataset_of("cifar10").sha256, "d" * 64)):
        run = replace(tiny_run(seed=seed), data="cifar10")
        finish(RunFolder(tmp_path / "tiny" / run.id), run, 50.0)
        path = tmp_path / "tiny" / run.id / "env.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"data_sha256": digest}))

    assert status.table(tmp_path / "tiny", None).splitlines()[-1] == (
        "data of the runs that are done: the official CIFAR-10 (SHA-256 32e5966899bd) in 2 runs, "
        "not the official CIFAR-10 (SHA-256 dddddddddddd) in 1 run"
    )


def test_runs_are_grouped_by_scale_and_data_and_one_scale_can_be_asked_for(tmp_path: Path) -> None:
    sweep = tmp_path / "tiny"
    for seed, (scale, data) in enumerate((("short", "cifar10"), ("quick", "stand-in"), *[("quick", "cifar10")] * 2)):
        run = replace(tiny_run(seed=seed), scale=scale, data=data)
        RunFolder(sweep / run.id).create(run)

    lines = status.table(sweep, None).splitlines()
    assert [line.split()[:3] for line in lines[1:5]] == [
        ["scale", "data", "runs"],
        ["quick", "cifar10", "2"],
        ["quick", "stand-in", "1"],
        ["short", "cifar10", "1"],
    ]
    assert [line for line in lines if " on " in line] == [
        "quick on cifar10:",
        "quick on stand-in:",
        "short on cifar10:",
    ]
    assert "nothing is running: the sweep's next start takes up what waits" in lines
    only = status.table(sweep, None, "quick").splitlines()
    assert only[0] == "tiny: 3 runs: 3 pending"
    assert "short" not in "\n".join(only)
    with pytest.raises(SpecError, match="tiny has no runs at scale paper; it has runs at: quick, short"):
        status.table(sweep, None, "paper")


def test_a_sweep_without_runs_is_a_mistake_that_lists_those_with_runs(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sweep.parent)

    assert main(["status", "tyni", "--out", "."]) == 2

    assert "no runs of 'tyni' in .; there are runs of: tiny; --out names" in capsys.readouterr().err
    monkeypatch.setattr("bench.launch.slurm.queue.listing", list)
    assert main(["status", "tiny", "--out", ".", "--scale", "quick"]) == 0
    assert capsys.readouterr().out.startswith("tiny: 5 runs: ")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A run.json that is cut off, and a folder that has lost it; what else lies there is no run."""
    sweep = tmp_path / "tiny"
    runs = [tiny_run(seed=seed) for seed in range(3)]
    for run in runs:
        RunFolder(sweep / run.id).create(run)
    (sweep / runs[0].id / "run.json").write_text("{")
    (sweep / runs[1].id / "run.json").unlink()
    (sweep / runs[1].id / "curve.jsonl").touch()
    (sweep / "code" / "bench").mkdir(parents=True)

    text = status.table(sweep, None)

    assert text.startswith("tiny: 2 runs: 1 damaged, 1 pending\n")
    assert f"{sweep / runs[0].id / 'run.json'} cannot be read" in text
    assert f"{sweep / runs[1].id} has no run.json: not a run folder any more; move it away" in text
    assert "code" not in text


@pytest.mark.parametrize("width", [50, 80, 120])
def test_a_narrow_screen_shows_less_and_what_it_shows_is_whole(
    width: int, sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = queue_of(sweep, monkeypatch, RUNNING, replace(WAITING, reason="None"))

    lines = status.table(sweep, queue, width=width).splitlines()
    rows = [line for line in lines if re.match("run |resnet|plain", line)]

    assert max(map(len, rows)) <= width
    head, words = rows[0].split(), " ".join(next(row for row in rows if "-s1" in row).split())
    assert (
        head
        == {
            50: ["run", "state", "step", "time"],
            80: ["run", "state", "step", "error", "time", "job", "node"],
            120: ["run", "state", "step", "images/s", "error", "time", "job", "node"],
        }[width]
    )
    assert bool(re.search(r"-s1-[0-9a-f]{8} ", words)) == (width == 120)
    assert "running 4/12 " in words
    assert "6 s left" in words


def test_a_queue_that_does_not_answer_is_said(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> list[Job]:
        raise SlurmError("squeue: Unable to contact slurm controller")

    monkeypatch.setattr("bench.launch.slurm.queue.listing", silent)

    text = status.table(sweep, Queue(sweep))

    assert text.endswith("Slurm does not answer: this is what the folders say, without the queue")
    assert "2 pending, 1 running" in text.splitlines()[0]


def test_watching_ends_when_nothing_runs_or_waits(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for beat in sweep.glob("*/heartbeat.json"):
        os.utime(beat, (0, 0))  # the sign of life is an old one
    status.watch(sweep, queue_of(sweep, monkeypatch))

    assert capsys.readouterr().out.count("5 runs: ") == 1


def test_a_cancelled_submission_is_no_sign_of_life(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = queue_of(sweep, monkeypatch, RUNNING, WAITING)
    Submission(sweep / "slurm" / "tiny-1").cancel()

    assert queue.runs() == {}


def test_the_queue_is_asked_sparingly(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def listing() -> list[Job]:
        asked.append(time.monotonic())
        return []

    monkeypatch.setattr("bench.launch.slurm.queue.listing", listing)
    queue = Queue(sweep)

    for _ in range(100):
        queue.runs()
    assert len(asked) == 1
    queue.forget()
    queue.runs()

    assert len(asked) == 2
