"""ImageNet's images as they lie on disk: folders of classes or the official tar files, read in place.

Whatever the layout, an image is called `<wnid>/<file>` and the order is by class and then by file, so that the digest
of one set is the same in all of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.data.images import ENDINGS
from bench.data.listing import by_form, entries_in, folders_in
from bench.data.locate import IMAGENET_ADDRESS, TRAIN_TAR, VAL_TAR, DataError, notice
from bench.tasks.classification.imagenet import labels
from bench.tasks.classification.imagenet.archives import entries


class Place(NamedTuple):
    """One image: its class and its file's name, and where its bytes are."""

    wnid: str
    file: str
    path: str
    size: int
    offset: int = 0


class ImageFiles:
    """N images with `labels` (N,) int64; their bytes are read when asked for. names: `<wnid>/<file>` of each.

    All of a million images is in arrays: forked workers share them, and they pickle at once.
    """

    def __init__(self, places: Sequence[Place], classes: Sequence[str]) -> None:
        number = {wnid: k for k, wnid in enumerate(classes)}
        places = sorted((place for place in places if place.wnid in number), key=lambda p: (p.wnid, p.file))
        self.labels: NDArray[np.int64] = np.array([number[place.wnid] for place in places], np.int64)
        self.sizes: NDArray[np.int64] = np.array([place.size for place in places], np.int64)
        self.names = np.array([os.fsencode(f"{place.wnid}/{place.file}") for place in places], np.bytes_)
        paths = np.array([os.fsencode(place.path) for place in places], np.bytes_)
        self._paths, self._path = np.unique(paths, return_inverse=True)  # all images of a tar file are in one
        self._offsets = np.array([place.offset for place in places], np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, i: int) -> str:
        """`<wnid>/<file>` of image i."""
        return os.fsdecode(self.names[i])

    def read(self, i: int) -> bytes:
        """The bytes of image i. Raises DataError where its file is gone or has become shorter."""
        path = os.fsdecode(self._paths[self._path[i]])
        try:
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # a million times: a Path costs as much
                file.seek(int(self._offsets[i]))
                data = file.read(int(self.sizes[i]))
        except OSError as error:
            raise DataError(f"{self.name(i)} cannot be read any more: {error}") from None
        if len(data) < self.sizes[i]:
            raise DataError(f"{self.name(i)}: {len(data):,} bytes in {path} where there were {self.sizes[i]:,}")
        return data


@dataclass(frozen=True, slots=True)
class ImageSet:
    """A labelled set: `classes` are its wnids or names, sorted; a label is a place in them.

    digest: SHA-256 over the classes and over each image's name, size and label, in order: not over the contents,
    which are 150 GB. notice: the data owner's to readers, or "". left_out: files that are no images, of a user's own.
    """

    classes: tuple[str, ...]
    train: ImageFiles
    val: ImageFiles
    digest: str
    notice: str = ""
    left_out: tuple[str, ...] = ()


def load(folder: Path, classes: int | None = None, *, trained: bool = True) -> ImageSet:
    """The set in the folder that `bench.data.locate.imagenet` found; the first `classes` of its wnids.

    trained: whether there must be training images; else their part may be empty. Raises DataError where a part is
    missing, a class is empty, the classes of the two parts differ, or there are fewer than `classes`.
    """
    val = _val(folder)
    train = _train(folder, needed=trained)
    found = same_classes(folder, train or val, val)
    if classes is not None and not 0 < classes <= len(found):
        raise DataError(f"{classes} classes asked of {folder}, which has {len(found):,}: ask for 1 to {len(found):,}")
    kept = found[:classes]
    parts = ImageFiles(train, kept), ImageFiles(val, kept)
    return ImageSet(kept, *parts, digest_of(kept, parts), notice(folder))


def _train(folder: Path, *, needed: bool) -> list[Place]:
    if (folder / "train").is_dir():
        return by_class(folder / "train")
    if (folder / TRAIN_TAR).is_file():
        return _in_tar(folder / TRAIN_TAR, nested=True)
    if needed:
        raise _missing(folder, "train", TRAIN_TAR)
    return []


def _val(folder: Path) -> list[Place]:
    val, images = folder / "val", folder / "val" / "images"
    if val.is_dir() and not images.is_dir() and folders_in(val):
        return by_class(val)
    flat = _files(images if images.is_dir() else val) if val.is_dir() else []
    if not flat and (folder / VAL_TAR).is_file():
        flat = _in_tar(folder / VAL_TAR, nested=False)
    if not flat:
        raise _missing(folder, "val", VAL_TAR)
    wnids = labels.of_files(folder, sorted(place.file for place in flat))
    return [place._replace(wnid=wnids[place.file]) for place in flat]


def _in_tar(tar: Path, *, nested: bool) -> list[Place]:
    return [Place(wnid, file, str(tar), size, offset) for wnid, file, size, offset in entries(tar, nested=nested)]


def _missing(folder: Path, part: str, tar: str) -> DataError:
    there = sorted(path.name for path in folder.iterdir())[:8] if folder.is_dir() else []
    return DataError(
        f"{folder}: no images in {part}/, and no {tar}; there is: {', '.join(there) or 'nothing'}. "
        f"Get ImageNet (ILSVRC 2012) from {IMAGENET_ADDRESS}"
    )


def by_class(part: Path, word: str = "<wnid>") -> list[Place]:
    """The images of `part/<wnid>/`, or of `part/<wnid>/images/` as Tiny-ImageNet has it."""
    homes = by_form(folders_in(part))
    if not homes:
        raise DataError(f"{part}: no folders of classes, where {part}/{word}/*.JPEG belong")
    places = []
    for name, home in homes.items():
        folder = home / "images"
        found = _files(folder if folder.is_dir() else home, name)
        if not found:
            raise DataError(f"{home}: no image in this class. Get it again, or remove the empty folder")
        places += found
    return places


def _files(folder: Path, wnid: str = "") -> list[Place]:
    found = [entry for entry in entries_in(folder) if entry.name.lower().endswith(ENDINGS) and not entry.is_dir()]
    try:
        return [Place(wnid, entry.name, entry.path, entry.stat().st_size) for entry in found]
    except OSError as error:  # a link that leads nowhere: without its image the set would be another
        raise DataError(f"{error.filename} cannot be read ({error.strerror}): get the image again") from None


def same_classes(
    folder: Path, train: Sequence[Place], val: Sequence[Place], parts: tuple[str, str] = ("train", "val")
) -> tuple[str, ...]:
    """The classes, sorted. Raises DataError where a part, called so, has one that the other has not."""
    ours, theirs = {place.wnid for place in train}, {place.wnid for place in val}
    if other := sorted(ours ^ theirs):
        raise DataError(
            f"{folder}: {parts[0]} has {len(ours):,} classes and {parts[1]} {len(theirs):,}, {len(other):,} of them in "
            f"one part only ({', '.join(other[:4])}{', …' * (len(other) > 4)}). Both parts need the same ones"
        )
    return tuple(sorted(ours))


def digest_of(classes: Sequence[str], parts: Iterable[ImageFiles]) -> str:
    """See ImageSet."""
    sha = hashlib.sha256("\n".join(classes).encode())
    for part in parts:
        names = part.names.tolist()
        sha.update(b"".join(names))
        for values in (np.cumsum([0, *map(len, names)]), part.sizes, part.labels):
            sha.update(np.asarray(values, "<i8").tobytes())
    return sha.hexdigest()
