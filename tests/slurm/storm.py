"""Faults of jobs, nodes and daemons, one after another."""

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

from tests.slurm.cluster import Cluster
from tests.slurm.shell import Shell

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
        self.follower.communicate(timeout=100)

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

    def blow(self, kinds: list[Callable[[], bool]], count: int, pause: tuple[float, float], steps: int) -> None:
        """`count` faults, each kind once before any comes again by chance; runs of `steps` get on a little between."""
        order = self.draw.sample(list(dict.fromkeys(kinds)), len(set(kinds)))
        while (happened := self.happened.total()) < count:
            self.shell.pause.at(steps * (happened + 1) // (count + 1))
            time.sleep(self.draw.uniform(*pause))
            if self.follower.poll() is not None:
                out, err = self.follower.communicate()
                assert self.follower.returncode in (1, 3), out + err
                self.restart_follower()
            kind = order[0] if order else self.draw.choice(kinds)
            if self.processes(children=True) and kind():  # in calm weather a fault is none
                self.happened[kind.__name__] += 1
                order = [one for one in order if one is not kind]
        self.shell.pause.lift()

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
