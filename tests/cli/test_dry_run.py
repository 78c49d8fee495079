"""What a sweep says before it starts: its runs, their order, the kernels that they get."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.cli.sweep import main
from tests.builders import needs

ROOT = Path(__file__).resolve().parents[2]


def test_a_dry_run_says_the_fifty_runs_and_starts_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    runs = tmp_path / "runs"

    assert (
        main(["plain_vs_residual", "--scale", "paper", "--dry-run", "--runs", str(runs), "--data", str(tmp_path)]) == 0
    )

    out = capsys.readouterr().out
    assert "50 runs: 0 done, 50 to do" in out
    assert "plain-110-paper-s4-" in out
    assert not runs.exists()


def test_the_runs_asked_for_come_in_the_order_asked_for(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    main(["plain_vs_residual", "--scale", "quick", "--only", "*-56*, plain-*,", "--dry-run", "--runs", str(tmp_path)])

    names = re.findall(r"^  (\S+)-quick-s0", capsys.readouterr().out, re.MULTILINE)
    assert names == ["plain-56", "resnet-56-A", "plain-20"]


@pytest.mark.parametrize(
    ("only", "shown"),
    [
        ("resnet-20-A", [""]),
        ("resnet-20-A+bf16", ["bf16"]),
        ("resnet-20-A*", ["", "bf16", "bn_group=128"]),
        ("*+bn_group=128,*+bf16", ["bn_group=128", "bf16"]),
    ],
)
def test_a_net_is_chosen_with_its_recipe(
    only: str, shown: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = ["--scale", "quick", "--seeds", "0", "--only", only, "--dry-run", "--runs", str(tmp_path)]
    assert main(["cifar_details", *asked]) == 0

    said = capsys.readouterr().out
    assert re.findall(r"^  resnet-20-A-\S+ .* pending +(?:\?|[\d.]+ \w+) *(.*)$", said, re.MULTILINE) == shown
    assert f"\n{len(shown)} {'run' if len(shown) == 1 else 'runs'}: 0 done, {len(shown)} to do\n" in said


def test_help_and_dry_run_import_nothing_heavy() -> None:
    code = (
        "import contextlib, sys; from bench.cli.sweep import main\n"
        "assert main(['plain_vs_residual', '--scale', 'paper', '--dry-run']) == 0\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "heavy = {'torch', 'numpy', 'pandas', 'matplotlib', 'submitit', 'rich'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)

    assert done.returncode == 0, done.stderr


def test_off_slurm_a_run_declared_for_several_processes_is_one_and_a_line_says_so(
    tiny_sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_sweep.write_text(tiny_sweep.read_text().replace("gpus=0", "gpus=0, nodes=3"))

    assert main(["tiny", "--scale", "quick", "--cluster", "inline", "--dry-run", "--budget", "1h"]) in (0, 2)

    said = "2 runs of several processes: on --cluster inline each trains in one"
    assert capsys.readouterr().out.count(said) == 1


def planned(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """What a dry run of the tiny sweep prints."""
    assert main(["tiny", "--scale", "quick", "--dry-run", "--cluster", "local", *options]) == 0
    return capsys.readouterr().out


@pytest.mark.usefixtures("tiny_sweep")
def test_kernels_are_no_part_of_a_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CXX", sys.executable)

    assert planned(capsys, "--compile") == planned(capsys), "the same ids, too"


@pytest.mark.usefixtures("tiny_sweep")
def test_runs_that_begin_are_compiled_where_there_is_a_compiler(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[Any] = []
    monkeypatch.setattr(
        "bench.cli.sweep.Runner.run", lambda _, todo: begun.append([i.folder.run().resources for i in todo])
    )
    monkeypatch.setenv("CXX", sys.executable)
    command = ["tiny", "--scale", "quick", "--cluster", "inline"]

    main([*command, "--compile"])
    assert [one.compile for one in begun[-1]] == [True, True]
    first = next(Path("runs/tiny").glob("*/run.json")).parent
    (first / "checkpoint.pt").touch()
    main(command)
    assert sorted(one.compile for one in begun[-1]) == [False, True], "the one that was begun compiled stays so"
    assert "--compile" not in capsys.readouterr().out
    monkeypatch.setenv("CXX", "no-such-compiler")
    main([*command, "--compile"])
    assert sorted(one.compile for one in begun[-1]) == [False, True]
    out = capsys.readouterr().out
    assert "--compile: torch.compile needs a C++ compiler on a CPU, and there is no no-such-compiler here: " in out
    assert out.count("runs that begin now train eager") == 1


@needs("submitit")
@pytest.mark.usefixtures("tiny_sweep")
def test_in_the_background_the_same_kernels_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    class Child:
        pid = 1

        def __init__(self, words: list[str], **_: object) -> None:
            started.append(words)

    # not Popen itself, which starts git and nvidia-smi, too
    monkeypatch.setattr("bench.cli.sweep.subprocess", SimpleNamespace(Popen=Child, DEVNULL=None))
    assert main(["tiny", "--scale", "quick", "--cluster", "local", "--compile", "--no-wait"]) == 0
    assert started[0][-5:] == ["--scale", "quick", "--cluster", "local", "--compile"]


def test_a_machine_without_bf16_units_says_what_that_costs(
    tiny_sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "this processor has no bf16 units (amx_bf16, avx512_bf16): for ResNet-20 a bf16 step took about 2 times"
    monkeypatch.setattr("bench.launch.cost.cpu_lacks_bf16", lambda: True)
    assert said not in planned(capsys), "nothing here is bf16"
    tiny_sweep.write_text(tiny_sweep.read_text().replace("lr=lr", "lr=lr, precision='bf16'"))
    assert planned(capsys).count(said) == 1
    monkeypatch.setattr("bench.launch.cost.cpu_lacks_bf16", lambda: False)
    assert said not in planned(capsys)
