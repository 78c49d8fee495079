"""Why jobs ended: the causes that Slurm and logs tell, and when more jobs would end alike."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from bench.launch.slurm import ends
from bench.launch.slurm.commands import SlurmError
from bench.launch.slurm.ends import Ends, end_of
from bench.launch.slurm.queue import Job

FAILED = "JobState=FAILED Reason=NonZeroExitCode ExitCode=1:0 NodeList=n7"
MEMORY = "out of memory: raise memory_gib in the profile"
CAUSES = {
    "the kernel's word, by Slurm 20": (FAILED, "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.0", MEMORY),
    "by Slurm 23": (
        FAILED,
        "slurmstepd: error: Detected 2 oom_kill events in StepId=7.0. Some were OOM Killed",
        MEMORY,
    ),
    "Slurm's state alone": ("JobState=OUT_OF_MEMORY Reason=OutOfMemory ExitCode=0:125", "", MEMORY),
    "Slurm's own measure": (FAILED, "slurmstepd-n1: error: Exceeded job memory limit", MEMORY),
    "a step's limit": (FAILED, "slurmstepd: error: StepId=7.0 exceeded memory limit (9 > 8), being killed", MEMORY),
    "Python's": (FAILED, "Traceback (most recent call last):\nMemoryError", MEMORY),
    "no Python": (
        FAILED,
        "slurmstepd-n1: error: execve(): /opt/my venv/python: No such file or directory\nsrun: error: n1: Exited",
        "the node cannot start /opt/my venv/python: use a Python that all nodes see",
    ),
    "a Python without rights": (FAILED, "slurmstepd: error: execve(): /opt/python: Permission denied", "/opt/python"),
    "a Python without packages": (
        FAILED,
        "ModuleNotFoundError: No module named 'torch'",
        "Python has no torch: install",
    ),
    "without submitit": (FAILED, "/usr/bin/python: No module named submitit", "the node's Python has no submitit"),
    "no code": (
        FAILED,
        "/usr/bin/python: Error (ModuleNotFoundError: No module named 'bench')",
        "does not see {folder}",
    ),
    "no folder": (
        "JobState=FAILED Reason=JobLaunchFailure ExitCode=0:53",
        "",
        "the node does not see {folder}: --out",
    ),
    "no folder for a step": (FAILED, "srun: error: Could not open stdout file: No such file", "does not see {folder}"),
    "a line of the setup, and what came of it": (
        FAILED,
        "bench: setup failed with exit code 127: module load cuda\nNo module named 'torch'",
        "setup failed with exit code 127: module load cuda; the node's Python has no torch",
    ),
    "someone else's folder": (
        FAILED,
        "bench: other users may write to /r, and jobs execute what lies there: chmod",
        ": other users may write to /r, and jobs execute what lies there: chmod",
    ),
    "no time": ("JobState=TIMEOUT Reason=TimeLimit ExitCode=0:0", "", "its time was over: raise time in the profile"),
    "a full disk": (FAILED, "OSError: [Errno 28] No space left on device", "No space left on device: make room"),
    "a lost node": ("JobState=NODE_FAIL Reason=NodeDown", "", "its node failed"),
    "nothing known": (FAILED, "hello\nerror: the moon\x1b[2J is full\nbye", "error: the moon [2J is full"),
    "no error": (FAILED, "hello\n\nbye\n", "ended before its runs: bye ("),
    "no word": (FAILED, "", f"it wrote nothing, Slurm says {FAILED} ("),
    "no trace": ("", "", "Slurm knows it no more: was it cancelled, or does its node not see {folder}?"),
}


LINKS = ("nowhere", "77_0_log.err")  # the second to itself


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What Slurm says of jobs, by id; it knows no others."""
    known: dict[str, str] = {}

    def ask(*words: str) -> str:
        if words[-1] not in known:
            raise SlurmError("scontrol: slurm_load_jobs error: Invalid job id specified")
        return f"JobId={words[-1]} {known[words[-1]]} ReqNodeList=(null)\n"

    monkeypatch.setattr(ends, "ask", ask)
    return known


def job(number: str = "77") -> Job:
    return Job("tiny-1", 0, number, "RUNNING", "", "", "")


def log(folder: Path, text: str, name: str = "77_0_log.err") -> Path:
    path = folder / "tiny-1" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("case", CAUSES)
def test_the_cause_is_named_with_what_to_change(tmp_path: Path, slurm: dict[str, str], case: str) -> None:
    told, text, words = CAUSES[case]
    if told:
        slurm["77"] = told
    if text:
        log(tmp_path, text)

    line = str(end_of(job(), tmp_path / "tiny-1"))

    assert words.format(folder=tmp_path / "tiny-1") in line
    assert line.startswith(f"job 77 on {'n7' if told == FAILED else 'an unknown node'} ended before its runs: ")
    assert line.isprintable()


