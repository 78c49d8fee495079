"""The main job as a person types it: exit codes, messages, and a sweep from nothing to its report."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bench.cli.commands import main as bench
from bench.cli.options import parse_duration, parse_seeds
from bench.cli.sweep import main
from bench.store import RunFolder
from tests.builders import SWEEP_FILE, needs, results_of

ROOT = Path(__file__).resolve().parents[1]


def command(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m bench.sweep` in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "bench.sweep", *arguments]
    return subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=environment, timeout=240)


@pytest.mark.parametrize(("text", "seeds"), [("0-4", (0, 1, 2, 3, 4)), ("7", (7,)), ("3,0-1,0", (3, 0, 1))])
def test_seeds_are_ranges_and_lists(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(("text", "seconds"), [("50m", 3000), ("2h", 7200), ("90s", 90), ("1.5", 90), ("1d", 86400)])
def test_durations_have_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "options",
    [
        ["--seeds", "a"],
        ["--seeds", "4-0"],
        ["--time-limit", "0m"],
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
    "no such sweep": (["tyni"], "there is no sweep 'tyni' in .*; there are: tiny"),
    "no such file": (["sweeps/tyni.py"], "there is no sweep file sweeps/tyni.py"),
    "no run matches": (["tiny", "--only", "vgg*"], "matches no run; the nets are: plain-8, resnet-8-A"),
    "one of two matches": (["tiny", "--only", "plain-8,vgg*"], "--only 'vgg\\*' matches no run; the nets are: plain-8"),
    "at once inline": (["tiny", "--cluster", "inline", "--at-once", "2"], "--at-once is for --cluster local and crew"),
    "too many at once": (["tiny", "--cluster", "local", "--at-once", "9999"], "need .* GiB, and this machine has"),
    "scale not declared": (["tiny", "--scale", "paper", "--dry-run"], "'paper' is not one of this sweep's: quick"),
    "data folder missing": (["tiny", "--data", "nowhere"], "--data nowhere: no such folder"),
    "runs folder impossible": (["tiny", "--runs", "sweeps/tiny.py/x"], "cannot write .*Not a directory"),
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
            "bad.py, line 3: SpecError: net: depth 21 is not one of",
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


@pytest.mark.parametrize("option", ["--results", "--reports"])
@pytest.mark.usefixtures("tiny_sweep")
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_trained(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tiny", "--scale", "quick", option, "sweeps/tiny.py"]) == 2
    assert "cannot write sweeps/tiny.py/tiny: " in capsys.readouterr().err
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


@pytest.mark.parametrize("cluster", ["inline", "crew", pytest.param("local", marks=needs("submitit"))])
def test_a_sweep_goes_from_nothing_to_a_report_and_then_has_nothing_to_do(tiny_sweep: Path, cluster: str) -> None:
    project = tiny_sweep.parents[1]
    done = command("tiny", "--scale", "quick", "--cluster", cluster, cwd=project)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "a procedural stand-in takes its place" in done.stdout
    page = project / "reports" / "tiny" / "README.md"
    title = "# Tiny on CIFAR-10 (scale quick, on a procedural stand-in, not on real data)\n"
    assert page.read_text().startswith(title)
    assert f"report: {page}" in done.stdout
    assert "2 of 2 runs are done" in done.stdout
    before = page.read_bytes(), results_of(project)
    again = command("tiny", "--scale", "quick", "--cluster", cluster, cwd=project)
    assert again.returncode == 0
    assert "2 runs: 2 done, 0 to do" in again.stdout
    assert "starts" not in again.stdout
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
    page = (project / "reports" / "tiny" / "README.md").read_text()
    assert "Failed: `plain-8-quick-s0-" in page
    assert main(arguments) == 1
    out = capsys.readouterr().out
    assert "1 diverged (which is their result)" in out
    assert out.rstrip().endswith("1 of 2 runs are done")
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
    first = main(limited)
    codes = [first]
    while codes[-1] == 3:
        codes.append(main(limited[:-2]))

    assert codes == [3, 0]
    assert main(["tiny", "--scale", "quick", "--cluster", "inline", "--results", "other", "--reports", "other"]) == 0
    assert results_of(project, "limited") == results_of(project)


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
    page = project / "reports" / "tiny" / "README.md"
    while not page.exists():
        assert time.monotonic() - begun < 120, (project / "runs" / "tiny" / "sweep.log").read_text()
        time.sleep(0.2)


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

    monkeypatch.setattr("bench.cli.sweep.subprocess.Popen", Child)
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


def test_a_sweep_of_ones_own_keeps_all_where_it_is_typed_and_is_known_there_by_name(
    tiny_sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    own = tiny_sweep.rename(place / "mine.py")
    monkeypatch.chdir(place)

    assert main([str(own), "--scale", "quick", "--cluster", "inline"]) == 0
    capsys.readouterr()

    assert {p.name for p in place.iterdir()} == {"mine.py", "runs", "results", "reports"}
    assert (place / "results" / "mine" / "sweep.py").read_text() == own.read_text()
    own.unlink()
    assert main(["mine", "--scale", "quick", "--cluster", "inline"]) == 0, "as its page says, from the file kept there"
    assert bench(["verify"]) == 0
    assert bench(["verify", "mine"]) == 0
    assert bench(["report", "mine"]) == 0
    assert bench(["cite", "mine.quick-stand-in.plain-8.test_error"]) == 0
    assert bench(["coverage"]) == 0
    assert "[quick-stand-in](mine/README.md)" in (place / "reports" / "README.md").read_text()


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
