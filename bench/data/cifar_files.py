"""The files of the CIFAR data sets, in the two layouts of their authors: Python's pickles, and binary records.

Looking needs the standard library only, so that plans can ask.
"""

from __future__ import annotations

import hashlib
import shutil
import socket
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
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
    archives: the file in which each of the two comes, and its MD5 by ADDRESS.
    train, test, meta: files, in the binary layout with a suffix. labels: bytes before the pixels of a binary record, of
    which the last is the class.
    """

    title: str
    python: str
    binary: str
    archives: tuple[tuple[str, str], tuple[str, str]]
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

    @property
    def folders(self) -> Mapping[str, tuple[str, ...]]:
        """The files that must be in the folder of each layout."""
        return {self.python: (*self.train, *self.test, self.meta), self.binary: tuple(self.sizes)}

    def torchvision(self) -> Any:
        """torchvision's class of the data set, which reads its pickles."""
        from torchvision import datasets

        return getattr(datasets, self.title.replace("-", ""))


LAYOUTS: Mapping[str, Layout] = {
    "cifar10": Layout(
        "CIFAR-10",
        "cifar-10-batches-py",
        "cifar-10-batches-bin",
        archives=(
            ("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
            ("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
        ),
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
        archives=(
            ("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
            ("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
        ),
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
    for part, files in layout.folders.items():
        if (folder / part).is_dir():
            _check(folder / part, files, layout)
            return folder / part
    raise AbsentError(f"{layout.title} is not in {folder}", tuple(layout.folders))


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
    """Checks the MD5 of every official pickle, as torchvision knows them. Raises DataError naming the bad file.

    The binary layout has no published sums; its sizes and labels are checked, and its digest is in every result.
    """
    layout = layout_of(found)
    if found.name != layout.python:
        for name in layout.sizes:
            _check_labels(found / name, layout)
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


def _check_labels(path: Path, layout: Layout) -> None:
    """Raises DataError naming the first record of a binary file whose class there is not."""
    try:
        labels = path.read_bytes()[layout.labels - 1 :: layout.record]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): get it again from {ADDRESS}") from None
    wrong = next((k for k, label in enumerate(labels) if label >= layout.classes), None)
    if wrong is not None:
        raise DataError(
            f"{path}: record {wrong + 1:,} of {len(labels):,} has the label {labels[wrong]}, and {layout.title} has 0 "
            f"to {layout.classes - 1}: the file is damaged or another data set's, get it again from {ADDRESS}"
        )


def fetch(folder: Path, name: str) -> Path:
    """Unpacks a CIFAR data set from its archive in `folder`, else downloads it through torchvision; MD5-checked.

    Raises DataError where it cannot be had.
    """
    layout = LAYOUTS[name]
    spoiled = ""
    for (archive, md5), part in zip(layout.archives, layout.folders, strict=True):
        if (folder / archive).is_file():
            if (found := _md5(folder / archive)) == md5:
                print(f"data: {layout.title} is unpacked from {folder / archive}", flush=True)
                return _unpack(folder / archive, part, layout)
            spoiled += f"{folder / archive} is truncated or changed (MD5 {found}, not {md5}). "
    by_hand = (
        f"Get {layout.archives[0][0]} or {layout.archives[1][0]} from {ADDRESS} into a folder that can be written, or "
        f"{layout.python}/ or {layout.binary}/ that they hold into any, and name it with --data or BENCH_DATA"
    )
    download(
        layout.title,
        folder,
        ADDRESS,
        lambda: layout.torchvision()(str(folder), download=True),
        by_hand,
        spoiled=spoiled,
    )
    return folder / layout.python


def download(
    title: str, folder: Path, address: str, get: Callable[[], object], by_hand: str, *, spoiled: str = ""
) -> None:
    """Has `get` download a data set into `folder`. Raises DataError, which ends in what to do by hand."""
    print(f"data: {title} is not in {folder}: downloading it from {address}", flush=True)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)  # a network that swallows packets must not hold a quick look for minutes
    try:
        folder.mkdir(parents=True, exist_ok=True)
        urllib.request.urlopen(address).close()  # asked before torchvision, whose import takes seconds
        get()
    except (OSError, RuntimeError, HTTPException) as error:
        raise DataError(f"{spoiled}{title} is not in {folder} and cannot be downloaded ({error}). {by_hand}") from None
    finally:
        socket.setdefaulttimeout(before)


def _unpack(archive: Path, part: str, layout: Layout) -> Path:
    """The folder `part` of an archive, beside it: only the files that belong there, all or none of them."""
    home = archive.parent / part
    try:
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=f".{part}.") as place, tarfile.open(archive) as tar:
            made = Path(place, part)
            made.mkdir()
            for file in layout.folders[part]:
                member = tar.extractfile(f"{part}/{file}")
                assert member is not None, "the sum is the official archive's, which has files there"
                with member, (made / file).open("wb") as out:
                    shutil.copyfileobj(member, out)
            made.rename(home)
    except OSError as error:
        if not home.is_dir():  # another run may have unpacked it meanwhile
            raise DataError(
                f"{archive} cannot be unpacked there ({error.strerror or error}): unpack it into a folder that can be "
                f"written (tar -xzf {archive.name} -C FOLDER), and name that with --data or BENCH_DATA"
            ) from None
    return home


def _md5(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): get it again from {ADDRESS}") from None
