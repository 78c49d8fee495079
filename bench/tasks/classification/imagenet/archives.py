"""ImageNet's official tar files, read in place: where each picture's bytes are, found once and kept.

Reading the headers of 138 GB takes minutes, so the index lies beside the tar file, or in the cache folder where that
cannot be written; it is used as long as the tar file's size and time are those it was made of.
"""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.data.locate import DataError
from bench.machine import cache_folder

PARTS = ("stamp", "wnids", "files", "sizes", "offsets")
Entry = tuple[str, str, str, int, int]  # wnid, file, path of the tar, size, offset


def by_class(tar: Path) -> list[Entry]:
    """The pictures of ILSVRC2012_img_train.tar, a tar of one tar a class. Raises DataError where it is damaged."""
    return _indexed(tar, nested=True)


def flat(tar: Path) -> list[Entry]:
    """The pictures of ILSVRC2012_img_val.tar, without their classes. Raises DataError where it is damaged."""
    return _indexed(tar, nested=False)


def _indexed(tar: Path, *, nested: bool) -> list[Entry]:
    stamp = [tar.stat().st_size, tar.stat().st_mtime_ns]
    homes = [tar.with_name(f"{tar.name}.index.npz"), cache_folder() / f"{tar.name}.{stamp[0]}.{stamp[1]}.index.npz"]
    for home in homes:
        if (known := _known(home, stamp)) is not None:
            return [(wnid, file, str(tar), size, offset) for wnid, file, size, offset in known]
    found = _read(tar, nested=nested)
    for home in homes:
        if _keep(home, stamp, found):
            break
    return [(wnid, file, str(tar), size, offset) for wnid, file, size, offset in found]


def _read(tar: Path, *, nested: bool) -> list[tuple[str, str, int, int]]:
    try:
        with tarfile.open(tar, "r:") as outer:
            found = list(_nested(tar, outer) if nested else _members(outer, "", 0))
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{tar}: {error}. The file is truncated or no tar file: get it again") from None
    size = tar.stat().st_size
    if not found or found[-1][2] + found[-1][3] > size:
        raise DataError(f"{tar}: {size:,} bytes, {len(found):,} pictures, the last one incomplete. Get it again")
    return found


def _nested(tar: Path, outer: tarfile.TarFile) -> Iterator[tuple[str, str, int, int]]:
    for member in outer:
        inner_file = outer.extractfile(member) if member.name.endswith(".tar") else None
        if inner_file is None:
            raise DataError(f"{tar}: {member.name} where one tar a class belongs (n01440764.tar …)")
        with tarfile.open(fileobj=inner_file, mode="r:") as inner:
            found = list(_members(inner, Path(member.name).stem, member.offset_data))
        if not found:
            raise DataError(f"{tar}: no picture in {member.name}. Get the file again")
        yield from found


def _members(tar: tarfile.TarFile, wnid: str, start: int) -> Iterator[tuple[str, str, int, int]]:
    return ((wnid, Path(m.name).name, m.size, start + m.offset_data) for m in tar if m.isfile())


def _known(home: Path, stamp: list[int]) -> list[tuple[str, str, int, int]] | None:
    try:
        with np.load(home, allow_pickle=False) as kept:
            if kept["stamp"].tolist() != stamp:
                return None
            texts = [bytes(kept[part]).decode().split("\n") for part in ("wnids", "files")]
            return list(zip(*texts, kept["sizes"].tolist(), kept["offsets"].tolist(), strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # none yet, or one that is no use: it is made anew


def _keep(home: Path, stamp: list[int], found: list[tuple[str, str, int, int]]) -> bool:
    wnids, files, sizes, offsets = zip(*found, strict=True)
    texts = [np.frombuffer("\n".join(lines).encode(), np.uint8) for lines in (wnids, files)]
    arrays = dict(zip(PARTS, (np.array(stamp), *texts, np.array(sizes), np.array(offsets)), strict=True))
    draft = home.with_name(f"{home.name}.{os.getpid()}")
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # none of the names is allow_pickle
        draft.replace(home)
    except OSError:
        draft.unlink(missing_ok=True)
        return False
    return True
