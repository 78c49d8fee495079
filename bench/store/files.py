"""Files on disk: atomic writes, folders that can be written, JSON, rows, and digests. Standard library only."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class StoreError(RuntimeError):
    """A file or folder that cannot be used; says which, why, and what to do."""


@contextmanager
def atomic(path: Path, previous: Path | None = None) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it is synced and renamed over `path`, else removed.

    previous: the name under which what was there stays, in place of what had that name.
    Raises StoreError where the disk refuses (full, read-only, no permission), leaving `path` as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            _keep(path, previous)
        temporary.replace(path)
    except OSError as error:
        raise disk_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _keep(path: Path, previous: Path) -> None:
    previous.unlink(missing_ok=True)
    try:
        os.link(path, previous)  # so that `path` is there at every moment
    except OSError:  # a file system without links
        path.replace(previous)


def disk_error(path: Path, error: OSError) -> StoreError:
    """What the disk refused, in words."""
    reason = error.strerror or str(error)
    room = "Make room there, or name" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Name"
    return StoreError(
        f"cannot write {path}: {reason}; nothing that was there is lost. {room} a folder that can be written with "
        "--out DIR"
    )


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, atomically; what UTF-8 has not, as in names of files of other systems, as an escape."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def in_utf8(text: str) -> str:
    """`text` with an escape for what UTF-8 has not, such as a byte of a file's name in another encoding."""
    return text.encode(errors="backslashreplace").decode()


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
        raise disk_error(path, error) from error
    return path


def read_json(path: Path) -> Any:
    """The JSON value in `path`, None where there is no file. Raises StoreError where it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path} cannot be read ({error}); move it away and start again") from None


def _refuse(constant: str) -> None:
    """JSON has no NaN and no Infinity, which Python's reader would take."""
    raise ValueError(f"{constant} is no JSON")


def sha256(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def curve_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """The content of curve.jsonl for these rows."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> str:
    """Writes a JSON object a line, atomically; returns the SHA-256 of the file."""
    text = curve_text(rows)
    write_text(path, text)
    return sha256(text.encode())


def file_digest(path: Path) -> str | None:
    """SHA-256 of the file in hex, None where there is none."""
    try:
        return sha256(path.read_bytes())
    except OSError:
        return None
