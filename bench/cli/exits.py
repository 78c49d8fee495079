"""Exit codes, and what a user sees of an error: one line."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress

from bench.cli.sweep_files import MistakeError
from bench.data.locate import DataError
from bench.launch.slurm.commands import SlurmError
from bench.launch.slurm.snapshot import SnapshotError
from bench.machine import GitError, SettingError, missing
from bench.spec import SpecError
from bench.store import StoreError

FAILED, MISTAKE, STOPPED = 1, 2, 3
OF_USER = (MistakeError, SpecError, SettingError, DataError, StoreError, SlurmError, SnapshotError, GitError)


def guarded(work: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Runs `work(args)`; a mistake of the user's is one line on stderr and exit code 2, after the first run 1.

    args.started: whether a run may have started; `work` sets it.
    """
    try:
        code = work(args)
        sys.stdout.flush()  # a full disk is said here, or by nobody
        return code
    except OF_USER as error:
        return _say(error, args)
    except ModuleNotFoundError as error:
        if not (lacks := missing(error)):
            raise
        return _say(lacks, args)
    except BrokenPipeError:
        _drop_output()  # its reader is gone (`| head`): nothing more can be said
        return 0 if getattr(args, "dry_run", False) else STOPPED
    except OSError as error:
        _drop_output()
        way = "; name a folder that can be written with --out DIR" if error.errno == errno.EROFS else ""
        what = error.filename or "a file or the output of this command"
        return _say(f"{what}: {error.strerror or error}{way}", args)
    except KeyboardInterrupt:
        print("bench: interrupted; the same command resumes", file=sys.stderr)
        return STOPPED


def _say(words: object, args: argparse.Namespace) -> int:
    print(f"bench: {words}", file=sys.stderr)
    return FAILED if getattr(args, "started", False) else MISTAKE


def _drop_output() -> None:
    """Sends what is left of our output nowhere, if it can't be written: Python would complain of it as it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
