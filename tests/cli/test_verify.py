"""bench verify as a command: what it says is wrong, and a run done again."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.cli.commands import main
from bench.cli.sweep import main as sweep_main
from bench.report.rows import read_rows
from bench.report.verify import stored_run
from bench.store import all_folders

pytestmark = pytest.mark.usefixtures("figures_not_rendered")

ROOT = Path(__file__).resolve().parents[2]


def test_the_command_says_what_is_wrong_and_a_run_done_again_has_the_same_bits(
    tiny_sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep_main([str(tiny_sweep), "--scale", "quick", "--cluster", "inline"]) == 0
    run = read_rows(Path("runs/tiny/results/runs.csv"))[0]["id"]
    capsys.readouterr()

    assert main(["verify", "tiny"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "runs/tiny: every number follows from its runs"
    assert all(line.startswith("  not checked: ") for line in said[1:])

    assert main(["verify", "tiny", "--rerun", run.rpartition("-")[0]]) == 0
    assert f"{run}: the same weights bit for bit, test error" in capsys.readouterr().out
    assert main(["verify", "tiny", "--rerun", run]) == 0  # it is trained again, not read again
    assert "starts (pending)" in capsys.readouterr().out

    assert {folder.path.parent.name for folder in all_folders(Path("runs"))} == {"tiny"}, "for bench pack"

    Path("runs/tiny/report/index.html").write_text("<html>\n")
    assert main(["verify", "tiny"]) == 1
    assert "index.html, line 1: it says" in capsys.readouterr().err
    assert main(["verify", "tiny", "--rerun", "nothing"]) == 2
    assert f"no finished run 'nothing'; give one of these:\n  {run}" in capsys.readouterr().err
    assert main(["verify", "tiny", "--rerun", ""]) == 2
    assert "2 finished runs begin with '';" in capsys.readouterr().err


@pytest.mark.parametrize(("kernels", "compiled"), [("compiled", True), ("eager", False), (None, False)])
def test_a_run_done_again_has_the_kernels_that_it_had(kernels: str | None, compiled: bool, tmp_path: Path) -> None:
    """Results of older versions do not say."""
    rows = pd.read_csv(ROOT / "results" / "plain_vs_residual" / "runs.csv", dtype=str, keep_default_na=False)
    rows = rows[rows["state"] == "done"].head(1).drop(columns="kernels", errors="ignore")
    (tmp_path / "a").mkdir()
    (rows if kernels is None else rows.assign(kernels=kernels)).to_csv(tmp_path / "a" / "runs.csv", index=False)

    run, _, _ = stored_run(rows["id"].iloc[0], [tmp_path / "a"])

    assert run.id == rows["id"].iloc[0]
    assert run.resources.compile is compiled
