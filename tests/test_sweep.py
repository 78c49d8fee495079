"""The main job as a person types it: a sweep from nothing to its report, stopped, failed, in the background."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench.cli.commands import main as bench
from bench.cli.sweep import main
from bench.store import RunFolder
from tests.builders import SWEEP_FILE, needs, results_of

pytestmark = pytest.mark.usefixtures("figures_not_rendered")

ROOT = Path(__file__).resolve().parents[1]


def command(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m bench.sweep` in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "bench.sweep", *arguments]
    return subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=environment, timeout=240)


@pytest.mark.parametrize(
    "cluster",
    [
        "inline",
        pytest.param("crew", marks=pytest.mark.team),
        pytest.param("local", marks=[pytest.mark.team, needs("submitit")]),
    ],
)
def test_a_sweep_goes_from_nothing_to_a_report_and_then_has_nothing_to_do(
    tiny_sweep: Path, cluster: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tiny_sweep.parents[1]
    done = command("tiny", "--scale", "quick", "--cluster", cluster, cwd=project)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "a procedural stand-in takes its place" in done.stdout
    page = project / "runs" / "tiny" / "report" / "README.md"
    title = "# Tiny on CIFAR-10 (scale quick, on a procedural stand-in, not on real data)\n"
    assert page.read_text().startswith(title)
    assert f"report:  {page.relative_to(project)}" in done.stdout
    assert "2 of 2 runs are done" in done.stdout
    before = page.read_bytes(), results_of(project)
    assert main(["tiny", "--scale", "quick", "--cluster", cluster]) == 0
    said = capsys.readouterr().out
    assert "2 runs: 2 done, 0 to do" in said
    assert "starts" not in said
    assert (page.read_bytes(), results_of(project)) == before


def test_a_failed_run_is_a_row_and_exit_code_1_and_is_tried_again_when_asked(
    tiny_sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One cell of two diverges: the other has its number, the page says what failed."""
    tiny_sweep.write_text(SWEEP_FILE.format(steps=12, plain_lr=1e30))
    project = tiny_sweep.parents[1]
    arguments = ["tiny", "--scale", "quick", "--cluster", "inline"]

    assert main(arguments) == 1
    assert "failed: the training loss is" in capsys.readouterr().out
    page = (project / "runs" / "tiny" / "report" / "README.md").read_text()
    assert "Failed: `plain-8-quick-s0-" in page
    assert main(arguments) == 1
    out = capsys.readouterr().out
    assert "1 diverged (which is their result)" in out
    assert "\n1 of 2 runs are done\n" in out
    assert main([*arguments, "--retry"]) == 1
    assert "starts" not in capsys.readouterr().out, "a seed that diverged is never replaced"
    (run,) = (project / "runs" / "tiny").glob("plain-8-*")
    RunFolder(run).fail("CUDA error", retry=False)
    assert main(arguments) == 1
    out = capsys.readouterr().out
    assert "1 failed (start with --retry to try them again)" in out
    assert "1 of 2 runs are done; --retry tries the failed ones again" in out
    assert main([*arguments, "--retry"]) == 1
    assert "starts" in capsys.readouterr().out


@pytest.mark.team
def test_a_time_limit_stops_cleanly_and_the_next_start_ends_in_the_same_bits(tiny_sweep: Path) -> None:
    project = tiny_sweep.parents[1]
    tiny_sweep.write_text(SWEEP_FILE.format(steps=60, plain_lr=0.1))
    limited = ["tiny", "--scale", "quick", "--cluster", "inline", "--runs", "limited", "--time-limit", "0.01s"]
    stopped = command(*limited, cwd=project)

    assert stopped.returncode == 3, stopped.stdout + stopped.stderr
    assert main(limited[:-2]) == 0
    assert main(["tiny", "--scale", "quick", "--cluster", "inline", "--out", "whole"]) == 0
    assert results_of(project, "limited") == results_of(project, "whole")


@needs("submitit")
@pytest.mark.team
def test_two_runners_on_one_sweep_run_no_run_twice(tiny_sweep: Path) -> None:
    project = tiny_sweep.parents[1]
    tiny_sweep.write_text(SWEEP_FILE.format(steps=60, plain_lr=0.1))
    outputs: list[subprocess.CompletedProcess[str]] = []

    def one() -> None:
        outputs.append(command("tiny", "--scale", "quick", "--cluster", "local", cwd=project))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [o.returncode for o in outputs] == [0, 0], [o.stdout + o.stderr for o in outputs]
    trained = [log for log in (project / "runs").rglob("*_log.out") if "bench: trains" in log.read_text()]
    assert len(trained) == 2


@needs("submitit")
@pytest.mark.team
def test_without_waiting_the_sweep_goes_on_in_the_background(tiny_sweep: Path) -> None:
    project = tiny_sweep.parents[1]
    begun = time.monotonic()
    done = command("tiny", "--scale", "quick", "--cluster", "local", "--no-wait", cwd=project)

    assert done.returncode == 0, done.stderr
    assert "runs in the background" in done.stdout
    page = project / "runs" / "tiny" / "report" / "README.md"
    while not page.exists():
        assert time.monotonic() - begun < 120, (project / "runs" / "tiny" / "sweep.log").read_text()
        time.sleep(0.2)


def test_a_sweep_of_ones_own_keeps_all_where_it_is_typed_and_is_known_there_by_name(
    tiny_sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    own = tiny_sweep.rename(place / "mine.py")
    monkeypatch.chdir(place)

    assert main([str(own), "--scale", "quick", "--cluster", "inline"]) == 0
    capsys.readouterr()

    assert {p.name for p in place.iterdir()} == {"mine.py", "runs"}
    assert (place / "runs" / "mine" / "results" / "sweep.py").read_text() == own.read_text()
    own.unlink()
    assert main(["mine", "--scale", "quick", "--cluster", "inline"]) == 0, "as its page says, from the file kept there"
    assert bench(["verify", "mine"]) == 0
    assert bench(["report", "mine"]) == 0
    assert bench(["cite", "mine.quick-stand-in.plain-8.test_error"]) == 0
    assert bench(["publish", "mine"]) == 2
    assert "are on a stand-in" in capsys.readouterr().err
