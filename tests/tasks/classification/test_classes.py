"""A net has a head of as many classes as its data have labels, whatever the data set's row leaves open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.data.locate import DataError
from bench.spec import Run, datasets
from bench.store import RunFolder
from bench.tasks.classification import experiment, synthetic
from bench.tasks.classification.cifar import make_images
from bench.tasks.classification.experiment import InMemory
from bench.tasks.job import Job
from tests.builders import tiny_run


def opened(monkeypatch: pytest.MonkeyPatch, run: Run, *, declared: int, labels: int) -> InMemory:
    """The run on data of so many labels, whose row declares so many classes."""
    row = replace(datasets.dataset_of(run.data), classes=declared)
    monkeypatch.setattr(datasets, "DATASETS", {**datasets.DATASETS, run.data: row})
    images = synthetic.stand_in()
    images = replace(images, test_y=torch.arange(len(images.test_y)) % labels)
    monkeypatch.setattr(experiment, "load_images", lambda *_: images)
    return InMemory.of(run, Job(RunFolder(Path("a")), Path("data"), lambda: False), torch.device("cpu"))


@pytest.mark.parametrize(("declared", "labels", "head"), [(10, 10, 10), (0, 10, 10), (0, 300, 300), (20, 12, 20)])
def test_the_head_fits_the_labels(monkeypatch: pytest.MonkeyPatch, declared: int, labels: int, head: int) -> None:
    net = opened(monkeypatch, tiny_run(), declared=declared, labels=labels).net()
    assert net.fc.out_features == head  # type: ignore[union-attr]  # a ResNet


@pytest.mark.parametrize(("declared", "labels"), [(10, 20), (10, 11), (100, 300)])
def test_more_labels_than_classes_are_refused_before_a_step(
    monkeypatch: pytest.MonkeyPatch, declared: int, labels: int
) -> None:
    with pytest.raises(DataError, match=f"labels of stand-in in data go up to {labels - 1}, .* {declared} classes"):
        opened(monkeypatch, tiny_run(), declared=declared, labels=labels)


def test_labels_beyond_a_byte_are_in_the_digest() -> None:
    x = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    digests = {make_images(x, torch.tensor(y), x, torch.tensor([0, 1])).digest for y in ([0, 1], [0, 257], [256, 1])}
    assert len(digests) == 3
