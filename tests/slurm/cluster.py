"""A real, private Slurm on this machine: two or more virtual nodes of one slurmctld, all in one folder.

    python -m tests.slurm.cluster up DIR     prints `export SLURM_CONF=...`, stays in the foreground until Ctrl-C

Every daemon listens on 127.0.0.1 only and is a child of this process; nothing outside DIR is written, and only what
was started here is stopped. Needs Debian's packages slurm-wlm and munge; no root, no cgroups, no database.
"""

from __future__ import annotations

import getpass
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SEARCH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch")
UP_SECONDS = 60

# MinJobAge is short, so that ended jobs vanish from squeue as on a busy cluster. KillWait and SlurmdTimeout are
# short for the tests' sake. CgroupPlugin must be named: slurmd 22.05 loads one even where nothing uses it.
CONFIG = """\
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={run}/munge.socket
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool/%n
SlurmctldPidFile={run}/slurmctld.pid
SlurmdPidFile={run}/slurmd-%n.pid
SlurmctldLogFile={dir}/log/slurmctld.log
SlurmdLogFile={dir}/log/slurmd-%n.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
SlurmdParameters=config_overrides
JobRequeue=1
KillWait=3
SlurmdTimeout=6
ReturnToService=2
FirstJobId={first_job}
MinJobAge=2
MaxArraySize={max_array}
MaxJobCount=20000
AccountingStorageType=accounting_storage/none
GresTypes=gpu
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port={d_ports} CPUs={cpus} RealMemory={memory} Gres=gpu:2
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
PartitionName=low Nodes=ALL MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE GraceTime=5
"""


def missing() -> list[str]:
    """The daemons and commands that this machine lacks."""
    return [name for name in DAEMONS if shutil.which(name, path=SEARCH) is None]


def free_ports(count: int) -> list[int]:
    """Consecutive ports that nobody on loopback listens on, below those the kernel hands out."""
    while True:
        first = random.randrange(20_000, 30_000)
        sockets = [socket.socket() for _ in range(count)]
        try:
            for offset, one in enumerate(sockets):
                one.bind(("127.0.0.1", first + offset))
            return list(range(first, first + count))
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()


