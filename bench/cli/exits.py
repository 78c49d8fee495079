"""Exit codes, and what a user sees of an error: one line."""

from __future__ import annotations

import argparse
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
    """Runs `work(args)`; a mistake of the user's is one line on stderr and exit code 2. SIGTERM ends it as Ctrl-C."""
    try:
        with _ended_by_sigterm():
            return work(args)
    except OF_USER as error:
        return _say(error, MISTAKE)
    except ModuleNotFoundError as error:
        if not (lacks := missing(error)):
            raise
        return _say(lacks, MISTAKE)
    except BrokenPipeError:
        with suppress(OSError):  # the reader of our output is gone (`| head`): nothing more can be said
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0 if getattr(args, "dry_run", False) else STOPPED
    except OSError as error:
        return _say(f"{error.filename or 'a file'}: {error.strerror or error}", MISTAKE)
    except KeyboardInterrupt as error:
        return _say(f"{str(error) or 'interrupted'}; the same command resumes", STOPPED)


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
    """What is inside ends as if by Ctrl-C when `--time-limit` is reached."""
    if limit is None:
        yield
        return
    timer, ends = (
        threading.Timer(limit, signal.pthread_kill, (threading.get_ident(), signal.SIGINT)),
        time.monotonic() + limit,
    )
    timer.start()
    try:
        yield
    except KeyboardInterrupt:
        if time.monotonic() < ends:
            raise
        raise KeyboardInterrupt(f"--time-limit {as_typed(limit)} reached before a run started") from None
    finally:
        timer.cancel()


def _say(words: object, code: int) -> int:
    print(f"bench: {words}", file=sys.stderr)
    return code
