"""SHA256SUMS: the digest of every file in a folder of results or reports, as `sha256sum -c SHA256SUMS` reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from bench.store import StoreError, sha256, write_text

NAME = "SHA256SUMS"
ON_ONE_PAGE = "index.html"  # of a user's report: it follows from the pages beside it


def files_in(folder: Path) -> list[Path]:
    """Every file in `folder` and below, hidden ones, SHA256SUMS itself and index.html left out, in order."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    skipped = (NAME, ON_ONE_PAGE)
    return sorted(p for p in found if p.name not in skipped and not any(part.startswith(".") for part in p.parts))


def write_digests(folder: Path, files: Iterable[Path] | None = None) -> None:
    """Writes SHA256SUMS for `files` (relative to `folder`), or for all that are there."""
    listed = files_in(folder) if files is None else sorted(files)
    lines = (f"{sha256((folder / path).read_bytes())}  {path.as_posix()}\n" for path in listed)
    write_text(folder / NAME, "".join(lines))


def drop_others(folder: Path, files: Iterable[Path]) -> None:
    """Removes what the folder's list names and `files` do not, an earlier report's pages; other files stay."""
    with suppress(StoreError):  # no list, or a damaged one: nothing is known to be ours
        for name in set(read_digests(folder)) - {path.as_posix() for path in files}:
            (folder / name).unlink(missing_ok=True)


def read_digests(folder: Path) -> dict[str, str]:
    """The digests by file name. Raises StoreError where the list is missing or is none."""
    try:
        text = (folder / NAME).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder / NAME} cannot be read: {error}") from None
    found = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in text.splitlines()]
    if not all(found):
        raise StoreError(f"{folder / NAME} is damaged: a line is no digest and file name")
    digests = {match[2]: match[1] for match in found if match}
    for name in digests:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise StoreError(f"{folder / NAME} names {name}, which is not in that folder")
    return digests


def differences(folder: Path) -> list[str]:
    """What does not agree with the folder's SHA256SUMS, a sentence a file; none where all does."""
    try:
        listed = read_digests(folder)
    except StoreError as error:
        return [str(error)]
    here = {path.as_posix(): path for path in files_in(folder)}
    changed = [n for n in sorted(set(listed) & set(here)) if sha256((folder / n).read_bytes()) != listed[n]]
    return [
        *(f"{folder / name} is not the file that was written (SHA-256)" for name in changed),
        *(f"{folder / name} is missing" for name in sorted(set(listed) - set(here))),
        *(f"{folder / name} is not listed in {NAME}" for name in sorted(set(here) - set(listed))),
    ]
