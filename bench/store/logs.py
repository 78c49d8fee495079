"""Logs of many starts: as many as explain what happened, and no more. Standard library only."""

from __future__ import annotations

import shutil
from collections.abc import Set
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

KEPT_STARTS = 10  # of a run, whose logs stay
LOG_BYTES = 2**20  # a log of several starts that is longer is begun anew


def open_log(path: Path) -> BinaryIO:
    """Opens a log to append to. One that has become long stays as NAME.before, in place of the one before that."""
    with suppress(OSError):  # there is none, or another process was faster
        if path.stat().st_size > LOG_BYTES:
            path.replace(path.with_name(f"{path.name}.before"))
    return path.open("ab")


def starts(log: Path) -> list[Path]:
    """What the starts of a run left in its folder of logs, the last ones last."""
    found = []
    with suppress(OSError):
        for path in log.iterdir():
            with suppress(OSError):  # gone meanwhile
                found.append((path.lstat().st_mtime_ns, path))
    return [path for _, path in sorted(found)]


def forget_starts(log: Path, kept: int = KEPT_STARTS, living: Set[str] = frozenset()) -> None:
    """Deletes what starts before the last ones left, but for those of the names in `living`.

    Why a run ended last is never among it.
    """
    for path in starts(log)[:-kept]:
        if path.name not in living:
            delete(path)


def delete(path: Path) -> bool:
    """Deletes a file, or a folder with all that is in it, and no link's target; returns whether it is gone."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        return False
    return True
