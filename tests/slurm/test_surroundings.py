"""A real Slurm in a shell and behind commands that are not as the manual says; and a user who cancels."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

import pytest

from bench.launch.slurm.queue import cancel
from tests.builders import SWEEP_FILE
from tests.launch.slurm.fakes import HOSTILE
from tests.slurm.cluster import Cluster
from tests.slurm.shell import SWEEP, Shell, wait_for, wait_for_line
from tests.slurm.storm import LOW

HELD = "[extra]\nhold = true"
GROUPS = (
    "SBATCH_",
    "SQUEUE_",
    "SCANCEL_",
    ("SCONTROL_", "SINFO_", "SACCT_", "SALLOC_"),
    ("SLURM", "SRUN_", "SUBMITIT_"),
)


def submissions(shell: Shell) -> list[Path]:
    return sorted((shell.project / "runs" / "tiny" / "slurm").glob("tiny-*"))


def records(shell: Shell, *job: str) -> list[str]:
    """A line of slurmctld for each job."""
    return shell.cluster.ask("scontrol", "-o", "show", "job", *job).splitlines()


def array_of(shell: Shell) -> str:
    """The array's number, once two jobs are there."""
    wait_for(lambda: len(shell.jobs()) == 2)
    (number,) = {line.split("_")[0] for line in shell.jobs()}
    return number


def wrapped(shell: Shell, name: str, script: str) -> str:
    """A PATH that begins with a site's wrapper of a command; `$real` is the command itself."""
    path = shell.project / "bin" / name
    path.parent.mkdir(exist_ok=True)
    real = shutil.which(name, path=shell.environment["PATH"])
    path.write_text(f"#!/bin/bash\nreal={real}\n{script}\n")
    path.chmod(0o755)
    return f"{path.parent}:{shell.environment['PATH']}"


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: "+".join([group] if isinstance(group, str) else group))
def test_variables_of_the_shell_change_neither_jobs_nor_what_is_found(
    shell: Shell, group: str | tuple[str, ...]
) -> None:
    """One submission, named, limited and placed as the profile says; a second start adds none, cancel finds all."""
    hostile = {name: value for name, value in HOSTILE.items() if name.startswith(group)}
    profile = LOW + 'time = "3h"\n' + HELD

    first = shell.here("--no-wait", profile=profile, **hostile)

    assert (first.returncode, first.stderr) == (0, ""), first.stdout
    jobs = [line.split() for line in shell.cluster.ask("squeue", "-h", "-r", "-o", "%j %l %P").splitlines()]
    names = [path.name for path in submissions(shell)]
    assert (len(jobs), len(names)) == (3, 2), "an array of two, and the one that reports"
    assert {job[0] for job in jobs} == set(names)
    assert {tuple(job[1:]) for job in jobs} == {("3:00:00", "low")}
    waiting = [line for line in records(shell) if "JobState=PENDING" in line]
    assert len(waiting) == 2
    assert all("Requeue=1" in line for line in waiting)
    again = shell.here("--no-wait", profile=profile, **hostile)
    assert "slurm: 2 runs in the queue or running already" in again.stdout
    assert len(submissions(shell)) == 3, "one more that reports"
    with patch.dict(os.environ, {**shell.environment, **hostile}, clear=True):
        assert cancel(shell.project / "runs" / "tiny") == 4
    wait_for(lambda: not shell.jobs())


def test_a_sweep_inside_a_job_with_every_variable_set_ends_in_a_folder_with_an_odd_name(shell: Shell) -> None:
    """The jobs have the environment that they need, and nothing of the job that submitted them."""
    (shell.project / "sweeps" / "tiny.py").write_text(SWEEP_FILE.format(steps=12, plain_lr=0.1))
    runs = "50%done o'neil a$b größe"
    script = shell.project / "outer.sh"
    given = {**HOSTILE, "SLURM_CONF": str(shell.cluster.conf)}
    exports = "".join(f"export {name}='{value}'\n" for name, value in given.items() if name != "SLURM_JOB_ID")
    words = [sys.executable, "-m", "bench.sweep", *SWEEP, "--profile", shell.profile(""), "--only", "resnet*", "--runs"]
    script.write_text(f'#!/bin/bash\n{exports}exec {" ".join(words)} "$RUNS"\n')
    outer = [
        "sbatch",
        "--wait",
        "--cpus-per-task=1",
        "--mem=2000M",
        "--output",
        str(shell.project / "outer.log"),
        str(script),
    ]

    done = subprocess.run(outer, cwd=shell.project, env={**shell.environment, "RUNS": runs}, timeout=250, check=False)

    said = (shell.project / "outer.log").read_text()
    assert done.returncode == 0, said
    assert "1 of 1 run is done" in said
    assert len(list((shell.project / runs / "tiny" / "slurm").glob("tiny-*"))) == 1


WRAPPERS = {
    "a banner with a job's number": 'echo "--> Your request is within limits (job 24 of 5000)"; exec $real "$@"',
    "the bare number": '$real "$@" | sed -E "s/^Submitted batch job //"',
    "variables of its own": 'export SBATCH_TIMELIMIT=1 SBATCH_JOB_NAME=x SBATCH_EXPORT=NONE; exec $real "$@"',
}


