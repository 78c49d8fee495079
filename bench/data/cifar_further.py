"""Further test sets for nets trained on CIFAR-10: CIFAR-10.1 (Recht et al. 2018) and CIFAR-10-C (Hendrycks and
Dietterich 2019), in the .npy files of their authors, of which nothing is run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.listing import first_line
from bench.data.locate import AbsentError, DataError
from bench.spec.further import FurtherSet

CLASSES, SIDE = 10, 32
HOMES_101 = ("cifar10.1", "CIFAR-10.1/datasets", "CIFAR-10.1", ".")
SOURCE_101 = "https://github.com/modestyachts/CIFAR-10.1 (its folder datasets/)"
HOMES_C = ("CIFAR-10-C", "cifar10-c", ".")
SOURCE_C = "https://zenodo.org/records/2535967 (CIFAR-10-C.tar)"


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images and labels by part: uint8 (N, 32, 32, 3) and int64 (N,). digest: SHA-256 of all of them."""

    parts: Mapping[str, tuple[NDArray[np.uint8], NDArray[np.int64]]]
    digest: str


def locate_cifar101(folder: Path, row: FurtherSet) -> Path:
    """The folder of its two files below the data folder. Raises AbsentError."""
    return _located(folder, row, HOMES_101, _files_101(row), SOURCE_101)


def locate_cifar10c(folder: Path, row: FurtherSet) -> Path:
    """The folder of its two files below the data folder. Raises AbsentError."""
    return _located(folder, row, HOMES_C, _files_c(row), SOURCE_C)


def _files_101(row: FurtherSet) -> tuple[str, str]:
    version = row.name.rpartition("-")[2]
    return f"cifar10.1_{version}_data.npy", f"cifar10.1_{version}_labels.npy"


def _files_c(row: FurtherSet) -> tuple[str, str]:
    return f"{row.member}.npy", "labels.npy"


def _located(folder: Path, row: FurtherSet, homes: tuple[str, ...], files: tuple[str, ...], source: str) -> Path:
    for home in homes:
        lacking = [name for name in files if not (folder / home / name).is_file()]
        if not lacking:
            return folder / home
        if len(lacking) < len(files) and files[0] not in lacking:
            raise AbsentError(f"{folder / home} has {files[0]} and no {lacking[0]}: get it from {source}")
    raise AbsentError(
        f"{row.title} is not in {folder}: no {homes[0]}/{files[0]} there. Get it from {source}, and name the folder "
        f"above {homes[0]}/ with --data or BENCH_DATA",
        homes[:-1],
    )


def read_cifar101(place: Path, row: FurtherSet) -> Labelled:
    """One of its versions. Raises DataError naming the bad file."""
    return _read(place, row, _files_101(row), SOURCE_101)


def read_cifar10c(place: Path, row: FurtherSet) -> Labelled:
    """One corruption, by severity, which lie one after the other. Raises DataError naming the bad file.

    The labels of all severities are the same, as their images are those of one test set.
    """
    found = _read(place, row, _files_c(row), SOURCE_C)
    first = found.parts[row.parts[0]][1]
    for severity, (_, labels) in found.parts.items():
        for k in np.flatnonzero(labels != first)[:1]:
            raise DataError(
                f"{place / 'labels.npy'}: image {k + 1:,} of severity {severity} has the label {labels[k]}, that of "
                f"severity {row.parts[0]} has {first[k]}: the severities must follow one another, each with the same "
                f"images. Get it again from {SOURCE_C}"
            )
    return found


def _read(place: Path, row: FurtherSet, files: tuple[str, str], source: str) -> Labelled:
    """Images and labels cut into the row's parts, which are of equal size."""
    count = row.images * len(row.parts)
    images, labels = (_array(place / name, source) for name in files)
    for name, words in zip(files, (_of_images(images, count), _of_labels(labels, count)), strict=True):
        if words:
            raise DataError(f"{place / name} {words}: it is damaged or another set's, get it again from {source}")
    cuts = {part: slice(k * row.images, (k + 1) * row.images) for k, part in enumerate(row.parts)}
    narrow = labels.astype(np.int64)
    return Labelled({part: (images[cut], narrow[cut]) for part, cut in cuts.items()}, _digest(images, narrow))


def _array(path: Path, source: str) -> NDArray[Any]:
    """The array in a .npy file, read as far as it is used: CIFAR-10-C has 150 MB a file."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:  # SyntaxError: of a header
        raise DataError(
            f"{path} cannot be read as a NumPy array ({first_line(error)}): get it again from {source}"
        ) from None
    if not isinstance(found, np.ndarray):
        found.close()
        raise DataError(f"{path} is an archive of arrays, not one array: get it again from {source}")
    return found


def _of_images(images: NDArray[Any], count: int) -> str:
    """What is wrong with the array of images, "" for nothing."""
    wanted = (count, SIDE, SIDE, 3)
    fine = images.dtype == np.uint8 and images.shape == wanted
    return "" if fine else f"has {images.dtype} of shape {images.shape}, not uint8 of shape {wanted}"


def _of_labels(labels: NDArray[Any], count: int) -> str:
    """What is wrong with the array of labels, "" for nothing."""
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        return f"has {labels.dtype} of shape {labels.shape}, not whole numbers of shape {(count,)}"
    for k in np.flatnonzero((labels < 0) | (labels >= CLASSES))[:1]:
        return f"has the label {labels[k]} for image {k + 1:,}, and CIFAR-10 has 0 to {CLASSES - 1}"
    return ""


def _digest(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> str:
    """SHA-256 of pixels and labels in their order, a byte each."""
    sha = hashlib.sha256()
    for block in np.array_split(images, max(1, len(images) // 10_000)):
        sha.update(np.ascontiguousarray(block).data)
    sha.update(labels.astype(np.uint8).tobytes())
    return sha.hexdigest()
