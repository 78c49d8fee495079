"""How long runs still take, by what they say of their speed while they train. Imports no torch."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.launch.plan import Item, duration
from bench.nets.counts import multiply_adds_of
from bench.nets.speeds import Speed, predicted_seconds
from bench.spec import Run

LOOK_SECONDS = 2.0  # between two looks at all runs, of which there may be thousands
NEWEST = 20  # speeds by which those of runs that wait are told
FIRST_SECONDS = 30.0  # so long the first run with a speed waits for the others that start with it


def speed_of_beat(run: Run, beat: Mapping[str, Any]) -> Speed | None:
    """The speed that a running run says it has, None before its second sign of life."""
    if not beat.get("steps_per_s"):
        return None
    images = min(run.recipe.test_images, run.dataset.test_images or 1)
    tests_per_s = 1 / beat["test_s"] if beat.get("test_s") else 0.0
    rate, batch = beat["steps_per_s"] * run.recipe.batch, run.recipe.batch
    timed = (images, images * tests_per_s)
    known = Speed(run.net.name, multiply_adds_of(run), batch, run.recipe.precision, rate, "", *timed)
    return replace(known, task=run.task, family=run.net.family)


def seconds_left(run: Run, beat: Mapping[str, Any]) -> float | None:
    """Of a running run with its tests; None before there is something to say."""
    speed = speed_of_beat(run, beat)
    return predicted_seconds(run, int(beat["step"]), [speed]) if speed else None


def makespan(running: Iterable[float], waiting: Iterable[float], slots: int) -> float:
    """Seconds until all have ended, where each that waits starts as soon as one of `slots` is free."""
    ends = list(running)
    ends += [0.0] * (max(slots, 1) - len(ends))
    heapq.heapify(ends)
    for seconds in waiting:
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)


class Forecast:
    """The time left for all runs of this start, in words; "" before there is something to say.

    Runs that train say their speed; those that wait are taken to be as fast, by their multiply-adds, as many at once as
    have trained at once so far.
    """

    def __init__(self) -> None:
        self.began, self.words = time.time(), ""
        self.speeds: dict[str, Speed] = {}  # of the runs of this start, the newest last
        self._asked, self._first, self._slots = float("-inf"), float("inf"), 1

    def look(self, running: Sequence[Item], waiting: Sequence[Item]) -> str:
        """The words by what is so now; asked often, it looks every few seconds."""
        now = time.monotonic()
        if now - self._asked >= LOOK_SECONDS:
            self._asked = now
            seconds = self._seconds(running, waiting, now)
            self.words = f"{duration(seconds)} left" if seconds else ""
        return self.words

    def beat(self, item: Item) -> dict[str, Any]:
        """The run's last sign of life, {} where it is an earlier start's, whose speed says nothing of this one's."""
        beat = item.folder.heartbeat()
        return beat if beat and beat["time"] >= self.began else {}

    def has_to_save(self, item: Item) -> bool:
        """Whether the run may have done something in this start that would be lost if it ended now."""
        beat = item.folder.heartbeat() or {}
        return bool(self.beat(item)) or int(beat.get("step", 0)) >= item.run.recipe.steps

    def _seconds(self, running: Sequence[Item], waiting: Sequence[Item], now: float) -> float | None:
        beats = {item.folder.path.name: beat for item in running if (beat := self.beat(item))}
        for item in running:
            name = item.folder.path.name
            if speed := speed_of_beat(item.run, beats.get(name, {})):
                self.speeds.pop(name, None)
                self.speeds[name] = speed
        if not self.speeds:
            return None
        self._first, self._slots = min(self._first, now), max(self._slots, len(beats))
        if now - self._first < FIRST_SECONDS and any(item.folder.path.name not in self.speeds for item in running):
            return None
        begun, others = list[float](), list[float]()
        for item in (*running, *waiting):
            name = item.folder.path.name
            step = int(beats[name]["step"]) if name in beats else _steps_kept(item)
            speeds = [self.speeds[name]] if name in self.speeds else list(self.speeds.values())[-NEWEST:]
            seconds = predicted_seconds(item.run, step, speeds)
            if seconds is None:
                return None
            (begun if name in beats else others).append(seconds)
        return makespan(begun, others, self._slots)


def _steps_kept(item: Item) -> int:
    """Of a run that waits, about."""
    return int((item.folder.heartbeat() or {}).get("step", 0)) if item.state != "pending" else 0