@pytest.mark.parametrize("case", WRAPPERS)
def test_a_sites_wrapper_of_sbatch_may_say_and_set_what_it_likes(shell: Shell, case: str) -> None:
    path = wrapped(shell, "sbatch", WRAPPERS[case])

    done = shell.here("--no-wait", profile=HELD, PATH=path)

    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    lines = shell.cluster.ask("squeue", "-h", "-r", "-o", "%i %l %j %E").splitlines()
    array = {line.split("_")[0] for line in lines if "_" in line.split()[0]}
    assert (len(lines), len(array)) == (3, 1)
    assert all(" 4:00:00 tiny-" in line for line in lines)
    assert sum(f"afterany:{number}" in line for line in lines for number in array) == 1
    pickles = [path.name for path in (shell.project / "runs").glob("tiny/slurm/*/*_submitted.pkl")]
    assert sorted(pickles) == [f"{number}_{index}_submitted.pkl" for number in array for index in (0, 1)]


def test_where_no_number_is_said_nothing_is_left_in_the_queue(shell: Shell) -> None:
    path = wrapped(shell, "sbatch", '$real "$@" >/dev/null; echo your request is important to us')

    done = shell.here("--no-wait", profile=HELD, PATH=path)

    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stdout + done.stderr
    assert "'your request is important to us" in done.stderr
    assert not shell.jobs()
    assert not submissions(shell)


@pytest.mark.parametrize("name", ["R/run%u", "r%A_%a", "r\\s"])
def test_a_folder_with_a_pattern_in_its_name_is_refused_before_anything_is_submitted(shell: Shell, name: str) -> None:
    done = shell.here("--no-wait", "--runs", name, profile=HELD)

    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stdout + done.stderr
    assert "choose --out without" in done.stderr
    assert not shell.jobs()
    assert not (shell.project / name).exists()


STALE = """cache=$(dirname $0)/cache-$(echo "$*" | md5sum | cut -c1-8)
[ -n "$(find $cache -newermt '-30 seconds' 2>/dev/null)" ] || $real "$@" >$cache
cat $cache"""


def test_a_squeue_that_is_half_a_minute_old_submits_nothing_twice(shell: Shell) -> None:
    path = wrapped(shell, "squeue", STALE)
    (shell.project / "sweeps" / "tiny.py").write_text(SWEEP_FILE.format(steps=12, plain_lr=0.1))
    follower = shell.start_sweep(profile=HELD, PATH=path)
    number = array_of(shell)
    second = shell.start_sweep(profile=HELD, PATH=path)
    wait_for_line(second, "slurm: 2 runs in the queue or running already")

    shell.cluster.ask("scontrol", "release", number)

    for process in (follower, second):
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, out + err
    assert len(submissions(shell)) == 1


@pytest.fixture
def remembering(cluster: Cluster) -> Iterator[None]:
    """Slurm knows ended jobs for five minutes, as it does by default."""
    brief = cluster.conf.read_text()
    cluster.conf.write_text(brief.replace("MinJobAge=2\n", "MinJobAge=300\n"))
    cluster.ask("scontrol", "reconfigure")
    yield
    cluster.conf.write_text(brief)
    cluster.ask("scontrol", "reconfigure")


@pytest.mark.usefixtures("remembering")
def test_a_scancel_of_waiting_jobs_is_the_users_wish(shell: Shell) -> None:
    """Of one job of the array, then of all: none is submitted again by this start, all are by the next."""
    follower = shell.start_sweep(profile=HELD)
    number = array_of(shell)
    wait_for(lambda: list(submissions(shell)[0].glob("*_1_submitted.pkl")))
    shell.cluster.ask("scancel", f"{number}_1")
    wait_for_line(follower, f"slurm: cancelled: job {number}_1;")
    assert shell.jobs() == [f"{number}_0 PENDING"]

    shell.cluster.ask("scancel", number)

    out, err = follower.communicate(timeout=100)
    assert follower.returncode == 3, out + err
    assert f"slurm: cancelled: job {number}_0;" in out
    assert "died" not in out
    assert (len(submissions(shell)), shell.jobs()) == (1, [])
    assert "2 runs in 2 jobs" in shell.here("--no-wait", profile=HELD).stdout


def test_a_requeued_job_starts_again_at_once_and_one_that_the_user_cancelled_does_not(shell: Shell) -> None:
    """Slurm itself would let the one wait for two minutes; the other is left to the next start."""
    shell.pause.at(1)
    follower = shell.start_sweep()
    number = array_of(shell)
    wait_for(lambda: len(list((shell.project / "runs" / "tiny").glob("*/heartbeat.json"))) == 2)

    shell.cluster.ask("scontrol", "requeue", f"{number}_0")
    shell.cluster.ask("scancel", f"{number}_1")

    wait_for_line(follower, f"slurm: cancelled: job {number}_1;")
    wait_for(lambda: re.search(r"JobState=RUNNING.*Restarts=1", records(shell, f"{number}_0")[0]))
    times = dict(re.findall(r"(\w+Time)=(\S+)", records(shell, f"{number}_0")[0]))
    begun, asked = (datetime.fromisoformat(times[name]) for name in ("StartTime", "SubmitTime"))
    assert (begun - asked).total_seconds() < 60, "by Slurm's clock"
    shell.pause.lift()
    out, err = follower.communicate(timeout=200)
    assert follower.returncode == 3, out + err
    assert "1 of 2 runs are done; the same command resumes it" in out
    assert "died" not in out
    assert len(submissions(shell)) == 1
    assert "1 run in 1 job" in shell.here("--no-wait", profile=HELD).stdout
