"""What never changes once it is in the history, beside rows: ensembles, kept speeds, the paper's numbers and others'.

Each has a name that says which it is. Where an earlier version of the file in the history of HEAD has something by the
name of one of today's, the two are the same. What is measured anew or corrected has another name: other weights, a
later commit, an id of its own.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from bench.machine import GitError
from bench.report.verify.commits import in_suite, suite_commits
from bench.report.verify.history import in_words
from bench.report.verify.published import Published
from bench.report.verify.versions import contents
from bench.report.verify.versions import in_words as version
from bench.spec import digest
from bench.store import sha256
from bench.tasks.classification.imagenet.ensembles import FILE as ENSEMBLES
from bench.tasks.classification.imagenet.ensembles import KEY

Facts = Mapping[str, Mapping[str, Any]]  # by name what stays
# of a number of the paper what a result is compared with; its words, and who answers it, may be improved
COMPARED = ("value", "relation", "statistic", "mean", "std", "n")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML has it


def changed_ensembles(published: Published) -> Iterator[str]:
    """Which ensembles of the same nets are others than published, or gone."""
    path = published.folder / ENSEMBLES
    weights = {row["id"]: row["weights_sha256"] for row in published.rows}
    with suppress(GitError):  # which is said of the rows
        yield from _changes(path, _ensembles)
        today = _ensembles(path.read_bytes() if path.exists() else b"")
        earlier = {
            name: one for _, _, (text,) in contents(path.parent, [path.name]) for name, one in _ensembles(text).items()
        }
        for name, one in earlier.items():
            nets = [weights.get(run, "") for run in one["runs"].split()]
            if name not in today and one["weights_sha256"] == digest(nets):
                yield f"{path}: {name} was published and is gone, though its nets are in runs.csv"


def changed_speeds(results: Path) -> Iterator[str]:
    """Which kept speeds are others than those of the same command, day and commit were. Raises GitError."""
    for path in sorted(results.glob("speed/*.json")):
        yield from _changes(path, _speeds)


def changed_numbers() -> Iterator[str]:
    """Which numbers of the paper, and of other people, are others than they were. Raises GitError."""
    suite_commits()
    for name, facts in {"paper": _of_paper, "reproductions": _of_others}.items():
        yield from _changes(in_suite(f"bench/{name}.yaml"), facts)


def _changes(path: Path, facts: Callable[[bytes], Facts]) -> Iterator[str]:
    """What of today's file an earlier version of it says otherwise, each name once."""
    if not path.exists():
        return
    today, said = facts(path.read_bytes()), set[str]()
    for commit, time, (text,) in contents(path.parent, [path.name]):
        for name, was in facts(text).items():
            now = today.get(name, was)
            others = {key: (str(one), str(now.get(key))) for key, one in was.items() if now.get(key) != one}
            if others and name not in said:
                said.add(name)
                yield f"{path}: {name}: {in_words(others)} in {version(commit, time)}; what is new has a new name"


def _ensembles(text: bytes) -> Facts:
    rows = csv.DictReader(io.StringIO(text.decode(errors="replace")))
    return {f"{', '.join(str(row.get(k)) for k in KEY)} of {str(row.get('weights_sha256'))[:8]}": row for row in rows}


def _speeds(text: bytes) -> Facts:
    """One fact: all of it."""
    try:
        kept = json.loads(text)
        return {f"{kept['command']}, {kept['date']}, commit {kept['commit'][:10]}": {"SHA-256": sha256(text)}}
    except (ValueError, LookupError, TypeError):  # no such file, or without a commit; today's is checked elsewhere
        return {}


def _of_paper(text: bytes) -> Facts:
    numbers = _loaded(text, dict).get("numbers") or ()
    return {str(one.get("id")): {key: one.get(key) for key in COMPARED} for one in numbers if isinstance(one, dict)}


def _of_others(text: bytes) -> Facts:
    pages = (one for one in _loaded(text, list) if isinstance(one, dict))
    return {
        f"{page.get('name')}, {net}": {"error": error, "statistic": page.get("statistic")}
        for page in pages
        for net, error in (page.get("error") or {}).items()
    }


def _loaded(text: bytes, kind: type) -> Any:
    try:
        found = yaml.load(text, LOADER)
    except yaml.YAMLError:  # of another time; today's is read by whoever needs it
        found = None
    return found if isinstance(found, kind) else kind()
