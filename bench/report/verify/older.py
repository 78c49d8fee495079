"""Results without a manifest: the history shows that they are older than manifests, or nothing shows it.

Whoever wants to publish a run without the register's word for its start could call it an old one. A result that has no
manifest was published in a commit that does not follow the one which brought manifests. Of a further result no manifest
is kept; one that was published later has its line `done` in a register.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from bench.machine import SOURCE, GitError, git
from bench.report import repeats
from bench.report.rows import Row
from bench.report.verify.commits import must_be_here
from bench.report.verify.published import Published
from bench.report.verify.versions import Key, Version, committed, today
from bench.report.witnesses import DONE, registers

BROUGHT = "bench/store/manifest.py"


def manifest_of(published: Published, row: Row) -> Path:
    """Where the manifest of a row lies, if it has one."""
    return published.folder / "manifests" / f"{row['id']}.json"


def of_age(published: Published) -> Iterator[str]:
    """Each result without a manifest, and each further one that no register tells of, is from before there were any."""
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
    new = {key for key, version in first.items() if version.commit in later}
    for key, row in versions[-1].stands.items():
        if key in new and row["state"] == "done" and not manifest_of(published, row).exists():
            words = first[key].words
            yield published.at(row, f"it has no manifest, and was published in {words}, when finished runs had them")
    told = _done(published) if new & versions[-1].repeats.keys() else set()
    for key, row in versions[-1].repeats.items():
        if (
            key in new
            and row["state"] == "done"
            and (row["id"], row["weights_sha256"], row["curve_sha256"]) not in told
        ):
            yield (
                f"{published.folder / repeats.FILE}: {row['id']}: it was published in {first[key].words}, and no "
                "register says that it was done with these weights and this curve; publish it with its register"
            )


def _done(published: Published) -> set[tuple[str, str, str]]:
    """Run, weights and curve of all lines `done` in the published registers."""
    lines = chain.from_iterable(registers(published.folder).values())
    return {(one["run"], one["weights_sha256"], one["curve_sha256"]) for one in lines if one["event"] == DONE}


def since_manifests() -> frozenset[str]:
    """The commits that follow the one which brought manifests, and "" for what is in no commit yet.

    Raises GitError.
    """
    found = git(SOURCE, "log", "--reverse", "--diff-filter=A", "--format=%H", "HEAD", "--", BROUGHT).decode().split()
    if not found:
        return frozenset()
    followed = git(SOURCE, "rev-list", "--ancestry-path", f"{found[0]}..HEAD").decode().split()
    return frozenset(("", *followed))
