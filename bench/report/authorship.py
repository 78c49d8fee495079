"""Whose numbers a folder of results holds: study.json beside them; without it they are published by this suite."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.machine import SOURCE, GitError, commit_of, git
from bench.store import StoreError, read_json, write_json
from bench.store.records import Schema, is_flag, is_text

FILE = "study.json"
STUDY = Schema({"author": is_text, "own": is_flag, "commit": is_text, "dirty": is_flag})
ASK_FOR_NAME = "author not named: give Sweep(author=…) or set git config user.name"


@dataclass(frozen=True, slots=True)
class Authorship:
    """author: who is cited. own: whether the sweep's file is the user's, too, and none of this suite's.

    commit: of the repository that holds the user's file, "" where there is none; dirty: whether the file is in no
    commit as it is.
    """

    author: str
    own: bool = False
    commit: str = ""
    dirty: bool = False

    @property
    def ours(self) -> bool:
        """Whether the numbers are this suite's."""
        return self == SUITE


SUITE = Authorship("The resnet-bench authors")


def of_user(path: Path, author: str, *, own: bool) -> Authorship:
    """Of runs of the sweep file `path`. author: as the file says, "" for the name that git knows."""
    try:
        author = author or git(path.parent, "config", "user.name").decode(errors="replace").strip()
    except GitError:
        author = ASK_FOR_NAME
    return Authorship(author, own, *(commit_of(path) if own else ()))


# git@github.com:owner/name.git; and ssh://git@host:22/owner/name.git, https://user:token@host/owner/name
OF_SHELL = re.compile(r"(?:[^@/\s]+@)?([\w-]+(?:\.[\w-]+)+):(?!/)([\w./~-]+)")
OF_URL = re.compile(r"(?:https?|ssh|git)://(?:[^@/\s]+@)?([\w.-]+)(?::\d+)?/([\w./~-]+)")


def web_address(commit: str, source: Path = SOURCE) -> str:
    """Where a commit of the suite's checkout can be read, by its remote; "" where it has none on the web."""
    try:
        ours = commit and git(source, "ls-files", "--", "bench")  # else another repository, which holds our venv
        remote = git(source, "config", "--get", "remote.origin.url") if ours else b""
    except GitError:
        return ""
    place = page_of(remote.decode(errors="replace").strip())
    return f"{place}/tree/{commit}" if place else ""


def page_of(remote: str) -> str:
    """`https://github.com/owner/name` of a remote, without user, password and port; "" of a folder."""
    match = OF_SHELL.fullmatch(remote) or OF_URL.fullmatch(remote)
    return f"https://{match[1]}/{match[2].rstrip('/').removesuffix('.git')}" if match else ""


def keep(results: Path, authorship: Authorship) -> None:
    """Writes study.json. Raises StoreError."""
    write_json(results / FILE, asdict(authorship))


def read(results: Path) -> Authorship:
    """What study.json says. Raises StoreError where it is damaged."""
    found = read_json(results / FILE)
    if found is None:
        return SUITE
    if not STUDY.fits(found):
        raise StoreError(f"{results / FILE} is damaged; start the sweep again, which writes it")
    return Authorship(**{name: found[name] for name in STUDY.needed})
