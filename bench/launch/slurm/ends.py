"""Why a job ended before its runs: what Slurm and the job's log say, in words that name what to change.

A run that its job had started has died. A run that its job had not come to has not: it waits for another job. Where
jobs start no run at all, more of them would end alike.
"""

from __future__ import annotations

import re
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bench.launch.slurm.commands import SlurmError, ask
from bench.launch.slurm.job import begun
from bench.launch.slurm.queue import SQUEUE_SECONDS, Job
from bench.launch.worker import DEATHS

LOG_BYTES = 1 << 20  # of a log's beginning and of its end
FIRST_LINES, LAST_LINES, LINE_LENGTH = 5, 100, 200
NEWS_SECONDS = 60.0  # in which a network file system shows this machine what a job has written
SAYS = re.compile(r"(?:JobState|Reason|ExitCode|NodeList)=")
CAUSES = (  # what Slurm or the log says, and what that means; {} is the text in the brackets
    (
        r"OUT_OF_MEMORY|oom[-_ ]kill|out of memory|exceeded .*memory|MemoryError",
        "out of memory: raise memory_gib in the profile",
    ),
    (r"^bench: setup failed (.+)", "the profile's setup failed {}"),
    (
        r"execve\(\): (.+): (?:No such file|Permission denied)",
        "the node cannot start {}: use a Python that all nodes see",
    ),
    (
        r"No module named '?(?!bench)(\w+)",
        "the node's Python has no {}: install it there, or load it in the profile's setup",
    ),
    (
        r"ExitCode=0:53|Could not open std(?:out|err) file|No module named '?bench|could not find submitted jobs",
        "the node does not see {folder}: --out must be on a file system that all nodes share",
    ),
    (r"^bench: (.*\bjobs\b.* execute what lies there.*)", "{}"),
    (r"JobState=TIMEOUT|DUE TO TIME LIMIT", "its time was over: raise time in the profile"),
    (r"(No space left on device|Disk quota exceeded)", "{}: make room"),
    (r"JobState=(?:NODE|BOOT)_FAIL|DUE TO NODE FAILURE", "its node failed"),
)


@dataclass(frozen=True, slots=True)
class End:
    """How a job of the submission in `folder` ended. cause: "" where it is not known.

    begun: the runs that it had started, as its output says. slurm: what Slurm still says of the job. log: None where it
    left none. text: the end of its logs.
    """

    job: Job
    folder: Path
    cause: str
    begun: frozenset[str]
    slurm: str
    log: Path | None
    text: str

    @property
    def well(self) -> bool:
        """Whether the job itself ended as it should."""
        return "JobState=COMPLETED" in self.slurm or "Job completed successfully" in self.text

    @property
    def words(self) -> str:
        """The cause, else the last error in its log, else what Slurm says."""
        lines = list(_lines(self.text))
        errors = [line for line in lines if "error" in line.lower()] or lines[-1:]
        doubt = f"and Slurm knows it no more: was it cancelled, or does its node not see {self.folder}?"
        said = f"Slurm says {self.slurm}" if self.slurm else doubt
        return self.cause or (errors[-1] if errors else f"it wrote nothing, {said}")

    def __str__(self) -> str:
        """In one line."""
        where = self.log or "it left no log"
        found = re.search(r"NodeList=([^\s(]+)", self.slurm)
        node = self.job.node or (found[1] if found else "an unknown node")
        return f"job {self.job.id} on {node} ended before its runs: {self.words} ({where})"


def end_of(job: Job, folder: Path) -> End:
    """How the job of the submission in this folder ended."""
    slurm = ""
    with suppress(SlurmError):  # it forgets jobs after some minutes
        told = ask("scontrol", "show", "job", "--oneliner", job.id).split()
        slurm = " ".join(word for word in told if SAYS.match(word))
    logs = _read(path for kind in ("err", "out") for path in sorted(folder.glob(f"{job.id}_*_log.{kind}")))
    # what a job that was requeued met with in earlier starts is past
    text = "\n".join(line for log in logs.values() for line in log.splitlines()[-LAST_LINES:])
    cause = "; ".join(_causes(f"{slurm}\n{text}", folder))
    return End(job, folder, cause, begun("\n".join(logs.values())), slurm, next(iter(logs), None), text)


