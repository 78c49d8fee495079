"""Sweeps on a real Slurm of two nodes: the same numbers as inline, whoever waits for them."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from bench.cli.sweep import main
from bench.store import RunFolder
from tests.builders import SWEEP_FILE, git, results_of
from tests.slurm.shell import Shell, make_checkout, wait_for, wait_for_line

HELD = "[extra]\nhold = true"  # jobs wait until they are released: time to do something to them


def envs(shell: Shell) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (shell.project / "runs" / "tiny").glob("*/env.json")]


def release(shell: Shell) -> None:
    shell.cluster.ask("scontrol", "release", *{line.split()[0].split("_")[0] for line in shell.jobs()})


def test_a_packed_sweep_on_slurm_ends_in_the_same_report_and_bits_as_inline(shell: Shell) -> None:
    """One of the two cells diverges: a failed row, and the other runs of its pack have their numbers."""
    (shell.project / "sweeps" / "tiny.py").write_text(SWEEP_FILE.format(steps=12, plain_lr=1e30))
    apart = ("--out", "in")
    assert main(["tiny", "--scale", "quick", "--seeds", "0-1", "--cluster", "inline", *apart]) == 1

    sacct = shell.project / "bin" / "sacct"  # accounting, off here or on elsewhere, is never asked
    sacct.parent.mkdir()
    sacct.write_text(f"#!/bin/sh\ntouch {sacct}.asked\nexit 1\n")
    sacct.chmod(0o755)
    path = f"{sacct.parent}:{shell.environment['PATH']}"

    done = shell.sweep("--seeds", "0-1", profile="pack = 3\nat_once = 2", PATH=path)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "slurm: 4 runs in 2 jobs of up to 3 (2 side by side), 1 array" in done.stdout
    assert done.stdout.count("failed: the training loss is") == 2
    assert "2 of 4 runs are done" in done.stdout
    assert results_of(shell.project) == results_of(shell.project, "in")
    ours, theirs = (shell.project / name / "tiny" / "report" / "README.md" for name in ("runs", "in"))
    assert ours.read_text().splitlines()[:3] == theirs.read_text().splitlines()[:3]
    head = git(shell.checkout, "rev-parse", "HEAD")
    assert [(one["commit"], one["dirty"]) for one in envs(shell)] == [(head, False)] * 2
    assert not list(sacct.parent.glob("*.asked"))
    first, _ = (shell.project / "runs" / "tiny").glob("plain-8-*")
    RunFolder(first).fail("CUDA error", retry=False)
    again = shell.here("--seeds", "0-1", "--retry", "--no-wait", profile="pack = 3\n" + HELD)
    assert "slurm: 1 run in 1 job" in again.stdout, "what failed is tried again, what diverged is not"


def test_jobs_run_the_code_of_their_submission_and_report_with_nobody_waiting(
    shell: Shell, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The checkout is broken and committed while the jobs wait; status shows them, a second start adds none."""
    checkout = make_checkout(tmp_path_factory.mktemp("own"))
    mine, head = replace(shell, checkout=checkout), git(checkout, "rev-parse", "HEAD")
    left = mine.sweep("--no-wait", profile=HELD)
    assert left.returncode == 0, left.stdout + left.stderr
    jobs = mine.jobs()
    assert len(jobs) == 3, "an array of two, and the one that reports"
    status = mine.run("status", "tiny", module="bench").stdout
    assert status.count("queued (JobHeldUser)") == 2
    assert "2 runs: 2 queued" in status
    second = mine.start_sweep(profile=HELD)
    wait_for_line(second, "already")
    (checkout / "bench" / "launch" / "slurm" / "job.py").write_text("raise SystemExit('the new code')\n")
    (checkout / "bench" / "tasks" / "training.py").write_text("raise SystemExit('the new code')\n")
    git(checkout, "commit", "--quiet", "-am", "broken")
    assert len(mine.jobs()) == 3

    release(mine)

    page = mine.project / "runs" / "tiny" / "report" / "README.md"
    wait_for(page.exists)
    assert [(one["commit"], one["dirty"]) for one in envs(mine)] == [(head, False)] * 2
    out, err = second.communicate(timeout=100)
    assert second.returncode == 0, out + err


