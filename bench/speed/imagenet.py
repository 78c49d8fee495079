"""Training batches of ImageNet's images: from JPEG files to normalised inputs, on one core."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench.speed import usual
from bench.speed.timing import Case, repeated
from bench.tasks.classification.imagenet.files import load
from bench.tasks.classification.imagenet.stream import ImageBatches
from bench.tasks.classification.imagenet.transforms import InceptionCrop, ScaleCrop, inception_view, paper_view

BATCH = 50
WNIDS = ("n00000000", "n00000001")


def loading(folder: Path, data: Path) -> Iterator[Case]:
    """Both training views against the usual loader of the same files, images/s a core.

    The images are voc100's below `data`, of ImageNet's size, else made from a seed; they are laid out in `folder`.
    """
    real = sorted((data / "voc100" / "JPEGImages").glob("*.jpg"))
    root = laid_out(real or made(folder / "made"), folder / "imagenet")
    images, kind = load(root).train, "real" if real else "made"
    views = {"Section 3.4": paper_view(images, ScaleCrop(), sample=len(images)), "Inception crop": inception_view()}
    for name, view in views.items():
        assert isinstance(view.crop, ScaleCrop | InceptionCrop)
        shorter = view.crop.shorter if isinstance(view.crop, ScaleCrop) else None
        theirs = usual.imagenet_batches(root / "train", BATCH, view.crop.side, shorter)
        yield Case(
            f"ImageNet images, {name}, {kind}",
            "images",
            _on_one_core(ImageBatches(images, view, BATCH, seed=0).draw, len(images) // BATCH),
            _on_one_core(partial(next, theirs), len(images) // BATCH),
            "ImageFolder, PIL, transforms, DataLoader",
            rounds=9,
        )


def _on_one_core(draw: Callable[[], object], batches: int) -> Callable[[], float]:
    def run() -> float:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as each worker of either loader
        images = repeated(draw, batches, BATCH)()
        torch.set_num_threads(threads)
        return images

    return run


def made(folder: Path, count: int = 100, seed: int = 0) -> list[Path]:
    """JPEGs of 500x375, about as large as ImageNet's: smooth colours with noise, so that there is something to code."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    paths = [folder / f"{k:03}.jpg" for k in range(count)]
    for path in paths:
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
            (500, 375), Image.Resampling.BICUBIC
        )
        noisy = np.asarray(coarse) + rng.normal(0, 12, (375, 500, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths


def laid_out(files: list[Path], root: Path) -> Path:
    """The layout of ImageNet with `files`, half of them in each of two classes, linked and not copied."""
    for part in ("train", "val"):
        for k, wnid in enumerate(WNIDS):
            (root / part / wnid).mkdir(parents=True)
            for file in files[k :: len(WNIDS)]:
                (root / part / wnid / file.name).symlink_to(file)
    return root
