"""What a sweep shows while it runs: bars on a terminal, else plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.launch.plan import Item, duration, speed_words
from bench.nets.counts import multiply_adds_of
from bench.spec import counted, task_of
from bench.store import RunFolder

LINE_SECONDS = 30.0
FORECAST_SECONDS = 5.0
MOST_BARS = 20


def status(item: Item) -> tuple[int, str]:
    """The run's step and its latest numbers in words, from its heartbeat."""
    beat = item.folder.heartbeat() or {}
    words = []
    if "loss" in beat:
        words.append(f"loss {beat['loss']:.3f}")
    if "error" in beat:
        words[-1] += f", training error {beat['error']:.1f} %"
    if "test_error" in beat:
        words.append(task_of(item.run.task).words(beat["test_error"]))
    if beat.get("steps_per_s"):
        left = (item.run.recipe.steps - beat["step"]) / beat["steps_per_s"]
        words.append(f"{speed_words(beat['steps_per_s'] * item.run.recipe.batch)} images/s, {duration(left)} left")
    return int(beat.get("step", 0)), "; ".join(words)


class Forecast:
    """The time left for all runs of this start, by the multiply-adds a second since it began."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items, self.began, self.asked = items, time.monotonic(), 0.0
        self.total = sum(_work(item, item.run.recipe.steps) for item in items)
        self.before, self.words = self._done(), ""

    def _done(self) -> float:
        return sum(_work(item, int((item.folder.heartbeat() or {}).get("step", 0))) for item in self.items)

    def __str__(self) -> str:
        """In words, "" before the first steps; updated every few seconds only, as there may be thousands of runs."""
        now = time.monotonic()
        if now - self.asked > FORECAST_SECONDS:
            self.asked, done = now, self._done()
            speed = (done - self.before) / (now - self.began)
            self.words = f"about {duration((self.total - done) / speed)} left" if speed > 0 else ""
        return self.words


def _work(item: Item, steps: int) -> float:
    """Multiply-adds of so many steps, up to a factor that all nets share."""
    return float(steps * item.run.recipe.batch * multiply_adds_of(item.run))


class Lines:
    """Plain lines with the time of day: events at once, progress every half minute."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.total, self.forecast, self._last = len(items), Forecast(items), time.monotonic()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def say(self, text: str) -> None:
        """One line that stays."""
        print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)

    def refresh(self, running: Sequence[Item], done: int) -> None:
        """Shows the progress, where it is time to; called often."""
        if time.monotonic() - self._last < LINE_SECONDS:
            return
        self._last = time.monotonic()
        left = str(self.forecast)
        self.say(f"{done} of {counted(self.total, 'run')} done" + (f"; {left}" if left else ""))
        for item in running:
            step, words = status(item)
            if step:
                self.say(f"  {item.run.id}: step {step:,} of {item.run.recipe.steps:,}; {words}")


class Bars(Lines):
    """A bar for each running run and one for the sweep, by rich."""

    def __init__(self, items: Sequence[Item]) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        super().__init__(items)
        words = TextColumn("{task.fields[words]}")
        self._progress = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), words)
        self._sweep = self._progress.add_task("runs", total=self.total, words="")
        self._bars: dict[str, Any] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """One line above the bars."""
        self._progress.console.print(text, highlight=False, markup=False)

    def refresh(self, running: Sequence[Item], done: int) -> None:
        """Moves the bars and removes those of ended runs. Runs that wait in a queue have none."""
        self._progress.update(self._sweep, completed=done, words=str(self.forecast))
        running = [item for item in running if status(item)[0]][:MOST_BARS]
        names = {item.run.id for item in running}
        for name in [name for name in self._bars if name not in names]:
            self._progress.remove_task(self._bars.pop(name))
        for item in running:
            step, words = status(item)
            if item.run.id not in self._bars:
                self._bars[item.run.id] = self._progress.add_task(item.run.id, total=item.run.recipe.steps, words="")
            self._progress.update(self._bars[item.run.id], completed=step, words=words)


def display(items: Sequence[Item]) -> Lines:
    """Bars on a terminal, else lines. items: all runs of this start."""
    return Bars(items) if sys.stdout.isatty() else Lines(items)


def outcome(folder: RunFolder, name: str) -> str:
    """One line on how a run ended."""
    result, error = folder.result(), folder.error()
    if result is not None:
        words = task_of(folder.run().task).words(result["test_error"])
        return f"{name}: done, {words}, {duration(result['seconds'])}"
    if error is not None:
        return f"{name}: failed: {error['message']}"
    return f"{name}: {folder.state()}"
