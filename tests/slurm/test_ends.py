"""Jobs that cannot begin a run, or never start: one submission, then the cause in words, on a real Slurm."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.launch.slurm import ends, queue
from tests.builders import end
from tests.slurm.shell import Shell, wait_for, wait_for_line


def wrapped(shell: Shell, script: str) -> str:
    """A PATH on which a site's own sbatch stands before Slurm's, which it knows as $REAL."""
    folder = shell.project / "bin"
    folder.mkdir(exist_ok=True)
    path = folder / "sbatch"
    path.write_text(f"#!/bin/bash\nREAL={shutil.which('sbatch', path=shell.environment['PATH'])}\n{script}\n")
    path.chmod(0o755)
    return f"{folder}:{shell.environment['PATH']}"


def arrays(shell: Shell) -> list[Path]:
    """What was submitted."""
    return list((shell.project / "runs" / "tiny" / "slurm").glob("*"))


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is looked at often, so that Slurm still knows how a job ended."""
    monkeypatch.setattr(queue, "SQUEUE_SECONDS", 0.5)
    monkeypatch.setattr(ends, "SQUEUE_SECONDS", 0.5)
    monkeypatch.setattr(ends, "NEWS_SECONDS", 5.0)


# as if the nodes had another tree of files than the login node
ELSEWHERE = (
    'for file in "$@"; do [ ! -f "$file" ] || sed -i "s#{here}#/nowhere#g" "$file"; done; '
    'exec $REAL "${{@:1:$#-1}}" {options} "${{@: -1}}"'
)
HUNGRY = "python3 -c 'x = bytearray(3 << 30); import time; time.sleep(30)'"
DOOMED = {
    "a setup that ends the job": (
        'setup = ["module load nosuch", "exit 3"]',
        "",
        "the profile's setup failed with exit code 3: exit 3",
        "module: command not found",
    ),
    "a setup whose failure shows later": (
        'setup = ["module load python/3.99", "export PYTHONHOME=/nowhere"]',
        "",
        "the profile's setup failed with exit code 127: module load python/3.99",
        "Python path configuration",
    ),
    "no memory": (
        f'setup = ["""{HUNGRY}"""]\nmemory_gib = 0.1',
        "",
        "out of memory: raise memory_gib in the profile",
        "exceeded memory limit",
    ),
    "a Python that the nodes do not see": (
        "",
        ELSEWHERE.format(here=sys.executable, options=""),
        "the node cannot start /nowhere: use a Python that all nodes see",
        "execve(): /nowhere: No such file or directory",
    ),
    "a runs folder that the nodes do not see": (
        "",
        ELSEWHERE.format(here="{runs}", options="--output=/nowhere/%j.out --error=/nowhere/%j.err"),
        "--out must be on a file system that all nodes share",
        "",
    ),
}


@pytest.mark.parametrize("case", DOOMED)
@pytest.mark.usefixtures("often")
def test_jobs_that_cannot_begin_a_run_are_submitted_once_and_their_log_is_shown(shell: Shell, case: str) -> None:
    profile, site, cause, shown = DOOMED[case]
    path = wrapped(shell, site.replace("{runs}", f"{shell.project}/runs")) if site else shell.environment["PATH"]

    done = shell.here(profile=profile, PATH=path)

    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1
    assert cause in done.stderr
    assert "on n1" in done.stderr or "on n2" in done.stderr
    assert any(shown in line for line in done.stdout.splitlines() if " wrote: " in line or not shown), done.stdout
    assert len(arrays(shell)) == 1
    assert "died" not in done.stdout
    assert "continue" not in done.stdout
    wait_for(lambda: not shell.jobs())


@pytest.mark.usefixtures("often")
def test_another_users_pickle_is_not_executed_by_a_job(shell: Shell) -> None:
    """The folder is opened to others between the submission and the start."""
    path = wrapped(shell, f'chmod 777 {shell.project}/runs/tiny/slurm/*; exec $REAL "$@"')

    done = shell.here(PATH=path)

    assert done.returncode == 2, done.stdout + done.stderr
    assert "other users may write to" in done.stderr
    assert "mode 0777" in done.stderr
    assert len(arrays(shell)) == 1


