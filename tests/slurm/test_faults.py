"""Whatever happens to its jobs, a sweep ends with every run done once and in the bits of the undisturbed sweep."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.conftest import Shell, hurrying
from tests.test_sweep import results_of

SWEEP_FILE = """
from bench.spec import Net, Recipe, Resources, Scale, Sweep

recipe = Recipe(steps={steps}, drops=(6, 9), batch=8, bn_group=4, test_images=40, curve_every=10, test_every=50)
cells = ((Net("cifar", 8, "none"), recipe), (Net("cifar", 8, "A"), recipe))
SWEEP = Sweep("Tiny", "Does it survive?", "It does.", {{"quick": Scale(cells, (0,))}},
              resources=Resources(cpus=1, gpus=0, memory_gib=1.5, checkpoint_seconds=1.0))
"""


LOW = 'partition = "low"\n'  # whose jobs give way to others


@dataclass
class Storm:
    """Faults, one after another. Each method does one and says whether there was anything to do it to."""

    shell: Shell
    draw: random.Random
    follower: subprocess.Popen[str]
    options: tuple[str, ...]
    profile: str
    happened: Counter[str] = field(default_factory=Counter)

    @property
    def cluster(self) -> Cluster:
        return self.shell.cluster

    def restart_follower(self) -> None:
        self.follower = self.shell.start_sweep(*self.options, profile=self.profile)

    def running(self) -> str | None:
        """A running job of the sweep, as `A_a`."""
        with suppress(RuntimeError):
            jobs = self.cluster.ask("squeue", "-h", "-r", "-p", "low", "-t", "R", "-o", "%i").split()
            return self.draw.choice(jobs) if jobs else None
        return None

    def processes(self, *, children: bool) -> list[int]:
        """The processes of this cluster's packs: the trainings, or the packs themselves."""
        found: dict[int, int] = {}
        for proc in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError):
                ours = f"SLURM_CONF={self.cluster.conf}".encode() in (proc / "environ").read_bytes().split(b"\0")
                pack = b"submitit.core._submit" in (proc / "cmdline").read_bytes().split(b"\0")
                if ours and pack and "python" in (proc / "comm").read_text():  # srun has these words too
                    found[int(proc.name)] = int((proc / "stat").read_text().rsplit(") ", 1)[1].split()[1])
        return [pid for pid, parent in found.items() if (parent in found) is children]

    def kill_one_of(self, pids: list[int]) -> bool:
        if pids:
            with suppress(ProcessLookupError):
                os.kill(self.draw.choice(pids), signal.SIGKILL)
        return bool(pids)

    def kill_a_training(self) -> bool:
        return self.kill_one_of(self.processes(children=True))

    def kill_a_pack(self) -> bool:
        return self.kill_one_of(self.processes(children=False))

    def told(self, *words: str) -> bool:
        """A command on a running job; one that has just ended refuses it."""
        job = self.running()
        with suppress(RuntimeError):
            if job:
                self.cluster.ask(*words, job)
                return True
        return False

    def requeue(self) -> bool:
        return self.told("scontrol", "requeue")

    def warn_of_the_time_limit(self) -> bool:
        return self.told("scancel", "--signal=USR2")

    def preempt(self) -> bool:
        """A job of a higher partition takes both nodes for a moment."""
        if not self.running():
            return False
        self.cluster.ask("sbatch", "--partition=main", "--nodes=2", "--exclusive", "--time=1", "--output=/dev/null",
                         "--wrap=sleep 1")  # fmt: skip
        return True

    def cancel_a_job_and_start_again(self) -> bool:
        """A second start, beside the first if that still follows."""
        if not self.told("scancel"):
            return False
        self.end_follower(signal.SIGTERM)
        self.restart_follower()
        return True

    def kill_the_follower(self) -> bool:
        self.end_follower(signal.SIGKILL)
        self.restart_follower()
        return True

    def end_follower(self, number: int) -> None:
        self.follower.send_signal(number)
        self.follower.communicate(timeout=60)

    def restart_slurmd(self) -> bool:
        return self.restart(self.draw.choice(("n1", "n2")), 1.0)

    def restart_slurmctld(self) -> bool:
        return self.restart("slurmctld", 1.0)

    def lose_a_node(self) -> bool:
        """Longer than SlurmdTimeout: its jobs are requeued while their old processes go on."""
        return self.restart(self.draw.choice(("n1", "n2")), 12.0)

    def restart(self, name: str, seconds: float) -> bool:
        self.cluster.kill(name)
        time.sleep(seconds)
        self.cluster.start(name)
        return True

    def blow(self, kinds: list[Callable[[], bool]], count: int, pause: tuple[float, float]) -> None:
        """Up to `count` faults while there is anything to do, each kind once before any comes again by chance."""
        order = self.draw.sample(list(dict.fromkeys(kinds)), len(set(kinds)))
        while self.happened.total() < count:
            time.sleep(self.draw.uniform(*pause))
            if self.follower.poll() is not None:
                if self.follower.returncode == 0:
                    return
                out, err = self.follower.communicate()
                assert self.follower.returncode in (1, 3), out + err
                self.restart_follower()
            kind = order[0] if order else self.draw.choice(kinds)
            if self.processes(children=True) and kind():  # in calm weather a fault is none
                self.happened[kind.__name__] += 1
                order = [one for one in order if one is not kind]

    def settle(self, starts: int = 10) -> str:
        """Follows to the end, with a new start where a run was given up for this one."""
        self.cluster.wait_for_nodes()
        said = ""
        for _ in range(starts):
            out, err = self.follower.communicate(timeout=600)
            said += out + err
            if self.follower.returncode == 0:
                return said
            self.restart_follower()
        raise AssertionError(said)


