"""Steps of a stretch: commands under a time limit, whose output goes to one log."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

GRACE = 5.0  # seconds from SIGTERM to SIGKILL
TIMED_OUT = 124


class Log:
    """Lines with the seconds since the start, in a file and on stdout; and whether a step went wrong."""

    def __init__(self, path: Path, began: float) -> None:
        self.began, self.troubles = began, 0
        self._file = path.open("w", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()

    def say(self, words: str) -> None:
        """Writes a line."""
        with self._lock:
            line = f"{time.monotonic() - self.began:6.1f}  {words}"
            self._file.write(line + "\n")
            print(line, flush=True)

    def trouble(self, words: str) -> None:
        """Writes a line on what did not go as planned."""
        self.troubles += 1
        self.say(f"TROUBLE: {words}")

    def check(self, step: Step, seconds: float) -> bool:
        """Waits for the step; whether it went well. If not, that is said."""
        return self.check_code(step.name, step.wait(seconds), (0,))

    def check_code(self, name: str, code: int, harmless: Sequence[int]) -> bool:
        """Says a code other than 0; whether it is one of the harmless ones."""
        if code:
            self.trouble(f"{name} {'ran out of time' if code == TIMED_OUT else f'ended with exit code {code}'}")
        return code in harmless

    def end(self) -> int:
        """The last line, and the exit code."""
        self.say(f"{self.troubles} troubles" if self.troubles else "all went as planned")
        return 1 if self.troubles else 0


class Step:
    """A command that runs meanwhile, with all processes that it starts in a group of their own."""

    def __init__(self, name: str, command: Sequence[str], log: Log, cwd: Path) -> None:
        self.name, self.log, self.began = name, log, time.monotonic()
        # a group, no session: what ends our session, such as the end of the call, ends the step, too
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            if line.strip():
                self.log.say(f"{self.name}: {line.rstrip()}")

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll()

    def running(self) -> bool:
        """Whether it has not ended."""
        return self.code is None

    def wait(self, seconds: float) -> int:
        """The exit code; ends it after so many seconds, counted from now, and returns TIMED_OUT."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return TIMED_OUT
        self._reader.join(1)
        self.log.say(f"{self.name}: exit code {code} after {time.monotonic() - self.began:.1f} s")
        return code

    def terminate(self) -> None:
        """SIGTERM to the command itself, which knows what to do with what it has started."""
        self._process.terminate()

    def kill(self, grace: float = GRACE) -> None:
        """Ends it and all that it has started, with a few seconds' notice where it still runs."""
        self.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(1)
