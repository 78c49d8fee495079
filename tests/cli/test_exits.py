"""Exit code 2 is for errors before the first run; afterwards it is 1, or 3 where all can be resumed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from bench.cli import sweep as command
from bench.cli.exits import OF_USER, guarded
from bench.cli.sweep import main
from bench.store import StoreError
from bench.store.files import disk_error
from tests.builders import needs


@pytest.mark.parametrize("kind", [*OF_USER, OSError])
@pytest.mark.parametrize(("started", "code"), [(False, 2), (True, 1)])
def test_an_error_of_the_users_is_2_before_the_first_run_and_1_after_it(
    kind: Any, started: bool, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(args: argparse.Namespace) -> int:
        args.started = started
        raise kind("the disk is full")

    assert guarded(work, argparse.Namespace()) == code
    assert capsys.readouterr().err.endswith("the disk is full\n")


def test_an_interrupted_command_is_3(capsys: pytest.CaptureFixture[str]) -> None:
    def work(_: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    assert guarded(work, argparse.Namespace(started=True)) == 3
    assert "the same command resumes" in capsys.readouterr().err


@pytest.mark.usefixtures("tiny_sweep")
def test_a_report_that_cannot_be_written_after_the_runs_is_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise StoreError("cannot write reports/tiny/README.md")

    monkeypatch.setattr(command, "_launch", lambda *_: None)
    monkeypatch.setattr(command, "_report", fail)

    assert main(["tiny", "--scale", "quick", "--cluster", "inline"]) == 1
    assert "cannot write reports/tiny/README.md" in capsys.readouterr().err


def test_what_a_disk_refuses_names_the_way_out() -> None:
    words = str(disk_error(Path("runs"), OSError(30, "Read-only file system")))

    assert words.startswith("cannot write runs: Read-only file system; nothing that was there is lost. ")
    assert words.endswith("Name a folder that can be written with --out DIR")


FILE = """
from bench.spec import *
NET = Net("cifar", 8, "A")
RECIPE = Recipe(steps=4, drops=(), batch=2, bn_group=2, curve_every=2, test_every=2, {part})
SWEEP = Sweep("T", "Q?", "C.", {{"quick": Scale(((NET, RECIPE),), (0,))}}, data="{data}", task="{task}",
              resources=Resources(cpus=1, gpus=0, memory_gib=0.5))
"""
DAMAGED = {  # a data set: its task, its part of a recipe, files that are not whole, and what is said
    "bccd": (
        "detect",
        "detection=Detection(recalibration_images=2, min_size=64, max_size=64)",
        {"bccd/ImageSets/Main/train.txt": "1\n", "bccd/ImageSets/Main/test.txt": "1\n",
         "bccd/Annotations/1.xml": "<annotation>", "bccd/JPEGImages/1.jpg": ""},
        "1.xml",
    ),
    "imagenet": (
        "classify",
        "views=Views(side=32, shorter=(32, 40), test_shorter=32, scales=())",
        {"imagenet/train/n00000001/a.JPEG": "x", "imagenet/val/x": ""},
        "imagenet",
    ),
    "lfw-view1": ("verify", "faces=Faces(side=32)", {"lfw/pairsDevTest.txt": "nonsense\n"}, "lfw"),
    "cifar10": ("classify", "", {}, "record 1 of 10,000 has the label 255"),
}  # fmt: skip


NEEDED = {"bccd": "pycocotools", "imagenet": "simplejpeg"}


@pytest.mark.parametrize(
    "data", [pytest.param(data, marks=needs(NEEDED[data]) if data in NEEDED else ()) for data in DAMAGED]
)
def test_data_that_are_not_whole_are_refused_before_the_first_run(
    tiny_sweep: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    task, part, files, words = DAMAGED[data]
    tiny_sweep.write_text(FILE.format(task=task, part=part, data=data))
    for name, text in files.items():
        (Path("data") / name).parent.mkdir(parents=True, exist_ok=True)
        (Path("data") / name).write_text(text)
    if data == "cifar10":
        folder = Path("data/cifar-10-batches-bin")
        folder.mkdir()
        for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
            with (folder / f"{name}.bin").open("wb") as file:
                file.write(b"\xff" if name == "data_batch_2" else b"\0")
                file.truncate(10_000 * 3073)

    assert main(["tiny", "--scale", "quick", "--cluster", "inline"]) == 2

    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said
    assert not list(Path().glob("runs/tiny/*/run.json"))
