"""Slurm's own commands. sacct is not among them: without accounting it knows nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.store import submissions

T = TypeVar("T")
SQUEUE_SECONDS = 6.0  # between two listings, of two requests each: 20 a minute, however many jobs there are
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
UNCONFIGURED = "Could not establish a configuration source"  # the package is installed, and there is no cluster
# squeue's reasons for which a job waits for ever, unless its limits or those of the cluster change
NEVER = re.compile(
    r"Partition(TimeLimit|NodeLimit|Config)|BadConstraints|Invalid(Account|QOS)|(Account|QOS)NotAllowed|MaxMemPerLimit"
    r"|DependencyNeverSatisfied|(QOS|Assoc)Max\w*(PerJob|WallDuration)\w*|QOSMin\w*"
)
BUSY = ("Socket timed out", "temporarily", "Unable to contact", "Connection refused", "Zero Bytes", "rate limit")


class SlurmError(RuntimeError):
    """Slurm is not there, does not answer or refuses; has Slurm's message and what to do."""


def ask(*words: str, stdin: str | None = None) -> str:
    """The command's output. Raises SlurmError with its stderr."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, input=stdin, timeout=120, env={**os.environ, "LC_ALL": "C"}
        )
    except FileNotFoundError:
        raise SlurmError(
            f"Slurm is not installed here ({words[0]} is not found): "
            "go to a login node of the cluster, or use --cluster local"
        ) from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{words[0]} did not answer within 2 minutes: Socket timed out") from None
    if done.returncode:
        said = [line.split("error: ")[-1].strip() for line in done.stderr.splitlines() if line.strip()]
        raise SlurmError(f"{words[0]}: {'; '.join(dict.fromkeys(said)) or f'exit code {done.returncode}'}")
    return done.stdout


def is_here() -> bool:
    """Whether this machine submits jobs to Slurm. Raises SlurmError where it does, and Slurm does not answer now."""
    if shutil.which("sbatch") is None:
        return False
    try:
        ask("sinfo", "--noheader", "--format=%P")
    except SlurmError as error:
        if UNCONFIGURED in str(error):
            return False
        raise
    return True


def max_array_size() -> int:
    """The most jobs of one array. Raises SlurmError where slurmctld does not answer."""
    try:
        config = ask("scontrol", "show", "config")
    except SlurmError as error:
        if "not installed" in str(error):
            raise
        raise SlurmError(f"Slurm's controller does not answer ({error}); nothing was submitted. Try again") from None
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", config, re.MULTILINE)
    return int(found[1]) if found else 1_001


def partition_has_gpus(partition: str | None) -> bool:
    """Whether a node of the partition (None: of any) has a GPU."""
    only = [f"--partition={partition}"] if partition else []
    return "gpu" in ask("sinfo", "--noheader", "--format=%G", *only)


def describe_nodes() -> str:
    """The kinds of nodes that there are."""
    lines = ask("sinfo", "--noheader", "--format=%R: %c cores, %m MB, %G, at most %l").splitlines()
    return "; ".join(dict.fromkeys(line.strip() for line in lines))


def patiently(work: Callable[[], T], between: Callable[[], object] = lambda: None) -> T:
    """`work()`, repeated after pauses while the controller is too busy to answer; `between` runs before each retry."""
    for pause in PAUSES:
        try:
            return work()
        except SlurmError as error:
            if not any(words in str(error) for words in BUSY):
                raise
            time.sleep(pause)
            with suppress(SlurmError):
                between()
    return work()


@contextmanager
def outside_job() -> Iterator[None]:
    """Hides the variables of a job that this process may run in: the jobs it submits would inherit them.

    SLURM_CONF, which names the cluster, stays.
    """
    hidden = {
        name: os.environ.pop(name)
        for name in list(os.environ)
        if name.startswith(("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_")) and name != "SLURM_CONF"
    }
    try:
        yield
    finally:
        os.environ.update(hidden)


@dataclass(frozen=True, slots=True)
class Job:
    """A job in the queue, as squeue lists it. `name` and `index` (in its array) lead to its runs."""

    name: str
    index: int
    id: str
    state: str
    node: str
    left: str
    reason: str


def listing() -> list[Job]:
    """This user's jobs that have not ended, each job of an array separately; one request."""
    lines = ask("squeue", "--me", "--noheader", "--array", "--format=%j|%K|%i|%T|%N|%L|%r").splitlines()
    parts = [line.split("|") for line in lines]
    return [Job(p[0], int(p[1]) if p[1].isdigit() else 0, *p[2:7]) for p in parts if len(p) >= 7]


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
            known = {name for name, one in submissions(self.sweep).items() if not one.cancelled}
            try:
                self._jobs = [job for job in listing() if job.name in known]
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
    jobs = [job for job in listing() if job.name in known]
    for name in {job.name for job in jobs}:
        known[name].cancel()  # first: a command that follows them must not restart them
    arrays = sorted({job.id.split("_")[0] for job in jobs})
    if arrays:
        ask("scancel", *arrays)
    return len(jobs)
