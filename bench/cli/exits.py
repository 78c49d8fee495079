"""Exit codes, and what a user sees of an error: one line."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from bench.cli.sweep_files import MistakeError
from bench.data.locate import DataError
from bench.launch.slurm.commands import SlurmError
from bench.launch.slurm.snapshot import SnapshotError
from bench.launch.worker import as_typed
from bench.machine import GitError, SettingError, missing
from bench.spec import SpecError
from bench.store import StoreError

FAILED, MISTAKE, STOPPED = 1, 2, 3
OF_USER = (MistakeError, SpecError, SettingError, DataError, StoreError, SlurmError, SnapshotError, GitError)


def guarded(work: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Runs `work(args)`; a mistake of the user's is one line on stderr and exit code 2, after the first run 1.

    args.started: whether a run may have started; `work` sets it. SIGTERM ends it as Ctrl-C.
    """
    try:
        with _ended_by_sigterm():
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
    except KeyboardInterrupt as error:
        print(f"bench: {str(error) or 'interrupted'}; the same command resumes", file=sys.stderr)
        return STOPPED


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def in_time(limit: float | None) -> Iterator[None]:
    """What is inside ends as if by Ctrl-C when `--time-limit` is reached.

    By a SIGTERM: a shell starts what runs in its background with SIGINT ignored.
    """
    if limit is None:
        yield
        return
    ends = time.monotonic() + limit
    timer = threading.Timer(limit, signal.pthread_kill, (threading.get_ident(), signal.SIGTERM))
    try:
        with _ended_by_sigterm():
            timer.start()
            yield
    except KeyboardInterrupt:
        if time.monotonic() < ends:
            raise
        raise KeyboardInterrupt(f"--time-limit {as_typed(limit)} reached before a run started") from None
    finally:
        timer.cancel()


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
