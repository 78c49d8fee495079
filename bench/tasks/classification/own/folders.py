"""A user's own folder of images, NAME/train/<class>/ and NAME/test/<class>/: from disk as ImageNet, or in memory."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.data.images import ENDINGS, UPRIGHT, opened, orientation, rgb
from bench.data.listing import entries_in, folders_in
from bench.data.locate import DataError, notice
from bench.machine import memory_gib
from bench.spec import counted
from bench.store.records import is_text
from bench.tasks.classification.cifar import Images, make_images
from bench.tasks.classification.imagenet.files import ImageFiles, ImageSet, by_class, digest_of, same_classes
from bench.tasks.classification.own import repeats
from bench.tasks.experiment import left_out_words

TESTS = ("test", "val", "valid")  # the first of these that is there
EXPECTED = "{folder}/train/<class>/*.jpg and {folder}/test/<class>/*.jpg (or val/, valid/; any of {endings})"


def on_disk(folder: Path, _: int = 0, *, trained: bool = True) -> ImageSet:
    """The set in a folder that bench.data.locate.own found, whose images are read when they are needed.

    trained: whether there must be training images; else their part is empty. Raises DataError as `listed` does, and
    where too many test images are training images.
    """
    found = listed(folder, trained=trained)
    said = repeats.notice_of(folder, repeats.of_files(found.train, found.val), len(found.val))
    return replace(found, notice=" ".join(filter(None, (found.notice, said))))


def listed(folder: Path, *, trained: bool = True) -> ImageSet:
    """The images by their names; none is opened.

    Raises DataError where a part is missing, a class is empty or in one part only, there are fewer than two, there is a
    folder in a class, whose images nobody takes, an image in none, or a name cannot be written into results.
    """
    parts = [_part(folder, names) for names in [("train",)] * trained + [TESTS]]
    left_out = tuple(_left_out(folder, parts))
    places = [by_class(part, "<class>") for part in parts]
    classes = same_classes(folder, places[0], places[-1], (parts[0].name, parts[-1].name))
    if len(classes) < 2:
        raise DataError(f"{folder}: one class ({classes[0]}), where two or more belong: {_expected(folder)}")
    train, test = ImageFiles(places[0] if trained else [], classes), ImageFiles(places[-1], classes)
    unused = [f"{name}/ is not used." for name in TESTS if (folder / name).is_dir() and name != parts[-1].name]
    said = " ".join(filter(None, (notice(folder), *unused)))
    return ImageSet(classes, train, test, digest_of(classes, (train, test)), said, left_out)


def _expected(folder: Path) -> str:
    return EXPECTED.format(folder=folder, endings=", ".join(ENDINGS))


def _part(folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    there = [path.name for path in entries_in(folder)]
    raise DataError(
        f"{folder}: no {names[0]}/ there; there is: {', '.join(there[:8]) or 'nothing'}{', …' * (len(there) > 8)}. "
        f"Expected: {_expected(folder)}"
    )


def _left_out(folder: Path, parts: Sequence[Path]) -> Iterator[str]:
    """Files that are no images by their names."""
    for home in (home for part in parts for home in (part, *folders_in(part))):
        for entry in entries_in(home):
            name = os.path.relpath(entry.path, folder)
            if not is_text(name):
                raise DataError(f"{folder}: {name!r} is not UTF-8, and cannot be named in results: rename it")
            if entry.is_dir() and home not in parts:
                raise DataError(f"{folder}: {name} is a folder in a class: put its images into {Path(name).parent}/")
            is_image = entry.name.lower().endswith(ENDINGS)
            if home in parts and is_image and not entry.is_dir():
                raise DataError(
                    f"{folder}: {name} is an image in no class: put it into {Path(name).parent}/<class>/, or take "
                    "it out"
                )
            if not entry.is_dir() and not is_image:
                yield name


def in_memory(folder: Path, size: int) -> Images:
    """The images of train/<class>/ and test/<class>/, each `size` x `size`. Raises DataError.

    Larger and smaller ones are resized by Pillow, bilinear and with antialias: the shorter side becomes `size`, and the
    centre is cut out. As the field does, a photograph is not turned by its EXIF orientation.
    """
    found, odd = listed(folder), Counter[str]()
    parts = {"training": found.train, "test": found.val}
    count = sum(map(len, parts.values()))
    require_memory(folder, count, size, "a smaller size, or a recipe with views=Views()")
    train, test = (_pixels(files, f"{folder}: {part} image", size, odd) for part, files in parts.items())
    pairs = repeats.of_pixels(train, test)
    twins = ((f"test {found.val.name(k)}", f"training {found.train.name(j)}") for k, j in pairs)
    repeated = repeats.notice_of(folder, twins, len(test))
    resized = odd.pop("resized")
    verb = "was" if resized == 1 else "were"
    said = f"{resized:,} of {counted(count, 'image')} {verb} resized to {size} x {size}." if resized else ""
    about = ", ".join(f"{number:,} {kind}" for kind, number in odd.items() if number) or "all usual"
    account = f"{len(train):,} training and {len(test):,} test images of {counted(len(found.classes), 'class')}"
    account += f"; {about}{left_out_words(found.left_out)}"
    labels, test_labels = (torch.from_numpy(files.labels) for files in parts.values())
    said = " ".join(filter(None, (found.notice, said, repeated)))
    return make_images(train, labels, test, test_labels, said, names=found.classes, account=account)


def _pixels(files: ImageFiles, called: str, size: int, odd: Counter[str]) -> Tensor:
    """The images (N, 3, size, size) uint8; how many of which kind there are is counted in `odd`."""
    x = torch.empty((len(files), 3, size, size), dtype=torch.uint8)
    for k in range(len(files)):
        with opened(files.read(k), f"{called} {files.name(k)}") as image:
            odd["resized"] += image.size != (size, size)
            odd["grey"] += image.mode in ("1", "L", "LA", "I;16", "I")
            odd["with an EXIF orientation that is not followed"] += orientation(image) != UPRIGHT
            x[k] = torch.from_numpy(np.array(_square(rgb(image), size))).permute(2, 0, 1)
    return x


def _square(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return image.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side))


def require_memory(where: Path, count: int, size: int, instead: str) -> None:
    """Raises DataError where the images would not fit: while they are read there are two copies of them."""
    gib = 2 * count * 3 * size**2 / 2**30
    if gib > memory_gib():
        raise DataError(
            f"{where}: {count:,} images of {size} x {size} take {gib:,.1f} GiB while they are read, and this machine "
            f"has {memory_gib():,.1f}: take fewer, {instead}"
        )