@contextmanager
def partition(shell: Shell, **limits: str) -> Iterator[None]:
    """A partition of its own for the test."""
    shell.cluster.ask(
        "scontrol", "create", "partitionname=brief", "nodes=ALL", *(f"{k}={v}" for k, v in limits.items())
    )
    try:
        yield
    finally:
        if jobs := shell.cluster.ask("squeue", "-h", "-p", "brief", "-o", "%A").split():
            shell.cluster.ask("scancel", *set(jobs))
        wait_for(lambda: not shell.jobs())
        shell.cluster.ask("scontrol", "delete", "partitionname=brief")


IMPOSSIBLE = {
    "a longer time than the partition gives": ('partition = "brief"\ntime = "20m"', "at most 10:00"),
    "more nodes than the partition gives to a job": (
        'partition = "brief"\nnodes = 2\ntime = "5m"',
        "--nodes=2",
    ),
}


@pytest.mark.parametrize("wait", [(), ("--no-wait",)])
@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_jobs_that_could_never_start_are_refused_at_once(shell: Shell, case: str, wait: tuple[str, ...]) -> None:
    profile, words = IMPOSSIBLE[case]
    with partition(shell, maxtime="10", maxnodes="1"):
        done = shell.here(*wait, profile=profile)

        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stderr.count("\n") == 1
        assert "could never start: Partition" in done.stderr
        assert words in done.stderr
        for word in ("goes to the queue", "continue"):
            assert word not in done.stdout
        wait_for(lambda: not shell.jobs())


def test_a_follower_says_what_has_become_impossible(shell: Shell) -> None:
    with partition(shell, maxtime="60"):
        follower = shell.start_sweep(profile='partition = "brief"\ntime = "20m"\n[extra]\nhold = true')
        wait_for(lambda: len(shell.jobs()) == 2)
        shell.cluster.ask("scontrol", "update", "partitionname=brief", "maxtime=10")
        shell.cluster.ask("scontrol", "release", *{job.split("_")[0] for job in shell.jobs()})

        wait_for_line(follower, "can never start as it is: Partition")
        end([follower])


REFUSALS = {
    "a limit of the user's": (
        "",
        'echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2; echo "sbatch: error: Batch job submission failed: Job '
        'violates accounting/QOS policy" >&2; exit 1',
        "Job violates accounting/QOS policy",
    ),
    "an unknown option": ("[extra]\nnosuch = 1", "", "unrecognized option '--nosuch=1'"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_sbatch_refuses_is_not_in_the_queue_and_nothing_continues(shell: Shell, case: str) -> None:
    profile, site, words = REFUSALS[case]

    done = shell.here(profile=profile, PATH=wrapped(shell, site or 'exec $REAL "$@"'))

    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    for word in ("goes to the queue", "continue"):
        assert word not in done.stdout
    assert not shell.jobs()
    assert not arrays(shell)


def test_auto_trains_nothing_here_while_the_controller_is_down(shell: Shell) -> None:
    """And goes to Slurm once it is back."""
    shell.cluster.kill("slurmctld", signal.SIGTERM)
    try:
        down = shell.here("--cluster", "auto")
    finally:
        shell.cluster.start("slurmctld")
        shell.cluster.wait_for_nodes()
    up = shell.here("--cluster", "auto", "--dry-run")

    assert down.returncode == 2, down.stdout + down.stderr
    assert down.stderr.count("\n") == 1
    for words in ("does not answer", "--cluster slurm", "--cluster local"):
        assert words in down.stderr
    assert not (shell.project / "runs").exists()
    assert (up.returncode, "slurm: 2 runs in 2 jobs" in up.stdout) == (0, True), up.stdout + up.stderr


NOLOCK = (
    "int flock(int handle, int how) { extern int *__errno_location(void); *__errno_location() = ERROR; return -1; }"
)


@pytest.mark.skipif(not shutil.which("gcc"), reason="there is no gcc, with which it makes a system without locks")
@pytest.mark.parametrize("number", [37, 524])
def test_without_locks_nothing_is_submitted(shell: Shell, number: int) -> None:
    library = shell.project / "nolock.so"
    words = ["gcc", "-shared", "-fPIC", f"-DERROR={number}", "-x", "c", "-", "-o", str(library)]
    subprocess.run(words, input=NOLOCK, text=True, check=True)

    done = shell.sweep(LD_PRELOAD=str(library))

    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1
    assert "has no working locks" in done.stderr
    assert not shell.jobs()
    assert not arrays(shell)
