"""The commits that rows name, against the history of the suite's checkout: is each there, and older than its run?

A date in a commit is its author's word: what a history shows is an order, which a row must fit. Without git, in an
archive, a wheel or a shallow clone nothing is wrong: what could not be checked is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from bench.machine import SOURCE, GitError, git
from bench.report import authorship, repeats
from bench.report.rows import Row, read_rows
from bench.report.verify.published import Published
from bench.spec import counted

CLOCKS_APART = 10 * 60  # seconds by which the clocks of two machines may differ
FIRST = "7440e090e9503c3c640e9ccfa7d2c6703cc5b9fc"  # the suite's first commit
HASH = re.compile(r"[0-9a-f]{40}")
# what judges the numbers
JUDGES = ("bench/paper.yaml", "bench/reproductions.yaml", "bench/spec", "bench/report", "sweeps")


@dataclass(frozen=True, slots=True)
class Commit:
    """tree: of all files. time: when it was made, in seconds since 1970."""

    tree: str
    time: float

    @property
    def date(self) -> str:
        """`2026-11-28T10:00:00Z`, as dates stand in runs.csv."""
        return datetime.fromtimestamp(self.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def in_suite(path: str) -> Path:
    """A file or folder of the suite's checkout."""
    return SOURCE / path


def suite_commits() -> Mapping[str, Commit]:
    """Every commit in the history of the suite's HEAD. Raises GitError where there is no such history."""
    if not git(SOURCE, "ls-files", "--", "bench"):  # another repository, which holds our venv or an archive of us
        raise GitError(f"{SOURCE} is no git checkout of the suite")
    return _commits(SOURCE, git(SOURCE, "rev-parse", "HEAD"))


@cache
def _commits(source: Path, head: bytes) -> Mapping[str, Commit]:
    listed = git(source, "rev-list", "--format=%H %T %ct", head.decode().strip()).decode().splitlines()
    words = (line.split() for line in listed if not line.startswith("commit "))
    return {name: Commit(tree, float(time)) for name, tree, time in words}


def is_shallow(folder: Path) -> bool:
    """Whether the history ends where a clone cut it. Raises GitError."""
    return git(folder, "rev-parse", "--is-shallow-repository").strip() == b"true"


def hashes(text: str) -> list[str]:
    """The commits in a cell: several where the run had several starts; those that were not known are left out."""
    return [part for part in text.split("; ") if part not in ("", "None")]


def stamp(text: str) -> float | None:
    """Seconds since 1970 of a date in runs.csv; None where it is none."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def is_commit(folder: Path, name: str) -> bool:
    """Whether the repository that holds `folder` has this commit."""
    try:
        return bool(HASH.fullmatch(name)) and git(folder, "cat-file", "-t", name).strip() == b"commit"
    except GitError:
        return False


def complete(results: Path) -> bool:
    """Whether the suite's history must have every commit that numbers in `results` name, as it is the suite's own.

    A copy that was put into a repository of its own has another history. Raises GitError.
    """
    return results.resolve() == SOURCE / "results" and FIRST in suite_commits() and not is_shallow(SOURCE)


def must_be_here(published: Published) -> bool:
    """The same of one sweep. Runs that are not published, and other people's, may be of a history of their own."""
    return complete(published.folder.parent) and authorship.read(published.folder).ours


def begun(published: Published) -> Iterator[Row]:
    """Every row with a result, further ones too."""
    rows = (*published.rows, *read_rows(published.folder / repeats.FILE))
    yield from (row for row in rows if row["started"])


def of_commits(published: Published) -> Iterator[str]:
    """Each row's commit is in the history of the suite, older than the run, and has the tree that the row says."""
    try:
        commits, whole = suite_commits(), must_be_here(published)
    except GitError:
        return
    for row in begun(published):
        yield from (published.at(row, problem) for problem in commit_problems(row, commits, whole=whole))


def commit_problems(row: Row, commits: Mapping[str, Commit], *, whole: bool) -> Iterator[str]:
    """What is wrong with the commits of one row. whole: whether `commits` must have all of them."""
    names = hashes(row.get("commit", ""))
    for name in names:
        if not HASH.fullmatch(name):
            yield f"its commit is {name!r}, which names none"
        elif whole and name not in commits:
            yield f"its commit {name[:10]} is none of the {len(commits):,} in this history"
    for place, name in enumerate(names):
        # the code of the first start is older than the start, that of a later one older than the end
        column = "ended" if place else "started"
        at, made = stamp(row[column]), commits.get(name)
        if at and made and made.time > at + CLOCKS_APART:
            yield f"its commit {name[:10]} was made after it {column} ({made.date}, {row[column]})"
    if (trees := row.get("tree")) and names and all(name in commits for name in names):
        expected = list(dict.fromkeys(commits[name].tree for name in names))
        if set(hashes(trees)) - set(expected):  # a start by code that kept no tree has none
            yield f"its tree is {trees[:10]}, and that of its commit {'; '.join(expected)[:10]}"


def unchecked_commits(published: Published) -> Iterator[str]:
    """What the commits of rows do not show: code that was in no commit, and history that is not here."""
    named = [(row, hashes(row.get("commit", ""))) for row in begun(published)]
    changed, none = (row.get("dirty") == "True" for row, _ in named), (not names for _, names in named)
    yield from _of_runs(changed, "had changes to their code that are in no commit")
    yield from _of_runs(none, "name no commit")
    try:
        commits, whole = suite_commits(), must_be_here(published)
        unknown = (not whole and any(name not in commits for name in names) for _, names in named)
        yield from _of_runs(unknown, f"name commits that are not in the history of {SOURCE}")
        status = git(SOURCE, "status", "--porcelain", "--untracked-files=normal", "--", *JUDGES).decode()
    except GitError as error:
        yield f"commits of the code: {error}"
        return
    if files := [line[3:] for line in status.splitlines()]:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        yield f"the code that checks, which has uncommitted changes: {files[0]}{more}"


def _of_runs(which: Iterable[bool], words: str) -> Iterator[str]:
    if count := sum(which):
        yield f"what code trained {counted(count, 'run')}, which {words}"
