"""What a person sees while a sweep runs: bars on a terminal, plain lines where it is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from bench.launch.plan import Item, duration
from bench.store import RunFolder

LINE_SECONDS = 30.0
MOST_BARS = 20


def status(item: Item) -> tuple[int, str]:
    """Steps done and the run's latest numbers in words, from its heartbeat."""
    beat = item.folder.heartbeat() or {}
    words = []
    if "loss" in beat:
        words.append(f"loss {beat['loss']:.3f}, training error {beat['error']:.1f} %")
    if "test_error" in beat:
        words.append(f"test error {beat['test_error']:.2f} %")
    if beat.get("steps_per_s"):
        left = (item.run.recipe.steps - beat["step"]) / beat["steps_per_s"]
        words.append(f"{beat['steps_per_s'] * item.run.recipe.batch:.0f} images/s, {duration(left)} left")
    return int(beat.get("step", 0)), "; ".join(words)


class Display(Protocol):
    """Told of events, and called often in between."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def say(self, text: str) -> None:
        """One line that stays."""

    def refresh(self, running: Sequence[Item], done: int) -> None:
        """Shows where the runs are."""


class Lines:
    """Plain lines with the time of day: events at once, the running runs every half minute."""

    def __init__(self, total: int) -> None:
        self.total, self._last = total, time.monotonic()

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def say(self, text: str) -> None:
        """One line."""
        print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)

    def refresh(self, running: Sequence[Item], done: int) -> None:
        """A line a running run, every half minute."""
        if time.monotonic() - self._last < LINE_SECONDS:
            return
        self._last = time.monotonic()
        for item in running:
            step, words = status(item)
            if step:
                steps = item.run.recipe.steps
                self.say(f"{done}/{self.total} done; {item.run.id}: step {step:,} of {steps:,}; {words}")


class Bars:
    """A bar a running run and one for the sweep, by rich."""

    def __init__(self, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[words]}"),
        )
        self._progress = Progress(*columns)
        self._sweep = self._progress.add_task("runs", total=total, words="")
        self._bars: dict[str, int] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """One line above the bars."""
        self._progress.console.print(text, highlight=False, markup=False)

    def refresh(self, running: Sequence[Item], done: int) -> None:
        """Moves the bars; those of ended runs go. Runs that wait in a queue have none."""
        from rich.progress import TaskID

        self._progress.update(self._sweep, completed=done)
        running = [item for item in running if status(item)[0]][:MOST_BARS]
        names = {item.run.id for item in running}
        for name in [name for name in self._bars if name not in names]:
            self._progress.remove_task(TaskID(self._bars.pop(name)))
        for item in running:
            step, words = status(item)
            if item.run.id not in self._bars:
                self._bars[item.run.id] = self._progress.add_task(item.run.id, total=item.run.recipe.steps, words="")
            self._progress.update(TaskID(self._bars[item.run.id]), completed=step, words=words)


def display(total: int) -> Display:
    """Bars on a terminal, else lines."""
    return Bars(total) if sys.stdout.isatty() else Lines(total)


def outcome(folder: RunFolder, name: str) -> str:
    """One line on what became of a run."""
    result, error = folder.result(), folder.error()
    if result is not None:
        return f"{name}: done, test error {result['test_error']:.2f} %, {duration(result['seconds'])}"
    if error is not None:
        return f"{name}: failed: {error['message']}"
    return f"{name}: {folder.state()}"
