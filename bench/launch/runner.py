"""Runs all that a plan has to do through an executor, and waits for runs that another process holds."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from bench.launch.local import Executor
from bench.launch.plan import Item
from bench.launch.progress import Lines, outcome
from bench.launch.worker import DEATHS, Stop
from bench.spec import counted
from bench.store import StoreError

POLL_SECONDS = 0.2
GRACE_SECONDS = 15.0  # after a time limit, for runs to end by themselves
ASK_SECONDS = 2.0
NAMED = 20  # of the runs that start together so many are named, the rest counted


@dataclass
class Runner:
    """One start of a sweep. `failed` and `done` count the runs that ended in it.

    named: so many of the runs that start together are named, the rest counted.
    patience: seconds to wait for a run that another process holds, before it is left to that process.
    """

    executor: Executor
    stop: Stop
    display: Lines
    patience: float = math.inf
    named: int = NAMED
    done: int = 0
    failed: int = 0
    waiting: deque[Item] = field(default_factory=deque)
    running: dict[str, Item] = field(default_factory=dict)
    elsewhere: dict[str, tuple[Item, float]] = field(default_factory=dict)  # with the time at which patience ends
    deaths: Counter[str] = field(default_factory=Counter)
    marks: dict[str, int] = field(default_factory=dict)  # of each run's checkpoint when it was last started
    stopped: float | None = None  # when it said that it stops

    def run(self, todo: Sequence[Item]) -> None:
        """Runs `todo` to its end, or until `stop`; then all has a checkpoint and the next start resumes it."""
        self.waiting.extend(todo)
        with self._watching():
            try:
                while (self.waiting or self.running or self.elsewhere) and not self.stop():
                    self._start_what_fits()
                    self._reap()
                    self._look_elsewhere()
                    time.sleep(POLL_SECONDS)
                self._wind_down()
            except BaseException as error:
                self.executor.stop()  # no job may train on unobserved
                if isinstance(error, KeyboardInterrupt):
                    self.executor.kill([item.folder for item in self.running.values()])
                raise

    def _start_what_fits(self) -> None:
        room = self.executor.slots - len(self.running)
        items = [self.waiting.popleft() for _ in range(min(room, len(self.waiting)))]
        if not items or self.stop():
            self.waiting.extendleft(reversed(items))
            return
        self.running.update({item.run.id: item for item in items})
        self.marks.update({item.run.id: item.folder.mark() for item in items})
        self.executor.submit([(item.run, item.folder) for item in items])  # first: it may be refused
        for item in items[: self.named]:
            self.display.say(f"{item.run.id}: {self.executor.verb} ({item.state})")
        if len(items) > self.named:
            self.display.say(f"... and {len(items) - self.named:,} more")

    def _reap(self) -> None:
        for folder in self.executor.ended():
            self._ended(self.running.pop(folder.path.name))

    def _ended(self, item: Item) -> None:
        name, folder = item.run.id, item.folder
        if folder.result() is not None:
            self.done += 1
            self.display.say(outcome(folder, name))
        elif folder.error() is not None:
            self.failed += 1
            self.display.say(outcome(folder, name))
        elif folder.lives():
            self.elsewhere[name] = (item, time.monotonic() + self.patience)
            self.display.say(f"{name}: another process holds it; waiting for it")
        elif self.stop() or name in self.executor.withdrawn:
            self.display.say(f"{name}: stopped; the next start resumes it")
        else:
            self._died(item)

    def _died(self, item: Item) -> None:
        """Restarts it from its checkpoint; after some deaths in a row without a new checkpoint it fails."""
        name, mark, why = item.run.id, item.folder.mark(), self.executor.why(item.folder)
        if why is None:
            self.display.say(f"{name}: its job ended before it began; it waits for another")
            self.waiting.append(item)
            return
        before = self.deaths[name] if mark == self.marks[name] else 0
        self.deaths[name] = before + (name not in self.executor.crowd)
        if self.deaths[name] <= DEATHS:
            then = "it resumes from its checkpoint" if mark else "it restarts"
            self.display.say(f"{name}: its process died ({why}); {then}")
            self.waiting.append(item)
            return
        self.failed += 1
        words = f"its process died {self.deaths[name]} times without an error ({why})"
        words += f"; see {self.executor.log(item.folder)}"
        with suppress(StoreError):
            item.folder.fail(words, retry=True)
        self.display.say(f"{name}: failed: {words}")

    def _look_elsewhere(self) -> None:
        for name, (item, until) in list(self.elsewhere.items()):
            if not item.folder.lives():
                del self.elsewhere[name]
                if item.folder.result() is None:
                    self.waiting.append(item)
                else:
                    self.done += 1
                    self.display.say(outcome(item.folder, name))
            elif time.monotonic() > until:
                del self.elsewhere[name]
                self.display.say(f"{name}: left to the process that holds it")

    def _wind_down(self) -> None:
        """Asks repeatedly until all have ended, as a job that is just starting may miss the first signal."""
        asked, ends = float("-inf"), True
        while self.running and ends:
            if time.monotonic() - asked > ASK_SECONDS:
                asked = time.monotonic()
                ends = self.executor.stop()
            self._reap()
            time.sleep(POLL_SECONDS)

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Refreshes the display and answers a stop from its own thread: an inline run keeps this one busy."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(POLL_SECONDS):
                self._answer()
                self._refresh()

        thread = threading.Thread(target=watch, daemon=True)
        with self.display:
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()
                self._answer()
                self._refresh()

    def _refresh(self) -> None:
        others = [item for item, _ in list(self.elsewhere.values())]
        self.display.refresh(list(self.running.values()), [*list(self.waiting), *others], self.done)

    def _answer(self) -> None:
        """Says at once that it stops; ends runs that have nothing to save, and a while after a time limit all."""
        if not self.stop():
            return
        running = list(self.running.values())
        saving = [item for item in running if self.display.forecast.has_to_save(item)]
        if self.stopped is None:
            self.stopped = time.monotonic()
            if self.executor.follows_stop:
                self.display.say(f"{self.stop.why}: {_words(len(saving), by_key=bool(self.stop.signal))}")
        late = self.stop.late and time.monotonic() - self.stopped > GRACE_SECONDS
        if over := [item.folder for item in running if late or item not in saving]:
            self.executor.kill(over)


def _words(saving: int, *, by_key: bool) -> str:
    """What happens to runs that are asked to stop, of which so many have made a step."""
    if not saving:
        return "no run has a step to save"
    writes = "writes its checkpoint" if saving == 1 else "write their checkpoints"
    again = "; Ctrl-C again ends at once" if by_key and sys.stdin and sys.stdin.isatty() else ""
    return f"{counted(saving, 'run')} {writes} …{again}"
