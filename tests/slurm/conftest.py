"""One private Slurm for all tests here (one a test process), and a checkout whose code the jobs run."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest

from bench.cli.sweep import main
from bench.launch.slurm.snapshot import take_snapshot
from tests.slurm.cluster import SEARCH, Cluster, missing

SWEEP = ("tiny", "--scale", "quick", "--cluster", "slurm")
ROOT = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the real Slurm."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("slurm")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster of two nodes; the test is skipped, saying so, where Slurm is not installed."""
    if lacking := missing():
        pytest.skip(f"{', '.join(lacking)} not installed (apt-get install slurm-wlm munge): no Slurm here")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: a unix socket's path has room for 108 bytes
    one = Cluster(folder, max_array=101)
    try:
        one.up()
        yield one
    finally:
        one.down()
        shutil.rmtree(folder)


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done = subprocess.run(["git", *who, "-C", str(folder), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def make_checkout(folder: Path) -> Path:
    """A git checkout of its own with the code as it is now."""
    for name in ("bench", "sweeps"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".gitignore").write_text("__pycache__/\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "as it is")
    return folder


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean checkout that no test changes."""
    return make_checkout(tmp_path_factory.mktemp("checkout"))


@dataclass(frozen=True)
class Shell:
    """A user's shell on the cluster's login node: in a project folder, with the code of a checkout."""

    cluster: Cluster
    project: Path
    checkout: Path

    @property
    def environment(self) -> dict[str, str]:
        home = str(self.project / "home")  # no profile of the developer's own
        return {**os.environ, "SLURM_CONF": str(self.cluster.conf), "PATH": SEARCH, "PYTHONPATH": str(self.checkout),
                "XDG_CONFIG_HOME": home, "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "ignore"}  # fmt: skip

    def start(self, *arguments: str, module: str = "bench.sweep", **environment: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", module, *arguments]
        return subprocess.Popen(
            words, cwd=self.project, env={**self.environment, **environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str, module: str = "bench.sweep", **env: str) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments, module=module, **env) as process:
            out, err = process.communicate(timeout=110)
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


@pytest.fixture
def shell(cluster: Cluster, checkout: Path, tiny_sweep: Path) -> Iterator[Shell]:
    one = Shell(cluster, tiny_sweep.parents[1], checkout)
    yield one
    if jobs := cluster.ask("squeue", "-h", "-o", "%A").split():
        cluster.ask("scancel", *set(jobs))


@contextmanager
def hurrying(cluster: Cluster) -> Iterator[None]:
    """Starts requeued jobs at once (Slurm makes each wait for two minutes) and resumes drained nodes, as an admin does.

    A job that starts again before its lost node has come back drains the node ("Duplicate jobid").
    """
    over = threading.Event()

    def hurry() -> None:
        while not over.wait(0.5):
            with suppress(RuntimeError):  # slurmctld may be away for a moment, or the job
                for line in cluster.ask("squeue", "-h", "-r", "-t", "PD", "-o", "%i %r").splitlines():
                    if line.endswith(" BeginTime"):
                        cluster.ask("scontrol", "update", f"jobid={line.split()[0]}", "StartTime=now")
                for node in cluster.ask(
                    "sinfo", "-h", "-N", "-p", "main", "-t", "drained,draining", "-o", "%N"
                ).split():
                    cluster.ask("scontrol", "update", f"nodename={node}", "state=resume")

    thread = threading.Thread(target=hurry)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