def test_a_log_of_any_kind_stops_nobody(tmp_path: Path, slurm: dict[str, str]) -> None:
    slurm["77"] = FAILED
    odd = log(tmp_path, "")
    odd.write_bytes(b"\xff\xfe\0\x1b[31merror\x80: \xf0\x9f" + b"\n" * 3_000_000 + b"error: the last\xff")
    assert end_of(job(), odd.parent).words == "error: the last\N{REPLACEMENT CHARACTER}"
    odd.unlink()
    makers: list[Callable[[], object]] = [
        odd.mkdir,
        partial(os.mkfifo, odd),
        *(partial(odd.symlink_to, to) for to in LINKS),
    ]
    for make in makers:
        make()
        end = end_of(job(), odd.parent)
        assert (end.log, end.begun) == (None, frozenset())
        assert "it wrote nothing" in str(end)
        odd.rmdir() if odd.is_dir() else odd.unlink()


def test_a_job_that_begins_no_run_is_enough_where_there_is_no_other(tmp_path: Path, slurm: dict[str, str]) -> None:
    said: list[str] = []
    slurm["77"] = FAILED
    log(tmp_path, "module: not found\nbench: setup failed with exit code 1: module load x\n")
    one = Ends(tmp_path, said.append)

    assert one.judge({"a": job()}, running=True) == set(), "another job may still begin one"
    with pytest.raises(SlurmError, match="setup failed with exit code 1: module load x .* nothing more is submitted"):
        one.judge({"a": job()}, running=False)

    assert said == [
        "slurm: job 77 wrote: module: not found",
        "slurm: job 77 wrote: bench: setup failed with exit code 1: module load x",
    ]


def test_where_runs_begin_a_bad_node_gets_a_second_chance(tmp_path: Path, slurm: dict[str, str]) -> None:
    said: list[str] = []
    slurm |= {"77": FAILED, "78": FAILED, "79": FAILED}
    log(tmp_path, "bench: a starts (pending) as process 9\nslurmstepd: Exceeded job memory limit", "77_0_log.out")
    log(tmp_path, "execve(): /disk1/python: No such file or directory", "78_0_log.err")
    log(tmp_path, "execve(): /disk1/python: No such file or directory", "79_0_log.err")
    one = Ends(tmp_path, said.append)

    assert one.judge({"a": job(), "b": job(), "c": job("78")}, running=False) == {"a", "b", "c"}

    assert one.why("a") == MEMORY
    assert one.why("b") is None, "the next of its pack, which had not begun"
    assert one.why("c") is None
    assert [line.split(" on ")[0] for line in said] == ["slurm: job 77", "slurm: job 78"]
    with pytest.raises(SlurmError, match="the node cannot start /disk1/python"):
        one.judge({"c": job("79")}, running=True)


@pytest.mark.parametrize("line", ["bench: a starts (stopped) as process 12", "20:15:01  a: starts (pending)"])
def test_a_run_has_begun_where_the_output_of_its_pack_or_crew_says_so(
    tmp_path: Path, slurm: dict[str, str], line: str
) -> None:
    slurm["77"] = FAILED
    log(tmp_path, f"submitit INFO\n{line}\nbench: b: died (signal 9)\n", "77_0_log.out")

    assert end_of(job(), tmp_path / "tiny-1").begun == {"a"}


def test_a_job_that_ended_well_without_a_run_is_no_failure(tmp_path: Path, slurm: dict[str, str]) -> None:
    """Others held its runs, and have ended since."""
    log(tmp_path, "submitit INFO Job completed successfully\n", "77_0_log.out")
    slurm["78"] = "JobState=COMPLETED Reason=None ExitCode=0:0"
    one = Ends(tmp_path, lambda _: None)

    assert one.judge({"a": job(), "b": job("78")}, running=False) == {"a", "b"}
    assert (one.why("a"), one.why("b")) == (None, None)


def test_jobs_that_end_well_again_and_again_without_a_run_are_no_endless_loop(
    tmp_path: Path, slurm: dict[str, str]
) -> None:
    slurm |= {str(number): "JobState=COMPLETED Reason=None ExitCode=0:0" for number in range(77, 82)}
    one = Ends(tmp_path, lambda _: None)

    for number in (77, 78, 79):
        assert one.judge({"a": job(str(number))}, running=False) == {"a"}
    assert one.judge({"b": job("81")}, running=False) == {"b"}, "another run's"
    with pytest.raises(SlurmError, match="it began no run, and others would not either"):
        one.judge({"a": job("80")}, running=False)


@pytest.mark.usefixtures("slurm")
def test_a_job_without_a_trace_is_waited_for_as_a_network_disk_may_be_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Ends(tmp_path, lambda _: None)
    assert one.judge({"a": job()}, running=False) == set()
    monkeypatch.setattr(ends, "SQUEUE_SECONDS", -1.0)
    assert one.judge({"a": job()}, running=False) == set()

    monkeypatch.setattr(ends, "NEWS_SECONDS", 0.0)
    with pytest.raises(SlurmError, match="it wrote nothing, and Slurm knows it no more.*it left no log"):
        one.judge({"a": job()}, running=False)

    log(tmp_path, "bench: a starts (pending) as process 1", "77_0_log.out")
    assert one.judge({"a": job()}, running=False) == {"a"}
    assert one.why("a") == ""
