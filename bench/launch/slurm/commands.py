"""The one place that calls Slurm's commands. sacct is not among them: without accounting it knows nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from bench.store import write_text

T = TypeVar("T")
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
UNCONFIGURED = "Could not establish a configuration source"  # the package is installed, and there is no cluster
# squeue's reasons for which a job waits for ever, unless its limits or those of the cluster change
NEVER = re.compile(
    r"Partition(TimeLimit|NodeLimit|Config)|BadConstraints|Invalid(Account|QOS)|(Account|QOS)NotAllowed|MaxMemPerLimit"
    r"|DependencyNeverSatisfied|(QOS|Assoc)Max\w*(PerJob|WallDuration)\w*|QOSMin\w*"
)
BUSY = ("Socket timed out", "temporarily", "Unable to contact", "Connection refused", "Zero Bytes", "rate limit")


# variables by which a shell, a site's modules or a job around us change what the commands do, and what jobs inherit;
# beside them those that say where the controller is and who asks
HIDDEN = ("SBATCH_", "SQUEUE_", "SCANCEL_", "SCONTROL_", "SINFO_", "SACCT_", "SALLOC_", "SRUN_", "SLURM_", "SLURMD_",
          "_SLURM_", "SUBMITIT_")  # fmt: skip
KEPT = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")


class SlurmError(RuntimeError):
    """Slurm is not there, does not answer or refuses; has Slurm's message and what to do."""


class AnswerError(SlurmError):
    """sbatch did not say the job's number."""


def environment() -> dict[str, str]:
    """That of Slurm's commands, and of the jobs: this process's without HIDDEN. What matters is said in options."""
    return {name: value for name, value in os.environ.items() if name in KEPT or not name.startswith(HIDDEN)}


def ask(*words: str, **variables: str) -> str:
    """The command's output. Raises SlurmError with its stderr."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=120, env={**environment(), **variables}
        )
    except FileNotFoundError:
        raise SlurmError(
            f"Slurm is not installed here ({words[0]} is not found): "
            "go to a login node of the cluster, or use --cluster local"
        ) from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{words[0]} did not answer within 2 minutes: Socket timed out") from None
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout).splitlines()
        said = [line.split("error: ")[-1].strip() for line in lines if line.strip()]
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


def submit(folder: Path, script: str, options: Iterable[str]) -> str:
    """Submits the script, which is kept in `folder`, under the folder's name; returns the job's number.

    The options stand on the command line, where they win over what a site's wrapper of sbatch sets. Where a try ends in
    any other way than with a number, what it may have left in the queue is cancelled, by the name: no other job has it.
    """
    path = folder / "submission.sh"
    write_text(path, script)
    words = ("sbatch", f"--job-name={folder.name}", *options, str(path))

    def clear() -> None:
        ask("scancel", "--me", f"--name={folder.name}")

    try:
        number = patiently(lambda: number_in(ask(*words)), clear)
    except BaseException:
        with suppress(SlurmError):
            clear()
        raise
    path.rename(folder / f"{number}_{path.name}")
    return number


def number_in(answer: str) -> str:
    """The job's number in sbatch's answer, around which a site's wrapper may print what it likes. Raises SlurmError."""
    said = re.findall(r"Submitted batch job (\d+)", answer)
    alone = set(re.findall(r"^\s*(\d+)(?:;\S+)?\s*$", answer, re.MULTILINE))  # as with --parsable
    if said or len(alone) == 1:
        return str(said[-1]) if said else alone.pop()
    raise AnswerError(
        f"sbatch answered {' / '.join(answer.split(chr(10)))[:200]!r} and not `Submitted batch job NUMBER`: "
        f"is {shutil.which('sbatch')} a wrapper? What it submitted was cancelled"
    )


def unread() -> list[str]:
    """The variables of the user's shell for sbatch, which are not heeded."""
    return sorted(name for name in os.environ if name.startswith("SBATCH_"))
