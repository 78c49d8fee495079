"""The only file that knows file names: run folders, atomic writes, locks, and a run's state derived from them.

    runs/<sweep>/<run id>/
        run.json         the Run, written first
        declared.json    the digest of the claims as they stood when the run was last started
        predicted.json   what the plan said it takes, where it knew a speed
        lock             held (flock) by the one process that trains, the first where a run has several
        heartbeat.json   step, loss, speed, about once a second while training
        curve.jsonl      a row a training window
        layers.jsonl     a row a layer and step at which the layers were looked at
        checkpoint.pt    the last resumable state; after the run, the trained net
        error.json       why the run failed or stopped; gone when it goes on
        env.json         provenance: commit, versions, hardware, data digest, dates
        result.json      written last: it is there if and only if the run is done

Beside them slurm/ has what was submitted, code/ what the jobs run, crew-*.log what crews on a GPU wrote. Standard
library only.
"""

from __future__ import annotations

import fcntl
import fnmatch
import hashlib
import json
import os
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.spec import DIVERGED, Run, SpecError, run_from_json

# what a run is, without its lock, signs of life and logs; in the order in which it may come into a folder
CONTENTS = (
    *("run.json", "declared.json", "predicted.json", "scores-*.pt", "curve.jsonl", "layers.jsonl", "checkpoint.pt"),
    *("error.json", "ensemble.npz", "hardest.png", "matches.npz", "detections.png", "env.json", "result.json"),
)
ONLY_DONE, ONLY_UNDONE = ("env.json", "result.json"), ("scores-*.pt", "error.json")
STALE_SECONDS = 120.0  # a heartbeat older than this is no sign of life: 60 s of checkpointing and a slow disk


class StoreError(RuntimeError):
    """A file or folder that cannot be used; says which, why, and what to do."""


class BusyError(RuntimeError):
    """Another process holds the run's lock."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it is synced and renamed over `path`, else removed.

    Raises StoreError where the disk refuses (full, read-only, no permission), leaving `path` as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _disk_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _disk_error(path: Path, error: OSError) -> StoreError:
    reason = error.strerror or str(error)
    return StoreError(
        f"cannot write {path}: {reason}; nothing that was there is lost. Make room or give another folder"
    )


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content`, atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def make_folder(path: Path) -> Path:
    """Creates the folder (and its parents) and proves that it can be written. Raises StoreError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / ".writable").touch()
        (path / ".writable").unlink(missing_ok=True)
    except OSError as error:
        raise _disk_error(path, error) from error
    return path


