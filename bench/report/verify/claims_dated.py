"""The claims of runs, dated by the git history: what the sweep's file declared at the commit at which a run began.

A row carries the digest of the claims that its run began under. The file at the row's first commit has to give that
digest; where today's claims are others, which are younger than a run that they judge, and which are gone, is said.
Deviations, questions and what a scale is are in no digest: that they changed since runs began is said, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from bench.machine import SOURCE, GitError, git
from bench.report.repeats import Found
from bench.report.rows import Row, run_of
from bench.report.verify.commits import hashes, suite_commits
from bench.report.verify.published import Published
from bench.spec import PROCEDURE, Scale, Sweep, counted

# of the line by which bench/spec says the version of the procedure; code without it wrote no digests of claims
VERSION = re.compile(r"^(\w+):.*\bPROCEDURE = (\d+)", re.MULTILINE)
NOT_LOADED = "the sweep's file is not in their commit, or today's code cannot read it"


def of_claims(published: Published) -> Iterator[str]:
    """The digest of the claims in each row is the one that the sweep's file gives at the row's commit."""
    with suppress(GitError):  # said below
        yield from (published.at(row, problem) for row, problem, wrong in _held(published) if wrong)


def unchecked_claims(published: Published) -> Iterator[str]:
    """Which digests of claims could not be held against a file, and what the file says otherwise since runs began."""
    try:
        reasons = Counter(problem for _, problem, wrong in _held(published) if not wrong)
        yield from (f"the claims that {counted(count, 'run')} began under: {why}" for why, count in reasons.items())
        yield from _younger(published)
        yield from _other_words(published)
    except GitError as error:
        yield f"the claims that runs began under: {error}"


def _held(published: Published) -> Iterator[tuple[Row, str, bool]]:
    """Each row whose digest of claims does not follow from its commit: why, and whether that is wrong."""
    rows = [(row, first) for row, first in _begun(published) if row.get("claims_sha256")]
    versions = _procedures(first for _, first in rows)
    for row, first in rows:
        digest = row["claims_sha256"]
        if first not in versions:
            yield row, f"claims_sha256 is {digest[:12]}, and the code at its commit {first[:10]} wrote none", True
        elif versions[first] != PROCEDURE:
            yield row, f"by version {versions[first]} of the procedure, which this code does not know", False
        elif (sweep := declared_at(published, first)) is None or row["scale"] not in sweep.scales:
            yield row, NOT_LOADED, False
        elif (there := sweep.claims_digest(row["scale"])) != digest and row["dirty"] == "True":
            yield row, "the sweep's file may have had changes that are in no commit", False
        elif there != digest:
            yield row, f"claims_sha256 is {digest[:12]}, and the sweep's file at {first[:10]} gives {there[:12]}", True


def _younger(published: Published) -> Iterator[str]:
    """The claims that a run was not declared to judge when it began, though they are judged by it today."""
    today = _today(published)
    begun = list(_begun(published))
    runs, early, claims = Counter[str](), Counter[str](), dict[str, list[str]]()  # by scale
    versions = _procedures(first for _, first in begun)
    for row, first in begun:
        name = row["scale"]
        if not today or name not in today.scales or row.get("claims_sha256") == today.claims_digest(name):
            continue
        judged = [claim for claim in _declared(today, name) if _judges(today.scales[name], claim, row)]
        had = _declared(declared_at(published, first), name)
        early[name] += bool(judged) and first not in versions
        if late := [str(claim["id"]) for claim in judged if claim not in had]:
            runs[name] += 1
            claims.setdefault(name, []).extend(late)
    for name, count in (+early).items():
        where = f"it is not in the code at the commit of {counted(count, 'run')} at scale {name}"
        yield f"that the procedure is older than the runs it judges: {where}"
    for name, count in runs.items():
        ids = list(dict.fromkeys(claims[name]))
        which = ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
        where = f"not declared as today at the commit of {counted(count, 'run')} at scale {name}"
        yield f"that claims are older than the runs they judge: {where}: {which}"


def _other_words(published: Published) -> Iterator[str]:
    """Claims that judged a run when it began and are gone, and what the page says otherwise of how it was made.

    Words may be improved, and no digest holds them: that they changed is no problem.
    """
    today, gone, changed = _today(published), dict[str, set[str]](), dict[str, dict[str, list[str]]]()
    for row, first in _begun(published):
        had, name = declared_at(published, first), row["scale"]
        if not today or not had or name not in today.scales or name not in had.scales:
            continue
        if words := _changed_words(had, today, name):
            changed.setdefault(name, {}).setdefault(words, []).append(first)
        ids = {claim["id"] for claim in _declared(today, name)}
        judged = (claim for claim in _declared(had, name) if _judges(had.scales[name], claim, row))
        gone.setdefault(name, set()).update(claim["id"] for claim in judged if claim["id"] not in ids)
    for name, claims in gone.items():
        if claims:
            which = ", ".join(sorted(claims))
            yield f"that no claim was left out since runs at scale {name} began: not judged today: {which}"
    for name, by_words in changed.items():
        words, (first, *_) = max(by_words.items(), key=lambda one: len(one[1]))
        runs = counted(sum(map(len, by_words.values())), "run")
        shown = f"`git diff {first[:10]} -- sweeps/{_name(published)}.py`"
        yield f"that scale {name} was described as today when runs began: {words} changed since ({runs}; {shown})"


def _changed_words(had: Sweep, today: Sweep, name: str) -> str:
    """What a page says of a scale that no digest holds, where it is another: `deviations (5 then, 4 today)`."""
    before, now = ((*one.deviations, *one.scales[name].deviations) for one in (had, today))
    found = [f"deviations ({len(before)} then, {len(now)} today)"] if before != now else []
    found += ["what the scale is"] if had.scales[name].about != today.scales[name].about else []
    found += ["the question"] if (had.question, had.claim) != (today.question, today.claim) else []
    return ", ".join(found)


def _today(published: Published) -> Sweep | None:
    """What the suite's file of the sweep declares; None of a study of others, whose history is theirs."""
    try:
        return _sweep((SOURCE / "sweeps" / f"{_name(published)}.py").read_bytes())
    except OSError:
        return None


