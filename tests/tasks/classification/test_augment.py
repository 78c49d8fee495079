"""What is drawn for a training image in memory and used of it; the mean of images of any size."""

from __future__ import annotations

import pytest
import torch

from bench.tasks.classification.cifar import Batches, Prepare
from tests.tasks.classification.builders import small


@pytest.mark.parametrize(("augment", "used"), [("crop+flip", (0, 1, 2)), ("crop", (0, 1)), ("none", ())])
def test_what_is_not_asked_for_is_drawn_all_the_same_and_ignored(augment: str, used: tuple[int, ...]) -> None:
    images = small()
    usual, asked = (
        Batches(images, Prepare.of(images.train_x), 20, torch.Generator().manual_seed(5), one)
        for one in ("crop+flip", augment)
    )
    for _ in range(5):
        drawn, taken = usual.choose(), asked.choose()
        assert torch.equal(drawn[0], taken[0])  # the same images in the same order
        for k in range(3):
            assert torch.equal(taken[1 + k], drawn[1 + k] if k in used else torch.full((20,), 4 if k < 2 else 0))
    assert torch.equal(usual.generator.get_state(), asked.generator.get_state())


def test_without_augmentation_an_input_is_its_image() -> None:
    images = small()
    prepare = Prepare.of(images.train_x)
    batches = Batches(images, prepare, 20, torch.Generator().manual_seed(5), "none")
    chosen = batches.choose()

    assert torch.equal(batches.make(chosen)[0], prepare(images.train_x[chosen[0]]))


def test_the_mean_of_large_images_is_made_in_parts_of_few() -> None:
    x = torch.randint(0, 256, (3, 3, 2_100, 2_100), dtype=torch.uint8)  # of which two are summed at once

    assert torch.allclose(Prepare.of(x).mean, x.double().mean(0).div(255).float())
