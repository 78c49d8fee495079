"""ImageNet's pictures as they lie on disk: folders of classes or the official tar files, read in place.

Whatever the layout, a picture is called `<wnid>/<file>`, the order is by class and then by file, and so the digest of
one set is the same in all of them.
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

from bench.data.locate import PICTURE_ADDRESS, TRAIN_TAR, VAL_TAR, DataError, notice
from bench.tasks.classification.imagenet import archives, labels

SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")


class Place(NamedTuple):
    """One picture: its class and its file's name, and where its bytes are. offset is None for a whole file."""

    wnid: str
    file: str
    path: str
    size: int
    offset: int | None = None


class Texts(Sequence[str]):
    """Many strings as two arrays: a million of them stay shared between forked processes, and pickle in no time."""

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [os.fsencode(text) for text in texts]
        self.ends = np.cumsum([0, *map(len, encoded)])
        self.blob = b"".join(encoded)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i):  # type: ignore[no-untyped-def]  # a Sequence's overloads for a slice nobody asks for
        return os.fsdecode(self.blob[self.ends[i] : self.ends[i + 1]])


class Pictures:
    """N pictures with `labels` (N,) int64; their bytes are read when asked for.

    names: `<wnid>/<file>` of each. sizes: bytes of each.
    """

    def __init__(self, places: Sequence[Place], classes: Sequence[str]) -> None:
        number = {wnid: k for k, wnid in enumerate(classes)}
        places = sorted((place for place in places if place.wnid in number), key=lambda p: (p.wnid, p.file))
        self.labels: NDArray[np.int64] = np.array([number[place.wnid] for place in places], np.int64)
        self.sizes: NDArray[np.int64] = np.array([place.size for place in places], np.int64)
        self.names = Texts(f"{place.wnid}/{place.file}" for place in places)
        whole = bool(places) and places[0].offset is None
        # of a tar the one path would be kept a million times
        self._paths = Texts([place.path for place in places] if whole else [places[0].path] if places else [])
        self._offsets = None if whole else np.array([place.offset for place in places], np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, i: int) -> str:
        """`<wnid>/<file>` of picture i."""
        return str(self.names[i])

    def read(self, i: int) -> bytes:
        """The bytes of picture i. Raises DataError where its file is gone or has become shorter."""
        path = self._paths[i if self._offsets is None else 0]
        try:
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # a million times: a Path costs as much
                file.seek(0 if self._offsets is None else int(self._offsets[i]))
                data = file.read(int(self.sizes[i]))
        except OSError as error:
            raise DataError(f"{self.name(i)} cannot be read any more: {error}") from None
        if len(data) < self.sizes[i]:
            raise DataError(f"{self.name(i)}: {len(data):,} bytes in {path} where there were {self.sizes[i]:,}")
        return data


@dataclass(frozen=True, slots=True)
class PictureSet:
    """A labelled set: `classes` are its wnids, sorted; a label is a place in them.

    digest: SHA-256 over the classes and over each picture's name, size and label, in order: not over the contents,
    which are 150 GB. notice: what the data's owner says must be known of them, or "".
    """

    name: str
    classes: tuple[str, ...]
    train: Pictures
    val: Pictures
    digest: str
    notice: str = ""


def load_pictures(folder: Path, classes: int | None = None, *, trained: bool = True) -> PictureSet:
    """The set in the folder that `bench.data.locate.find_pictures` found; the first `classes` of its wnids.

    trained: whether there must be training pictures; else their part is empty where they are not there.

    Raises DataError where a part is missing, a class is empty or the classes of the two parts differ, and ValueError
    for a number of classes that it does not have.
    """
    val = _val(folder)
    train = _train(folder) if trained or _has_train(folder) else []
    found = _same_classes(folder, train or val, val)
    if classes is not None and not 0 < classes <= len(found):
        raise ValueError(f"{classes} classes asked of {folder}, which has {len(found):,}: ask for 1 to {len(found):,}")
    kept = found[:classes]
    parts = Pictures(train, kept), Pictures(val, kept)
    return PictureSet(folder.name, kept, *parts, _digest(kept, parts), notice(folder))


