"""Tests finished runs on further test sets, one after the other on this machine. What has been tested is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.data.locate import AbsentError, DataError
from bench.machine import cpu_name
from bench.spec import counted
from bench.spec.further import GROUPS, FurtherSet
from bench.store import RunFolder, StoreError
from bench.store.further import keep_test, kept_test

Todo = Sequence[tuple[RunFolder, Sequence[FurtherSet]]]


def absent(rows: Iterable[FurtherSet], data: Path) -> dict[FurtherSet, str]:
    """Which of these sets are not below the data folder, each once, with what to do about it."""
    found = {}
    for row in dict.fromkeys(rows):
        try:
            row.resolve("locate")(data, row)
        except AbsentError as error:
            found[row] = str(error)
    return found


def absent_words(lacking: dict[FurtherSet, str]) -> list[str]:
    """A line for each source of sets that are not there."""
    lines = []
    for group, rows in groupby(lacking, lambda row: row.group or row.name):
        first, *more = rows
        lines.append(lacking[first] + (f" (and {len(more)} more of {GROUPS[group]})" if more else ""))
    return lines


def to_do(folders: Iterable[RunFolder], rows: Sequence[FurtherSet]) -> Todo:
    """The runs that are done and lack some of these tests, with those."""
    found = []
    for folder in folders:
        result, run = folder.result(), folder.readable_run()
        if result is None or run is None:
            continue
        weights = str(result["weights_sha256"])
        lacking = [
            row
            for row in rows
            if run.data == row.of and run.task in row.tasks and kept_test(folder, row.name, weights) is None
        ]
        if lacking:
            found.append((folder, lacking))
    return found


def asked(todo: Todo) -> Iterator[FurtherSet]:
    """The sets of what is to be done."""
    return (row for _, rows in todo for row in rows)


@dataclass
class Testing:
    """One start of such tests. tested: how many of `total` have been made. stopped: whether by `stop`."""

    data: Path
    stop: Callable[[], bool]
    say: Callable[[str], object]
    total: int = 0
    tested: int = 0
    stopped: bool = False
    _unusable: set[FurtherSet] = field(default_factory=set)

    def all(self, todo: Todo) -> None:
        """All of `todo`, or until it is stopped; says what could not be tested."""
        from bench.train.loop import StoppedError  # torch comes with it

        self.total = sum(len(rows) for _, rows in todo)
        for folder, rows in todo:
            try:
                self._run(folder, [row for row in rows if row not in self._unusable])
            except StoppedError:
                self.stopped = True
                self.say(
                    f"stopped: {self.tested} of {counted(self.total, 'further test')} done; the same command goes on"
                )
                break
            except RuntimeError as error:  # of the data, the store, the weights or the device
                self.say(f"{folder.path.name}: not tested: {error}")

    def _run(self, folder: RunFolder, rows: Sequence[FurtherSet]) -> None:
        start = time.perf_counter()
        for row, outcome in _tester(folder, self.data, self.stop).on(rows) if rows else ():
            if isinstance(outcome, DataError):
                self._unusable.add(row)
                self.say(f"{row.title} cannot be used: {outcome}")
            else:
                keep_test(folder, outcome)
                self.tested += 1
                self.say(f"{folder.path.name}: {self._words(row, outcome, time.perf_counter() - start)}")
            start = time.perf_counter()

    def _words(self, row: FurtherSet, outcome: dict[str, Any], seconds: float) -> str:
        parts = list(outcome["parts"].values())
        error = sum(one["error"] for one in parts) / len(parts)
        images = f"{len(parts)} x {parts[0]['images']:,}" if len(parts) > 1 else f"{parts[0]['images']:,}"
        count = f"{self.tested} of {counted(self.total, 'further test')}"
        return f"{error:.2f} % on {row.title} ({images} images, {seconds:.0f} s; {count})"


def _tester(folder: RunFolder, data: Path, stop: Callable[[], bool]) -> Any:
    """What tests the run with the threads and kernels that it had. Raises StoreError where its weights are not here."""
    from bench.tasks.further import Tester
    from bench.train import checkpoint

    run, result, env = folder.run(), folder.result() or {}, folder.env() or {}
    try:
        content = folder.checkpoint.read_bytes()
        net = checkpoint.of_run(content, run.id, str(result["weights_sha256"]))["net"]
    except OSError as error:
        raise StoreError(
            f"{folder.checkpoint} cannot be read ({error.strerror}): its weights were deleted, or stayed on the "
            "machine that trained it"
        ) from None
    except ValueError as error:
        raise StoreError(f"{folder.checkpoint}: {error}") from None
    run = replace(run, resources=run.resources.as_recorded(env, cpu_name()))
    data_sha256 = str(env.get("data_sha256") or "")
    return Tester(run, dict(checkpoint.raw(net)), result["weights_sha256"], data_sha256, data, stop)
