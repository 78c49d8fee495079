"""Folders whose files a job executes, pickles and code: nobody else may own them or write there.

Only these are private (mode 0700). Runs, results and logs of runs keep the user's umask, so that colleagues may read
a shared runs folder; what they cannot see of it, the user's own jobs, `status` would not find in their queue either.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from bench.store.files import StoreError, make_folder

OTHERS_WRITE, OTHERS_ENTER = stat.S_IWGRP | stat.S_IWOTH, stat.S_IXGRP | stat.S_IXOTH


def make_private(path: Path) -> Path:
    """Creates the folder (and its parents), which only this user may enter. Raises StoreError."""
    make_folder(path)
    with suppress(OSError):  # another user's, or a file system without modes: `refuse_foreign` says so where it matters
        path.chmod(stat.S_IRWXU)
    return path


def refuse_foreign(folder: Path, *files: Path) -> None:
    """Raises StoreError where another user owns the folder or one of its files, or may write to them."""
    try:
        modes = {path: path.stat() for path in (folder, *files)}
    except OSError as error:
        raise StoreError(f"{error.filename or folder} cannot be read: {error.strerror or error}") from None
    reached = modes[folder].st_mode & OTHERS_ENTER
    for path, about in modes.items():
        if about.st_uid != os.geteuid():
            raise StoreError(
                f"{path} belongs to user {about.st_uid}, and jobs of user {os.geteuid()} would execute what lies "
                "there: start the sweep with an --out folder of your own"
            )
        if about.st_mode & OTHERS_WRITE and (path == folder or reached):
            raise StoreError(
                f"other users may write to {path} (mode {stat.S_IMODE(about.st_mode):04o}), and jobs execute what lies "
                f"there: chmod go-w {path}, and start the sweep again"
            )
