"""One private Slurm for all tests here (one a test process), and a checkout whose code the jobs run."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.builders import end
from tests.slurm.cluster import Cluster, missing
from tests.slurm.shell import Shell, make_checkout


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the real Slurm."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("slurm")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test's report says what Slurm and the runs were at."""
    report = yield
    shell = getattr(item, "funcargs", {}).get("shell")
    if report.when == "call" and report.failed and isinstance(shell, Shell):
        with suppress(RuntimeError, OSError, subprocess.TimeoutExpired):
            report.sections.append(("Slurm and the runs", shell.seen()))
    return report


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


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean checkout that no test changes."""
    return make_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def shell(cluster: Cluster, checkout: Path, tiny_sweep: Path) -> Iterator[Shell]:
    one = Shell(cluster, tiny_sweep.parents[1], checkout)
    yield one
    end(one.started)
    if jobs := cluster.ask("squeue", "-h", "-o", "%A").split():
        cluster.ask("scancel", *set(jobs))
