"""The one training loop: updates, rows of the curve, tests, checkpoints, stops."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.train.metrics import Test
from bench.train.trainer import DivergedError, Trainer
from bench.train.turns import Work


class StoppedError(RuntimeError):
    """The run was asked to stop; its checkpoint is written and the next start resumes it."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """The calls of a training.

    save: writes the trainer's state. should_stop: asked after each step. beat: gets step, loss, error and speed about
    once a second. checkpoint_seconds: the time between two saves.
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

    def tested() -> Work[Test]:
        try:
            found = _finite((yield from test()), trainer.step)
        except StoppedError:
            hooks.save(trainer)
            raise
        trainer.curve[-1] |= {"test_loss": found.loss, "test_error": found.error}
        return found

    def due() -> bool:
        return trainer.step == steps or trainer.step % test_every == 0

    last: Test | None = None
    if trainer.curve and trainer.curve[-1]["step"] == trainer.step and due() and "test_error" not in trainer.curve[-1]:
        last = yield from tested()
    clock = _Clock(trainer, steps, hooks)
    while trainer.step < steps:
        trainer.update()
        yield None
        if trainer.step == steps or trainer.step % curve_every == 0:
            trainer.curve.append((yield from trainer.closing_window()))
            if due():
                last = yield from tested()
        clock.tick()
    return last or _finite((yield from test()), steps)


def _finite(measured: Test, step: int) -> Test:
    """Refuses NaN outputs: their argmax would make a plausible error of 90 %."""
    if not math.isfinite(measured.loss):
        raise DivergedError(f"the test loss is {measured.loss} at step {step:,}")
    return measured


class _Clock:
    """The time of a training; after each update saves, beats and stops where it is due."""

    def __init__(self, trainer: Trainer, steps: int, hooks: Hooks) -> None:
        self.trainer, self.steps, self.hooks = trainer, steps, hooks
        self.before, self.first = trainer.seconds, trainer.step
        self.start = self.saved = self.beaten = time.monotonic()

    def tick(self) -> None:
        """After an update, with its row and test. Raises StoppedError after saving."""
        trainer, now = self.trainer, time.monotonic()
        trainer.seconds = self.before + now - self.start
        if now - self.beaten >= 1 or trainer.step == self.first + 1:
            self.beaten = now
            latest = trainer.curve[-1] if trainer.curve else {}
            shown = {name: latest[name] for name in ("loss", "error", "test_error") if name in latest}
            self.hooks.beat(trainer.step, steps_per_s=(trainer.step - self.first) / (now - self.start), **shown)
        if trainer.step == self.steps:
            self.hooks.save(trainer)
        elif self.hooks.should_stop():
            self.hooks.save(trainer)
            raise StoppedError(f"stopped at step {trainer.step:,} of {self.steps:,}")
        elif now - self.saved >= self.hooks.checkpoint_seconds:
            self.hooks.save(trainer)
            self.saved = time.monotonic()
