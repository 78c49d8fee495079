"""Keeps the code as it is at submission for the jobs: later edits do not change what they run."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.machine import CODE, FROZEN, SOURCE, commit, commit_unknown, git
from bench.spec.own import CODE_FOLDER, content_of
from bench.store import (
    StoreError,
    make_folder,
    make_private,
    refuse_foreign,
    sha256,
    write_bytes,
    write_json,
    write_text,
)

KEPT = (*CODE, "pyproject.toml")  # which says what packages the suite needs, for the provenance of runs
Known = Mapping[str, str | bool | None]  # what `commit` says


class SnapshotError(RuntimeError):
    """No snapshot can be taken of the code; says why and what to do."""


def take_snapshot(codes: Path, *, allow_dirty: bool, source: Path = SOURCE) -> Path:
    """A folder below `codes`, which nobody else may enter, with the code of `source`'s commit.

    A work tree that differs is refused, or with `allow_dirty` copied as it is. The same code is kept once. The folder
    goes first on a job's PYTHONPATH. Raises SnapshotError.
    """
    known = commit(source)
    if known["commit"] is None:
        why = commit_unknown(source) or f"{source} is no git checkout: start from a clone"
        raise SnapshotError(f"jobs run the code of a commit, and {why}")
    if known["dirty"] and not allow_dirty:
        raise SnapshotError(
            f"{source} has changes in {' or '.join(CODE)} that are in no commit: commit them, "
            "or start with --allow-dirty (the results will say so)"
        )
    if (source / FROZEN).exists():
        return source  # the code of a job that submits jobs is a snapshot already
    refuse_foreign(make_private(codes))
    return _copied(codes, source, known) if known["dirty"] else _archived(codes, source, known)


def copy_sweep_file(codes: Path, path: Path, name: str, own: Iterable[tuple[str, str]] = ()) -> Path:
    """Copies the sweep file `path`, which may be outside the checkout, below `codes`, under the sweep's name.

    own: the user's code that it names, (code, SHA-256), which is copied beside.
    """
    content, own = path.read_bytes(), sorted(own)
    target = make_folder(codes / sha256(content + repr(own).encode() * bool(own))[:12]) / f"{name}.py"
    write_text(target, content.decode())
    for code, digest in own:
        write_bytes(make_folder(target.parent / CODE_FOLDER) / code.rpartition(":")[0], content_of(code, digest))
    return target


def _archived(codes: Path, source: Path, known: Known) -> Path:
    head = str(known["commit"])
    target = codes / head
    if target.is_dir():
        refuse_foreign(codes, target)  # it may be from before the folder was private
        return target
    present = [name for name in KEPT if (source / name).exists()]
    archive = git(source, "archive", "--format=tar", head, "--", *present)
    staged = make_folder(codes / f".{uuid.uuid4().hex}")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(staged, filter="data")
    return _published(staged, target, known)


def _copied(codes: Path, source: Path, known: Known) -> Path:
    """Copies the work tree: tracked files as they are now, and new ones that git does not ignore."""
    names = git(source, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *KEPT)
    files = sorted({name for name in os.fsdecode(names).split("\0") if name and (source / name).is_file()})
    staged, sha = make_folder(codes / f".{uuid.uuid4().hex}"), hashlib.sha256()
    for name in files:
        (staged / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, staged / name)
        sha.update(f"{name}\0{hashlib.sha256((staged / name).read_bytes()).hexdigest()}\n".encode())
    return _published(staged, codes / f"{known['commit']}-dirty-{sha.hexdigest()[:8]}", known)


def _published(staged: Path, target: Path, known: Known) -> Path:
    """Renames the finished copy; where another start was faster, uses that one's."""
    write_json(staged / FROZEN, known)
    try:
        staged.rename(target)
    except OSError as error:
        shutil.rmtree(staged)
        if not (target / FROZEN).exists():
            raise StoreError(f"cannot write {target}: {error.strerror or error}") from error
    return target
