"""The register of starts: `register.jsonl` beside the runs of a sweep, a hash chain to which lines are only added.

    {"previous": "", "time": "2026-11-28T10:00:00Z", "event": "begun", "chain": 32 random hex digits, "sweep": …}
    {"previous": SHA-256 of the line before, "time": …, "event": "started", "run": …, "commit": …, …, "step": 0}
    {…, "event": "done", "run": …, "weights_sha256": …, "curve_sha256": …, "manifest_sha256": …}
    {…, "event": "diverged" or "failed", "run": …, "message": …}      {…, "event": "given up", "run": …, "reason": …}

A run has one `started` line until a line ends it: one that is resumed gets none, one that goes on after it failed gets
another. A line is written before the file that it tells of, so that whatever a kill -9 interrupts has its line; done
once more, such a step adds no line that says the same again. Chains of other machines, which came with their runs, lie
beside as `register-<first 12 digits of the chain>.jsonl`.

A line counts when it ends with a newline: what a crash cut off was never told to anyone, and the next writer drops it.
A line that was edited stays, and the chain goes on after it: whoever checks the hashes finds it. A file that does not
begin as a chain is moved away, and a new chain begun: no run fails because of what is in a register. Writers wait for
each other by a lock; where a file system's locks do not reach other machines, two of these that write at one moment
may break the chain. Standard library only.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.store.files import disk_error, in_utf8, sha256, write_bytes
from bench.store.lock import exclusive

NAME = "register.jsonl"
OTHERS = "register-[0-9a-f]*.jsonl"
FAILURES = ("diverged", "failed")
SHORT = 12  # digits of a chain that name its file


@dataclass(frozen=True, slots=True)
class Start:
    """A run's `started` line: the name of the chain that it is in, and its SHA-256."""

    chain: str
    line: str


def start(sweep: Path, run: str, step: int, *, trains: bool, **facts: Any) -> Start:
    """The run's `started` line, which is written unless it has one that no line has ended.

    step: the last that it has kept. trains: whether steps are left; a run that is done and only writes its result anew
    is not started again. Raises StoreError where the disk refuses.
    """
    with _held(sweep) as chain:
        ended = chain.last(run).get("event")
        if ended != "started" and (trains or ended != "done"):
            chain.append("started", run=run, **facts, step=step)
        digest = next(digest for digest, line in reversed(chain.lines) if _is(line, run, "started"))
        return Start(chain.name, digest)


def end(sweep: Path, event: str, run: str, **facts: Any) -> None:
    """Writes how the run's start ended, unless its last line says so already.

    A failure before the run had a start leaves no line. Raises StoreError where the disk refuses.
    """
    facts = {name: in_utf8(value) if isinstance(value, str) else value for name, value in facts.items()}
    with _held(sweep) as chain:
        last = chain.last(run)
        if event in FAILURES and last.get("event") != "started":
            return
        if last.get("event") != event or (event != "given up" and not facts.items() <= last.items()):
            chain.append(event, run=run, **facts)


def last_event(sweep: Path, run: str) -> str:
    """The event of the run's last line in the sweep's own chain, "" where it has none. Raises StoreError."""
    path = sweep / NAME
    return str(_Chain(path, parsed(_read(path))).last(run).get("event", ""))


def whole(content: bytes) -> bytes:
    """A register without what was cut off at its end."""
    return content[: content.rfind(b"\n") + 1]


def parsed(content: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Each line's SHA-256 and its values, none of a line that is no JSON object."""
    return [(sha256(line), _values(line)) for line in whole(content).split(b"\n")[:-1]]


def chain_of(content: bytes) -> str:
    """The name of a chain, 32 hex digits; "" where the first line does not begin one."""
    values = _values(whole(content).partition(b"\n")[0])
    name = str(values.get("chain")) if values.get("event") == "begun" else ""
    return name if re.fullmatch("[0-9a-f]{32}", name) else ""


def extends(longer: bytes, shorter: bytes) -> bool:
    """Whether one copy of a chain is the other with lines added to it, or the same."""
    return whole(longer).startswith(whole(shorter))


def keep(path: Path, content: bytes) -> bool:
    """Leaves the longer of two copies of a chain in `path`; False where neither extends the other, and `path` stays.

    Raises StoreError where the disk refuses.
    """
    known = _read(path)
    if extends(known, content):
        return True
    if extends(content, known):
        write_bytes(path, whole(content))
        return True
    return False


def chains_in(sweep: Path) -> Iterator[tuple[Path, bytes]]:
    """The registers beside a sweep's runs, its own first, each as far as it is whole. Raises StoreError."""
    for path in (sweep / NAME, *sorted(sweep.glob(OTHERS))):
        if content := whole(_read(path)):
            yield path, content


def file_name(content: bytes) -> str:
    """How the chain of another machine is called beside a sweep's own."""
    return f"register-{chain_of(content)[:SHORT]}.jsonl"


def utc(seconds: float) -> str:
    """A time as registers, manifests and runs.csv say it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class _Chain:
    """A sweep's own chain, by one who may write to it."""

    path: Path
    lines: list[tuple[str, dict[str, Any]]]

    @property
    def name(self) -> str:
        return str(self.lines[0][1]["chain"])

    def last(self, run: str) -> dict[str, Any]:
        """The run's last line, empty where it has none."""
        return next((line for _, line in reversed(self.lines) if line.get("run") == run), {})

    def append(self, event: str, **facts: Any) -> None:
        """Adds a line, on the disk before this returns. Raises StoreError, and then there is none."""
        previous = self.lines[-1][0] if self.lines else ""
        values = {"previous": previous, "time": utc(time.time()), "event": event, **facts}
        line = json.dumps(values).encode()
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                _write(handle, line + b"\n")
            finally:
                os.close(handle)
        except OSError as error:
            raise disk_error(self.path, error) from error
        self.lines.append((sha256(line), values))


def _write(handle: int, line: bytes) -> None:
    """All of the line or nothing of it."""
    size = os.fstat(handle).st_size
    try:
        while line:
            line = line[os.write(handle, line) :]
        os.fsync(handle)
    except OSError:
        with suppress(OSError):
            os.ftruncate(handle, size)
        raise


@contextmanager
def _held(sweep: Path) -> Iterator[_Chain]:
    """The sweep's chain, begun where there is none, which nobody else writes to. Raises StoreError."""
    path = sweep / NAME
    with exclusive(sweep):
        content = _read(path)
        try:
            if len(content) > len(whole(content)):
                os.truncate(path, len(whole(content)))
            if whole(content) and not chain_of(content):
                path.replace(path.with_name(f"damaged-register-{time.time_ns()}.jsonl"))
                content = b""
        except OSError as error:
            raise disk_error(path, error) from error
        chain = _Chain(path, parsed(content))
        if not chain.lines:
            chain.append("begun", chain=secrets.token_hex(16), sweep=sweep.name)
        yield chain


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise disk_error(path, error) from error


def _values(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _is(line: dict[str, Any], run: str, event: str) -> bool:
    return (line.get("run"), line.get("event")) == (run, event)
