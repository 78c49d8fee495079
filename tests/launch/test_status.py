"""Where the runs are: by their own files first, by the queue second."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.launch import status
from bench.launch.slurm.commands import SlurmError
from bench.launch.slurm.queue import Job, Queue
from bench.launch.worker import work
from bench.spec import dataset_of
from bench.speed.made_up import finish
from bench.store import RunFolder, Submission
from tests.builders import tiny_run


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """One run of each: done, failed, with a sign of life from another machine, waiting, nowhere."""
    runs = [tiny_run(), tiny_run("none", lr=1e30), *(tiny_run(seed=seed) for seed in (1, 2, 3))]
    for run in runs:
        RunFolder(tmp_path / "tiny" / run.id).create(run)
    for run in runs[:2]:
        work(tmp_path / "tiny" / run.id, tmp_path)
    beat = {"steps_per_s": 2.0, "loss": 1.0, "error": 50.0}
    RunFolder(tmp_path / "tiny" / runs[2].id).beat(4, **beat)
    path = tmp_path / "tiny" / runs[2].id / "heartbeat.json"
    path.write_text(path.read_text().replace('"host": "', '"host": "node-of-'))
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

    assert lines[0].split() == ["run", "state", "step", "images/s", "error", "left", "job", "node"]
    rows = {line.split()[0].rsplit("-", 1)[0]: " ".join(line.split()[1:]) for line in lines[1:-2]}
    assert rows["resnet-8-A-quick-s1"] == "running 4/12 16 50.00 % train 4 s 77_0 n7"
    assert rows["resnet-8-A-quick-s2"] == "queued (QOSMaxJobsPerUserLimit) 0/12 77_1"
    assert rows["resnet-8-A-quick-s3"] == "pending 0/12"
    assert rows["plain-8-quick-s0"].startswith("failed 1/12 the training loss is")
    assert rows["resnet-8-A-quick-s0"].startswith("done 12/12")
    assert lines[-2] == "5 runs: 1 done, 1 failed, 1 pending, 1 queued, 1 running"
    assert lines[-1].startswith("data of the runs that are done: stand-in (SHA-256 ")


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


def test_a_queue_that_does_not_answer_is_said(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> list[Job]:
        raise SlurmError("squeue: Unable to contact slurm controller")

    monkeypatch.setattr("bench.launch.slurm.queue.listing", silent)

    text = status.table(sweep, Queue(sweep))

    assert text.endswith("Slurm does not answer: this is what the folders say, without the queue")
    assert "2 pending, 1 running" in text


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