def read_json(path: Path) -> Any:
    """The JSON value in `path`, None where there is no file. Raises StoreError where it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); move it away and start again") from None


def sha256(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def curve_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """The content of curve.jsonl for these rows."""
    return "".join(json.dumps(row) + "\n" for row in rows)


@dataclass(frozen=True, slots=True)
class Meeting:
    """The file by which the first of a run's processes calls the others together."""

    path: Path

    def call(self, host: str, port: int, token: str) -> None:
        """Says where the first process waits; `token` tells this try from an earlier one at the same place."""
        make_folder(self.path.parent)
        write_json(self.path, {"host": host, "port": port, "token": token, "over": False})

    def end(self) -> None:
        """Says that the first process will not call again."""
        make_folder(self.path.parent)
        write_json(self.path, {"host": "", "port": 0, "token": "", "over": True})

    def read(self) -> dict[str, Any] | None:
        """host, port, token and over; None where nobody has called yet."""
        return _record(self.path, host=str, port=int, token=str, over=bool)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run. Every method that reads is safe while another process writes."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """The last resumable state."""
        return self.path / "checkpoint.pt"

    @property
    def curve(self) -> Path:
        """One JSON row a training window."""
        return self.path / "curve.jsonl"

    def mark(self) -> int:
        """Another number after each new checkpoint."""
        try:
            return self.checkpoint.stat().st_mtime_ns
        except OSError:
            return 0

    @property
    def layers(self) -> Path:
        """One JSON row a layer and step; there for failed runs, too, as far as they came."""
        return self.path / "layers.jsonl"

    def scores(self, protocol: str) -> Path:
        """What a finished protocol of a test found of each picture, kept until all protocols have ended."""
        return self.path / f"scores-{protocol}.pt"

    @property
    def ensemble(self) -> Path:
        """The scores at many scales of a net tested on pictures, as NumPy's npz: what ensembles are made of."""
        return self.path / "ensemble.npz"

    @property
    def hardest(self) -> Path:
        """A picture of the pairs that a verification judges worst."""
        return self.path / "hardest.png"

    @property
    def matches(self) -> Path:
        """What became of every detection of a detector's tests, as NumPy's npz: what every AP is made of."""
        return self.path / "matches.npz"

    def matches_digest(self) -> str | None:
        """SHA-256 of that file, None where there is none."""
        return _file_digest(self.matches)

    @property
    def detections(self) -> Path:
        """A picture of some test images with what was found in them."""
        return self.path / "detections.png"

    @property
    def log(self) -> Path:
        """Where submitit keeps its files and the run's stdout and stderr."""
        return self.path / "log"

    def meeting(self, start: str) -> Meeting:
        """Where the run's processes of one start of one job meet; another start never sees it."""
        return Meeting(self.log / f"{start}_meeting.json")

    def create(self, run: Run) -> None:
        """Makes the folder with its run.json. Raises StoreError where a different run is in it."""
        make_folder(self.path)
        known = read_json(self.path / "run.json")
        if known is None:
            write_json(self.path / "run.json", run.as_json())
        elif self.run() != run:
            raise StoreError(f"{self.path} holds another run than its name says; move it away and start again")
        elif known != json.loads(json.dumps(run.as_json())) and self.state() in ("pending", "failed"):
            if self.checkpoint.exists():
                run = replace(run, resources=run.resources.as_begun(self.run().resources))
            write_json(self.path / "run.json", run.as_json())

    def run(self) -> Run:
        """The Run of this folder. Raises StoreError where run.json is missing or damaged."""
        value = read_json(self.path / "run.json")
        if value is None:
            raise StoreError(f"{self.path} has no run.json: not a run folder")
        try:
            return run_from_json(value)
        except SpecError as error:
            raise StoreError(f"{self.path / 'run.json'}: {error}") from None

    def contents(self) -> dict[str, bytes]:
        """The files that make up the run, by name and in the order of CONTENTS; safe while it is being trained.

        Of a run that is not done without env.json and result.json, which do not count then. Raises StoreError.
        """
        # asked first: what a run ends with is in place before its result
        skipped = ONLY_UNDONE if self.result() is not None else ONLY_DONE
        wanted = [pattern for pattern in CONTENTS if pattern not in skipped]
        found: dict[str, bytes] = {}
        try:
            for path in (path for pattern in wanted for path in sorted(self.path.glob(pattern))):
                with suppress(FileNotFoundError):  # a run that ends meanwhile has no use for it any more
                    found[path.name] = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{error.filename} cannot be read: {error.strerror}") from error
        return found

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
            names = (
                *("checkpoint.pt", "curve.jsonl", "layers.jsonl", "env.json", "result.json"),
                *("matches.npz", "detections.png"),
            )
            for name in names:  # the holder alone writes these
                for leftover in self.path.glob(f".{name}.tmp*"):
                    leftover.unlink(missing_ok=True)
            yield
            self._last_beat()
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

    def beat_again(self) -> None:
        """Says that the run lives where no step is made, as in a long test."""
        beat = self.heartbeat()
        if beat is not None:
            self.beat(**beat)

    def _last_beat(self) -> None:
        """Says that the sign of life is no longer one; its numbers stay for `status`."""
        beat = self.heartbeat()
        if beat is not None:
            self.beat(**{**beat, "ended": True})

    def heartbeat(self) -> dict[str, Any] | None:
        """The last sign of life (step, time, host, …), None where there is none that can be read."""
        return _record(self.path / "heartbeat.json", step=int, time=float, host=str)

    def write_curve(self, rows: Iterable[Mapping[str, Any]]) -> str:
        """Replaces the curve; returns the SHA-256 of the file."""
        return _write_rows(self.curve, rows)

    def write_layers(self, rows: Iterable[Mapping[str, Any]]) -> str:
        """Replaces the rows of the layers; returns the SHA-256 of the file."""
        return _write_rows(self.layers, rows)

    def finish(self, result: Mapping[str, Any], env: Mapping[str, Any]) -> None:
        """Writes env.json, then result.json: with that the run is done."""
        self.clear_error()
        write_json(self.path / "env.json", env)
        write_json(self.path / "result.json", result)
        for leftover in self.path.glob("scores-*.pt"):
            leftover.unlink(missing_ok=True)

    def fail(self, message: str, *, retry: bool, trace: str = "") -> None:
        """Writes why the run ended. `retry`: the next start goes on by itself (the machine's fault, not the run's)."""
        value = {"message": message, "retry": retry, "time": time.time(), "trace": trace.splitlines()}
        write_json(self.path / "error.json", value)

    def clear_error(self) -> None:
        """Forgets the last error: the run goes on."""
        (self.path / "error.json").unlink(missing_ok=True)

    def diverged(self) -> bool:
        """Whether the run failed by itself: its loss was no number."""
        error = self.error()
        return error is not None and bool(DIVERGED.match(error["message"]))

    def declare(self, claims_sha256: str) -> None:
        """Keeps the digest of the sweep's claims at the run's scale, for its provenance. Raises StoreError."""
        write_json(self.path / "declared.json", {"claims_sha256": claims_sha256})

    def claims_digest(self) -> str:
        """The digest of the claims that `declare` kept, "" where there is none."""
        value = _record(self.path / "declared.json", claims_sha256=str)
        return value["claims_sha256"] if value else ""

    def predict(self, seconds: float) -> None:
        """Keeps what a plan said before the run first started, for the report to hold against what it took."""
        if not self.checkpoint.exists():
            write_json(self.path / "predicted.json", {"seconds": seconds})

    def predicted_seconds(self) -> float | None:
        """What the plan said, None where it knew no speed."""
        value = _record(self.path / "predicted.json", seconds=float)
        return float(value["seconds"]) if value else None

    def error(self) -> dict[str, Any] | None:
        """The last error: message, retry, time, trace."""
        return _record(self.path / "error.json", message=str, retry=bool)

    def env(self) -> dict[str, Any] | None:
        """The provenance of a done run."""
        return _record(self.path / "env.json", hardware=str, started=float, ended=float)

    def result(self) -> dict[str, Any] | None:
        """The result of a done run; None where it is not done, or a file that it ended with is damaged."""
        result = self._written_result()
        if result is None or self.env() is None or self._damaged_rows(result) is not None:
            return None
        return result

    def _damaged_rows(self, result: Mapping[str, Any]) -> Path | None:
        """A file that is not the one the run ended with; a run has only some of them."""
        kept = {
            self.curve: result["curve_sha256"],
            self.layers: result.get("layers_sha256"),
            self.matches: result.get("matches_sha256"),
        }
        return next((path for path, digest in kept.items() if digest and digest != _file_digest(path)), None)

    def _written_result(self) -> dict[str, Any] | None:
        needed = {"test_error": float, "images_per_s": float, "weights_sha256": str, "curve_sha256": str, "id": str}
        return _record(self.path / "result.json", **needed)

    def damage(self) -> str | None:
        """What is wrong with a run that was done, None where nothing is: the next start mends it."""
        if not (self.path / "result.json").exists() or self.result() is not None:
            return None
        result = self._written_result()
        if result is None:
            return f"{self.path / 'result.json'} is damaged"
        if self.env() is None:
            return f"{self.path / 'env.json'} is damaged"
        return f"{self._damaged_rows(result)} is not what the run ended with (truncated or edited)"

    def curve_rows(self) -> list[dict[str, Any]]:
        """The rows of the curve that can be read; a last line cut off in the middle is left out."""
        return _rows(self.curve)

    def layer_rows(self) -> list[dict[str, Any]]:
        """The rows of the layers that can be read."""
        return _rows(self.layers)

    def state(self, now: float | None = None) -> str:
        """`done`, `failed`, `running`, `stopped` (some steps are kept) or `pending`."""
        if self.result() is not None:
            return "done"
        error = self.error()
        if error is not None and not error["retry"]:
            return "failed"
        if self.lives(now):
            return "running"
        return "stopped" if self.checkpoint.exists() else "pending"


