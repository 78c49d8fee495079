"""`bench clean` deletes what no start needs, says how much that is, and never anything that is."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli.commands import main
from bench.launch.slurm.commands import SlurmError
from bench.launch.slurm.queue import Job
from bench.launch.status import table
from bench.launch.worker import work, work_until
from bench.store import RunFolder, Submission, register
from bench.train import checkpoint
from tests.builders import StopAt, make, numbers, tiny_run, with_momentum
from tests.fuzzing import FILES, mutated, mutated_json

DONE, STOPPED, FAILED = tiny_run(checkpoint_seconds=0), tiny_run(seed=1, checkpoint_seconds=0), tiny_run(lr=1e30)
LONG_AGO = time.time() - 3600


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of a run that is done, one that stopped and one that diverged."""
    place = tmp_path_factory.mktemp("trained")
    folders = [make(place, run, "tiny") for run in (DONE, STOPPED, FAILED)]
    assert work(folders[0].path, place) == "done"
    assert work_until(folders[1].path, place, StopAt(8)) == "stopped"
    assert work(folders[2].path, place) == "failed"
    return place / "tiny"


@pytest.fixture
def sweep(trained: Path, tmp_path: Path) -> Path:
    """As earlier versions and killed processes left it."""
    sweep = Path(shutil.copytree(trained, tmp_path / "runs" / "tiny"))
    with_momentum(RunFolder(sweep / DONE.id))
    for run in (DONE, STOPPED, FAILED):
        for number, start in enumerate(("aa", "bb")):
            write(sweep / run.id / "log" / start / "1_0_log.out", f"{start} of {run.id}")
            os.utime(sweep / run.id / "log" / start, ns=(number, number))
        write(sweep / run.id / ".run.json.tmp77", "{", old=True)
        write(sweep / run.id / ".declared.json.tmp78", "another start writes it now")
    write(sweep / DONE.id / "checkpoint.previous.pt", "before")
    write(sweep / STOPPED.id / "checkpoint.pt.damaged-1", "cut")
    write(sweep / "aside" / f"{DONE.id}.1" / "result.json", "{}")
    write(sweep / ".writable", "", old=True)
    write(sweep / "sweep.log", "what happened")
    return sweep


