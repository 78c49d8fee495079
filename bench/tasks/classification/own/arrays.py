"""A user's own images as arrays of a .npz file, in MedMNIST's layout or Keras'."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data.listing import first_line
from bench.data.locate import DataError
from bench.spec import counted
from bench.tasks.classification.cifar import Images, make_images
from bench.tasks.classification.own import repeats
from bench.tasks.classification.own.folders import require_memory

KEYS = (  # MedMNIST's, and Keras'
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
)
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Header(NamedTuple):
    """What an array of a .npz file says of itself."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def in_memory(path: Path, size: int) -> Images:
    """The arrays of a .npz file in one of the layouts of KEYS, read without pickle. Raises DataError.

    Images: uint8, (N, size, size, 3), or grey ones (N, size, size) or (N, size, size, 1), which are repeated three
    times. Labels: (N,) or (N, 1), whole numbers from 0, of which every one has a training image.
    """
    try:
        with zipfile.ZipFile(path) as file:
            keys = _keys(path, [name.removesuffix(".npy") for name in file.namelist()])
            headers = {key: _header(file, key) for key in keys}
            _check_headers(path, headers, size)
            x, y, test_x, test_y = (_array(file, key) for key in keys)
            unused = sorted({name.removesuffix(".npy") for name in file.namelist()} - set(keys))
    except (DataError, MemoryError):
        raise
    except Exception as error:  # a damaged file raises whatever its bytes happen to say
        raise DataError(f"{path} is damaged or no .npz file ({first_line(error)}): save it again") from None
    labels = [_labels(path, key, one) for key, one in ((keys[1], y), (keys[3], test_y))]
    classes = _check_labels(path, keys, *labels)
    train, test = _channels_first(x), _channels_first(test_x)
    twins = ((f"{keys[2]}[{k}]", f"{keys[0]}[{j}]") for k, j in repeats.of_pixels(train, test))
    said = repeats.notice_of(path, twins, len(test))
    grey = "; grey, repeated three times" if x.ndim == 3 or x.shape[3] == 1 else ""
    account = f"{len(train):,} training and {len(test):,} test images of {counted(classes, 'class')}{grey}"
    account += f"; unused arrays: {', '.join(unused)}" if unused else ""
    parts = train, torch.from_numpy(labels[0]), test, torch.from_numpy(labels[1])
    return make_images(*parts, said, names=tuple(map(str, range(classes))), account=account)


def _keys(path: Path, there: list[str]) -> tuple[str, str, str, str]:
    found = [keys for keys in KEYS if set(keys) <= set(there)]
    if len(found) != 1:
        layouts = " or ".join(", ".join(keys) for keys in KEYS)
        raise DataError(
            f"{path} has {', '.join(there[:8]) or 'no arrays'}{', …' * (len(there) > 8)}, where the arrays {layouts} "
            f"belong, of one layout alone: write numpy.savez_compressed({path.name!r}, {KEYS[0][0]}=…, …)"
        )
    return found[0]


def _header(file: zipfile.ZipFile, key: str) -> Header:
    with file.open(f"{key}.npy") as array:
        shape, _, dtype = HEADERS[np.lib.format.read_magic(array)](array)
    return Header(shape, dtype)


def _array(file: zipfile.ZipFile, key: str) -> NDArray[Any]:
    with file.open(f"{key}.npy") as array:
        found: NDArray[Any] = np.lib.format.read_array(array, allow_pickle=False)
    return found


