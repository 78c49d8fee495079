"""Who works in a folder, where locks, clocks and permissions are not what they should be."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli.commands import main as bench
from bench.store import BusyError, RunFolder, StoreError, exclusive
from bench.store.lock import STALE_SECONDS
from tests.builders import make, tiny_run


@pytest.fixture
def made(tmp_path: Path) -> RunFolder:
    return make(tmp_path, tiny_run())


@pytest.mark.parametrize(("traceless", "left"), [(True, []), (False, [".lock"])])
def test_a_folder_is_held_against_others(traceless: bool, left: list[str], tmp_path: Path) -> None:
    took: list[str] = []

    def take() -> None:
        with exclusive(tmp_path, traceless=traceless):
            took.append("second")

    other = threading.Thread(target=take)
    with exclusive(tmp_path, traceless=traceless):
        other.start()
        other.join(0.2)
        took.append("first")
    other.join()

    assert took == ["first", "second"]
    assert [path.name for path in tmp_path.iterdir()] == left


def test_only_one_holds_a_run(made: RunFolder) -> None:
    with made.lock():
        assert made.lives()
        with pytest.raises(BusyError, match="is being run by another process"), made.lock():
            pass
    assert not made.lives()
    with made.lock():
        pass


def no_locks(number: int) -> Callable[[int, int], None]:
    def flock(_: int, __: int) -> None:
        raise OSError(number, os.strerror(number))

    return flock


LOCKLESS = pytest.mark.parametrize(
    "number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, 524, errno.EINVAL], ids=errno.errorcode.get
)


@LOCKLESS
def test_a_folder_without_locks_is_named_with_the_remedy(
    number: int, made: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", no_locks(number))
    words = (
        rf": this file system has no working locks \({os.strerror(number)}\); use another folder, on a local disk or "
    )
    for take in (made.lock(), exclusive(made.path), exclusive(made.path, traceless=True)):
        with pytest.raises(StoreError, match=f"^{made.path}{words}"), take:
            pass


@LOCKLESS
def test_where_there_are_no_locks_runs_can_still_be_looked_at(
    number: int, made: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with made.lock():
        pass
    monkeypatch.setattr(fcntl, "flock", no_locks(number))
    assert made.state() == "pending"
    beat(made)
    assert made.state() == "running"


@pytest.mark.parametrize("command", ["sweep", "report"])
def test_results_without_locks_are_refused_before_anything_is_trained(
    command: str, tiny_sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there, flock = no_locks(errno.ENOLCK), fcntl.flock

    def on_one_disk(handle: int, kind: int) -> None:
        (there if "/results/" in str(Path(f"/proc/self/fd/{handle}").readlink()) else flock)(handle, kind)

    monkeypatch.setattr(fcntl, "flock", on_one_disk)
    Path("runs/tiny").mkdir(parents=True)
    start = ["--scale", "quick", "--cluster", "inline"]

    assert bench([command, "tiny", *(start if command == "sweep" else [])]) == 2

    assert "runs/tiny/results: this file system has no working locks (No locks available)" in capsys.readouterr().err
    assert not list(tiny_sweep.parents[1].glob("runs/*/*/run.json"))


def beat(folder: RunFolder, *, clock: float = 0, ago: float = 0, host: str = "node7") -> None:
    """A heartbeat of a node whose clock is `clock` seconds ahead, made `ago` seconds ago by the file server's."""
    path, now = folder.path / "heartbeat.json", time.time() - ago
    path.write_text(json.dumps({"step": 3, "time": now + clock, "host": host}))
    os.utime(path, (now, now))


CLOCKS = pytest.mark.parametrize("clock", [0, -60, -300, 300, -3600, 3600, 10**8])


@CLOCKS
def test_a_run_of_another_machine_lives_whatever_its_clock(clock: float, made: RunFolder) -> None:
    beat(made, clock=clock)

    assert made.state() == "running"
    with pytest.raises(BusyError), made.lock():
        pass


@CLOCKS
def test_a_run_that_died_on_another_machine_is_free_whatever_its_clock(clock: float, made: RunFolder) -> None:
    beat(made, clock=clock, ago=600)

    assert made.state() == "pending"
    with made.lock():
        pass


@CLOCKS
def test_a_reader_whose_clock_is_off_sees_the_same(
    clock: float, made: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time
    beat(made)
    monkeypatch.setattr(time, "time", lambda: now() + clock)
    assert made.lives()
    monkeypatch.undo()

    beat(made, ago=600)
    monkeypatch.setattr(time, "time", lambda: now() + clock)
    assert not made.lives()


def test_a_clock_that_was_set_back_keeps_no_dead_run_alive(made: RunFolder) -> None:
    """The last heartbeat before that is from the future; a run that lives makes another within a second."""
    beat(made, ago=-3600)
    assert made.state() == "pending"
    beat(made, ago=-STALE_SECONDS / 2)
    assert made.state() == "running"


def test_a_look_at_another_machines_run_leaves_nothing_behind(made: RunFolder) -> None:
    beat(made)
    before = sorted(made.path.iterdir())

    assert made.lives()
    assert sorted(made.path.iterdir()) == before


def test_this_machines_heartbeat_tells_nothing_as_its_lock_does(made: RunFolder) -> None:
    made.beat(3)
    assert not made.lives()
    beat(made)
    made.beat_again(ended=True)
    assert not made.lives()
    with made.lock():
        assert made.lives()


def read_only(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The kernel's answer where files may be read and nothing may be written."""
    reads = os.open

    def refuses(path: str, flags: int, *rest: int, **named: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(number, os.strerror(number), str(path))
        return reads(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuses)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM], ids=errno.errorcode.get)
def test_someone_elses_runs_are_looked_at_without_writing(
    number: int, made: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with made.lock():
        read_only(monkeypatch, number)
        assert made.state() == "running"
        monkeypatch.undo()
    read_only(monkeypatch, number)
    assert made.state() == "pending"
    beat(made)
    assert made.state() == "running"
    beat(made, ago=600)
    assert made.state() == "pending"
    with pytest.raises(StoreError, match=f"cannot write {made.path}: {os.strerror(number)}"), made.lock():
        pass


def test_looks_do_not_hold_up_each_other_or_a_start(made: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with made.lock():
        pass
    looks = [os.open(made.path / "lock", os.O_RDONLY)]
    fcntl.flock(looks[0], fcntl.LOCK_SH)
    assert made.state() == "pending"

    def ends_meanwhile(_: float) -> None:
        if looks:
            os.close(looks.pop())

    monkeypatch.setattr(time, "sleep", ends_meanwhile)

    with made.lock():
        assert not looks
        assert made.state() == "running"
