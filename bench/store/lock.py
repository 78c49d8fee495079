"""Who works in a folder: its lock, and the heartbeat of the process that holds it. Standard library only."""

from __future__ import annotations

import fcntl
import json
import math
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.store.files import StoreError, disk_error
from bench.store.records import HEARTBEAT, record

STALE_SECONDS = 120.0  # a heartbeat older than this is no sign of life: 60 s of checkpointing and a slow disk
OF_HOLDER = (  # what only the process writes that holds the lock
    *("checkpoint.pt", "curve.jsonl", "layers.jsonl", "env.json", "manifest.json", "result.json", "matches.npz"),
    *("found.npz", "detections.png"),
)


class BusyError(RuntimeError):
    """Another process holds the run's lock."""


@dataclass(frozen=True, slots=True)
class LockedFolder:
    """A folder in which one process at a time works."""

    path: Path

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process. Raises BusyError where another one holds it.

        The kernel drops the lock with the process, so that a kill -9 leaves nothing to clean up. Where machines do
        not see each other's locks, a fresh heartbeat of another machine counts as one.
        """
        handle = _open_lock(self.path / "lock")
        try:
            if not _locked(handle, self.path, patience=0.5) or self._lives_elsewhere():
                raise BusyError(f"{self.path.name} is being run by another process")
            for name in OF_HOLDER:
                for leftover in self.path.glob(f".{name}.tmp*"):
                    leftover.unlink(missing_ok=True)
            yield
            self.beat_again(ended=True)  # its numbers stay for `status`
        finally:
            os.close(handle)

    def lives(self) -> bool:
        """Whether a process holds the run: its lock is held, or another machine's heartbeat is fresh."""
        return self._is_locked() or self._lives_elsewhere()

    def _is_locked(self) -> bool:
        """Whether the lock is held; where there are no locks it is not. Needs no more than to read."""
        try:
            handle = os.open(self.path / "lock", os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise StoreError(f"{self.path / 'lock'} cannot be read: {error.strerror}") from None
        try:
            return not _flock(handle, fcntl.LOCK_SH, patience=0.05)
        except OSError:
            return False
        finally:
            os.close(handle)

    def _lives_elsewhere(self) -> bool:
        """Whether another machine's heartbeat is fresh, by the clock that stamps files: the machines' own may differ.

        One from the future is not: that clock was set back, and a run that lives has made another one since.
        """
        beat = self.heartbeat()
        if beat is None or beat.get("ended") or beat["host"] == platform.node():
            return False
        try:
            made = (self.path / "heartbeat.json").stat().st_mtime
        except OSError:
            return False
        return abs(_clock(self.path) - made) < STALE_SECONDS

    def beat(self, step: int, **values: Any) -> None:
        """Says that the run lives. Not synced and never an error: it is a sign of life, not a record."""
        text = json.dumps({"step": step, **values, "time": time.time(), "host": platform.node()})
        temporary = self.path / ".heartbeat.tmp"
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self.path / "heartbeat.json")
        except OSError:
            return

    def beat_again(self, **changes: Any) -> None:
        """Says that the run lives where no step is made, as in a long test; `ended` that this is its last beat."""
        beat = self.heartbeat()
        if beat is not None:
            self.beat(**{**beat, **changes})

    def heartbeat(self) -> dict[str, Any] | None:
        """The last sign of life (step, time, host, …), None where there is none that can be read."""
        return record(self.path / "heartbeat.json", HEARTBEAT)


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise disk_error(path.parent, error) from error


def _flock(handle: int, kind: int, *, patience: float) -> bool:
    """Takes the lock; False where another holds it for longer than `patience` seconds (a look takes microseconds)."""
    limit = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= limit:
                return False
            time.sleep(0.02)
        else:
            return True


def _locked(handle: int, folder: Path, *, patience: float) -> bool:
    """Takes the lock of the folder for this process alone. Raises StoreError where there are no locks."""
    try:
        return _flock(handle, fcntl.LOCK_EX, patience=patience)
    except OSError as error:
        raise StoreError(
            f"{folder}: this file system has no working locks ({error.strerror}); use another folder, on a local disk "
            "or one that is mounted with locks"
        ) from None


def _clock(folder: Path) -> float:
    """The time by the clock that stamps the files of a folder; this machine's where nothing can be written there."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


@contextmanager
def exclusive(folder: Path, *, traceless: bool = False) -> Iterator[None]:
    """Holds `folder` against other processes that ask for it in the same way; waits for its turn.

    traceless: without a lock file, which stays; processes of other machines may then not see that it is held.
    Raises StoreError where the folder cannot be locked.
    """
    handle = os.open(folder, os.O_RDONLY) if traceless else _open_lock(folder / ".lock")
    try:
        _locked(handle, folder, patience=math.inf)
        yield
    finally:
        os.close(handle)
