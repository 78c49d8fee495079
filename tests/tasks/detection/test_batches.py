"""Batches of annotated images: mirrored with their boxes, each once an epoch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.data.locate import DataError
from bench.tasks.detection.batches import DetectionBatches, mirrored
from tests.tasks.detection.builders import set_of


def test_a_mirrored_image_has_its_boxes_mirrored() -> None:
    image = torch.zeros(3, 30, 40)
    image[:, 4:20, 2:10] = 1
    target = {"boxes": torch.tensor([[2.0, 4, 10, 20]]), "labels": torch.tensor([1])}

    flipped, mirror = mirrored(image, target)

    [[x1, y1, x2, y2]] = mirror["boxes"].int().tolist()
    assert flipped[:, y1:y2, x1:x2].min() == 1
    assert flipped.sum() == image.sum() == 3 * (x2 - x1) * (y2 - y1)


def test_each_image_comes_once_an_epoch_and_a_stream_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    images = set_of(tmp_path).trainable()
    stream = DetectionBatches(images, 2, torch.Generator().manual_seed(3))
    drawn = [stream.draw() for _ in range(3)]
    state = stream.state_dict()
    following = stream.draw()

    again = DetectionBatches(images, 2, torch.Generator().manual_seed(9))
    again.load_state_dict(state)

    widths = sorted(float(t["boxes"][0, 2] - t["boxes"][0, 0]) for _, targets in drawn for t in targets)
    assert set(widths) == {14.0, 15.0, 16.0, 17.0, 18.0}
    assert all(torch.equal(a, b) for a, b in zip(following[0], again.draw()[0], strict=True))
    assert 0 <= drawn[0][0][0].min() <= drawn[0][0][0].max() <= 1
    with pytest.raises(DataError, match="no image has a box to train on"):
        DetectionBatches((), 2, torch.Generator())
