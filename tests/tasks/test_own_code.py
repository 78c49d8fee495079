"""The examples of bench/README.md, a net and a task of one's own: trained, stopped, killed, tested, told on a page."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.cli.commands import main as bench
from bench.cli.sweep import main
from bench.cli.sweep_files import load_file
from bench.report.rows import read_rows, run_of
from bench.spec import Resources, Run, Sweep
from bench.spec.families import CIFAR_MEAN
from bench.store import RunFolder
from bench.tasks.job import Job
from bench.tasks.weights import pixels_of, weights_file
from bench.train import checkpoint
from tests.builders import TINY, make, numbers, wait_for
from tests.pages import files_on_pages
from tests.tasks.builders import done, resumed

EXAMPLES = files_on_pages()
STUDIES = ("rotation_study.py", "gated_study.py")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    for name, text in EXAMPLES.items():
        Path(name).write_text(text)


def run_of_study(study: str, **recipe: object) -> Run:
    """Its last net, with a tiny recipe, on the stand-in."""
    run = load_file(Path(study)).runs("quick", (0,), "stand-in")[-1]
    changed = replace(TINY, **recipe)  # type: ignore[arg-type]  # any field of Recipe
    resources = Resources(cpus=1, gpus=0, memory_gib=0.5, checkpoint_seconds=0)
    return replace(run, recipe=changed, net=replace(run.net, depth=8), resources=resources)


def tiny(study: str) -> None:
    """Makes a study one of seconds."""
    text = EXAMPLES[study]
    small = "shortened(Recipe(), 12, batch=8, bn_group=4, test_images=40, curve_every=3, test_every=6)"
    text = re.sub(r"^QUICK = .*$", f"QUICK = {small}", text, flags=re.M).replace("20", "14")
    Path(study).write_text(text.replace("claims=(", "resources=Resources(cpus=1, gpus=0), claims=(", 1)
                           .replace("Net, ", "Net, Resources, ", 1))  # fmt: skip


@pytest.mark.parametrize("study", STUDIES)
def test_stopped_and_resumed_it_ends_in_the_same_bits(study: str, tmp_path: Path) -> None:
    run = run_of_study(study)
    straight = done(tmp_path / "straight", run, tmp_path)

    assert numbers(resumed(tmp_path / "resumed", run, tmp_path, 5)) == numbers(straight)
    assert (straight.path / next(iter(run.codes))).is_file()


@pytest.mark.parametrize("study", STUDIES)
def test_killed_it_goes_on_with_the_code_of_its_folder_to_the_same_bits(study: str, tmp_path: Path) -> None:
    run = run_of_study(study, steps=60, drops=())
    straight = done(tmp_path / "straight", run, tmp_path)
    folder = make(tmp_path / "killed", run)
    for name in EXAMPLES:
        Path(name).write_text("raise RuntimeError('edited meanwhile')\n")
    words = f"from bench.launch.worker import work; work(__import__('pathlib').Path({str(folder.path)!r}), '.')"

    with subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.DEVNULL) as process:
        wait_for(folder.checkpoint.exists)
        process.send_signal(signal.SIGKILL)
    assert folder.result() is None, "killed on its way"
    subprocess.run([sys.executable, "-c", words], check=True, stdout=subprocess.DEVNULL)

    assert numbers(folder) == numbers(straight)


def test_a_study_of_an_own_net_ends_in_its_report() -> None:
    tiny("gated_study.py")
    study = Path("gated_study.py")
    study.write_text(study.read_text().replace('name="gated")', 'name="gated", width=16)'))
    assert main(["gated_study.py", "--scale", "quick", "--cluster", "inline"]) == 0

    results = Path("runs/gated_study/results")
    rows = {row["net"]: row for row in read_rows(results / "runs.csv")}
    page = Path("runs/gated_study/report/README.md").read_text()
    assert rows["gated-8"]["params"] == "75293", "as the suite's ResNet-8 and three gates"
    assert rows["gated-8"]["multiply_adds"] == rows["resnet-8-A"]["multiply_adds"]
    assert run_of(rows["gated-8"]).id == rows["gated-8"]["id"]
    assert sorted(path.name for path in (results / "code").iterdir()) == [
        f"my_nets-{rows['gated-8']['build_sha256'][:8]}.py",
        "my_nets.py",
    ]
    assert f"`code/my_nets-{rows['gated-8']['build_sha256'][:8]}.py`" in page
    assert '); gated-14 is built with `{"width":16}`; gated-8 is built with `{"width":16}`.' in page
    assert "Nets of two kinds" in page
    assert bench(["verify", "gated_study"]) == 0, "known by the copies beside its numbers"


def test_a_study_of_an_own_task_ends_in_its_report() -> None:
    tiny("rotation_study.py")
    assert main(["rotation_study.py", "--scale", "quick", "--cluster", "inline"]) == 0

    (row, _) = read_rows(Path("runs/rotation_study/results/runs.csv"))
    assert row["task"] == "rotation"
    assert run_of(row).id == row["id"]
    page = Path("runs/rotation_study/report/README.md").read_text()
    assert "75 %" in page, "the error of a guess between four"
    assert bench(["verify", "rotation_study"]) == 0


def test_a_net_that_cannot_be_trusted_is_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tiny("gated_study.py")
    Path("my_nets.py").write_text(EXAMPLES["my_nets.py"].replace("(4 * width, classes)", "(4 * width, 10)"))

    assert main(["gated_study.py", "--scale", "quick", "--cluster", "inline"]) == 2

    assert "my_nets.py:build for gated-8: makes a tensor of (4, 10)" in capsys.readouterr().err
    assert not list(Path("runs").glob("*/gated*")), "nothing was begun"


def test_a_sweep_file_is_found_with_its_code_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    sweep: Sweep = load_file(tmp_path / "gated_study.py")

    assert {code for code, _ in sweep.codes()} == {"my_nets.py:build"}


def test_folders_without_their_code_say_so(tmp_path: Path) -> None:
    run = run_of_study("gated_study.py")
    folder = RunFolder(make(tmp_path, run).path)
    (folder.path / "net.py").unlink()

    words = f"from bench.launch.worker import work; print(work(__import__('pathlib').Path({str(folder.path)!r}), '.'))"
    ended = subprocess.run([sys.executable, "-c", words], check=True, capture_output=True, text=True)

    assert ended.stdout.endswith("failed\n")
    assert "net.py, the copy of my_nets.py:build, cannot be read (No such file or directory)" in ended.stderr


def test_its_gradients_are_diagnosed(tmp_path: Path) -> None:
    folder = done(tmp_path, replace(run_of_study("gated_study.py"), task="diagnose"), tmp_path)

    rows = folder.layer_rows()
    assert {row["name"] for row in rows} >= {"stem.0", "blocks.0.conv1", "blocks.2.conv2"}
    assert all(row["response_grad_norm"] > 0 for row in rows if "response_grad_norm" in row)


def test_weights_of_a_run_become_a_backbone(tmp_path: Path) -> None:
    trained = done(tmp_path, run_of_study("gated_study.py"), tmp_path)
    net = replace(trained.run().net, weights=f"run:a/{trained.path.name}")
    job = Job(RunFolder(tmp_path / "b" / "c"), tmp_path, lambda: False)

    cut = net.row.resolve("backbone")(net, weights_file(net, job))

    assert cut.channels == (16, 32, 64)
    assert pixels_of(net, job).mean == CIFAR_MEAN
    whole = checkpoint.loads(trained.checkpoint.read_bytes())["net"]
    assert torch.equal(dict(cut.named_parameters())["stages.2.blocks.2.conv2.weight"], whole["blocks.2.conv2.weight"])
