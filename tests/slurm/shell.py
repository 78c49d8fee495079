"""A user's shell on the cluster's login node, and the checkout whose code the jobs run."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from unittest.mock import patch

from bench.cli.sweep import main
from bench.launch.slurm.snapshot import take_snapshot
from tests import builders
from tests.builders import git
from tests.pausing import VARIABLE, Pause
from tests.slurm.cluster import SEARCH, Cluster

SWEEP = ("tiny", "--scale", "quick", "--cluster", "slurm")
ROOT = Path(__file__).resolve().parents[2]


def make_checkout(folder: Path) -> Path:
    """A git checkout of its own with the code as it is now, whose runs wait where the test says so."""
    for name in ("bench", "sweeps"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "bench" / "train" / "loop.py").open("a") as file:
        file.write("\nfrom tests.pausing import install_from_environment\n\ninstall_from_environment()\n")
    (folder / ".gitignore").write_text("__pycache__/\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "as it is")
    return folder


@dataclass(frozen=True)
class Shell:
    """A user's shell on the cluster's login node: in a project folder, with the code of a checkout."""

    cluster: Cluster
    project: Path
    checkout: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)  # the fixture ends what is left of them

    @property
    def pause(self) -> Pause:
        """Where the runs that are started here wait."""
        return Pause(self.project / "pause")

    @property
    def environment(self) -> dict[str, str]:
        home = str(self.project / "home")  # no profile of the developer's own
        code = os.pathsep.join((str(self.checkout), str(ROOT)))  # the root: for tests.pausing
        return {**os.environ, "SLURM_CONF": str(self.cluster.conf), "PATH": SEARCH, "PYTHONPATH": code,
                "XDG_CONFIG_HOME": home, "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "ignore",
                VARIABLE: str(self.pause.path)}  # fmt: skip

    def start(self, *arguments: str, module: str = "bench.sweep", **environment: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", module, *arguments]
        process = subprocess.Popen(
            words, cwd=self.project, env={**self.environment, **environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.started.append(process)
        return process

    def run(self, *arguments: str, module: str = "bench.sweep", **env: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, module=module, **env)
        out, err = process.communicate(timeout=250)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def sweep(self, *options: str, profile: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        return self.run(*SWEEP, "--profile", self.profile(profile), *options, **env)

    def start_sweep(self, *options: str, profile: str = "", **env: str) -> subprocess.Popen[str]:
        return self.start(*SWEEP, "--profile", self.profile(profile), *options, **env)

    def here(self, *arguments: str, profile: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """The sweep's command in this process, which freezes the checkout: for what ends before a job starts."""
        out, err = io.StringIO(), io.StringIO()
        words = [*SWEEP, "--profile", self.profile(profile), *arguments]
        environment = {**self.environment, **env}
        frozen = patch("bench.cli.sweep.take_snapshot", partial(take_snapshot, source=self.checkout))
        with frozen, patch.dict(os.environ, environment, clear=True), redirect_stdout(out), redirect_stderr(err):
            code = main(words)
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    def profile(self, text: str) -> str:
        path = self.project / "profile.toml"
        path.write_text(text if "memory_gib" in text else f"memory_gib = 1.5\n{text}")
        return str(path)

    def jobs(self) -> list[str]:
        """Everything in the queue, as `id state`."""
        return self.cluster.ask("squeue", "-h", "-r", "-o", "%i %T").splitlines()

    def seen(self) -> str:
        """What a failed test leaves: the queue, the nodes, the runs' last signs of life and the ends of their logs."""
        text = "".join(
            self.cluster.ask(*words)
            for words in (("squeue", "-r", "-o", "%i %T %r %M"), ("sinfo", "-N", "-o", "%N %T %E"))
        )
        for path in sorted(self.project.glob("runs/*/*/**/*")):
            if path.name == "heartbeat.json" or path.suffix in (".out", ".err"):
                text += f"--- {path.relative_to(self.project)}\n{path.read_text(errors='replace')[-2_000:]}\n"
        return text


@contextmanager
def hurrying(cluster: Cluster) -> Iterator[None]:
    """Starts requeued jobs at once (Slurm makes each wait for two minutes) and resumes drained nodes, as an admin does.

    A job that starts again before its lost node has come back drains the node ("Duplicate jobid").
    """
    over = threading.Event()

    def ask(*words: str) -> list[str]:  # slurmctld may be away for a moment, or the job
        with suppress(RuntimeError, subprocess.TimeoutExpired):
            return cluster.ask(*words).splitlines()
        return []

    def hurry() -> None:
        while not over.wait(0.5):
            for line in ask("squeue", "-h", "-r", "-t", "PD", "-o", "%i %r"):
                if line.endswith(" BeginTime"):
                    ask("scontrol", "update", f"jobid={line.split()[0]}", "StartTime=now")
            for node in ask("sinfo", "-h", "-N", "-p", "main", "-t", "drained,draining", "-o", "%N"):
                ask("scontrol", "update", f"nodename={node}", "state=resume")

    thread = threading.Thread(target=hurry)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


wait_for = partial(builders.wait_for, pause=0.1)  # what asks Slurm should not keep it busy


def wait_for_line(process: subprocess.Popen[str], words: str) -> None:
    """Until the process writes a line with these words."""
    assert process.stdout
    assert any(words in line for line in process.stdout), process.communicate()
