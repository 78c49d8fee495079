"""The private Slurm of these tests."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, missing
from tests.slurm.shell import wait_for


def test_the_private_cluster_leaves_nothing_behind(tmp_path: Path) -> None:
    if missing():
        pytest.skip("Slurm is not installed here (apt-get install slurm-wlm munge)")
    folder = Path("/tmp") / f"s{time.monotonic_ns()}"  # a unix socket's path has room for 108 bytes
    one = Cluster(folder, nodes=2)
    try:
        one.up()
        pids = [process.pid for process in one.processes.values()]
        one.ask("sbatch", "--wrap=sleep 100", f"--output={tmp_path}/out")
        wait_for(lambda: one.ask("squeue", "-h", "-t", "R"))
    finally:
        one.down()
    shutil.rmtree(folder)

    assert len(pids) == 4
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert not [p for p in Path("/proc").glob("[0-9]*/environ") if f"SLURM_CONF={one.conf}".encode() in _bytes(p)]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
