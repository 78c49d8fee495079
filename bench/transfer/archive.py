"""An archive: an uncompressed tar of run folders that says itself what is in it.

    <sweep>/<run id>/<file>   the files of each run
    <sweep>/register-<chain>.jsonl  the registers of starts that lie beside these runs
    manifest.json             last: the suite's version and commit, and of each run its state, its step and the size and
                              SHA-256 of each file, of each register too

Weights do not compress. Each archive stands for itself, so that archives of several times can lie beside each other,
and one that was cut off has no manifest.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench import __version__
from bench.machine import commit
from bench.store import StoreError, atomic, is_content, sha256
from bench.store.register import file_name

FORMAT, FORMATS = 2, (1, 2)  # as it is written, and as it is read: 1 has no registers
MANIFEST = "manifest.json"
REGISTER = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*/register-[0-9a-f]{12}\.jsonl"
MEMBER = 4 * 512  # the most that a tar adds to a file: a header, two blocks of a long name, the rest of the last block
OVERHEAD = 16 * 1024  # more than an archive takes beside its parcels: the manifest's frame, the tar's end
FILES = 250_000  # more than an archive has members, and few enough to be held
MANIFEST_BYTES = 2**28  # more than the manifest of so many files has
# what damage shows by, and an attack: a header that announces 10 TB, a manifest of a million brackets
DAMAGE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, tarfile.TarError),
    *(OverflowError, RecursionError, MemoryError),
)
STATES = ("pending", "begun", "diverged", "done")  # in the order in which a run comes to them


@dataclass(frozen=True)
class Parcel:
    """A run on its way: its files by name, and how far it has come."""

    sweep: str
    id: str
    state: str
    step: int
    files: Mapping[str, bytes]

    @property
    def name(self) -> str:
        """The run's folder below the folder of runs."""
        return f"{self.sweep}/{self.id}"

    @property
    def rank(self) -> tuple[bool, int, int]:
        """The larger, the further on."""
        return self.state == "done", self.step, STATES.index(self.state)

    @cached_property
    def entry(self) -> dict[str, Any]:
        """What the manifest says of it."""
        files = {name: _about(data) for name, data in self.files.items()}
        return {"sweep": self.sweep, "id": self.id, "state": self.state, "step": self.step, "files": files}

    @cached_property
    def size(self) -> int:
        """The most bytes that it takes of an archive, its part of the manifest among them."""
        return sum(len(data) + MEMBER for data in self.files.values()) + len(json.dumps(self.entry)) + len(", ")


