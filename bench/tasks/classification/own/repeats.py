"""Test images that are training images, too: a few are said on every page, more are refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
from torch import Tensor

from bench.data.locate import DataError
from bench.spec import counted
from bench.tasks.classification.imagenet.files import ImageFiles

MOST = 0.01  # of the test images. Official sets have some: 1 in 5,000 of a part of CIFAR-100


def notice_of(where: object, twins: Iterable[tuple[str, str]], tested: int) -> str:
    """What is to be said where there are twins: pairs of names, of a test image and of the training image that it is.

    Raises DataError where they are more than MOST of the images that are tested.
    """
    found = list(twins)
    if not found:
        return ""
    share = 100 * len(found) / tested
    first = f"{found[0][0]} is {found[0][1]}"
    if len(found) > MOST * tested:
        raise DataError(
            f"{where}: {len(found):,} of {counted(tested, 'test image')} ({share:.3g} %) "
            f"{'are training images' if len(found) > 1 else 'is a training image'}, too, such as {first}; up to "
            f"{100 * MOST:g} % would be said on the page. Take them out of one of the two parts"
        )
    return (
        f"{len(found):,} of {tested:,} test images {'are training images' if len(found) > 1 else 'is a training image'}"
        f", too ({first}{'; …' * (len(found) > 1)}), by which a test error can be {share:.3g} points too low."
    )


def of_files(train: ImageFiles, test: ImageFiles) -> Iterator[tuple[str, str]]:
    """The twins among files that have the very same bytes; read are those alone whose sizes say that they could."""
    sizes = np.intersect1d(train.sizes, test.sizes)
    known = {_digest(train.read(k)): k for k in np.flatnonzero(np.isin(train.sizes, sizes)).tolist()}
    for number in np.flatnonzero(np.isin(test.sizes, sizes)).tolist():
        if (twin := known.get(_digest(test.read(number)))) is not None:
            yield f"test {test.name(number)}", f"training {train.name(twin)}"


def of_pixels(train: Tensor, test: Tensor) -> Iterator[tuple[int, int]]:
    """The places of twins among images (N, 3, S, S) that are the same to the pixel."""
    known = {_digest(image.numpy().tobytes()): k for k, image in enumerate(train)}
    for number, image in enumerate(test):
        if (twin := known.get(_digest(image.numpy().tobytes()))) is not None:
            yield number, twin


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
