"""SVHN's images of house numbers, ten digits, by torchvision: the label 10 is the digit 0."""

from __future__ import annotations

from pathlib import Path

import torch

from bench.data.locate import notice
from bench.data.svhn_files import check
from bench.tasks.classification.cifar import Images, make_images


def load(folder: Path) -> Images:
    """SVHN from the folder that bench.data.svhn_files found. Raises DataError naming the bad file."""
    from torchvision.datasets import SVHN

    check(folder)
    parts = [SVHN(str(folder), split=part) for part in ("train", "test")]
    (x, y), (test_x, test_y) = ((torch.from_numpy(part.data), torch.from_numpy(part.labels)) for part in parts)
    return make_images(x, y, test_x, test_y, notice(folder))