def _declared(sweep: Sweep | None, scale: str) -> list[dict[str, Any]]:
    return list(sweep.declaration(scale)["claims"]) if sweep and scale in sweep.scales else []


def _judges(scale: Scale, claim: Mapping[str, Any], row: Row) -> bool:
    try:
        name = scale.name_of(run_of(row))
    except (KeyError, ValueError):  # no cell of the scale, or a row that is found to be none elsewhere
        return False
    return int(row["seed"]) in claim["seeds"].get(name, ())


def _begun(published: Published) -> Iterator[tuple[Row, str]]:
    """Each result with the first of its commits, if that is in the history: under its claims the run began."""
    try:
        known = suite_commits()
    except GitError:
        return  # said of the commits, as what is in no history
    for row in published.rows:
        names = hashes(row.get("commit", ""))
        if names and names[0] in known and (Found(row).done or Found(row).diverged):
            yield row, names[0]


def _procedures(commits: Iterable[str]) -> dict[str, int]:
    """The version of the procedure in the code of each commit that has one. Raises GitError."""
    if not (distinct := sorted(set(commits))):
        return {}
    try:
        found = git(SOURCE, "grep", "-I", "PROCEDURE = ", *distinct, "--", "bench/spec").decode()
    except GitError as error:
        if str(error).endswith("exit code 1"):  # git's way to say that there is none
            return {}
        raise
    return {match[1]: int(match[2]) for match in VERSION.finditer(found)}


def declared_at(published: Published, commit: str) -> Sweep | None:
    """What the sweep's file declared at a commit; None where it was not there, or today's code cannot read it."""
    return _declared_at(SOURCE, f"{commit}:sweeps/{_name(published)}.py")


@cache
def _declared_at(source: Path, file: str) -> Sweep | None:
    try:
        return _sweep(git(source, "cat-file", "blob", file))
    except GitError:
        return None


def _name(published: Published) -> str:
    """The sweep's name; of results beside runs that of the folder around both."""
    folder = published.folder.resolve()
    return folder.name if folder.name != "results" else folder.parent.name


@cache
def _sweep(text: bytes) -> Sweep | None:
    """What a sweep file declares, read by today's bench; None where it is of another time."""
    defined: dict[str, Any] = {"__name__": "sweep"}
    try:
        exec(compile(text, "a sweep file of the history", "exec"), defined)
    except (Exception, SystemExit):  # whatever code of another time runs into
        return None
    sweep = defined.get("SWEEP")
    return sweep if isinstance(sweep, Sweep) else None
