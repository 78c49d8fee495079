"""Sweeps on a real Slurm of two nodes: the same numbers as inline, whatever happens on the way."""

from __future__ import annotations

import json

from tests.slurm.conftest import Shell
from tests.test_sweep import results_of


def test_a_sweep_on_slurm_ends_in_the_same_report_and_bits_as_inline(shell: Shell) -> None:
    inline = shell.run(
        "tiny", "--scale", "quick", "--cluster", "inline", "--runs", "in", "--results", "in/r", "--reports", "in/p"
    )
    assert inline.returncode == 0, inline.stdout + inline.stderr

    done = shell.sweep()

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 runs are done" in done.stdout
    assert results_of(shell.project) == results_of(shell.project, "in")
    print(done.stdout)
    assert (shell.project / "reports" / "tiny" / "README.md").exists()
    env = [json.loads(p.read_text()) for p in (shell.project / "runs" / "tiny").glob("*/env.json")]
    assert [one["dirty"] for one in env] == [False, False]
