"""Runs on a user's own images: in memory and from disk, to results, pages and their verification."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.cli.commands import main as commands
from bench.data.locate import DataError
from bench.nets.counts import multiply_adds, parameters
from bench.spec import Net, Recipe, Resources, Run
from bench.store import RunFolder
from bench.tasks.classification.experiment import InMemory
from bench.tasks.job import Job
from tests.builders import needs
from tests.tasks.builders import report_of, sweep_of
from tests.tasks.classification.own.builders import COUNTS, arrays, write_arrays, write_folder

RECIPE = Recipe(steps=4, drops=(), batch=8, bn_group=4, test_images=9, curve_every=2, test_every=4)
RUN = Run("quick", Net("cifar", 8, "A"), "folder:mine", RECIPE, 0, resources=Resources(cpus=1, gpus=0))
SWEEP = """
from bench.spec import Claim, Net, Recipe, Resources, Scale, Sweep, Views
recipe = Recipe(steps=4, drops=(), batch=8, bn_group=4, curve_every=2, test_every=4, {more})
nets = Net("{family}", {depth}, "none"), Net("{family}", {depth}, "A")
SWEEP = Sweep("Own", "Does it run?", "It does.", {{"quick": Scale(tuple((net, recipe) for net in nets), (0,))}},
              data="{data}", resources=Resources(cpus=1, gpus=0, memory_gib=0.5),
              claims=(Claim("wins", "It wins.", "-", "residual beats plain", nets),))
"""


def opened(run: Run, data: Path) -> InMemory:
    return InMemory.of(run, Job(RunFolder(data / "run"), data, lambda: False), torch.device("cpu"))


def test_the_net_has_as_many_outputs_as_there_are_classes_at_any_size(tmp_path: Path) -> None:
    write_folder(tmp_path)
    experiment = opened(replace(RUN, recipe=replace(RECIPE, size=24)), tmp_path)
    x, _ = experiment.batches().draw()

    assert x.shape == (8, 3, 24, 24)
    assert experiment.net()(x).shape == (8, 3)
    assert experiment.extras(experiment.net(), None)["classes"] == "a_cat dog été"  # type: ignore[arg-type]  # not asked


def test_fewer_test_images_are_spread_over_the_classes_and_so_are_first_ones(tmp_path: Path) -> None:
    write_folder(tmp_path)
    experiment = opened(replace(RUN, recipe=replace(RECIPE, test_images=3, batch=6, bn_group=3)), tmp_path)
    found = experiment.first_batch()

    assert found is not None
    assert found[1].tolist() == [0, 0, 1, 1, 2, 2]
    assert torch.equal(experiment.first_test_inputs(), experiment.prepare(experiment.images.test_x[[0, 3, 6]]))


@pytest.mark.parametrize("split", ["50k", "45k/5k"])
def test_a_batch_of_more_images_than_there_are_is_refused(tmp_path: Path, split: str) -> None:
    write_folder(tmp_path)
    few = 24 if split == "50k" else 22
    with pytest.raises(
        DataError, match=rf"{few} training images, and a batch has 32: write Recipe\(batch={few}, bn_gr"
    ):
        opened(replace(RUN, recipe=replace(RECIPE, batch=32, split=split)), tmp_path)


def test_an_image_that_changed_is_read_again(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    before = opened(RUN, tmp_path).digest
    (folder / "train/dog/0.png").write_bytes((folder / "train/dog/1.png").read_bytes())

    assert opened(RUN, tmp_path).digest != before


def rows() -> list[dict[str, str]]:
    with Path("runs/tiny/results/runs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep_on_arrays_counts_their_classes_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    many = {
        part: rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        for part, n in (("train_images", 75), ("test_images", 50))
    }
    labels = {"train_labels": np.arange(75) % 25, "test_labels": np.arange(50) % 25}
    write_arrays(tmp_path, arrays(**many, **labels))
    text = SWEEP.format(family="cifar", depth=8, data="npz:mine", more='size=28, augment="none"')

    page, _, _ = report_of(text, tmp_path)

    assert "Guessing gives 96 %." in page or "at chance (96 %)" in page
    assert "Images in memory: size 28, augment none." in page
    assert "(batches, in training mode" in page
    assert "2 of 2 runs done, on mine." in page
    for row in rows():
        net = Net("cifar", 8, row["shortcut"])
        assert (row["size"], row["augment"], row["test_images"], row["test_images_asked"]) == (
            "28",
            "none",
            "50",
            "10000",
        )
        assert row["classes"] == " ".join(map(str, range(25)))
        assert row["params"] == str(parameters(net, 25))
        assert row["multiply_adds"] == str(multiply_adds(net, 28, 25))
    assert commands(["verify", "tiny"]) == 0
    results = Path("runs/tiny/results/runs.csv")
    results.write_text(results.read_text().replace(str(parameters(net, 25)), str(parameters(net, 10))))
    assert commands(["verify", "tiny"]) == 1


@needs("simplejpeg")
def test_a_sweep_with_views_reads_the_folder_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path)
    (tmp_path / "mine/test/dog/notes.txt").touch()
    views = "views=Views(side=32, shorter=(36, 48), test_shorter=36, scales=(32,))"
    text = SWEEP.format(family="imagenet", depth=18, data="folder:mine", more=views)

    page, _, numbers = report_of(text, tmp_path)

    assert "top-5" not in page  # of three classes
    assert "(66.67 %)" in page or "Guessing gives 66.67 %." in page
    assert not any("top5" in name for name in numbers)
    for row in rows():
        assert (row["classes"], row["test_images"]) == ("a_cat dog été", str(3 * COUNTS["test"]))
        assert row["pictures"].endswith("left out: 1 file that no image is by name (test/dog/notes.txt)")
        assert row["params"] == str(parameters(Net("imagenet", 18, row["shortcut"]), 3))
    assert commands(["verify", "tiny"]) == 0


def test_a_wrong_folder_ends_in_a_line_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_folder(tmp_path)
    (folder / "train/dog/3.png").write_bytes(b"no image")
    text = SWEEP.format(family="cifar", depth=8, data="folder:mine", more="")

    assert sweep_of(text, tmp_path, "--cluster", "inline") == 2
    assert "training image dog/3.png is damaged or no image" in capsys.readouterr().err
    assert not list(Path("runs/tiny").glob("*/checkpoint.pt"))
