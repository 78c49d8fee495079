"""Runs that last until a test lets them end, on a machine of any speed: training waits at a step that a file names."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from bench.train.loop import _Clock

VARIABLE = "BENCH_TESTS_PAUSE"  # the file's path, where the environment says it
WAIT_SECONDS = 0.02


@dataclass(frozen=True)
class Pause:
    """The file. Where it is there, the runs of processes that have called `install` wait at its step."""

    path: Path

    def at(self, step: int) -> None:
        """No run goes beyond this step, which has to come before its last one."""
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(str(step))
        temporary.replace(self.path)

    def lift(self) -> None:
        """All runs may end."""
        self.path.unlink(missing_ok=True)

    def holds(self, step: int) -> bool:
        try:
            return step >= int(self.path.read_text())
        except FileNotFoundError:
            return False

    def install(self) -> None:
        """Lets the training loop of this process wait. Meanwhile it does all that it does between two steps.

        It saves checkpoints, gives signs of life and stops when asked; the processes of one run wait together.
        """
        tick = _Clock.tick

        def tick_and_wait(clock: _Clock) -> None:
            tick(clock)
            while clock.trainer.step < clock.steps and clock.trainer.processes.any(self.holds(clock.trainer.step)):
                time.sleep(WAIT_SECONDS)
                tick(clock)

        _Clock.tick = tick_and_wait  # type: ignore[method-assign, assignment]


def install_from_environment() -> None:
    if path := os.environ.get(VARIABLE):
        Pause(Path(path)).install()