def _write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> str:
    text = curve_text(rows)
    write_text(path, text)
    return sha256(text.encode())


def _file_digest(path: Path) -> str | None:
    try:
        return sha256(path.read_bytes())
    except OSError:
        return None


def _rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    with suppress(ValueError):
        return list(json.loads(f"[{','.join(lines)}]"))  # ten times faster than line by line
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _disk_error(path.parent, error) from error


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


def _record(path: Path, **needed: type) -> dict[str, Any] | None:
    """The JSON object in `path` if it has the needed values of the needed types (a whole number is a float, too)."""
    try:
        value = read_json(path)
    except StoreError:
        return None
    fits = isinstance(value, dict) and all(
        isinstance(value.get(name), (int, float) if kind is float else kind) for name, kind in needed.items()
    )
    return value if fits else None


def is_content(name: str) -> bool:
    """Whether a file of this name is part of a run."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in CONTENTS)


def all_folders(runs: Path) -> list[RunFolder]:
    """The run folders of all sweeps below `runs`."""
    return [RunFolder(path.parent) for path in sorted(runs.glob("*/*/run.json"))]


def folders(runs: Path, sweep: str) -> dict[str, RunFolder]:
    """All run folders of a sweep below `runs`, by run id."""
    found = sorted(p.parent for p in (runs / sweep).glob("*/run.json"))
    return {path.name: RunFolder(path) for path in found}


@dataclass(frozen=True, slots=True)
class Submission:
    """What went to a cluster's queue as one array: runs/<sweep>/slurm/<job name>/.

    The job's name is the folder's and comes never again, so that the queue's listing leads back to the runs without
    trusting job numbers. packs.json: the run ids of each job of the array. cancelled: there once it was cancelled.
    """

    path: Path

    def create(self, packs: Sequence[Sequence[str]]) -> None:
        """Writes what each job of the array is to run, before there is a job."""
        make_folder(self.path)
        write_json(self.path / "packs.json", [list(pack) for pack in packs])

    def packs(self) -> list[list[str]]:
        """The run ids of each job; none where the submission was broken off."""
        value = read_json(self.path / "packs.json")
        return value if isinstance(value, list) else []

    def cancel(self) -> None:
        """Leaves word that its jobs did not end by themselves."""
        write_text(self.path / "cancelled", "")

    @property
    def cancelled(self) -> bool:
        """Whether its jobs were cancelled."""
        return (self.path / "cancelled").exists()


def submissions(sweep: Path) -> dict[str, Submission]:
    """All that was submitted for the sweep in this folder, by job name."""
    return {path.name: Submission(path) for path in sorted((sweep / "slurm").glob("*")) if path.is_dir()}
