"""Folders and text files of data sets: what a copy on its way through other systems added to them is passed over.

A Mac leaves `._name` and `__MACOSX` and writes é as two characters (NFD), a notebook leaves `.ipynb_checkpoints`, a
Windows editor a byte order mark and CR LF. None of that is data.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

from bench.data.locate import DataError


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is some system's and no data."""
    return name.startswith(".") or name == "__MACOSX"


def files_in(folder: Path, suffixes: Collection[str] = ()) -> list[Path]:
    """The files in `folder` by name, those of a suffix in `suffixes` (lower case, with the dot; () for all).

    The suffix counts in either case. Raises DataError where the folder cannot be read.
    """
    found = (Path(entry.path) for entry in entries_in(folder) if entry.is_file())
    return [path for path in found if not suffixes or path.suffix.lower() in suffixes]


def folders_in(folder: Path) -> list[Path]:
    """The folders in `folder` by name. Raises DataError where it cannot be read."""
    return [Path(entry.path) for entry in entries_in(folder) if entry.is_dir()]


def entries_in(folder: Path) -> list[os.DirEntry[str]]:
    """What is in `folder` by name, for a million files, of which a Path each would cost. Raises DataError."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not is_hidden(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror}): name a folder that can") from None


def same_form(name: str) -> str:
    """`name` in the one Unicode form (NFC) in which names are compared; on disk it stays as it is."""
    return unicodedata.normalize("NFC", name)


def first_line(error: BaseException) -> str:
    """What a library says of a damaged file, as a part of one line: its first line, or the error's name without one."""
    line = (str(error).splitlines() or [""])[0]
    return line[:200] or type(error).__name__


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without byte order mark, any system's line ends as "\\n". Raises DataError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): get the file again") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 (byte {error.start:,}): get the file again, or save it as UTF-8"
        ) from None


def read_list(path: Path) -> list[tuple[str, str]]:
    """The lines of a list that are not blank, each as (where it stands, its text without the blanks around it).

    Raises DataError where the list cannot be read or has no line.
    """
    lines = read_text(path).split("\n")  # not splitlines, which also breaks at characters that names may have
    found = [(f"{path} line {number}", line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise DataError(f"{path} is empty: get the list again")
    return found


def by_form(paths: Iterable[Path]) -> dict[str, Path]:
    """Paths by their names in the one form. Raises DataError for two of one name."""
    found: dict[str, Path] = {}
    for path in paths:
        other = found.setdefault(same_form(path.name), path)
        if other is not path:
            raise DataError(
                f"{path.parent} has two entries named {path.name} in two Unicode forms: make one of the two"
            )
    return found


def located(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Where each of `names` is: a file below `folder`, `a.jpg` or `train/a.jpg`. Those that are not there are left out.

    Raises DataError for a name that leaves the folder.
    """
    inside: dict[Path, dict[str, Path]] = {}
    found = {}
    for name in names:
        path = folder
        for part in _parts(folder, name):
            if path not in inside:
                inside[path] = by_form([*files_in(path), *folders_in(path)]) if os.path.isdir(path) else {}  # noqa: PTH112
            path = inside[path].get(part, path / part)
        if os.path.isfile(path):  # noqa: PTH113  # Path's raises for names that are too long
            found[name] = path
    return found


def _parts(folder: Path, name: str) -> list[str]:
    """The folders and the file of a relative name; Windows separates by "\\"."""
    parts = same_form(name).replace("\\", "/").split("/")
    if parts[0] == "" or ".." in parts:
        raise DataError(f"{folder}: {name!r} is no name of a file in this folder: give names relative to it")
    return [part for part in parts if part not in ("", ".")]
