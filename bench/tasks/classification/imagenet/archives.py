"""ImageNet's official tar files, read in place: where each image's bytes are, indexed once.

Reading the headers of 138 GB takes minutes, so the index is kept beside the tar file, or in the cache folder where that
cannot be written. It is used as long as the tar file has the size and time that it had.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from bench.data.locate import DataError
from bench.machine import cache_folder
from bench.store import StoreError, atomic

COLUMNS = ("wnids", "files", "sizes", "offsets")
Entry = tuple[str, str, int, int]  # wnid, file, size, offset


def entries(tar: Path, *, nested: bool) -> list[Entry]:
    """The images in a tar file; nested: the training set's, which is a tar of one tar a class.

    The validation set's have "" as their wnid. Raises DataError where the file is damaged.
    """
    stamp = [tar.stat().st_size, tar.stat().st_mtime_ns]
    homes = [tar.with_name(f"{tar.name}.index.npz"), cache_folder() / f"{tar.name}.{stamp[0]}.{stamp[1]}.index.npz"]
    for home in homes:
        if (known := _load(home, stamp)) is not None:
            return known
    found = _read(tar, nested=nested)
    columns = {name: np.array(values) for name, values in zip(COLUMNS, zip(*found, strict=True), strict=True)}
    for home in homes:
        with suppress(OSError, StoreError):
            home.parent.mkdir(parents=True, exist_ok=True)
            with atomic(home) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, stamp=np.array(stamp), **columns)  # type: ignore[arg-type]  # no allow_pickle
            break
    return found


def _load(home: Path, stamp: list[int]) -> list[Entry] | None:
    try:
        with np.load(home, allow_pickle=False) as index:
            if index["stamp"].tolist() != stamp:
                return None
            return list(zip(*(index[name].tolist() for name in COLUMNS), strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # there is none, or it is damaged or of an older version


def _read(tar: Path, *, nested: bool) -> list[Entry]:
    try:
        with tarfile.open(tar, "r:") as outer:
            found = list(_nested(tar, outer) if nested else _members(outer, "", 0))
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{tar}: {error}. The file is truncated or no tar file: get it again") from None
    size = tar.stat().st_size
    if not found or found[-1][2] + found[-1][3] > size:
        raise DataError(f"{tar}: {size:,} bytes, {len(found):,} images, the last one incomplete. Get it again")
    return found


def _nested(tar: Path, outer: tarfile.TarFile) -> Iterator[Entry]:
    for member in outer:
        inner_file = outer.extractfile(member) if member.name.endswith(".tar") else None
        if inner_file is None:
            raise DataError(f"{tar}: {member.name} where one tar a class belongs (n01440764.tar …)")
        with tarfile.open(fileobj=inner_file, mode="r:") as inner:
            found = list(_members(inner, Path(member.name).stem, member.offset_data))
        if not found:
            raise DataError(f"{tar}: no image in {member.name}. Get the file again")
        yield from found


def _members(tar: tarfile.TarFile, wnid: str, start: int) -> Iterator[Entry]:
    return ((wnid, Path(m.name).name, m.size, start + m.offset_data) for m in tar if m.isfile())
