"""What travels to the machine, in shares small enough for one transfer each, and what becomes of it there.

travel/N/          the share of the N-th call
  frozen.json      the commit, for where .git does not travel
  parts.json       all parts of all shares with their sizes
  …                the parts, in the folders that they had below their base
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.machine import FROZEN, SOURCE, commit

MIB = 2**20
PARTS = "parts.json"
Parts = Mapping[str, Path]  # by their names below the shares


class CarryError(RuntimeError):
    """What cannot travel, or not be done there; says why and what to do."""


def known_commit(source: Path, *, allow_dirty: bool) -> dict[str, str | bool | None]:
    """The commit of the code. Raises CarryError where there is none that says what the code is."""
    known = commit(source)
    if known["commit"] is None:
        raise CarryError(f"{source} is no git checkout: results would name no commit")
    if known["dirty"] and not allow_dirty:
        raise CarryError(f"{source} differs from its commit: commit first, or --allow-dirty (the results will say so)")
    return known


def find_parts(given: Sequence[Sequence[str]]) -> dict[str, Path]:
    """The files of each (BASE, GLOB …), by their path below BASE. Raises CarryError where a pattern finds nothing."""
    found: dict[str, Path] = {}
    for base, *patterns in given:
        if not patterns:
            raise CarryError(f"--parts {base} names no files: write --parts BASE GLOB, such as --parts {base} '*'")
        for pattern in patterns:
            files = files_in(Path(base), pattern)
            if not files:
                raise CarryError(f"{base} has no file {pattern}")
            found.update({str(path.relative_to(base)): path for path in files})
    return found


def files_in(folder: Path, pattern: str) -> list[Path]:
    """The files below the folder that the pattern means, none by an empty or absolute one."""
    if not pattern or Path(pattern).is_absolute():
        return []
    return sorted(path for path in folder.glob(pattern) if path.is_file())


def tree_bytes(source: Path) -> int:
    """What travels with every call: tracked files, and untracked ones that are not ignored."""
    asked = ["git", "-C", str(source), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split("\0")
    return sum((source / name).stat().st_size for name in set(names) if name and (source / name).is_file())


def shares(sizes: Mapping[str, int], room: float) -> list[list[str]]:
    """The parts in their order, in at least two shares of at most `room` bytes. Raises CarryError."""
    filled: list[list[str]] = [[]]
    left = room
    for name, size in sizes.items():
        if size > room:
            raise CarryError(
                f"{name} has {size / MIB:.1f} MiB, and {max(0, room) / MIB:.1f} travel with a call: split it"
            )
        if size > left:
            filled.append([])
            left = room
        filled[-1].append(name)
        left -= size
    return filled if len(filled) > 1 else [*filled, []]


def lay_out(travel: Path, parts: Parts, room: float, known: Mapping[str, object]) -> list[Path]:
    """Writes the shares below `travel`, which is made anew; returns their folders."""
    sizes = {name: path.stat().st_size for name, path in parts.items()}
    filled = shares(sizes, room)
    shutil.rmtree(travel, ignore_errors=True)
    for number, names in enumerate(filled, 1):
        share = travel / str(number)
        share.mkdir(parents=True)
        for name in names:
            (share / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(parts[name], share / name)
        (share / PARTS).write_text(json.dumps(sizes), encoding="utf-8")
        (share / FROZEN).write_text(json.dumps(known), encoding="utf-8")
    return [travel / str(number) for number in range(1, len(filled) + 1)]


def arrive(share: Path, kept: Path, source: Path = SOURCE) -> list[str]:
    """Keeps a share's parts on this machine, and the commit beside the code; returns the parts that are still to come.

    A checkout that knows its own commit gets no such file: a start on Slurm would take it for a frozen copy.
    """
    if not share.is_dir():
        raise CarryError(f"--share {share} is not here: carry it beside the tree, and run from the tree's root")
    shutil.copytree(share, kept, dirs_exist_ok=True)
    if commit(source)["commit"] is None or (source / FROZEN).exists():
        shutil.copyfile(share / FROZEN, source / FROZEN)
    return missing(kept)


def missing(kept: Path) -> list[str]:
    """The parts that have not arrived as they were sent; none where none were sent."""
    if not (kept / PARTS).exists():
        return []
    sizes = json.loads((kept / PARTS).read_text(encoding="utf-8"))
    return [name for name, size in sizes.items() if not (kept / name).is_file() or (kept / name).stat().st_size != size]
