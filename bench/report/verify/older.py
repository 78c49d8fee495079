"""Results without a manifest: the history shows that they are older than manifests, or nothing shows it.

Whoever wants to publish a run without the register's word for its start could call it an old one. A result that has no
manifest was published in a commit that does not follow the one which brought manifests.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.machine import SOURCE, GitError, git
from bench.report.rows import Row
from bench.report.verify.commits import must_be_here
from bench.report.verify.published import Published
from bench.report.verify.versions import Key, Version, committed, today

BROUGHT = "bench/store/manifest.py"


def manifest_of(published: Published, row: Row) -> Path:
    """Where the manifest of a row lies, if it has one."""
    return published.folder / "manifests" / f"{row['id']}.json"


def of_age(published: Published) -> Iterator[str]:
    """Each result without a manifest was published before there were any."""
    try:
        if not must_be_here(published):
            return
        versions, later = (*committed(published.folder), today(published)), since_manifests()
    except GitError:
        return
    first: dict[Key, Version] = {}
    for version in versions:
        for key in version.results:
            first.setdefault(key, version)
    for key, row in versions[-1].stands.items():
        version = first[key]
        if row["state"] == "done" and not manifest_of(published, row).exists() and version.commit in later:
            yield published.at(
                row, f"it has no manifest, and was published in {version.words}, when finished runs had them"
            )


def since_manifests() -> frozenset[str]:
    """The commits that follow the one which brought manifests, and "" for what is in no commit yet.

    Raises GitError.
    """
    found = git(SOURCE, "log", "--reverse", "--diff-filter=A", "--format=%H", "HEAD", "--", BROUGHT).decode().split()
    if not found:
        return frozenset()
    followed = git(SOURCE, "rev-list", "--ancestry-path", f"{found[0]}..HEAD").decode().split()
    return frozenset(("", *followed))
