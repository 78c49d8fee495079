"""Published results never change: every version of a sweep's results in the history of HEAD, and today's, as one story.

A result is a row that is done or diverged, known by its run, weights and data. The first version that has it dates it.
In later ones it has the same values and the same images, and it stands in runs.csv or, where another one of the same
run rightly took its place (bench/report/repeats.py), in repeats.csv. What was changed or taken back otherwise is listed
in results/withdrawn.csv, with the commit and the reason.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import GitError
from bench.report import repeats
from bench.report.repeats import Found
from bench.report.rows import ENV_COLUMNS, MORE_COLUMNS, RESULT_COLUMNS, SOME_ENV, SOME_RESULTS, Row
from bench.report.verify.commits import CLOCKS_APART, is_commit, is_shallow, stamp
from bench.report.verify.published import Published
from bench.report.verify.versions import Key, Version, committed, today
from bench.spec import SpecError, counted
from bench.spec.datasets import is_official
from bench.store import StoreError

WITHDRAWN = "withdrawn.csv"  # beside the folders of the sweeps
WITHDRAWN_COLUMNS = ("sweep", "id", "commit", "reason")
ENDED_WITH = (
    "state", "error_message", *RESULT_COLUMNS, *SOME_RESULTS, "matches_sha256", *MORE_COLUMNS, *ENV_COLUMNS, *SOME_ENV,
)  # fmt: skip
# what may become known later of a result that lacks it; all else is there from the first, or its column is new
LATER = ("layers_sha256", "share", "kernels", "allocator", "processes", "tree", "isa", "requirements")


@dataclass(slots=True)
class Seen:
    """A result in all versions.

    begun: the place of the first version that has it. stood: of the first in which it stands. rows: as it was in them,
    each way once. arrays: its images' digests.
    """

    begun: int
    rows: list[Row]
    stood: int | None = None
    arrays: dict[str, str] = field(default_factory=dict)


def of_history(published: Published) -> Iterator[str]:
    """What is not as it was first published, and is not listed as withdrawn."""
    try:
        versions = (*committed(published.folder), today(published))
    except GitError:
        return
    withdrawn = Withdrawn.read(published.folder, versions)
    yield from withdrawn.problems()
    seen: dict[Key, Seen] = {}
    for place, version in enumerate(versions):
        for key, row in version.results.items():
            one = seen.setdefault(key, Seen(place, []))
            problems = [*_date_problems(row, version), *_change_problems(key, row, one, versions, place)]
            yield from (published.at(row, problem) for problem in problems if not withdrawn.changed(key, version))
    for key, one in seen.items():
        problem = _loss(key, seen, versions)
        if problem and not withdrawn.lost(key, one):
            yield published.at(one.rows[0], problem)


def _date_problems(row: Row, version: Version) -> Iterator[str]:
    ended = stamp(row.get("ended", ""))
    if ended and ended > version.time + CLOCKS_APART:
        than = f"it was published, in {version.words}" if version.commit else "today"
        yield f"it ended ({row['ended']}) later than {than}"


def _change_problems(key: Key, row: Row, one: Seen, versions: Sequence[Version], place: int) -> Iterator[str]:
    """What of a result is in this version otherwise than in all before, which this one then joins."""
    version, first = versions[place], f"was published in {versions[one.begun].words}"
    changes = [differences(before, row) for before in one.rows]
    if alike := [before for before, change in zip(one.rows, changes, strict=True) if not change]:
        known = {name: text for name, text in row.items() if text}  # what is empty is not known, and its column there
        one.rows[one.rows.index(alike[-1])] = {**row, **alike[-1], **known}
    else:
        one.rows.append(row)
    if changes and not alike:
        yield f"{in_words(changes[-1])} since it {first}; changed in {version.words}"
    if key in version.stands:
        one.stood = place if one.stood is None else one.stood
        arrays = version.arrays.get(key[0], {})
        for name in sorted(name for name, digest in arrays.items() if one.arrays.get(name, digest) != digest):
            yield f"the images of {name} are others since it {first}; changed in {version.words}"
        one.arrays |= arrays


def _loss(key: Key, seen: Mapping[Key, Seen], versions: Sequence[Version]) -> str:
    """Why a result that was published is rightly missed where it stood; "" where it is there, or by the rules not."""
    one, here = seen[key], versions[-1]
    if key in here.stands:
        return ""
    row, first = one.rows[-1], versions[one.begun].words
    now = next((other for other in here.stands if other[0] == key[0]), None)
    other = here.stands[now] if now else {}
    if key in here.repeats:
        stood_first = now and one.stood is not None and one.stood < seen[now].begun
        if not stood_first or _on_other_inputs(row, other):
            return ""
        return f"{in_words(differences(row, other))} since {first}; on the same data the first result stands"
    if now and Found(row).done and _official(other) and not _official(row):
        return ""
    last = max(place for place, version in enumerate(versions) if key in version.results)
    gone = f"the result of {first} is gone since {versions[last + 1].words}"
    if not now:
        return f"{gone}: {Found(row).words}"
    return f"{gone}, and is not in {repeats.FILE}: {in_words(differences(row, other))}"


def _on_other_inputs(row: Row, other: Row) -> bool:
    """Whether a result was trained on other data or start weights, or may have been: rows of old do not name these."""
    starts = [one.get("start_sha256") or "" for one in (row, other)]
    unknown = bool(other.get("weights")) and not all(starts)
    return row.get("data_sha256") != other.get("data_sha256") or starts[0] != starts[1] or unknown


def _official(row: Row) -> bool:
    try:
        return is_official(row["data"], row.get("data_sha256") or "") is True
    except SpecError:  # a data set that has another name today
        return False


def differences(before: Row, after: Row) -> dict[str, tuple[str, str]]:
    """The columns in which a result is another one, with both values.

    What was not known may become known where the column is new, or is one of LATER.
    """
    both = {name: (before.get(name), after.get(name) or "") for name in ENDED_WITH}
    return {
        name: (was or "", now)
        for name, (was, now) in both.items()
        if (was or "") != now and (was or (was == "" and name not in LATER))
    }


def in_words(changes: Mapping[str, tuple[str, str]]) -> str:
    """`test_error is 8.1 and was 8.61`, of three columns at most."""
    shown = [f"{name} is {now[:20] or 'empty'} and was {was[:20] or 'empty'}" for name, (was, now) in changes.items()]
    more = [f"{len(shown) - 3} more are others"] if len(shown) > 3 else []
    return ", ".join(shown[:3] + more)


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What withdrawn.csv says of one sweep: the commits in which a run's result was changed or taken back."""

    path: Path
    rows: Sequence[Row]
    versions: Sequence[Version]

    @classmethod
    def read(cls, folder: Path, versions: Sequence[Version]) -> Withdrawn:
        """The rows of this sweep. Raises StoreError where the file is damaged."""
        path = folder.resolve().parent / WITHDRAWN
        try:
            reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
            rows = list(reader)
        except FileNotFoundError:
            return cls(path, (), versions)
        except (OSError, ValueError, csv.Error) as error:
            raise StoreError(f"{path} is damaged: {error}") from None
        if tuple(reader.fieldnames or ()) != WITHDRAWN_COLUMNS or any(None in (*row, *row.values()) for row in rows):
            raise StoreError(f"{path} is damaged: its columns are not {', '.join(WITHDRAWN_COLUMNS)}")
        return cls(path, [row for row in rows if row["sweep"] == folder.resolve().name], versions)

    def problems(self) -> Iterator[str]:
        """What is no record of something that happened. A commit of another history explains nothing, and is left."""
        commits = {version.commit for version in self.versions}
        for row in self.rows:
            if not row["reason"].strip():
                yield f"{self.path}: {row['id']} is withdrawn without a reason"
            if row["commit"] not in commits and is_commit(self.path.parent, row["commit"]):
                yield f"{self.path}: {row['id']}: {row['commit'][:10]} changed no results of its sweep"

    def _of(self, key: Key) -> set[str]:
        return {row["commit"] for row in self.rows if row["id"] == key[0]}

    def changed(self, key: Key, version: Version) -> bool:
        """Whether the values of a result may be others from that version on."""
        return bool(version.commit) and version.commit in self._of(key)

    def lost(self, key: Key, one: Seen) -> bool:
        """Whether it was taken back in a commit after it was published, which is without it where it stood."""
        later, commits = self.versions[one.begun + 1 :], self._of(key)
        return any(version.commit in commits and key not in version.stands for version in later if version.commit)


def unchecked_history(published: Published) -> Iterator[str]:
    """Why earlier versions of the results could not be looked at, and which results no commit has."""
    runs, versions = published.folder / "runs.csv", list[Version]()
    try:
        versions += committed(published.folder)
        if is_shallow(published.folder):
            yield "what was published before this shallow clone begins; `git fetch --unshallow` fetches it"
    except GitError as error:
        why = str(error).partition(f"{published.folder}: fatal: ")[2] or error
        yield f"whether published results changed, as git has no history of them here: {why}"
        return
    if rows := Withdrawn.read(published.folder, versions).rows:
        yield f"the reasons that {WITHDRAWN} gives for {counted(len(rows), 'result')} changed or taken back"
    known = {key for version in versions for key in version.results}
    if fresh := [key for key in today(published).results if key not in known]:
        yield f"when {counted(len(fresh), 'result')} in {runs} were published: no commit has them yet"
