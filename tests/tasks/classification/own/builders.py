"""Small data of a user's own, in a folder of classes and as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COUNTS = {"train": 8, "test": 3}
Arrays = dict[str, NDArray[Any]]


def pixels(seed: int, height: int = 32, width: int = 32) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_folder(
    data: Path, name: str = "mine", classes: tuple[str, ...] = ("a cat", "dog", "été"), test: str = "test"
) -> Path:
    """PNG images of 32 x 32 random pixels, no two alike: eight a class to train on, three to test on."""
    seed = 0
    for part, count in COUNTS.items():
        for label in classes:
            home = data / name / (test if part == "test" else part) / label
            home.mkdir(parents=True)
            for k in range(count):
                seed += 1
                Image.fromarray(pixels(seed)).save(home / f"{k}.png")
    return data / name


def arrays(**changes: Any) -> Arrays:
    """MedMNIST's arrays: 24 training and 6 test images of 32 x 32 random pixels, three classes."""
    rng = np.random.default_rng(0)
    found: Arrays = {
        "train_images": rng.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8),
        "train_labels": (np.arange(24) % 3)[:, None].astype(np.uint8),
        "test_images": rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8),
        "test_labels": (np.arange(6) % 3)[:, None].astype(np.uint8),
    }
    return {**found, **changes}


def write_arrays(data: Path, held: Mapping[str, NDArray[Any]], name: str = "mine") -> Path:
    path = data / f"{name}.npz"
    np.savez(path, **held)  # type: ignore[arg-type]  # names of arrays
    return path