def weather(shell: Shell, *, steps: int, seeds: str, profile: str) -> Storm:
    """The undisturbed sweep on this machine, then the same one on Slurm, under way."""
    (shell.project / "sweeps" / "tiny.py").write_text(SWEEP_FILE.format(steps=steps))
    apart = ("--runs", "calm", "--results", "r", "--reports", "p")
    calm = shell.start("tiny", "--scale", "quick", "--seeds", seeds, "--cluster", "local", *apart)
    out, err = calm.communicate(timeout=1_200)
    assert calm.returncode == 0, out + err
    options = ("--seeds", seeds)
    return Storm(shell, random.Random(1), shell.start_sweep(*options, profile=profile), options, profile)


def check(storm: Storm, said: str) -> None:
    project = storm.shell.project
    assert results_of(project) == results_of(project, "calm"), said
    logs = "".join(path.read_text() for path in (project / "runs/tiny/slurm").glob("*/*_log.out"))
    ended = Counter(line.split(":")[1].strip() for line in logs.splitlines() if line.endswith(": done"))
    assert max(ended.values()) == 1, ended


def test_ten_faults_change_no_bit(shell: Shell) -> None:
    """Ten, or as many as there is time for on a fast machine."""
    storm = weather(shell, steps=150, seeds="0", profile=LOW)
    with hurrying(storm.cluster):
        kinds = [storm.kill_a_training, storm.requeue, storm.warn_of_the_time_limit, storm.restart_slurmd,
                 storm.kill_a_pack, storm.cancel_a_job_and_start_again, storm.preempt]  # fmt: skip

        storm.blow(kinds, 10, (0.2, 1.0))

        check(storm, storm.settle())
    assert storm.happened.total() >= 5, storm.happened


@pytest.mark.long
@pytest.mark.timeout(3_000)
def test_a_hundred_faults_change_no_bit(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    """Jobs of one minute on top: Slurm's own time limit requeues each of them."""
    storm = weather(shell, steps=2_200, seeds="0-1", profile=LOW + 'pack = 2\ntime = "1m"\nwarn = "20s"')
    with hurrying(storm.cluster):
        kinds = [storm.kill_a_training, storm.requeue, storm.warn_of_the_time_limit, storm.restart_slurmd,
                 storm.kill_a_pack, storm.cancel_a_job_and_start_again, storm.preempt, storm.kill_the_follower,
                 storm.restart_slurmctld, storm.lose_a_node]  # fmt: skip
        begun = time.monotonic()

        storm.blow([*kinds, *kinds[:5]], 100, (0.2, 1.5))

        said = storm.settle()
    with capsys.disabled():
        print(f"\n{storm.happened.total()} faults in {time.monotonic() - begun:.0f} s: {dict(storm.happened)}")
    check(storm, said)
    assert storm.happened.total() == 100, "the runs were too short"