def write(path: Path, text: str, *, old: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if old:
        os.utime(path, (LONG_AGO, LONG_AGO))


def files(sweep: Path) -> dict[str, bytes]:
    """All but locks and signs of life, which every start makes anew."""
    found = (path for path in sweep.rglob("*") if path.is_file() and path.name not in ("lock", "heartbeat.json"))
    return {str(path.relative_to(sweep)): path.read_bytes() for path in found}


def clean(sweep: Path, *options: str) -> int:
    return main(["clean", sweep.name, "--runs", str(sweep.parent), *options])


ALWAYS = {
    *(f"{DONE.id}/log/aa/1_0_log.out", f"{DONE.id}/log/bb/1_0_log.out", f"{DONE.id}/checkpoint.previous.pt"),
    *(f"{STOPPED.id}/log/aa/1_0_log.out", f"{FAILED.id}/log/aa/1_0_log.out", ".writable"),
    *(f"{run.id}/.run.json.tmp77" for run in (DONE, STOPPED, FAILED)),
}
ASIDE = {f"aside/{DONE.id}.1/result.json", f"{STOPPED.id}/checkpoint.pt.damaged-1"}
WEIGHTS = {f"{DONE.id}/checkpoint.pt"}


@pytest.mark.parametrize(
    ("options", "goes"),
    [
        ((), ALWAYS),
        (("--aside",), ALWAYS | ASIDE),
        (("--weights",), ALWAYS | WEIGHTS),
        (("--dry-run", "--aside", "--weights"), set[str]()),
    ],
    ids=["usual", "aside", "weights", "dry run"],
)
def test_what_no_start_needs_goes_and_all_else_stays_to_the_byte(
    sweep: Path, options: tuple[str, ...], goes: set[str]
) -> None:
    before = files(sweep)

    assert clean(sweep, *options) == 0

    after = files(sweep)
    rewritten = WEIGHTS - goes if "--dry-run" not in options else set()
    assert before.keys() - after.keys() == goes
    assert after.keys() <= before.keys()
    assert {name for name in after if after[name] != before[name]} == rewritten


def test_the_sizes_that_are_said_are_those_that_go(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(sweep / DONE.id / "log" / "aa" / "1_0_log.err", "x" * 3_000_000)
    before = sum(map(len, files(sweep).values()))
    clean(sweep, "--dry-run")
    foretold = capsys.readouterr().out

    clean(sweep)

    said = capsys.readouterr().out
    assert "3 runs, 1 done" in said
    assert " 3.0 MB  logs of runs that are done (3 files)" in said
    assert "kept: weights of runs that are done (--weights" in said
    assert said.replace("in all were deleted", "in all would be deleted: with --dry-run nothing was") == foretold
    gone = before - sum(map(len, files(sweep).values()))
    assert f" {gone / 1e6:.1f} MB  in all were deleted" in said


def test_a_second_time_there_is_nothing_to_delete(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean(sweep, "--aside")
    capsys.readouterr()
    before = files(sweep)

    assert clean(sweep, "--aside") == 0

    assert "nothing to delete" in capsys.readouterr().out
    assert files(sweep) == before


def test_after_it_runs_are_what_they_were_and_go_on(sweep: Path) -> None:
    done, stopped, failed = (RunFolder(sweep / run.id) for run in (DONE, STOPPED, FAILED))
    shown, result, error = table(sweep, None), done.result(), failed.error()

    clean(sweep, "--aside")

    assert table(sweep, None) == shown
    assert (done.state(), stopped.state(), failed.state()) == ("done", "stopped", "failed")
    assert (done.result(), failed.error()) == (result, error)
    assert not checkpoint.has_momentum(done.checkpoint)
    assert stopped.previous.exists()
    assert work(stopped.path, sweep) == "done"
    done.curve.write_text("")
    assert work(done.path, sweep) == "done", "repaired from its weights"
    assert numbers(done) == {name: value for name, value in (result or {}).items() if name in numbers(done)}


def test_nothing_is_touched_of_a_run_that_is_being_trained(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held, before = RunFolder(sweep / DONE.id), files(sweep)

    with held.lock():
        assert clean(sweep, "--dry-run") == 0
        assert "logs of runs that are done" not in capsys.readouterr().out
        assert clean(sweep, "--aside", "--weights") == 0

    after = files(sweep)
    mine = {name for name in before if name.startswith((DONE.id, "aside", "sweep.log", ".writable"))}
    assert {name: after.get(name) for name in mine} == {name: before[name] for name in mine}
    assert f"{DONE.id} is being trained: nothing of it is touched" in capsys.readouterr().out
    assert before.keys() - after.keys() == {
        name for name in ALWAYS | ASIDE if name.startswith((STOPPED.id, FAILED.id))
    }, "the others are clean"


def forget_result(folder: RunFolder) -> None:
    (folder.path / "result.json").write_text("{")


def take_anothers(folder: RunFolder) -> None:
    state = checkpoint.loads(folder.checkpoint.read_bytes())
    state["net"]["fc.bias"] += 1
    checkpoint.save(folder.checkpoint, state)


def cut(folder: RunFolder) -> None:
    folder.checkpoint.write_bytes(folder.checkpoint.read_bytes()[:-1000])


@pytest.mark.parametrize("damage", [forget_result, take_anothers, cut])
def test_what_can_still_repair_a_run_stays(sweep: Path, damage: Callable[[RunFolder], None]) -> None:
    damage(folder := RunFolder(sweep / DONE.id))
    before = folder.checkpoint.read_bytes()

    assert clean(sweep) == 0

    assert folder.checkpoint.read_bytes() == before


@pytest.mark.parametrize(("queue", "left"), [("silent", True), ("waiting", True), ("empty", False)])
def test_what_was_submitted_goes_when_its_runs_are_done_and_no_job_needs_it(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, queue: str, left: bool
) -> None:
    submission = Submission(sweep / "slurm" / "tiny-1")
    submission.create([[DONE.id]])
    write(submission.path / "77_0_submitted.pkl", "")
    write(sweep / "code" / "abc" / "bench" / "a.py", "")
    os.utime(submission.path / "packs.json", (LONG_AGO, LONG_AGO))
    shutil.rmtree(sweep / STOPPED.id)

    def listing() -> list[Job]:
        if queue == "silent":
            raise SlurmError("Unable to contact slurm controller")
        return [Job("tiny-1", 0, "77", "PENDING")] if queue == "waiting" else []

    monkeypatch.setattr("bench.launch.slurm.queue.listing", listing)

    assert clean(sweep) == 0

    assert [submission.path.exists(), (sweep / "code" / "abc").exists()] == [left, left]


def test_a_job_of_a_run_that_is_not_done_keeps_its_logs(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submission = Submission(sweep / "slurm" / "tiny-1")
    submission.create([[DONE.id], [STOPPED.id]])
    os.utime(submission.path / "packs.json", (LONG_AGO, LONG_AGO))
    monkeypatch.setattr("bench.launch.slurm.queue.listing", list)

    clean(sweep)

    assert submission.path.exists()


def test_without_runs_it_says_where_it_looked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert clean(tmp_path / "absent") == 2
    assert f"no runs of 'absent' in {tmp_path}" in capsys.readouterr().err


@pytest.mark.fuzz
@pytest.mark.parametrize("name", ["result.json", "run.json", "checkpoint.pt", "env.json"])
def test_whatever_a_file_of_a_run_holds_nothing_that_can_repair_it_is_lost(sweep: Path, name: str) -> None:
    folder = RunFolder(sweep / DONE.id)
    path, whole = folder.path / name, folder.checkpoint.read_bytes()
    valid = path.read_bytes()
    light = checkpoint.finished(whole, DONE.id, numbers(folder)["weights_sha256"])
    every = mutated(valid, FILES // 10) if name.endswith(".pt") else mutated_json(json.loads(valid), FILES)
    for content in every:
        folder.checkpoint.write_bytes(whole)
        path.write_bytes(content)

        assert clean(sweep) == 0

        left = folder.checkpoint.read_bytes()
        assert left in ((content if name.endswith(".pt") else whole), light)
        assert name.endswith(".pt") or path.read_bytes() == content


def test_a_run_that_was_moved_aside_by_hand_is_said_to_be_given_up(sweep: Path) -> None:
    """One that another has taken the place of, or that was done, has its lines already."""
    for run in (STOPPED, DONE):
        (sweep / run.id).rename(sweep / "aside" / f"{run.id}.9")
    assert register.last_event(sweep, STOPPED.id) == "started"

    assert clean(sweep, "--aside", "--dry-run") == 0
    assert register.last_event(sweep, STOPPED.id) == "started"
    assert clean(sweep, "--aside") == 0

    assert register.last_event(sweep, STOPPED.id) == "given up"
    assert register.last_event(sweep, DONE.id) == "done"
    assert register.last_event(sweep, FAILED.id) == "diverged"