def _read(paths: Iterable[Path]) -> dict[Path, str]:
    """The regular files among them that can be read, each with its beginning and its end, whatever bytes it has."""
    found = {}
    for path in paths:
        with suppress(OSError):
            if stat.S_ISREG(path.stat().st_mode):
                with path.open("rb") as file:
                    content = file.read(LOG_BYTES)
                    file.seek(max(file.tell(), path.stat().st_size - LOG_BYTES))
                    found[path] = (content + file.read(LOG_BYTES)).decode(errors="replace")
    return found


def _lines(text: str) -> Iterator[str]:
    """The lines that say something, as they can be printed."""
    for line in text.splitlines():
        shown = "".join(letter if letter.isprintable() else " " for letter in line).strip()
        if shown:
            yield shown[:LINE_LENGTH]


def _causes(text: str, folder: Path) -> Iterator[str]:
    for pattern, words in CAUSES:
        if found := list(re.finditer(pattern, text, re.MULTILINE | re.IGNORECASE)):
            yield words.format(*(next(_lines(part), "") for part in found[-1].groups()), folder=folder)


class Ends:
    """The ends of a sweep's jobs; `folder` has its submissions. `say` gets a line for each job that ended badly."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self.say = folder, say
        self.runs_begin = False  # whether some job has begun a run: then the profile is not to blame
        self._why: dict[str, str | None] = {}
        self._seen: dict[str, tuple[float, End]] = {}  # when each job's end was looked at
        self._missed: dict[str, float] = {}  # since when a job has left no trace
        self._well: defaultdict[str, set[str]] = defaultdict(set)  # by run, jobs that ended well and did not begin it
        self._alike: defaultdict[str, set[str]] = defaultdict(set)  # jobs that began no run, by how they ended

    def why(self, name: str) -> str | None:
        """What the run died of, "" where that is not known, as of one that had no job; None where it had not begun."""
        return self._why.get(name, "")

    def judge(self, lost: Mapping[str, Job], *, running: bool) -> set[str]:
        """Of runs without an outcome that no job runs any more, with the job of each: those that are over.

        Of the others nothing can be said yet; running: whether there is a job that may still begin a run. Raises
        SlurmError where jobs begin none: when there is nothing else to wait for, or the second one ends alike.
        """
        names = defaultdict(set)
        for name, job in lost.items():
            names[job.id].add(name)
        ends = [self._end(job) for job in {job.id: job for job in lost.values()}.values()]
        self.runs_begin = self.runs_begin or any(end.begun for end in ends)
        over = [end for end in ends if not self._waits(end, names[end.job.id], running)]
        for end in over:
            self.say(f"slurm: {end}")
            self._why |= {name: end.cause if name in end.begun else None for name in names[end.job.id]}
        return {name for end in over for name in names[end.job.id]}

    def _end(self, job: Job) -> End:
        when, end = self._seen.get(job.id, (0.0, None))
        if end is None or time.monotonic() - when > SQUEUE_SECONDS:
            end = end_of(job, self.folder / job.name)
            self._seen[job.id] = time.monotonic(), end
        return end

    def _waits(self, end: End, names: set[str], running: bool) -> bool:
        """Whether more may become known of a job that began no run. Raises SlurmError where it is clear."""
        if end.begun:
            return False
        if end.well:  # its runs were held, or it is a start that failed without a word, which must have an end
            for name in names:
                self._well[name].add(end.job.id)
            if all(len(self._well[name]) <= DEATHS for name in names):
                return False
        since = self._missed.setdefault(end.job.id, time.monotonic())
        if end.log is None and not end.slurm and time.monotonic() - since < NEWS_SECONDS:
            return True
        alike = self._alike[re.sub(r"\d+", "", end.words)]
        alike.add(end.job.id)
        if not end.well and len(alike) == 1 and (self.runs_begin or running):
            return not self.runs_begin
        for line in islice(_lines(end.text), FIRST_LINES):
            self.say(f"slurm: job {end.job.id} wrote: {line}")
        raise SlurmError(
            f"{end}; it began no run, and others would not either: nothing more is submitted. Fix the cause and start "
            "the same command again"
        )
