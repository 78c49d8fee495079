"""The queue, as far as it is this user's: squeue's overview, and what slurmctld says of a job that is asked by number.

Sites put a cache before squeue: it may not list a job yet that was submitted half a minute ago.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.launch.slurm.commands import SlurmError, ask
from bench.store import Submission, submissions

SQUEUE_SECONDS = 6.0  # between two listings, of two requests each: 20 a minute, however many jobs there are
YOUNG_SECONDS = 120.0  # a submission of which squeue may not have heard
ENDED = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
         "PREEMPTED", "RECONFIG_FAIL", "REVOKED", "TIMEOUT")  # fmt: skip
UNKNOWN = ("Invalid job id", "not found")  # scontrol, of a number that slurmctld does not know, or not any more


@dataclass(frozen=True, slots=True)
class Job:
    """A job. `name` and `index` (in its array) lead to its runs; `left` is squeue's alone."""

    name: str
    index: int
    id: str
    state: str
    node: str = ""
    left: str = ""
    reason: str = ""

    @property
    def number(self) -> str:
        """The array's, by which Slurm finds all its jobs."""
        return self.id.split("_")[0]


def listing() -> list[Job]:
    """This user's jobs that have not ended, each job of an array separately; one request.

    In all partitions: squeue passes over those of hidden ones otherwise.
    """
    lines = ask("squeue", "--me", "--all", "--noheader", "--array", "--format=%j|%K|%i|%T|%N|%L|%r").splitlines()
    parts = [line.split("|") for line in lines]
    return [Job(p[0], int(p[1]) if p[1].isdigit() else 0, *p[2:7]) for p in parts if len(p) >= 7]


def records(number: str) -> list[Job]:
    """The job of this number, or all of the array, that slurmctld knows: also those that ended lately; one request."""
    try:
        text = ask("scontrol", "--all", "--oneliner", "show", "job", number, SLURM_BITSTR_LEN="0")  # no index left out
    except SlurmError as error:
        if any(words in str(error) for words in UNKNOWN):
            return []
        raise
    return [
        job for line in text.splitlines() if line.strip() for job in _recorded(dict(re.findall(r"(\w+)=(\S*)", line)))
    ]


def _recorded(record: dict[str, str]) -> Iterator[Job]:
    """The jobs of a record, which is one for all of an array that have not begun: `ArrayTaskId=0,4-9,12-20:2%5`."""
    name, state, number = record.get("JobName", ""), record.get("JobState", ""), record.get("ArrayJobId")
    rest = (record.get("NodeList", "").replace("(null)", ""), "", record.get("Reason", ""))
    if number is None:
        yield Job(name, 0, record.get("JobId", ""), state, *rest)
        return
    for first, last, step in re.findall(r"(\d+)(?:-(\d+))?(?::(\d+))?", record.get("ArrayTaskId", "").split("%")[0]):
        for index in range(int(first), int(last or first) + 1, int(step or 1)):
            yield Job(name, index, f"{number}_{index}", state, *rest)


def states(jobs: Iterable[Job]) -> dict[str, str | None]:
    """What slurmctld says of each of these jobs, by id, whatever squeue lists. Raises SlurmError.

    "" for one that it does not know among others of its array, None where it knows none of that number (any more).
    """
    jobs = list(jobs)
    known = {number: {job.id: job.state for job in records(number)} for number in {job.number for job in jobs}}
    return {job.id: known[job.number].get(job.id, "" if known[job.number] else None) for job in jobs}


def jobs_of(known: Mapping[str, Submission]) -> list[Job]:
    """The jobs of these submissions that have not ended. Raises SlurmError."""
    listed = [job for job in listing() if job.name in known]
    unheard = set(known) - {job.name for job in listed}
    young = [known[name].number for name in unheard if is_young(known[name])]
    return listed + [job for number in young if number for job in records(number) if job.state not in ENDED]


def is_young(submission: Submission) -> bool:
    """Whether squeue may not have heard of it yet."""
    try:
        return time.time() - (submission.path / "packs.json").stat().st_mtime < YOUNG_SECONDS
    except OSError:
        return False


class Queue:
    """The jobs of one sweep; asks Slurm at most every SQUEUE_SECONDS."""

    def __init__(self, sweep: Path) -> None:
        self.sweep = sweep
        self._packs: dict[str, list[list[str]]] = {}
        self._jobs: list[Job] | None = None
        self._asked = -SQUEUE_SECONDS

    def forget(self) -> None:
        """Makes the next call ask Slurm: there are new jobs."""
        self._asked = -SQUEUE_SECONDS

    def jobs(self) -> list[Job] | None:
        """This sweep's jobs that have not ended and are not being cancelled; None where Slurm does not answer."""
        now = time.monotonic()
        if now - self._asked >= SQUEUE_SECONDS:
            self._asked = now
            known = {name: one for name, one in submissions(self.sweep).items() if not one.cancelled}
            try:
                self._jobs = jobs_of(known)
            except SlurmError:
                self._jobs = None
        return self._jobs

    def runs(self) -> dict[str, Job] | None:
        """The job of each run in the queue; None where Slurm does not answer."""
        jobs = self.jobs()
        if jobs is None:
            return None
        return {name: job for job in jobs for name in self._names(job)}

    def _names(self, job: Job) -> Iterable[str]:
        if job.name not in self._packs:
            self._packs[job.name] = submissions(self.sweep)[job.name].packs()
        packs = self._packs[job.name]
        return packs[job.index] if job.index < len(packs) else ()


def cancel(sweep: Path) -> int:
    """Cancels the jobs of the sweep in this folder, no others; returns how many. Raises SlurmError."""
    known = submissions(sweep)
    jobs = jobs_of(known)
    for name in {job.name for job in jobs}:
        known[name].cancel()  # first: a command that follows them must not restart them
    if arrays := sorted({job.number for job in jobs}):
        ask("scancel", *arrays)
    return len(jobs)
