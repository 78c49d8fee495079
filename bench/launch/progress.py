"""What a sweep shows while it runs: bars on a terminal, else plain lines."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.launch.pace import Forecast, seconds_left
from bench.launch.plan import Item, duration, speed_words
from bench.spec import Run, counted
from bench.store import RunFolder

LINE_SECONDS = 30.0
LINE_SHARE = 0.01  # of the time since the start, at least, from one to the next: the log of weeks stays short
MOST_BARS = 20
BAR, GAP = 10, 2  # characters
# what a row shows, and what goes first where the screen is narrow; the name and the steps stay, and no count is cut
COLUMNS = ("name", "bar", "step", "error", "loss", "images/s", "left")
DROPPED = ("loss", "images/s", "bar", "error", "left")
DIGEST = re.compile(r"-[0-9a-f]{8}$")  # at the end of a run's id


def short_names(ids: Iterable[str]) -> dict[str, str]:
    """Each id without its digest, where no other one is then the same."""
    names = {name: DIGEST.sub("", name) for name in ids}
    times = Counter(names.values())
    return {name: short if times[short] == 1 else name for name, short in names.items()}


def error_words(run: Run, beat: Mapping[str, Any], digits: int = 1) -> str:
    """The test error so far, else that of training: `61.2 % test`, of a detector `48.9 % AP50`; "" before the first."""
    if "test_error" in beat:
        task = run.task_row
        return f"{task.value(beat['test_error']):.{digits}f} % {task.measure.removesuffix(' error')}"
    return f"{beat['error']:.{digits}f} % train" if "error" in beat else ""


def is_test(beat: Mapping[str, Any]) -> bool:
    """Whether the last sign of life is of a test that takes its time, behind the last step."""
    return "to_test" in beat


def how_far(run: Run, beat: Mapping[str, Any]) -> tuple[int, int, str]:
    """How many steps are done, or images tested, of how many, and in words: `1,200/10,000 images`; "" before a test."""
    if is_test(beat):
        done, whole, unit = int(beat["tested"]), int(beat["to_test"]), " images"
    else:
        done, whole, unit = int(beat.get("step", 0)), run.recipe.steps, ""
    return done, whole, f"{done:,}/{whole:,}{unit}" if whole else ""


def left_of_test(beat: Mapping[str, Any]) -> float:
    """Seconds until that test has ended; others may follow."""
    return float((beat["to_test"] - beat["tested"]) / max(beat["test_images_per_s"], 1e-9))


def cells(run: Run, beat: Mapping[str, Any]) -> dict[str, str]:
    """What there is to say of a running run by its last sign of life, by column."""
    far = how_far(run, beat)[2]
    if not beat:
        return {"step": far, "error": "no step yet"} if run.recipe.steps else {"error": "no image tested yet"}
    if is_test(beat):
        speed = f"{speed_words(beat['test_images_per_s'])} images/s"
        name = str(beat["test"]).replace("_", " ")
        return {"step": far, "error": name, "images/s": speed, "left": f"{duration(left_of_test(beat))} left"}
    words = {"step": far, "error": error_words(run, beat)}
    if "loss" in beat:
        words["loss"] = f"loss {beat['loss']:.3f}"
    if (left := seconds_left(run, beat)) is not None:
        words["images/s"] = f"{speed_words(beat['steps_per_s'] * run.recipe.batch)} images/s"
        words["left"] = f"{duration(left)} left"
    return {name: word for name, word in words.items() if word}


def fitting(widths: Mapping[str, int], room: int) -> list[str]:
    """The columns that fit beside each other, without those that DROPPED names first."""
    kept, dropped = [name for name in COLUMNS if widths.get(name)], list(DROPPED)
    while dropped and sum(widths[name] + GAP for name in kept) - GAP > room:
        kept = [name for name in kept if name != dropped[0]]
        del dropped[0]
    return kept


class Lines:
    """Plain lines with the time of day: events at once, progress every half minute, after an hour ever more rarely."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.total, self.forecast = len(items), Forecast()
        self._began = self._last = time.monotonic()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def say(self, text: str) -> None:
        """One line that stays."""
        print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)

    def refresh(self, running: Sequence[Item], waiting: Sequence[Item], done: int) -> None:
        """Shows the progress, where it is time to; called often, and once at the end."""
        left = self.forecast.look(running, waiting)
        now = time.monotonic()
        if now - self._last < max(LINE_SECONDS, LINE_SHARE * (now - self._began)):
            return
        self._last = now
        self.say(f"{done} of {counted(self.total, 'run')} done" + (f"; about {left}" if left else ""))
        for item in running:
            if beat := self.forecast.beat(item):
                words, what = cells(item.run, beat), "tested" if is_test(beat) else "step"
                self.say(f"  {item.run.id}: {what} " + ", ".join(words[name] for name in COLUMNS if name in words))


class Bars(Lines):
    """A row for each running run and one for the sweep, by rich, no wider than the terminal."""

    def __init__(self, items: Sequence[Item], **console: Any) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(items)
        self._console = Console(**console)
        self._names = short_names(item.folder.path.name for item in items)
        self._rows: list[tuple[dict[str, str], int, int]] = [self._sweep(0, "")]  # words, done, of how many
        self._live = Live(console=self._console, get_renderable=self._table, refresh_per_second=4)

    def __enter__(self) -> Bars:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """One line above the bars, which the terminal may break and a copy gets in one piece."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def refresh(self, running: Sequence[Item], waiting: Sequence[Item], done: int) -> None:
        """Shows what is so now. Runs that wait in a queue have no rows where there are many."""
        beats = {item.folder.path.name: (item, self.forecast.beat(item)) for item in running}
        begun = {name: each for name, each in beats.items() if each[1]} if len(beats) > MOST_BARS else beats
        most = max(1, min(MOST_BARS, self._console.height - 3))
        rows = [self._sweep(done, self.forecast.look(running, waiting))]
        for name, (item, beat) in list(begun.items())[:most]:
            words = {"name": self._names.get(name, name), **cells(item.run, beat)}
            rows.append((words, *how_far(item.run, beat)[:2]))
        self._rows = rows

    def _sweep(self, done: int, left: str) -> tuple[dict[str, str], int, int]:
        return {"name": "runs done", "step": f"{done:,}/{self.total:,}", "left": left}, done, self.total

    def _table(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        rows = self._rows
        widths = {name: max(len(words.get(name, "")) for words, _, _ in rows) for name in COLUMNS} | {"bar": BAR}
        table = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
        shown = fitting(widths, self._console.width)
        room = self._console.width - sum(widths[name] + GAP for name in shown if name != "name")
        widths["name"] = max(1, min(widths["name"], room))  # of a name that does not fit, the end is cut
        for name in shown:
            number = name in ("step", "images/s", "left")
            table.add_column(no_wrap=True, justify="right" if number else "left", width=widths[name])
        for words, done, total in rows:
            bar = ProgressBar(total=total or 1, completed=done, width=BAR)
            table.add_row(*(bar if name == "bar" else words.get(name, "") for name in shown))
        return table


def display(items: Sequence[Item]) -> Lines:
    """Bars on a terminal, else lines. items: all runs of this start."""
    return Bars(items) if sys.stdout.isatty() else Lines(items)


def outcome(folder: RunFolder, name: str) -> str:
    """One line on how a run ended."""
    result, error = folder.result(), folder.error()
    if result is not None:
        words = folder.run().task_row.words(result["test_error"])
        return f"{name}: done, {words}, {duration(result['seconds'])}"
    if error is not None:
        return f"{name}: failed: {error['message']}"
    return f"{name}: {folder.state()}"