def _has_train(folder: Path) -> bool:
    return (folder / "train").is_dir() or (folder / TRAIN_TAR).is_file()


def _train(folder: Path) -> list[Place]:
    if (folder / "train").is_dir():
        return _by_class(folder / "train")
    if (folder / TRAIN_TAR).is_file():
        return [Place(*entry) for entry in archives.by_class(folder / TRAIN_TAR)]
    raise _missing(folder, "train", TRAIN_TAR)


def _val(folder: Path) -> list[Place]:
    val, images = folder / "val", folder / "val" / "images"
    if val.is_dir() and not images.is_dir() and _folders(val):
        return _by_class(val)
    flat = _files(images if images.is_dir() else val) if val.is_dir() else []
    if not flat and (folder / VAL_TAR).is_file():
        flat = [Place(*entry) for entry in archives.flat(folder / VAL_TAR)]
    if not flat:
        raise _missing(folder, "val", VAL_TAR)
    wnids = labels.of_files(folder, sorted(place.file for place in flat))
    return [place._replace(wnid=wnids[place.file]) for place in flat]


def _missing(folder: Path, part: str, tar: str) -> DataError:
    there = sorted(path.name for path in folder.iterdir())[:8] if folder.is_dir() else []
    return DataError(
        f"{folder}: no pictures in {part}/, and no {tar}; there is: {', '.join(there) or 'nothing'}. "
        f"Get ImageNet (ILSVRC 2012) from {PICTURE_ADDRESS}"
    )


def _by_class(part: Path) -> list[Place]:
    """The pictures of `part/<wnid>/`, or of `part/<wnid>/images/` as Tiny-ImageNet has it."""
    wnids = _folders(part)
    if not wnids:
        raise DataError(f"{part}: no folders of classes, where {part}/<wnid>/*.JPEG belong")
    places = []
    for wnid in wnids:
        folder = part / wnid / "images"
        found = _files(folder if folder.is_dir() else part / wnid, wnid)
        if not found:
            raise DataError(f"{part / wnid}: no picture in this class. Get it again, or remove the empty folder")
        places += found
    return places


def _folders(part: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(part) if entry.is_dir() and not entry.name.startswith("."))


def _files(folder: Path, wnid: str = "") -> list[Place]:
    found = [e for e in os.scandir(folder) if e.name.lower().endswith(SUFFIXES) and not e.name.startswith(".")]
    return [Place(wnid, entry.name, entry.path, entry.stat().st_size) for entry in found]


def _same_classes(folder: Path, train: Sequence[Place], val: Sequence[Place]) -> tuple[str, ...]:
    ours, theirs = {place.wnid for place in train}, {place.wnid for place in val}
    if ours != theirs:
        raise DataError(
            f"{folder}: train has {len(ours):,} classes and val {len(theirs):,}, {_some(ours - theirs)} only in train "
            f"and {_some(theirs - ours)} only in val. Both parts need the same ones"
        )
    return tuple(sorted(ours))


def _some(wnids: set[str]) -> str:
    shown = ", ".join(sorted(wnids)[:3])
    return f"{len(wnids):,} ({shown}{', …' * (len(wnids) > 3)})" if wnids else "none"


def _digest(classes: Sequence[str], parts: Iterable[Pictures]) -> str:
    sha = hashlib.sha256("\n".join(classes).encode())
    for part in parts:
        sha.update(part.names.blob)
        for values in (part.names.ends, part.sizes, part.labels):
            sha.update(np.asarray(values, "<i8").tobytes())
    return sha.hexdigest()


def load(folder: Path, classes: int, *, trained: bool = True) -> PictureSet:
    """The first `classes` classes of the pictures in the folder; the training's have to be there where they are wanted.

    Raises DataError where there are none, or none of so many classes.
    """
    try:
        return load_pictures(folder, classes, trained=trained)
    except ValueError as error:
        raise DataError(str(error)) from None
