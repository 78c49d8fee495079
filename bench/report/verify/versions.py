"""Every version of a sweep's results: those in the history of HEAD, read from git, and those that lie here."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from bench.machine import git
from bench.report import repeats
from bench.report.repeats import Found
from bench.report.rows import Row, read_rows
from bench.report.verify.commits import Commit
from bench.report.verify.published import Published
from bench.store import sha256

FILES = ("runs.csv", repeats.FILE, "correct.npz", "pairs.npz")
Key = tuple[str, str, str]  # id, weights_sha256, data_sha256: the same result


@dataclass(frozen=True, slots=True)
class Version:
    """Results as one commit has them; commit "" for those that lie here. arrays: by a run's id
    the digest of each, by its name."""

    commit: str
    time: float
    stands: Mapping[Key, Row]
    repeats: Mapping[Key, Row]
    arrays: Mapping[str, Mapping[str, str]]

    @property
    def words(self) -> str:
        """Which one, for a sentence."""
        return in_words(self.commit, self.time)

    @property
    def results(self) -> Mapping[Key, Row]:
        """All results, those that stand first."""
        return {**self.repeats, **self.stands}


def in_words(commit: str, time: float) -> str:
    """A version for a sentence: `1a2b3c4d5e (2026-11-28T10:00:00Z)`."""
    return f"{commit[:10]} ({Commit('', time).date})" if commit else "no commit yet"


def today(published: Published) -> Version:
    """The results that lie here."""
    further = _results(read_rows(published.folder / repeats.FILE))
    arrays = {"correct.npz": published.correct, "pairs.npz": published.arrays}
    digests = {(file, name): sha256(array.tobytes()) for file, its in arrays.items() for name, array in its.items()}
    return Version("", time.time(), _results(published.rows), further, _by_run(digests))


def committed(folder: Path) -> Sequence[Version]:
    """The versions in the history of HEAD, parents before their children. Raises GitError where there is none."""
    return _committed(folder.resolve(), git(folder, "rev-parse", "HEAD").decode().strip())


@cache
def _committed(folder: Path, head: str) -> Sequence[Version]:
    parsed: dict[bytes, Mapping[str, str]] = {}
    found = []
    for commit, at, (runs, further, *archives) in contents(folder, FILES, head):
        for blob in archives:
            if blob not in parsed:
                parsed[blob] = _digests(blob)
        named = zip(FILES[2:], archives, strict=True)
        arrays = {(file, name): digest for file, blob in named for name, digest in parsed[blob].items()}
        found.append(Version(commit, at, _results(_rows(runs)), _results(_rows(further)), _by_run(arrays)))
    return found


def contents(folder: Path, files: Sequence[str], head: str = "HEAD") -> Iterator[tuple[str, float, list[bytes]]]:
    """Each commit that changed one of the files, its time and the files as it has them, parents before children.

    files: below `folder`, empty where a commit has none. Raises GitError.
    """
    order = ("--topo-order", "--reverse", "--full-history", "--timestamp")
    listed = [line.split() for line in git(folder, "rev-list", *order, head, "--", *files).decode().splitlines()]
    wanted = "".join(f"{commit}:./{file}\n" for _, commit in listed for file in files)
    blobs = _blobs(git(folder, "cat-file", "--batch", given=wanted.encode())) if listed else iter(())
    for at, commit in listed:
        yield commit, float(at), [next(blobs) for _ in files]


def _blobs(answer: bytes) -> Iterator[bytes]:
    """The files that `git cat-file --batch` wrote, in order, empty where a commit has none."""
    start = 0
    while start < len(answer):
        end = answer.index(b"\n", start)
        missing = answer[start:end].endswith(b" missing")
        size = 0 if missing else int(answer[start:end].split()[-1])
        yield answer[end + 1 : end + 1 + size]
        start = end + 1 if missing else end + 2 + size


def _rows(text: bytes) -> list[Row]:
    return list(csv.DictReader(io.StringIO(text.decode(errors="replace"))))


def _results(rows: Sequence[Row]) -> dict[Key, Row]:
    found = {(str(row.get("id")), *Found(row).key): Found(row) for row in rows if row.get("state")}
    return {key: one.row for key, one in found.items() if one.done or one.diverged}


def _by_run(digests: Mapping[tuple[str, str], str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for (file, name), digest in digests.items():
        found.setdefault(name.split(":")[0], {})[f"{name} in {file}"] = digest
    return found


def _digests(archive: bytes) -> dict[str, str]:
    """The digest of each array; none of an archive that is damaged, or missing."""
    try:
        with np.load(io.BytesIO(archive)) as file:
            return {name: sha256(file[name].tobytes()) for name in file.files}
    except Exception:  # whatever its bytes happen to say; today's file is checked elsewhere
        return {}