def test_uncommitted_code_is_refused_or_frozen_and_said(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> None:
    checkout = make_checkout(tmp_path_factory.mktemp("own"))
    (checkout / "bench" / "__init__.py").write_text('"""Changed."""\n')
    mine = replace(shell, checkout=checkout)

    refused = mine.here()
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "--allow-dirty" in refused.stderr
    assert not mine.jobs()
    allowed = mine.here("--allow-dirty", "--no-wait", profile=HELD)

    assert allowed.returncode == 0, allowed.stdout + allowed.stderr
    (frozen,) = (mine.project / "runs" / "tiny" / "code").glob("*/frozen.json")
    head, tree = git(checkout, "rev-parse", "HEAD", "HEAD^{tree}").split()
    assert json.loads(frozen.read_text()) == {"commit": head, "tree": tree, "dirty": True}
    assert (frozen.parent / "bench" / "__init__.py").read_text() == '"""Changed."""\n'


def test_cancel_ends_exactly_this_sweep_and_its_follower(shell: Shell) -> None:
    other = shell.cluster.ask("sbatch", "--parsable", "--hold", "--job-name=tiny-other", "--wrap=true").strip()
    follower = shell.start_sweep(profile=HELD)
    wait_for(lambda: len(shell.jobs()) == 3)

    done = shell.run("cancel", "tiny", module="bench")

    assert done.stdout.startswith("2 jobs cancelled"), done.stdout + done.stderr
    out, err = follower.communicate(timeout=100)
    assert follower.returncode == 3, out + err
    assert "the jobs were cancelled" in out
    wait_for(lambda: shell.jobs() == [f"{other} PENDING"])


def test_a_follower_that_is_interrupted_leaves_the_jobs_and_says_how_to_go_on(shell: Shell) -> None:
    follower = shell.start_sweep(profile=HELD)
    wait_for(lambda: len(shell.jobs()) == 2)
    wait_for(lambda: list((shell.project / "runs/tiny/slurm").glob("*/*_submitted.pkl")))

    follower.terminate()
    out, err = follower.communicate(timeout=100)

    assert follower.returncode == 3, out + err
    assert "`python -m bench cancel tiny` cancels them" in out
    assert len(shell.jobs()) == 2


def other_conf(shell: Shell, **changes: str) -> str:
    """The cluster's configuration with other values."""
    lines = shell.cluster.conf.read_text().splitlines()
    path = shell.project / "slurm.conf"
    path.write_text("\n".join(f"{k}={changes[k]}" if (k := line.split("=")[0]) in changes else line for line in lines))
    return str(path)


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


ERRORS = {
    "a misspelt key": ('partiton = "main"', "unknown key 'partiton' (allowed: partition, account"),
    "no such partition": ('partition = "mian"', "invalid partition specified"),
    "more memory than any node has": ("memory_gib = 99", "cores, 8000 MB"),
    "more GPUs than any node has": ("gpus = 3", "Requested node configuration is not available"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_impossible_profile_is_one_message_and_submits_nothing(shell: Shell, case: str) -> None:
    text, words = ERRORS[case]

    done = shell.here("--no-wait", profile=text)

    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert not shell.jobs()
    assert not list((shell.project / "runs").glob("tiny/slurm/*"))


def test_without_slurm_or_without_its_controller_one_message_says_so(shell: Shell) -> None:
    nothing = shell.project / "bin"
    nothing.mkdir()
    (nothing / "git").symlink_to(shutil.which("git") or "")

    absent = shell.here(PATH=str(nothing))
    down = shell.here(SLURM_CONF=other_conf(shell, SlurmctldPort=free_port(), SlurmctldTimeout="2"))

    for done, words in ((absent, "Slurm is not installed here"), (down, "Slurm's controller does not answer")):
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stdout + done.stderr
        assert words in done.stderr
    assert not shell.jobs()


def test_a_busy_controller_is_asked_again_and_gets_one_array(shell: Shell) -> None:
    """sbatch's first answer is a time-out although the array is there: it goes before the second try."""
    folder = shell.project / "bin"
    folder.mkdir()
    script = folder / "sbatch"
    real = shutil.which("sbatch", path=shell.environment["PATH"])
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *--test-only*) exec {real} "$@";; esac\n'
        f'[ -e {folder}/once ] || {{ touch {folder}/once; {real} "$@"; '
        'echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1; }\n'
        f'exec {real} "$@"\n'
    )
    script.chmod(0o755)

    done = shell.here("--no-wait", profile=HELD, PATH=f"{folder}:{shell.environment['PATH']}")

    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert (folder / "once").exists()
    assert len(shell.jobs()) == 3, "an array of two, and the one that reports"


def test_gpus_are_asked_for_where_the_cluster_has_them_and_given(shell: Shell) -> None:
    sweep = shell.project / "sweeps" / "tiny.py"
    sweep.write_text(sweep.read_text().replace("gpus=0", "gpus=1"))

    done = shell.here("--no-wait", profile=HELD)

    assert done.returncode == 0, done.stderr
    assert sorted(shell.cluster.ask("squeue", "-h", "-r", "-o", "%b").split()) == ["N/A", "gres:gpu:1", "gres:gpu:1"]


@pytest.mark.long
def test_a_time_limit_stops_jobs_for_good_and_the_next_start_goes_on(shell: Shell) -> None:
    (shell.project / "sweeps" / "tiny.py").write_text(SWEEP_FILE.format(steps=100_000, plain_lr=0.1))

    first = shell.sweep("--time-limit", "12s", "--only", "resnet*")

    assert first.returncode == 3, first.stdout + first.stderr
    wait_for(lambda: not shell.jobs())
    (folder,) = (shell.project / "runs" / "tiny").glob("resnet*")
    assert (folder / "checkpoint.pt").exists()


def test_arrays_are_split_at_the_clusters_own_size_and_a_cap_holds_over_all(shell: Shell) -> None:
    """MaxArraySize is 101 here: indices 0 to 100. With a cap each array waits for the one before."""
    done = shell.here("--seeds", "0-204", "--only", "resnet*", "--no-wait", profile="jobs = 5\n" + HELD)
    assert done.returncode == 0, done.stderr
    jobs = shell.jobs()

    assert sorted(Counter(job.split("_")[0].split()[0] for job in jobs).values()) == [1, 3, 101, 101]
    capped = shell.cluster.ask("squeue", "-h", "-o", "%i %E").splitlines()
    assert sorted(line.split("_")[1].split(" ")[0] for line in capped if "_" in line.split(" ")[0]) == [
        "[0-100%5]", "[0-100%5]", "[0-2%3]",
    ]  # fmt: skip
    assert sum("afterany" in line for line in capped) == 3, "all but the first"


@pytest.mark.long
def test_a_thousand_runs_are_followed_by_few_requests(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    """Under 30 requests a minute to follow them; how long submitting and their status take is printed."""
    data = shell.project / "data" / "cifar-10-batches-bin"  # of the right size, for the jobs never start
    data.mkdir()
    for name in (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"):
        with (data / name).open("wb") as file:
            file.truncate(10_000 * 3_073)
    begun = time.monotonic()
    left = shell.sweep("--seeds", "0-999", "--only", "resnet*", "--no-wait", profile=HELD)
    submitted, jobs = time.monotonic() - begun, shell.jobs()
    assert left.returncode == 0, left.stdout + left.stderr
    begun = time.monotonic()
    status = shell.run("status", "tiny", module="bench")
    shown = time.monotonic() - begun
    follower = shell.start_sweep("--seeds", "0-999", "--only", "resnet*", profile=HELD)
    wait_for_line(follower, "already")
    shell.cluster.ask("sdiag", "--reset")
    time.sleep(60)
    report = shell.cluster.ask("sdiag")
    follower.terminate()
    follower.communicate(timeout=100)

    requests = sum(
        int(line.split("count:")[1].split()[0])
        for line in report.split("by message type")[1].split("by user")[0].splitlines()
        if "REQUEST_" in line and "STATS" not in line
    )
    with capsys.disabled():
        print(f"\n1,000 runs: submitted in {submitted:.1f} s, status in {shown:.1f} s, {requests} requests a minute")
    assert len(jobs) == 1_001
    assert "1,000 runs: 1,000 queued" in status.stdout
    assert 0 < requests < 30
