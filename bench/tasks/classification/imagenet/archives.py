"""ImageNet's official tar files, read in place: where each image's bytes are, indexed once.

Nothing is unpacked, so that no name in them leads anywhere; what they claim is compared with the file's own size.

Reading the headers of 138 GB takes minutes, so the index is kept beside the tar file, or in the cache folder where that
cannot be written. It is used as long as the tar file has the size and time that it had.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np

from bench.data.images import ENDINGS
from bench.data.listing import first_line, is_hidden
from bench.data.locate import DataError
from bench.machine import cache_folder
from bench.store import StoreError, atomic

LONGEST = 2**20  # bytes of a header's extension, such as a long name, which is read at once
COLUMNS = ("wnids", "files", "sizes", "offsets")
Entry = tuple[str, str, int, int]  # wnid, file, size, offset


class _Member(tarfile.TarInfo):
    """A member whose header claims no size that would have all of the file read, or read again without end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: Any, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.size < 0 or (found.size > LONGEST and found.type not in tarfile.REGULAR_TYPES):
            raise tarfile.ReadError(f"a header of {found.size:,} bytes")
        return found


def entries(tar: Path, *, nested: bool) -> list[Entry]:
    """The images in a tar file; nested: the training set's, which is a tar of one tar a class.

    The validation set's have "" as their wnid. Raises DataError where the file is damaged.
    """
    stamp = [tar.stat().st_size, tar.stat().st_mtime_ns]
    homes = [tar.with_name(f"{tar.name}.index.npz"), cache_folder() / f"{tar.name}.{stamp[0]}.{stamp[1]}.index.npz"]
    for home in homes:
        if (known := _load(home, stamp)) is not None:
            return [entry for entry in known if _is_image(entry[1])]  # of an older version it may have others
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
    """An index that was kept; None where there is none, or it is damaged, of an older version or of another file."""
    try:
        with np.load(home, allow_pickle=False) as index:
            if index["stamp"].tolist() != stamp:
                return None
            wnids, files, sizes, offsets = (index[name] for name in COLUMNS)
        if wnids.dtype.kind + files.dtype.kind + sizes.dtype.kind + offsets.dtype.kind != "UUii":
            return None
        if min(sizes.min(), offsets.min()) < 0 or max(sizes.max(), offsets.max(), (sizes + offsets).max()) > stamp[0]:
            return None
        return list(zip(*(column.tolist() for column in (wnids, files, sizes, offsets)), strict=True))
    except Exception:  # a damaged file raises whatever its bytes happen to say
        return None


def _read(tar: Path, *, nested: bool) -> list[Entry]:
    try:
        with tarfile.open(tar, "r:", tarinfo=_Member) as outer:
            found = list(_nested(tar, outer) if nested else _members(outer, "", 0))
    except DataError:
        raise
    except Exception as error:  # a damaged file raises whatever its bytes happen to say
        raise DataError(f"{tar}: {first_line(error)}. The file is truncated or no tar file: get it again") from None
    size = tar.stat().st_size
    if not found or max(offset + length for _, _, length, offset in found) > size:
        raise DataError(f"{tar}: {size:,} bytes, {len(found):,} images, the last one incomplete. Get it again")
    seen: set[tuple[str, str]] = set()
    for wnid, file, _, _ in found:
        if (wnid, file) in seen:
            raise DataError(f"{tar}: {wnid}{'/' * bool(wnid)}{file} is there twice. Get the file again")
        seen.add((wnid, file))
    return found


def _nested(tar: Path, outer: tarfile.TarFile) -> Iterator[Entry]:
    """The images in the tars of a tar; what a system or a person put beside them is no image."""
    for member in _files(outer):
        if _is_image(member.name):
            raise DataError(f"{tar}: {member.name} where one tar a class belongs (n01440764.tar …)")
        inner_file = outer.extractfile(member) if _has_suffix(member.name, (".tar",)) else None
        if inner_file is None:
            continue
        with tarfile.open(fileobj=inner_file, mode="r:", tarinfo=_Member) as inner:
            found = list(_members(inner, Path(member.name).stem, member.offset_data))
        if not found:
            raise DataError(f"{tar}: no image in {member.name}. Get the file again")
        yield from found


def _members(tar: tarfile.TarFile, wnid: str, start: int) -> Iterator[Entry]:
    images = (member for member in _files(tar) if _is_image(member.name))
    return ((wnid, Path(m.name).name, m.size, start + m.offset_data) for m in images)


def _files(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The files in a tar, whose bytes lie behind their headers. Raises ReadError for a link in their place."""
    for member in tar:
        if member.size < 0:  # by an extension of its header; the next one would be before it
            raise tarfile.ReadError(f"{member.name} has {member.size:,} bytes")
        wanted = _has_suffix(member.name, (*ENDINGS, ".tar")) and not member.isdir()
        if wanted and (not member.isfile() or member.issparse()):
            raise tarfile.ReadError(f"{member.name} is a link or a file with holes, which is not read in place")
        if member.isfile():
            yield member


def _is_image(name: str) -> bool:
    return _has_suffix(name, ENDINGS)


def _has_suffix(name: str, suffixes: tuple[str, ...]) -> bool:
    """Whether a member is of these, and neither it nor a folder of its path some system's."""
    path = Path(name)
    return path.suffix.lower() in suffixes and not any(
        is_hidden(part) for part in path.parts if part not in (".", "..")
    )
