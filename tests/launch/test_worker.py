"""Runs survive what happens to them: killed, signalled, out of luck; and end in the same bits."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.launch.worker import Stop, work
from bench.spec import DIVERGED
from bench.store import RunFolder, register, sha256
from bench.tasks.classification import experiment, synthetic
from tests.builders import ENDLESS, SPAWN, make, numbers, tiny_run, wait_for
from tests.pausing import Pause


def start(folder: RunFolder, pause: Pause | None = None) -> Any:
    process = SPAWN.Process(target=work_with, args=(pause, folder.path))
    process.start()
    return process


def work_with(pause: Pause | None, path: Path) -> None:
    if pause:
        pause.install()
    work(path, path)


LONG: dict[str, Any] = {
    "steps": 150,
    "drops": (60, 120),
    "curve_every": 10,
    "test_every": 50,
    "checkpoint_seconds": 0.0,
}


@pytest.mark.team
def test_killed_at_any_moment_and_started_again_a_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    """kill -9 at random moments, in the middle of checkpoints too: with checkpoint_seconds=0 each step writes one."""
    run, pause = tiny_run(**LONG), Pause(tmp_path / "pause")
    straight, killed = make(tmp_path, run, "straight"), make(tmp_path, run, "killed")
    assert work(straight.path, tmp_path) == "done"
    whole = straight.result()
    assert whole is not None
    draw = random.Random(0)
    pause.at(140)
    for _ in range(2):
        process, before = start(killed, pause), killed.heartbeat()
        wait_for(lambda before=before: killed.heartbeat() != before)  # type: ignore[misc]  # mypy sees no default
        process.join(draw.uniform(0.0, whole["seconds"] / 8))
        process.kill()
        process.join()
    assert work(killed.path, tmp_path) == "done"

    assert numbers(killed) == numbers(straight)
    assert killed.curve.read_bytes() == straight.curve.read_bytes()


@pytest.mark.team
@pytest.mark.parametrize(
    "name", ["checkpoint.pt", "curve.jsonl", "layers.jsonl", "env.json", "manifest.json", "result.json"]
)
def test_a_kill_in_the_middle_of_any_write_loses_nothing(tmp_path: Path, name: str) -> None:
    """The process ends between the write of the temporary file and its rename, at the last write of each kind."""
    run = tiny_run(checkpoint_seconds=0)
    straight, killed = make(tmp_path, run, "straight"), make(tmp_path, run, "killed")
    work(straight.path, tmp_path)
    writes = 12 if name in ("checkpoint.pt", "curve.jsonl") else 1
    process = SPAWN.Process(target=work_killed_in_a_write, args=(killed.path, name, writes))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL

    assert work(killed.path, tmp_path) == "done"

    assert numbers(killed) == numbers(straight)
    assert not list(killed.path.glob(".*.tmp*"))
    lines = [line for _, line in register.parsed((killed.path.parent / register.NAME).read_bytes())]
    assert [line["event"] for line in lines] == ["begun", "started", "done"]
    assert lines[2]["manifest_sha256"] == sha256(killed.manifest.read_bytes())


def work_killed_in_a_write(path: Path, name: str, writes: int) -> None:
    """`work`, with a kill -9 at the `writes`-th sync of a file of this name."""
    real, left = os.fsync, [writes]

    def fsync(handle: int) -> None:
        real(handle)
        if f".{name}.tmp" in str(Path(f"/proc/self/fd/{handle}").readlink()):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    pytest.MonkeyPatch().setattr(os, "fsync", fsync)
    work(path, path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT])
def test_a_signal_stops_a_run_with_its_checkpoint_written(tmp_path: Path, number: int) -> None:
    run = tiny_run(steps=ENDLESS, drops=(), curve_every=10, test_every=ENDLESS)
    folder = make(tmp_path, run)
    process = start(folder)
    wait_for(folder.heartbeat)
    assert process.pid is not None

    os.kill(process.pid, number)
    process.join(30)

    assert process.exitcode == 0
    assert folder.state() == "stopped"
    assert folder.checkpoint.exists()


def test_a_deadline_stops_a_run_and_the_next_start_goes_on(tmp_path: Path) -> None:
    run = tiny_run()
    straight, folder = make(tmp_path, run, "straight"), make(tmp_path, run)
    work(straight.path, tmp_path)

    assert work(folder.path, tmp_path, deadline=time.time() - 1) == "stopped"
    assert folder.state() == "stopped"
    assert work(folder.path, tmp_path) == "done"

    assert numbers(folder) == numbers(straight)


def test_the_same_run_gives_the_same_bits_and_another_seed_others(tmp_path: Path) -> None:
    one, again, other = (make(tmp_path, tiny_run(seed=s), n) for n, s in (("a", 0), ("b", 0), ("c", 1)))
    for folder in (one, again, other):
        work(folder.path, tmp_path)

    assert numbers(one) == numbers(again)
    assert numbers(one)["weights_sha256"] != numbers(other)["weights_sha256"]


def test_a_run_that_diverges_is_failed_with_its_step_and_stays_so(tmp_path: Path) -> None:
    folder = make(tmp_path, tiny_run("none", lr=1e30))

    assert work(folder.path, tmp_path) == "failed"

    assert folder.state() == "failed"
    error = folder.error()
    assert error is not None
    assert "the training loss is" in error["message"]
    assert "at step" in error["message"]
    assert DIVERGED.match(error["message"]), "a report counts it as a seed with the error of a guess"


def test_a_truncated_curve_is_mended_from_the_checkpoint_without_training(tmp_path: Path) -> None:
    folder = make(tmp_path, tiny_run())
    work(folder.path, tmp_path)
    before, env, curve = folder.result(), folder.env(), folder.curve.read_bytes()
    folder.curve.write_bytes(curve[:30])
    assert folder.result() is None

    assert work(folder.path, tmp_path) == "done"

    assert folder.curve.read_bytes() == curve
    again = folder.result()
    assert before is not None
    assert again is not None
    assert again["seconds"] == before["seconds"]  # nothing was trained again
    assert numbers(folder) == {k: v for k, v in before.items() if k in numbers(folder)}
    assert folder.env() == env


def test_a_checkpoint_of_another_kind_of_device_is_refused_with_what_to_do(tmp_path: Path) -> None:
    folder = make(tmp_path, tiny_run())
    work(folder.path, tmp_path, deadline=time.time() - 1)
    state = torch.load(folder.checkpoint, weights_only=True)
    torch.save({**state, "device": "cuda"}, folder.checkpoint)

    assert work(folder.path, tmp_path) == "failed"
    error = folder.error()
    assert error is not None
    assert "was made on a cuda device and this is a cpu" in error["message"]
    assert folder.state() == "stopped"


def test_a_run_that_another_process_holds_is_left_alone(tmp_path: Path) -> None:
    folder = make(tmp_path, tiny_run())

    with folder.lock():
        assert work(folder.path, tmp_path) == "busy"
    assert folder.state() == "pending"


def test_data_that_cannot_be_had_fail_the_run_for_this_start_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    run = replace(tiny_run(), data="cifar10")
    folder = RunFolder(tmp_path / run.id)
    folder.create(run)

    assert work(folder.path, tmp_path) == "failed"

    error = json.loads((folder.path / "error.json").read_text())
    assert "cannot be downloaded" in error["message"]
    assert "cifar-10-batches-bin" in error["message"]
    assert error["retry"]


def test_the_held_out_split_is_measured(tmp_path: Path) -> None:
    folder = make(tmp_path, tiny_run(split="45k/5k"))
    work(folder.path, tmp_path)

    result = folder.result()
    assert result is not None
    assert 0 < result["val_error"] <= 100


def test_a_gpu_that_does_not_answer_is_a_word_in_the_folder_and_the_next_start_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, done = make(tmp_path, tiny_run()), make(tmp_path, tiny_run(seed=1))
    assert work(done.path, tmp_path) == "done"

    def lost(_: object) -> None:
        raise torch.AcceleratorError("CUDA error: all CUDA-capable devices are busy")

    monkeypatch.setattr("bench.train.turns.Slot.__init__", lost)
    assert (work(folder.path, tmp_path), work(done.path, tmp_path)) == ("failed", "done")
    with folder.lock():
        assert work(folder.path, tmp_path) == "busy"

    error = folder.error()
    assert error is not None
    assert error["message"] == "CUDA error: all CUDA-capable devices are busy"
    assert error["retry"]


def test_signal_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()

    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("of_an_earlier_version", [False, True])
def test_a_run_does_not_go_on_with_other_data(
    of_an_earlier_version: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path, tiny_run())
    work(folder.path, tmp_path, deadline=time.time() - 1)
    if of_an_earlier_version:
        (folder.path / "inputs.json").unlink()
    images = synthetic.stand_in()
    monkeypatch.setattr(experiment, "load_images", lambda *_: replace(images, digest="other"))

    assert work(folder.path, tmp_path) == "failed"

    error = folder.error()
    assert error is not None
    assert "was trained on other data (SHA-256" in error["message"]
    assert error["retry"]
    monkeypatch.undo()
    assert work(folder.path, tmp_path) == "done"
