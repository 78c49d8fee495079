"""Training batches of ImageNet's pictures: from JPEG files to normalised inputs, on one core."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench.speed import usual
from bench.speed.paired import Case
from bench.tasks.classification.imagenet.files import load
from bench.tasks.classification.imagenet.stream import ImageBatches
from bench.tasks.classification.imagenet.transforms import InceptionCrop, ScaleCrop, View, inception_view, paper_view

BATCH = 50
WNIDS = ("n00000000", "n00000001")


def loading(folder: Path, data: Path) -> Iterator[Case]:
    """Both training views against the usual loader of the same files, pictures/s a core.

    The pictures are voc100's below `data`, of ImageNet's size, else made from a seed; they are laid out in `folder`.
    """
    real = sorted((data / "voc100" / "JPEGImages").glob("*.jpg"))
    root = laid_out(real or made(folder / "made"), folder / "pictures")
    pictures = load(root).train
    paper = paper_view(pictures, ScaleCrop(), sample=len(pictures))
    kind = "real" if real else "made"
    for name, view in (("Section 3.4", paper), ("Inception crop", inception_view())):
        yield _case(f"pictures, {name}, {kind}", root / "train", ImageBatches(pictures, view, BATCH, seed=0), view)


def _case(name: str, train: Path, ours: ImageBatches, view: View) -> Case:
    assert isinstance(view.crop, ScaleCrop | InceptionCrop)
    shorter = view.crop.shorter if isinstance(view.crop, ScaleCrop) else None
    theirs = usual.picture_batches(train, BATCH, view.crop.side, shorter)
    batches = len(ours.images) // BATCH

    def drain(draw: Callable[[], object]) -> float:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # a core each: more of them are workers, here as there
        for _ in range(batches):
            draw()
        torch.set_num_threads(threads)
        return batches * BATCH

    turns = partial(drain, ours.draw), partial(drain, lambda: next(theirs))
    return Case(name, "pictures", *turns, "ImageFolder, PIL, transforms, DataLoader", rounds=9)


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
