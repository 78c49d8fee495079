"""What became of a job that squeue does not list: Slurm's word, asked by number, and the job's log."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from bench.launch.slurm.commands import SlurmError
from bench.launch.slurm.queue import ENDED, Job, is_young, states
from bench.store import Submission

ALIVE, CANCELLED, GONE, DIED = "alive", "cancelled", "gone", "died"
TAIL = 65_536  # bytes of a log
# without "DUE TO TIME LIMIT", "... JOB REQUEUE", "... PREEMPTION", "... NODE FAILURE": someone's scancel
KILLED = re.compile(r"\*\*\* JOB \d+ ON \S+ CANCELLED AT \S+( DUE TO [^*]+)? \*\*\*")
MEMORY = re.compile(r"exceeded.{,20} memory limit|oom.kill", re.IGNORECASE)  # for which slurmd cancels jobs as well


def log_of(sweep: Path, job: Job) -> Path:
    """The job's standard error; there once it has begun."""
    return sweep / "slurm" / job.name / f"{job.id}_0_log.err"


def fates(sweep: Path, jobs: Collection[Job]) -> dict[str, str]:
    """ALIVE, CANCELLED (by a scancel), GONE before it began, or DIED, by id. Where Slurm does not answer all live."""
    try:
        said = states(jobs)
    except SlurmError:
        return {job.id: ALIVE for job in jobs}
    return {job.id: _fate(sweep, job, said[job.id]) for job in jobs}


def _fate(sweep: Path, job: Job, state: str | None) -> str:
    if state and state not in ENDED:
        return ALIVE
    log = _tail(log_of(sweep, job))
    if state:
        return CANCELLED if state == "CANCELLED" and not MEMORY.search(log or "") else DIED
    if log is not None:
        ends = KILLED.findall(log)
        return CANCELLED if ends and not ends[-1] and not MEMORY.search(log) else DIED
    if job.state != "PENDING":
        return DIED
    if not job.reason and is_young(Submission(sweep / "slurm" / job.name)):
        return ALIVE  # nobody has named it yet
    # it never began. slurmctld forgets a job of an array at once that is cancelled before its turn, any other later
    return CANCELLED if state == "" else GONE


def _tail(log: Path) -> str | None:
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return None
