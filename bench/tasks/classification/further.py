"""Nets trained on images in memory, tested on further images: prepared as the images of their own test are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from bench.data.cifar_further import Labelled
from bench.data.locate import DataError
from bench.spec.further import FurtherSet
from bench.tasks.classification.experiment import InMemory
from bench.train.metrics import Evaluation
from bench.train.turns import Work


def test(experiment: InMemory, net: nn.Module, row: FurtherSet, found: Labelled) -> Work[Mapping[str, Evaluation]]:
    """Each part of what was read, as many of its first images as the run's own test takes of its own.

    Raises DataError where a set of the same images, changed, has other labels than the run's own test.
    """
    used, own = experiment.run.recipe.test_images, experiment.images.test_y
    outcomes: dict[str, Evaluation] = {}
    for part, (images, labels) in found.parts.items():
        y = torch.from_numpy(labels[:used]).to(experiment.device)
        if row.same_images and not torch.equal(y, own[: len(y)]):
            first = int((y != own[: len(y)]).nonzero()[0]) + 1 if len(own) >= len(y) else len(own) + 1
            raise DataError(
                f"from image {first:,} on its labels are not those of the test images of "
                f"{experiment.run.dataset.title}; its images must be these, in their order: get it again, or name the "
                "data folder where both sets are as they were published"
            )
        x = torch.from_numpy(images[:used].transpose(0, 3, 1, 2).copy()).to(experiment.device)
        outcomes[part] = yield from experiment.measure(net, x, y)
    return outcomes
