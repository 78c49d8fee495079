"""Who works in a folder: its lock, and the heartbeat of the process that holds it. Standard library only."""

from __future__ import annotations

import fcntl
import json
import os
import platform
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
    *("checkpoint.pt", "curve.jsonl", "layers.jsonl", "env.json", "result.json", "matches.npz", "detections.png"),
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
            if not _flock(handle, patience=0.5) or self._lives_elsewhere(time.time()):
                raise BusyError(f"{self.path.name} is being run by another process")
            for name in OF_HOLDER:
                for leftover in self.path.glob(f".{name}.tmp*"):
                    leftover.unlink(missing_ok=True)
            yield
            self.beat_again(ended=True)  # its numbers stay for `status`
        finally:
            os.close(handle)

    def lives(self, now: float | None = None) -> bool:
        """Whether a process holds the run: its lock is held, or another machine's heartbeat is fresh."""
        return self._is_locked() or self._lives_elsewhere(time.time() if now is None else now)

    def _is_locked(self) -> bool:
        if not (self.path / "lock").exists():
            return False
        handle = _open_lock(self.path / "lock")
        try:
            return not _flock(handle, patience=0.05)
        finally:
            os.close(handle)

    def _lives_elsewhere(self, now: float) -> bool:
        beat = self.heartbeat()
        if beat is None or beat.get("ended") or beat["host"] == platform.node():
            return False
        return bool(now - beat["time"] < STALE_SECONDS)

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


def _flock(handle: int, *, patience: float) -> bool:
    """Takes the lock; False where another holds it for longer than `patience` seconds (a look takes microseconds)."""
    limit = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= limit:
                return False
            time.sleep(0.02)
        except OSError as error:
            raise StoreError(
                f"this file system has no working locks ({error.strerror}); use another --runs folder"
            ) from None
        else:
            return True


@contextmanager
def exclusive(folder: Path, *, traceless: bool = False) -> Iterator[None]:
    """Holds `folder` against other processes that ask for it in the same way; waits for its turn.

    traceless: without a lock file, which stays; processes of other machines may then not see that it is held.
    """
    handle = os.open(folder, os.O_RDONLY) if traceless else _open_lock(folder / ".lock")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
