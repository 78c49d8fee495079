"""Ctrl-C, SIGTERM and the time limit before a run has started: one line and exit code 3."""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Iterator

import pytest

from bench.cli.exits import STOPPED, guarded, in_time


@pytest.fixture(autouse=True, params=["in front", "in the background"])
def started(request: pytest.FixtureRequest) -> Iterator[None]:
    """As a shell starts a command: in the background with SIGINT ignored."""
    handler = signal.default_int_handler if request.param == "in front" else signal.SIG_IGN
    before = signal.signal(signal.SIGINT, handler)
    yield
    signal.signal(signal.SIGINT, before)


def forever(*_: object) -> int:
    while True:
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_what_reads_data_or_plans(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler)  # a Ctrl-C reaches nothing that is in the background
    before = signal.getsignal(signal.SIGTERM)

    def reads(_: argparse.Namespace) -> int:
        os.kill(os.getpid(), number)
        return forever()

    assert guarded(reads, argparse.Namespace()) == STOPPED
    assert capsys.readouterr().err == "bench: interrupted; the same command resumes\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_time_limit_counts_from_the_first_second_on(capsys: pytest.CaptureFixture[str]) -> None:
    def reads(_: argparse.Namespace) -> int:
        with in_time(0.05):
            return forever()

    assert guarded(reads, argparse.Namespace()) == STOPPED
    assert capsys.readouterr().err == (
        "bench: --time-limit 0.05s reached before a run started; the same command resumes\n"
    )


@pytest.mark.parametrize("limit", [None, 60.0])
def test_a_time_limit_that_is_not_reached_changes_nothing(limit: float | None) -> None:
    with in_time(limit):
        pass
    with pytest.raises(KeyboardInterrupt, match="^$"), in_time(limit):
        raise KeyboardInterrupt