@dataclass
class Cluster:
    """The daemons of one private cluster in `folder`. `max_array` is its MaxArraySize."""

    folder: Path
    nodes: int = 2
    cpus: int = 4
    memory: int = 8_000
    max_array: int = 1_001
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def conf(self) -> Path:
        """All that a client needs, as $SLURM_CONF."""
        return self.folder / "etc" / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of daemons and clients."""
        return {**os.environ, "SLURM_CONF": str(self.conf), "PATH": SEARCH, "LC_ALL": "C"}

    def up(self) -> None:
        """Starts everything and waits until every node is idle."""
        self._write_config()
        self._start_munged()
        self.start("slurmctld")
        for number in range(1, self.nodes + 1):
            self.start(f"n{number}")
        self.wait_for_nodes()

    def start(self, name: str) -> None:
        """Starts `slurmctld` or the slurmd of a node (`n1`, `n2`, ...)."""
        if name == "slurmctld":
            self._spawn(name, "slurmctld", "-D", "-f", str(self.conf))
        else:
            (self.folder / "spool" / name).mkdir(parents=True, exist_ok=True)
            self._spawn(name, "slurmd", "-D", "-N", name, "-f", str(self.conf))

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Ends one daemon with a signal; its jobs are left alone."""
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(20)

    def ask(self, *words: str) -> str:
        """What a client command (`squeue`, `scontrol`, ...) answers."""
        done = subprocess.run(words, capture_output=True, text=True, env=self.environment, timeout=60)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def wait_for_nodes(self) -> None:
        """Waits until every node answers; one that was down is told to resume."""
        with suppress(RuntimeError):
            self._wait_until(self._nodes_up, 5)
            return
        with suppress(RuntimeError):
            self.ask("scontrol", "update", f"nodename=n[1-{self.nodes}]", "state=resume")
        self._wait_until(self._nodes_up, UP_SECONDS)

    def down(self) -> None:
        """Ends the jobs, then what was started here."""
        with suppress(RuntimeError, subprocess.TimeoutExpired):
            if jobs := self.ask("squeue", "-h", "-o", "%A").split():
                self.ask("scancel", *set(jobs))
                self._wait_until(lambda: not self.ask("squeue", "-h", "-t", "R,CG").strip(), 15)
        for name in reversed(list(self.processes)):
            process = self.processes.pop(name)
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in self._step_daemons():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _step_daemons(self) -> list[int]:
        """Left-over slurmstepd processes of this cluster, known by their $SLURM_CONF."""
        found = []
        for proc in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                ours = f"SLURM_CONF={self.conf}".encode() in (proc / "environ").read_bytes().split(b"\0")
                if ours and (proc / "cmdline").read_bytes().startswith(b"slurmstepd"):
                    found.append(int(proc.name))
        return found

    def _write_config(self) -> None:
        for name in ("etc", "run", "log", "state", "spool", "dev"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)  # munged refuses a socket below a folder that others cannot enter
        ctld, *slurmds = free_ports(1 + self.nodes)
        text = CONFIG.format(
            host=socket.gethostname().split(".")[0], user=getpass.getuser(), dir=self.folder, run=self.folder / "run",
            ctld_port=ctld, d_ports=f"[{slurmds[0]}-{slurmds[-1]}]", nodes=self.nodes, cpus=self.cpus,
            memory=self.memory, max_array=self.max_array,
            # never from 1: submitit names its files by job id, and ids that come again find old files
            first_job=random.randrange(1_000_000, 60_000_000),
        )  # fmt: skip
        self.conf.write_text(text)
        (self.conf.parent / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        for number in range(2):  # a GPU needs a character device; a link to one will do, without root
            (self.folder / "dev" / f"nvidia{number}").symlink_to("/dev/null")
        gres = f"AutoDetect=off\nNodeName=n[1-{self.nodes}] Name=gpu File={self.folder}/dev/nvidia[0-1]\n"
        (self.conf.parent / "gres.conf").write_text(gres)

    def _start_munged(self) -> None:
        run, key = self.folder / "run", self.folder / "etc" / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(random.randbytes(128))
        self._spawn(
            "munged", "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={run}/munge.socket",
            f"--pid-file={run}/munged.pid", f"--log-file={self.folder}/log/munged.log", f"--seed-file={run}/seed",
        )  # fmt: skip
        self._wait_until(lambda: self.ask("munge", "-n", "-S", f"{run}/munge.socket"), 10)

    def _spawn(self, name: str, *words: str) -> None:
        with (self.folder / "log" / f"{name}.out").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, start_new_session=True
            )

    def _nodes_up(self) -> bool:
        states = self.ask("sinfo", "-h", "-N", "-p", "main", "-o", "%T").split()
        return len(states) == self.nodes and set(states) <= {"idle", "mixed", "allocated", "completing"}

    def _wait_until(self, what: Callable[[], object], seconds: float) -> None:
        """Waits until `what` is true and raises nothing. Raises RuntimeError naming a daemon that died, or the time."""
        limit = time.monotonic() + seconds
        while True:
            with suppress(RuntimeError):
                if what():
                    return
            dead = [name for name, process in self.processes.items() if process.poll() is not None]
            if dead or time.monotonic() > limit:
                raise RuntimeError(f"{', '.join(dead) or 'the cluster'} did not come up; see {self.folder / 'log'}")
            time.sleep(0.05)


def main() -> int:
    """`python -m tests.slurm.cluster up DIR`."""
    if len(sys.argv) != 3 or sys.argv[1] != "up":
        print(__doc__)
        return 2
    if lacking := missing():
        print(f"not installed: {', '.join(lacking)} (apt-get install slurm-wlm munge)", file=sys.stderr)
        return 2
    cluster = Cluster(Path(sys.argv[2]).absolute())
    try:
        cluster.up()
        print(f"export SLURM_CONF={cluster.conf}", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        print("stopping", file=sys.stderr)
    finally:
        cluster.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
