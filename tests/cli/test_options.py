"""What is typed wrongly: one line that says what is allowed, exit code 2, and nothing has started."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.cli.commands import main as bench
from bench.cli.sweep import main
from bench.cli.values import parse_duration, parse_seeds


@pytest.mark.parametrize(("text", "seeds"), [("0-4", (0, 1, 2, 3, 4)), ("7", (7,)), ("3,0-1,0", (3, 0, 1))])
def test_seeds_are_ranges_and_lists(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(("text", "seconds"), [("50m", 3000), ("2h", 7200), ("90s", 90), ("1.5m", 90), ("1d", 86400)])
def test_durations_have_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "options",
    [
        ["--seeds", "a"],
        ["--seeds", "4-0"],
        ["--time-limit", "0m"],
        ["--time-limit", "50"],
        ["--budget", "40"],
        ["--scale", "long"],
        ["--at-once", "0"],
        ["--classes", "-3"],
    ],
)
def test_a_bad_option_is_refused_by_the_parser(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["plain_vs_residual", *options])

    assert error.value.code == 2
    said = capsys.readouterr().err
    assert options[1] in said
    assert said.endswith("; see python -m bench.sweep --help\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "options", ["pack", "speed start --threads 0", "speed growth --runs -3", "speed limits --depths x"]
)
def test_so_is_one_of_another_command(options: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        bench(options.split())

    assert error.value.code == 2
    assert re.fullmatch(
        rf"bench {options.split()[0]}: .*; see bench {options.split()[0]} --help\n", capsys.readouterr().err
    )


MISTAKES = {
    "no such sweep": (["tinyy"], "no sweep 'tinyy'; did you mean tiny\\? There are: .*, thousand_layers, tiny;"),
    "no such file": (["sweeps/tyni.py"], "there is no sweep file sweeps/tyni.py"),
    "no run matches": (["tiny", "--only", "vgg*"], "matches no run; the nets are: plain-8, resnet-8-A"),
    "one of two matches": (["tiny", "--only", "plain-8,vgg*"], "--only 'vgg\\*' matches no run; the nets are: plain-8"),
    "at once inline": (["tiny", "--cluster", "inline", "--at-once", "2"], "--at-once is for --cluster local and crew"),
    "too many at once": (["tiny", "--cluster", "local", "--at-once", "9999"], "need .* GiB, and this machine has"),
    "scale not declared": (["tiny", "--scale", "paper", "--dry-run"], "'paper' is not one of this sweep's: quick"),
    "data folder missing": (["tiny", "--data", "nowhere"], "--data nowhere: no such folder"),
    "runs folder impossible": (["tiny", "--runs", "sweeps/tiny.py/x"], "--out .*x: sweeps/tiny.py is no folder"),
    "profile without Slurm": (["tiny", "--cluster", "local", "--profile", "x.toml"], "--profile is for Slurm"),
    "inline in the background": (["tiny", "--cluster", "inline", "--no-wait"], "--no-wait needs runs in other proc"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
@pytest.mark.usefixtures("tiny_sweep")
def test_a_mistake_is_one_line_and_exit_code_2(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, words = MISTAKES[case]
    scale = [] if "--scale" in arguments else ["--scale", "quick"]

    assert main([*arguments, *scale]) == 2

    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(words, error), error


@pytest.mark.parametrize("cluster", [(), ("--at-once", "2")])
@pytest.mark.usefixtures("tiny_sweep")
def test_a_machine_that_is_told_a_memory_without_sense_says_so_in_one_line(
    cluster: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BENCH_MEMORY_GIB", "64G")
    monkeypatch.setattr("bench.launch.concurrency.cuda_devices", lambda: ())

    assert main(["tiny", "--scale", "quick", "--cluster", "local", "--dry-run", *cluster]) == 2

    assert capsys.readouterr().err == "bench: BENCH_MEMORY_GIB='64G' is no number of GiB; write one such as 64\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\nraise KeyError('depth')\n", "bad.py, line 2: KeyError: 'depth'"),
        ("def f(:\n", "bad.py, line 1: SyntaxError"),
        (
            "from bench.spec import Net\n\nNet('cifar', 21, 'A')\n",
            "bad.py, line 3: net: depth 21 is not one of",
        ),
        ("SWEEP = 3\n", "bad.py defines no SWEEP"),
        ("import sys\nsys.exit()\n", "bad.py, line 2: SystemExit"),
        ("from bench.spec import Scale\nScale((), (0,))\n", "cells must have 1 or more, got ()"),
        ("from bench.spec import Resources\nResources(cpus=0)\n", "cpus must be 1 or more, got 0"),
    ],
)
def test_a_sweep_file_that_fails_is_named_with_its_line(
    tiny_sweep: Path, text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiny_sweep.parent / "bad.py").write_text(text)

    assert main(["bad"]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--out", "--runs"])
@pytest.mark.usefixtures("tiny_sweep")
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_trained(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tiny", "--scale", "quick", option, "sweeps/tiny.py"]) == 2
    assert "--out sweeps/tiny.py: sweeps/tiny.py is no folder; name one" in capsys.readouterr().err
    assert not list(Path("runs").rglob("result.json"))


def test_an_abbreviated_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["plain_vs_residual", "--no-w"])
    assert "unrecognized arguments: --no-w" in capsys.readouterr().err


def test_a_truncated_batch_stops_everything_before_it_starts(
    tiny_sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_sweep.parents[1] / "data" / "cifar-10-batches-bin"
    folder.mkdir()
    for name in (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"):
        (folder / name).write_bytes(b"\0" * 100)

    assert main(["tiny", "--scale", "quick"]) == 2
    assert "data_batch_1.bin has 100 bytes, not 30,730,000" in capsys.readouterr().err
    assert not (tiny_sweep.parents[1] / "runs").exists()


NUMBERED = """
from bench.spec import Claim, Net, Recipe, Scale, Sweep

NET = Net("cifar", 20, "A")
CLAIM = Claim("same", "It is.", "Table 6", "equals", (NET,), margin=0.5, number="{number}")
SWEEP = Sweep("T", "Q?", "C.", {{"quick": Scale(((NET, Recipe()),), (0,))}}, claims=(CLAIM,))
"""


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("t6.resnet-21.error", "the paper has no number 't6.resnet-21.error'; near it: t6.resnet-"),
        ("t6.resnet-32.error", "t6.resnet-32.error is not of resnet-20-A"),
    ],
)
def test_a_claim_about_a_number_that_is_not_there_is_refused_before_anything_runs(
    number: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(NUMBERED.format(number=number))

    assert main([str(tmp_path / "mine.py"), "--dry-run"]) == 2
    assert words in capsys.readouterr().err


def test_a_namesake_of_a_sweep_of_the_project_is_refused(
    tiny_sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    other = tmp_path / "mine" / "tiny.py"
    other.write_text(tiny_sweep.read_text() + "# another\n")

    assert main([str(other), "--scale", "quick"]) == 2
    assert "has the name of" in capsys.readouterr().err


def test_a_name_that_no_folder_or_number_can_have_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my study.py").write_text("")

    assert main([str(tmp_path / "my study.py")]) == 2
    assert "use letters, digits, _ and - only" in capsys.readouterr().err