def _check_headers(path: Path, headers: dict[str, Header], size: int) -> None:
    """Raises DataError for arrays of another type, shape or length, and too many; before any is read."""
    for (images, x), (labels, y) in zip(*[iter(headers.items())] * 2, strict=True):
        if problem := _wrong_images(x, size):
            allowed = f"uint8 (N, {size}, {size}, 3) or grey (N, {size}, {size}) is read"
            raise DataError(f"{path}: {images} are {x.dtype} {x.shape}, and {allowed}: {problem}")
        if problem := _wrong_labels(y):
            raise DataError(f"{path}: {labels} are {y.dtype} {y.shape}, and whole numbers (N,) are read: {problem}")
        if x.shape[0] != y.shape[0] or not x.shape[0]:
            raise DataError(
                f"{path}: {x.shape[0]:,} {images} and {y.shape[0]:,} {labels}: give each image its label, and "
                "one image or more"
            )
    require_memory(path, sum(one.shape[0] for one in list(headers.values())[::2]), size, "or save them as a folder")


def _wrong_images(one: Header, size: int) -> str:
    """What to write instead of such images, "" for nothing."""
    if one.dtype.kind == "f":
        return "write (images * 255).round().astype(numpy.uint8) where they lie in 0 to 1"
    if one.dtype != np.uint8:
        return "write images.astype(numpy.uint8) where all values lie in 0 to 255"
    if len(one.shape) == 4 and one.shape[1] == 3 != one.shape[3]:
        return "write images.transpose(0, 2, 3, 1)"
    if len(one.shape) == 4 and one.shape[3] == 4:
        return "write images[..., :3]"
    if len(one.shape) not in (3, 4) or (len(one.shape) == 4 and one.shape[3] not in (1, 3)):
        return "write them as (N, height, width, 3), or grey as (N, height, width)"
    height, width = one.shape[1:3]
    if height != width:
        return "cut or resize them to squares before they are saved"
    return "" if height == size else f"write Recipe(size={height}), or resize them"


def _wrong_labels(one: Header) -> str:
    if len(one.shape) == 2 and one.shape[1] > 1:
        return "of one column a class write labels.argmax(1)"
    if len(one.shape) not in (1, 2):
        return "write them as (N,)"
    if one.dtype.kind in "iu":
        return ""
    if one.dtype.kind == "f":
        return "write labels.astype(numpy.int64) where they are whole; what is measured is no class"
    return "write numpy.unique(labels, return_inverse=True)[1] of all labels together, those of training and of test"


def _labels(path: Path, key: str, labels: NDArray[Any]) -> NDArray[np.int64]:
    found = labels.reshape(-1)
    for wrong in (found.min(), found.max()):
        if not 0 <= wrong < 2**31:
            place = int(np.flatnonzero(found == wrong)[0])
            raise DataError(
                f"{path}: {key}[{place}] is {wrong}: labels are whole numbers from 0 on, one for each class"
            )
    return found.astype(np.int64)


def _check_labels(path: Path, keys: tuple[str, ...], train: NDArray[np.int64], test: NDArray[np.int64]) -> int:
    """How many classes there are. Raises DataError for fewer than two, and those that no training image has."""
    there = np.unique(train)
    classes = len(there)
    if there[-1] != classes - 1:
        missing = int(np.flatnonzero(there != np.arange(classes))[0])
        raise DataError(
            f"{path}: {keys[1]} go up to {there[-1]}, and no training image has {missing}: number the classes 0 to "
            f"{classes - 1}, as by numpy.unique(labels, return_inverse=True)[1]"
        )
    if classes < 2:
        raise DataError(f"{path}: {keys[1]} are all 0, one class, where two or more belong")
    if unknown := sorted({int(label) for label in np.unique(test)} - set(range(classes))):
        raise DataError(
            f"{path}: {keys[3]} have {', '.join(map(str, unknown[:4]))}{', …' * (len(unknown) > 4)}, of which there is "
            f"no training image: {keys[1]} go from 0 to {classes - 1}"
        )
    return classes


def _channels_first(images: NDArray[np.uint8]) -> Tensor:
    """(N, 3, H, W), a grey channel repeated."""
    x = images if images.ndim == 4 else images[..., None]
    return torch.from_numpy(np.ascontiguousarray(np.broadcast_to(x, (*x.shape[:3], 3)).transpose(0, 3, 1, 2)))
