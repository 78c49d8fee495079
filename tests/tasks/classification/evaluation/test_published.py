"""Published weights on ImageNet, or on a part of it, by every protocol; without training images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

pytest.importorskip("simplejpeg", reason="needs simplejpeg")

from bench.nets.resnet import imagenet
from bench.nets.timm_nets import imagenet_wnids
from bench.spec import Net, Recipe, Resources, Run, Views
from bench.tasks.classification.imagenet import protocols
from bench.train.checkpoint import weights_digest
from tests.builders import numbers
from tests.tasks.builders import done, failed, resumed

VIEWS = Views(side=32, shorter=(36, 60), test_shorter=40, scales=(32,))
RESOURCES = Resources(cpus=1, gpus=0, memory_gib=1)
WEIGHTS = Net("imagenet", 18, "B", "3x3", weights="file:mine.pth")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights: torchvision's ResNet-18 from a seed."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18().state_dict(), folder / "mine.pth")
    return folder


TEST = Recipe(steps=0, drops=(), batch=256, bn_group=256, test_images=6, views=VIEWS)


def thousand_classes(root: Path, classes: Sequence[str] = tuple(imagenet_wnids())) -> None:
    """A validation folder of 1,000 classes with one tiny image each, and no training images."""
    rng = np.random.default_rng(0)
    one = root / "one.JPEG"
    Image.fromarray(rng.integers(0, 256, (40, 44, 3), dtype=np.uint8)).save(one)
    for name in classes:
        folder = root / "imagenet" / "val" / name
        folder.mkdir(parents=True)
        (folder / "a.JPEG").symlink_to(one)


def test_published_weights_are_tested_without_training_images(weights: Path, tmp_path: Path) -> None:
    thousand_classes(tmp_path)
    (tmp_path / "weights").symlink_to(weights)
    run = Run("paper", WEIGHTS, "imagenet", TEST, 0, task="evaluate", resources=RESOURCES)

    folder = done(tmp_path, run, tmp_path)

    result = numbers(folder)
    assert result["params"] == sum(p.numel() for p in imagenet(18, "B").parameters())
    assert result["weights_sha256"] == weights_digest(torch.load(weights / "mine.pth"))
    assert result["test_images"] == 6
    assert json.loads((folder.path / "env.json").read_text())["data"] == "imagenet"


def test_on_a_part_of_imagenet_its_classes_alone_compete(weights: Path, tmp_path: Path) -> None:
    """Three classes by their wnids; of 1,000 outputs a random net has others on top."""
    part = [imagenet_wnids()[k] for k in (5, 77, 901)]
    thousand_classes(tmp_path, part)
    (tmp_path / "weights").symlink_to(weights)
    run = Run("paper", WEIGHTS, "imagenet-3", replace(TEST, test_images=3), 0, "evaluate", RESOURCES)

    result = numbers(done(tmp_path, run, tmp_path))

    assert result["classes"] == " ".join(part)
    assert result["test_error"] == pytest.approx(200 / 3), "all images are one: one of the three classes is right"
    assert result["ten_crop_top5_error"] == 0, "of three classes"


@pytest.mark.parametrize("questions", [1, 3, 6, 11])
def test_a_stopped_test_of_weights_goes_on_to_the_same_bits(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, questions: int
) -> None:
    thousand_classes(tmp_path, imagenet_wnids()[:3])
    (tmp_path / "weights").symlink_to(weights)
    run = Run("paper", WEIGHTS, "imagenet-3", replace(TEST, test_images=3), 0, "evaluate", RESOURCES)
    monkeypatch.setattr(protocols, "BATCH", 1)
    straight = numbers(done(tmp_path, run, tmp_path, "straight"))

    mine = numbers(resumed(tmp_path, run, tmp_path, questions))

    assert {**mine, "pictures": ""} == {**straight, "pictures": ""}


def test_weights_are_not_tested_on_folders_that_are_no_wnids(weights: Path, tmp_path: Path) -> None:
    thousand_classes(tmp_path, [str(k) for k in range(1000)])
    (tmp_path / "weights").symlink_to(weights)
    run = Run("paper", WEIGHTS, "imagenet", TEST, 0, task="evaluate", resources=RESOURCES)

    error = failed(tmp_path, run, tmp_path)

    assert "1,000 of its 1,000 classes are none of ImageNet's 1,000 (0, 1, 10, 100, …)" in error["message"]
    assert "name each class's folder by its wnid, such as n01440764" in error["message"]


def test_missing_weights_are_tried_again_by_the_next_start(tmp_path: Path) -> None:
    thousand_classes(tmp_path)
    run = Run("paper", WEIGHTS, "imagenet", TEST, 0, task="evaluate", resources=RESOURCES)

    error = failed(tmp_path, run, tmp_path)

    assert error["retry"]
    assert "there are: none" in error["message"]
