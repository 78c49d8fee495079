"""What a command says of itself: the sweeps and their questions, its version, what was meant, a shell's Tab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import __version__
from bench.cli.commands import COMMANDS, main
from bench.cli.sweep import main as sweep
from tests.builders import needs

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.usefixtures("tiny_sweep")
def test_alone_it_lists_commands_and_sweeps_with_their_questions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0

    said = capsys.readouterr().out
    assert all(f"\n    {name} " in said for name in COMMANDS)
    assert "\n  tiny (quick)\n      Does it run?\n" in said
    assert "\n  plain_vs_residual (paper, short, quick; published)\n" in said
    assert main(["list"]) == 0
    assert said.endswith(capsys.readouterr().out)


@pytest.mark.usefixtures("tiny_sweep")
def test_a_start_without_a_name_names_the_sweeps(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep([]) == 2
    assert capsys.readouterr().err.startswith(
        "bench: name a sweep, or the path of a sweep file; there are: cifar_details"
    )


@pytest.mark.parametrize("command", [main, sweep])
def test_the_version_is_printed(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command(["--version"])  # type: ignore[operator]
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"resnet-bench {__version__}, commit ")


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        (["stauts"], "status"),
        (["sweep", "x", "--scale", "papr"], "paper"),
        (["sweep", "x", "--dryrun"], "--dry-run"),
        (["status", "x", "--wach"], "--watch"),
        (["verify", "--re-run", "x"], "--rerun"),
    ],
)
def test_a_slip_of_the_pen_is_answered_with_what_was_meant(
    command: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 2
    assert f"; did you mean {meant}?; see bench" in capsys.readouterr().err


@needs("argcomplete")
@pytest.mark.parametrize(("typed", "words"), [("bench ver", ["verify"]), ("bench status thou", ["thousand_layers"])])
def test_tab_completes_commands_and_names(typed: str, words: list[str], tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "_ARGCOMPLETE_IFS": "\n"}
    env = {**os.environ, **asked, "COMP_LINE": typed, "COMP_POINT": str(len(typed)), "PYTHONPATH": str(ROOT)}

    subprocess.run([sys.executable, "-m", "bench"], env=env, cwd=tmp_path, capture_output=True)

    assert answer.read_text().split() == words
