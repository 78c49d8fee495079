"""bench verify as a command: what it says is wrong, and a run done again."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.cli.commands import main
from bench.cli.sweep import main as sweep_main
from bench.report.rows import read_rows
from bench.store import all_folders

pytestmark = pytest.mark.usefixtures("figures_not_rendered")


def change_a_digit_of_the_curve(results: Path, run: str) -> None:
    """Of the loss in its second row."""
    curves = pd.read_parquet(results / "curves.parquet")
    place = curves.index[curves["id"] == run][1]
    curves.loc[place, "loss"] += 1e-9
    curves.to_parquet(results / "curves.parquet", index=False)


def test_the_command_says_what_is_wrong_and_a_run_done_again_has_the_same_bits(
    tiny_sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep_main([str(tiny_sweep), "--scale", "quick", "--cluster", "inline"]) == 0
    run = read_rows(Path("runs/tiny/results/runs.csv"))[0]["id"]
    capsys.readouterr()

    assert main(["verify", "tiny"]) == 0
    first, *unchecked, proven, not_proven, more = capsys.readouterr().out.splitlines()
    assert first == "runs/tiny: every number follows from its runs"
    assert all(line.startswith("  not checked: ") for line in unchecked)
    assert proven.startswith("proven: the numbers of ")
    assert not_proven.startswith("not proven: that the trainings took place")
    assert more.startswith("to prove more: bench verify --weights")

    assert main(["verify", "tiny", "--rerun", run.rpartition("-")[0]]) == 0
    said = capsys.readouterr().out
    assert "\nthe same weights, curve and images bit for bit, test error" in said
    assert said.endswith(f"\n{run}: agrees\n")

    change_a_digit_of_the_curve(Path("runs/tiny/results"), run)
    assert main(["verify", "tiny", "--rerun", run]) == 1  # it is trained again, not read again
    said = capsys.readouterr().out
    assert "starts (pending)" in said
    assert "the curve departs at row 2 of " in said
    assert said.endswith(f"\n{run}: DOES NOT AGREE\n")

    assert {folder.path.parent.name for folder in all_folders(Path("runs"))} == {"tiny"}, "for bench pack"

    Path("runs/tiny/report/index.html").write_text("<html>\n")
    assert main(["verify", "tiny"]) == 1
    assert "index.html, line 1: it says" in capsys.readouterr().err
    assert main(["verify", "tiny", "--rerun", "nothing"]) == 2
    assert f"no finished run 'nothing'; give one of these:\n  {run}" in capsys.readouterr().err
    assert main(["verify", "tiny", "--rerun", ""]) == 2
    assert "2 finished runs begin with '';" in capsys.readouterr().err