def _about(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": sha256(data)}


def _header(name: str, size: int) -> tarfile.TarInfo:
    """Without times and owners: the same runs make the same bytes."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info


def write(path: Path, parcels: Iterable[Parcel], registers: Mapping[str, bytes]) -> None:
    """Writes an archive over `path`, atomically. registers: by their names in the archive. Raises StoreError."""
    about = {"format": FORMAT, "bench": __version__, **commit()}
    with atomic(path) as temporary, tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as tar:
        entries = []
        for parcel in parcels:
            for name, data in parcel.files.items():
                tar.addfile(_header(f"{parcel.name}/{name}", len(data)), io.BytesIO(data))
            entries.append(parcel.entry)
        for name, data in registers.items():
            tar.addfile(_header(name, len(data)), io.BytesIO(data))
        chains = {name: _about(data) for name, data in registers.items()}
        manifest = json.dumps({**about, "runs": entries, "registers": chains}).encode()
        tar.addfile(_header(MANIFEST, len(manifest)), io.BytesIO(manifest))


def read(path: Path) -> list[Parcel]:
    """The runs of an archive, each file checked against the manifest. Raises StoreError where they differ.

    Nothing is written, and no member's name is taken for a path: only what a run folder holds is read.
    """
    with _opened(path) as (tar, members):
        return [_parcel(tar, members, entry) for entry in _manifest(tar, members)["runs"]]


def registers(path: Path) -> dict[str, bytes]:
    """The registers of an archive by their names in it, each checked against the manifest. Raises StoreError."""
    with _opened(path) as (tar, members):
        known = _manifest(tar, members)["registers"]
        found = {name: _checked(tar, members[name], about) for name, about in known.items()}
        if odd := [name for name, data in found.items() if name.partition("/")[2] != file_name(data)]:
            raise ValueError(f"{odd[0]} does not begin that chain")
        return found


def held(path: Path) -> dict[str, str]:
    """The state of each run in an archive, by its folder below the folder of runs; files unread. Raises StoreError."""
    with _opened(path) as (tar, members):
        return {f"{one['sweep']}/{one['id']}": str(one["state"]) for one in _manifest(tar, members)["runs"]}


@contextmanager
def _opened(path: Path) -> Iterator[tuple[tarfile.TarFile, dict[str, tarfile.TarInfo]]]:
    """An archive and its members. Raises StoreError where it is none, or where what is done with it shows damage."""
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar, _members(tar)
    except FileNotFoundError:
        raise StoreError(f"there is no archive {path}; give files or folders that bench pack has written") from None
    except DAMAGE as error:
        raise unusable(path, error) from None


def unusable(path: Path, error: Exception | str) -> StoreError:
    """The refusal of an archive, for this reason."""
    reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) and error.args else str(error)
    return StoreError(f"{path} is damaged or no archive of bench pack ({reason}): pack its runs again or leave it out")


def _members(tar: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    """All members by name. Raises ValueError for anything that bench pack does not write."""
    members: dict[str, tarfile.TarInfo] = {}
    for member in tar:
        match = re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*/(?!\.\.?/)[^/]+/([^/]+)", member.name)
        ours = member.name == MANIFEST or re.fullmatch(REGISTER, member.name) or (match and is_content(match[1]))
        whole = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and member.sparse is None  # none of 10 TB of holes
        if not whole or not ours:
            raise ValueError(f"{member.name!r} is no file of a run")
        if member.name in members:
            raise ValueError(f"{member.name!r} is there twice")
        if len(members) == FILES:
            raise ValueError(f"it has more than {FILES:,} files")
        members[member.name] = member
    return members


def _manifest(tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo]) -> dict[str, Any]:
    """What the manifest says of runs and registers; it has to name all that is there. Raises ValueError, KeyError."""
    if MANIFEST not in members:
        raise ValueError(f"it has no {MANIFEST}: it was cut off")
    if (size := members[MANIFEST].size) > MANIFEST_BYTES:
        raise ValueError(f"its {MANIFEST} has {size:,} bytes, more than {MANIFEST_BYTES:,}")
    manifest = json.loads(_data(tar, members[MANIFEST]))
    if manifest["format"] not in FORMATS:
        raise ValueError(f"it has format {manifest['format']}, this version of the suite reads {FORMAT}")
    entries: list[dict[str, Any]] = manifest["runs"]
    runs = [(entry["sweep"], entry["id"]) for entry in entries]
    if len({*runs}) < len(runs):
        raise ValueError("a run is in the manifest twice")
    chains = manifest.get("registers", {})
    named = {*chains, *(f"{entry['sweep']}/{entry['id']}/{file}" for entry in entries for file in entry["files"])}
    if odd := sorted(named ^ (members.keys() - {MANIFEST})):
        raise ValueError(f"{odd[0]} is in the manifest or the archive alone")
    return {"runs": entries, "registers": chains}


def _parcel(tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], entry: Mapping[str, Any]) -> Parcel:
    """A run whose files have the digests of the manifest. Raises ValueError, KeyError or TypeError."""
    if entry["state"] not in STATES or not isinstance(entry["step"], int):
        raise ValueError(f"{entry['id']} is {entry['state']!r} at step {entry['step']!r}")
    name = f"{entry['sweep']}/{entry['id']}"
    files = {}
    for file, known in entry["files"].items():
        files[file] = _checked(tar, members[f"{name}/{file}"], known)
    return Parcel(entry["sweep"], entry["id"], entry["state"], entry["step"], files)


def _checked(tar: tarfile.TarFile, member: tarfile.TarInfo, known: Mapping[str, Any]) -> bytes:
    """A file of the size and the digest that the manifest names. Raises ValueError or KeyError."""
    if member.size != known["bytes"]:
        raise ValueError(f"{member.name} has {member.size:,} bytes, not the {known['bytes']} of the manifest")
    if sha256(data := _data(tar, member)) != known["sha256"]:
        raise ValueError(f"{member.name} has not the SHA-256 of the manifest")
    return data


def _data(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""
