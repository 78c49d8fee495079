"""Folders that are not what a command needs: refused in a line, and what only has to be read is only read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.commands import main as bench
from bench.cli.sweep_files import load_sweep
from bench.speed.made_up import finish
from bench.store import RunFolder

WRONG = {
    "no name": (["status", ""], "no runs of '' in runs"),
    "runs itself": (["status", "."], "no runs of '.' in runs"),
    "above": (["status", ".."], "no runs of '..' in runs"),
    "cancel above": (["cancel", ".."], "no runs of '..' in runs"),
    "runs is a file": (["status", "tiny", "--runs", "file"], "no runs of 'tiny' in file"),
    "report without runs": (["report", "tiny", "--out", "nope"], "no runs of 'tiny' in nope"),
    "publish without runs": (["publish", "tiny", "--out", "nope"], "no runs of 'tiny' in nope"),
    "nothing published": (["publish"], "no published results in results/ here"),
    "coverage without results": (["coverage", "--results", "nope"], "--results nope: no such folder"),
    "cite without results": (["cite", "t6.resnet-20.error", "--results", "nope"], "--results nope: no such folder"),
    "verify without results": (["verify", "--results", "nope"], "--results nope: no such folder"),
    "results is a file": (["verify", "--results", "file"], "--results file: no such folder"),
    "pack into runs": (["pack", "runs"], "runs is in runs, the folder of the runs: give one outside it"),
    "pack into a sweep": (["pack", "runs/tiny"], "runs/tiny is in runs, the folder of the runs"),
    "pack around": (["pack", "x/../runs/new"], "x/../runs/new is in runs, the folder of the runs"),
    **{
        f"{option} is {what}": (
            ["sweep", "tiny", "--scale", "quick", "--cluster", "inline", "--dry-run", option, what],
            f"--out {what}: {found} is no folder; name one",
        )
        for option in ("--out", "--runs")
        for what, found in (("file", "file"), ("file/below", "file"), ("/dev/null", "/dev/null"))
    },
}


@pytest.mark.usefixtures("tiny_sweep")
@pytest.mark.parametrize("case", WRONG)
def test_a_folder_that_a_command_cannot_use_is_one_line_and_nothing_is_written(
    case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, words = WRONG[case]
    Path("file").write_text("")
    (run,) = _runs(Path("runs"), 1)
    before = sorted(Path().rglob("*"))

    assert bench(command) == 2

    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"bench: {words}"), error
    assert sorted(Path().rglob("*")) == before
    assert run.path.is_dir()


def _runs(place: Path, count: int) -> list[RunFolder]:
    """Folders of runs of the sweep tiny, the first of them done."""
    runs = load_sweep("tiny")[1].runs("quick", None, "cifar10")[:count]
    made = [RunFolder(place / "tiny" / run.id) for run in runs]
    for folder, run in zip(made, runs, strict=True):
        folder.create(run)
    finish(made[0], runs[0], error=50)
    return made


READING = """
mount --bind runs runs && mount -o remount,ro,bind runs || exit 77
touch runs/x && exit 78
exec "$0" -c "
from bench.cli.commands import main
print(main(['status', 'tiny']), main(['publish', 'tiny']))
"
"""


@pytest.mark.usefixtures("tiny_sweep")
def test_runs_that_are_mounted_read_only_are_read() -> None:
    """By the kernel, not by a stand-in for it; skipped, saying so, where nothing may be mounted."""
    _, other = _runs(Path("runs"), 2)
    with other.lock():
        pass
    inside = ["unshare", "--user", "--map-root-user", "--mount"]
    done = subprocess.run([*inside, "bash", "-c", READING, sys.executable], capture_output=True, text=True)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("nothing can be mounted here")

    assert done.stdout.endswith("0 0\n"), done.stdout + done.stderr
    assert "1 done, 1 pending" in done.stdout
    assert Path("results/tiny/runs.csv").read_text().count("\n") == 3
