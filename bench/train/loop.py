"""The one training loop: updates, rows of the curve, tests, checkpoints, stops."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from bench.train.metrics import Test
from bench.train.trainer import DivergedError, Trainer
from bench.train.turns import Work

BEAT_SECONDS = 1.0
RECENT = 15  # beats whose median is the speed that is said


class StoppedError(RuntimeError):
    """The run was asked to stop; its checkpoint is written and the next start resumes it."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """The calls of a training.

    save: writes the trainer's state. should_stop: asked after each step, and once a second in a test. beat: gets step,
    loss, error, speed and the last test's seconds about once a second. checkpoint_seconds: the time between two saves.
    """

    save: Callable[[Trainer], object]
    should_stop: Callable[[], bool]
    beat: Callable[..., object]
    checkpoint_seconds: float


def train(
    trainer: Trainer,
    *,
    steps: int,
    curve_every: int,
    test_every: int,
    test: Callable[[], Work[Test]],
    hooks: Hooks,
) -> Work[Test]:
    """Trains up to `steps` updates; a row of the curve every `curve_every`, with a test every `test_every`.

    Other runs may have a turn after each update. The last step always closes a row with a test, which is returned: of
    the net after the last step, never of the best one. Raises DivergedError, and StoppedError after saving when
    `hooks.should_stop` or the test itself says so; a test that was stopped comes first when the run is resumed.
    """

    timed: dict[str, float] = {}

    def tested() -> Work[Test]:
        try:
            found = _finite((yield from _stoppable(test(), trainer, hooks)), trainer.step)
        except StoppedError:
            hooks.save(trainer)
            raise
        if math.isfinite(found.seconds):
            timed["test_s"] = found.seconds
        trainer.curve[-1] |= {"test_loss": found.loss, "test_error": found.error}
        return found

    def due() -> bool:
        return trainer.step == steps or trainer.step % test_every == 0

    last: Test | None = None
    if trainer.curve and trainer.curve[-1]["step"] == trainer.step and due() and "test_error" not in trainer.curve[-1]:
        last = yield from tested()
    clock = _Clock(trainer, steps, hooks, timed)
    while trainer.step < steps:
        trainer.update()
        yield None
        if trainer.step == steps or trainer.step % curve_every == 0:
            trainer.curve.append((yield from trainer.closing_window()))
            if due():
                last = yield from tested()
        clock.tick()
    return last or _finite((yield from test()), steps)


def _stoppable(test: Work[Test], trainer: Trainer, hooks: Hooks) -> Work[Test]:
    """The test; raises StoppedError between two of its batches, where that would hold nobody else up."""
    asked = time.monotonic()
    while True:
        try:
            event = next(test)
        except StopIteration as end:
            found: Test = end.value
            return found
        yield event
        if trainer.processes.size == 1 and time.monotonic() - asked >= BEAT_SECONDS:
            asked = time.monotonic()
            if hooks.should_stop():
                raise StoppedError(f"stopped in the test of step {trainer.step:,}, which comes first when it resumes")


def _finite(measured: Test, step: int) -> Test:
    """Refuses NaN outputs: their argmax would make a plausible error of 90 %."""
    if not math.isfinite(measured.loss):
        raise DivergedError(f"the test loss is {measured.loss} at step {step:,}")
    return measured


class _Clock:
    """The time of a training; after each update saves, beats and stops where it is due.

    timed: what each beat says of the tests.
    """

    def __init__(self, trainer: Trainer, steps: int, hooks: Hooks, timed: Mapping[str, float]) -> None:
        self.trainer, self.steps, self.hooks, self.timed = trainer, steps, hooks, timed
        self.before, self.first = trainer.seconds, trainer.step
        self.start = self.saved = self.beaten = time.monotonic()
        self.shown, self.speeds = trainer.step, deque[float](maxlen=RECENT)  # the last beat's step; steps/s since then

    def tick(self) -> None:
        """After an update, with its row and test. Raises StoppedError after saving."""
        trainer, now = self.trainer, time.monotonic()
        trainer.seconds = self.before + now - self.start
        if now - self.beaten >= BEAT_SECONDS or trainer.step == self.first + 1:
            self._beat(now)
        if trainer.step == self.steps:
            self.hooks.save(trainer)
        elif self.hooks.should_stop():
            self.hooks.save(trainer)
            raise StoppedError(f"stopped at step {trainer.step:,} of {self.steps:,}")
        elif now - self.saved >= self.hooks.checkpoint_seconds:
            self.hooks.save(trainer)
            self.saved = time.monotonic()

    def _beat(self, now: float) -> None:
        """The speed is the median of the last beats': no test, checkpoint or pause of the machine changes it.

        The first step says nothing of it, as it may compile and warm up.
        """
        trainer = self.trainer
        if self.shown > self.first:
            self.speeds.append((trainer.step - self.shown) / (now - self.beaten))
        self.beaten, self.shown = now, trainer.step
        latest = trainer.curve[-1] if trainer.curve else {}
        words = {name: latest[name] for name in ("loss", "error", "test_error") if name in latest}
        speed = {"steps_per_s": median(self.speeds)} if self.speeds else {}
        self.hooks.beat(trainer.step, **speed, **self.timed, **words)
