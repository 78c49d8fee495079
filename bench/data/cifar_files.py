"""The files of the CIFAR data sets, in the two layouts of their authors: Python's pickles, and binary records.

Looking needs the standard library only, so that plans can ask.
"""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from bench.data.locate import AbsentError, DataError

ADDRESS = "https://www.cs.toronto.edu/~kriz/cifar.html"
TRAINED, TESTED = 50_000, 10_000


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a data set's files lie.

    title: without its hyphen the name of torchvision's class. python, binary: the folders of the two layouts.
    train, test, meta: files, in the binary layout with a suffix. labels: bytes before the pixels of a binary record, of
    which the last is the class.
    """

    title: str
    python: str
    binary: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    labels: int
    classes: int

    @property
    def record(self) -> int:
        """Bytes of a binary record."""
        return self.labels + 3 * 32 * 32

    @property
    def sizes(self) -> dict[str, int]:
        """The bytes of each binary file."""
        parts = ((self.train, TRAINED), (self.test, TESTED))
        return {f"{name}.bin": count // len(names) * self.record for names, count in parts for name in names}

    def torchvision(self) -> Any:
        """torchvision's class of the data set, which reads its pickles."""
        from torchvision import datasets

        return getattr(datasets, self.title.replace("-", ""))


LAYOUTS: Mapping[str, Layout] = {
    "cifar10": Layout(
        "CIFAR-10",
        "cifar-10-batches-py",
        "cifar-10-batches-bin",
        train=tuple(f"data_batch_{k}" for k in range(1, 6)),
        test=("test_batch",),
        meta="batches.meta",
        labels=1,
        classes=10,
    ),
    "cifar100": Layout(
        "CIFAR-100",
        "cifar-100-python",
        "cifar-100-binary",
        train=("train",),
        test=("test",),
        meta="meta",
        labels=2,  # the superclass comes first
        classes=100,
    ),
}


def layout_of(found: Path) -> Layout:
    """The layout of a folder that `cifar` found."""
    return next(one for one in LAYOUTS.values() if found.name in (one.python, one.binary))


def cifar(folder: Path, name: str) -> Path:
    """The folder of a CIFAR data set below the data folder. Raises DataError where it is incomplete."""
    layout = LAYOUTS[name]
    for found, files in (
        (folder / layout.python, (*layout.train, *layout.test, layout.meta)),
        (folder / layout.binary, tuple(layout.sizes)),
    ):
        if found.is_dir():
            _check(found, files, layout)
            return found
    raise AbsentError(f"{layout.title} is not in {folder}")


def _check(found: Path, files: tuple[str, ...], layout: Layout) -> None:
    """Raises DataError for a missing or truncated file, before anything is started."""
    problems = []
    for name in files:
        if not (found / name).is_file():
            problems.append(f"{name} is missing")
        elif (size := (found / name).stat().st_size) != layout.sizes.get(name, size):
            problems.append(f"{name} has {size:,} bytes, not {layout.sizes[name]:,}")
    if problems:
        raise DataError(f"{found}: {'; '.join(problems)}. Get {layout.title} again from {ADDRESS}")


def verify(found: Path) -> None:
    """Checks the MD5 of every official pickle, as torchvision knows them. Raises DataError.

    The binary layout has no published sums; its sizes and labels are checked, and its digest is in every result.
    """
    layout = layout_of(found)
    if found.name != layout.python:
        return
    from torchvision.datasets.utils import check_integrity

    official = layout.torchvision()
    known = [*official.train_list, *official.test_list, [official.meta["filename"], official.meta["md5"]]]
    bad = [name for name, md5 in known if not check_integrity(str(found / name), md5)]
    if bad:
        raise DataError(
            f"{found}: {', '.join(bad)} truncated or changed (MD5). Remove the folder to have it downloaded "
            f"again, or get {layout.title} from {ADDRESS}"
        )


def fetch(folder: Path, name: str) -> Path:
    """Downloads a CIFAR data set into `folder` through torchvision (MD5-checked).

    Raises DataError where it cannot be had.
    """
    layout = LAYOUTS[name]
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)  # a network that swallows packets must not hold a quick look for minutes
    try:
        folder.mkdir(parents=True, exist_ok=True)
        urllib.request.urlopen(ADDRESS).close()  # asked before torchvision, whose import takes seconds
        layout.torchvision()(str(folder), download=True)
    except (OSError, RuntimeError, HTTPException) as error:
        raise DataError(
            f"{layout.title} is not in {folder} and cannot be downloaded ({error}). Get it from {ADDRESS} and lay it "
            f"out as {folder / layout.python}/ or {folder / layout.binary}/, or name the folder above it with --data "
            "or BENCH_DATA"
        ) from None
    finally:
        socket.setdefaulttimeout(before)
    return folder / layout.python
