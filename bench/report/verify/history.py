"""Published results never change: every version of a sweep's results in the history of HEAD, and today's, as one story.

A result is a row that is done or diverged, known by its run, weights and data. The first version that has it dates it.
In later ones it has the same values and the same images, and it stands in runs.csv or, where another one of the same
run rightly took its place (bench/report/repeats.py), in repeats.csv. What was changed or taken back otherwise is listed
in results/withdrawn.csv, with the commit and the reason.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from bench.machine import GitError, git
from bench.report import repeats
from bench.report.repeats import Found
from bench.report.rows import ENV_COLUMNS, MORE_COLUMNS, RESULT_COLUMNS, SOME_ENV, SOME_RESULTS, Row, read_rows
from bench.report.verify.commits import CLOCKS_APART, Commit, is_shallow, stamp
from bench.report.verify.published import Published
from bench.spec import SpecError, counted
from bench.spec.datasets import is_official
from bench.store import StoreError, sha256

WITHDRAWN = "withdrawn.csv"  # beside the folders of the sweeps
WITHDRAWN_COLUMNS = ("sweep", "id", "commit", "reason")
FILES = ("runs.csv", repeats.FILE, "correct.npz", "pairs.npz")
ENDED_WITH = ("state", "error_message", *RESULT_COLUMNS, *SOME_RESULTS, "matches_sha256", *MORE_COLUMNS, *ENV_COLUMNS,
              *SOME_ENV)  # fmt: skip
# what may become known later of a result that lacks it; all else is there from the first, or its column is new
LATER = (*MORE_COLUMNS, "share", "kernels", "allocator", "processes", "tree", "isa", "requirements")
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
        return f"{self.commit[:10]} ({Commit('', self.time).date})" if self.commit else "no commit yet"

    @property
    def results(self) -> Mapping[Key, Row]:
        """All results, those that stand first."""
        return {**self.repeats, **self.stands}


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
        versions = (*committed(published.folder), _today(published))
        withdrawn = Withdrawn.read(published.folder, versions)
        yield from withdrawn.problems()
    except GitError:
        return
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
        yield f"it ended ({row['ended']}) after it was published, in {version.words}"


def _change_problems(key: Key, row: Row, one: Seen, versions: Sequence[Version], place: int) -> Iterator[str]:
    """What of a result is in this version otherwise than in all before, which this one then joins."""
    version, first = versions[place], f"was published in {versions[one.begun].words}"
    changes = [differences(before, row) for before in one.rows]
    if alike := [before for before, change in zip(one.rows, changes, strict=True) if not change]:
        known = {name: text for name, text in row.items() if text}
        one.rows[one.rows.index(alike[-1])] = {**alike[-1], **known}
    else:
        one.rows.append(row)
    if changes and not alike:
        yield f"{_words(changes[-1])} since it {first}; changed in {version.words}"
    if key in version.stands:
        one.stood = place if one.stood is None else one.stood
        arrays = version.arrays.get(key[0], {})
        for name in sorted(name for name, digest in arrays.items() if one.arrays.get(name, digest) != digest):
            yield f"the images of {name} are others since it {first}; changed in {version.words}"
        one.arrays |= arrays


def _loss(key: Key, seen: Mapping[Key, Seen], versions: Sequence[Version]) -> str:
    """Why a result that was published is rightly missed where it stood; "" where it is there, or by the rules not."""
    one, today = seen[key], versions[-1]
    if key in today.stands:
        return ""
    row, first = one.rows[-1], versions[one.begun].words
    now = next((other for other in today.stands if other[0] == key[0]), None)
    other = today.stands[now] if now else {}
    if key in today.repeats:
        replaced = now and one.stood is not None and one.stood < seen[now].begun and not _on_other_inputs(row, other)
        return f"{_words(differences(row, other))} since {first}: on the same data the first result stands" * bool(
            replaced
        )
    if now and _official(other) and not _official(row):
        return ""
    last = max(place for place, version in enumerate(versions) if key in version.results)
    gone = f"the result of {first} is gone since {versions[last + 1].words}"
    if not now:
        return f"{gone}: {Found(row).words}"
    return f"{gone}, and is not in {repeats.FILE}: {_words(differences(row, other))}"


def _on_other_inputs(row: Row, other: Row) -> bool:
    """Whether a result was trained on other data or start weights, or may have been: rows of old do not name these."""
    starts = [one.get("start_sha256") or "" for one in (row, other)]
    unknown = bool(other.get("weights")) and not all(starts)
    return row["data_sha256"] != other["data_sha256"] or starts[0] != starts[1] or unknown


def _official(row: Row) -> bool:
    try:
        return is_official(row["data"], row["data_sha256"]) is True
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


def _words(changes: Mapping[str, tuple[str, str]]) -> str:
    """`test_error is 8.1 and was 8.61`, of three columns at most."""
    shown = [f"{name} is {now[:20] or 'empty'} and was {was[:20] or 'empty'}" for name, (was, now) in changes.items()]
    more = [f"{len(shown) - 3} more are others"] if len(shown) > 3 else []
    return ", ".join(shown[:3] + more)


def _today(published: Published) -> Version:
    further = _results(read_rows(published.folder / repeats.FILE))
    arrays = {"correct.npz": published.correct, "pairs.npz": published.arrays}
    digests = {(file, name): sha256(array.tobytes()) for file, its in arrays.items() for name, array in its.items()}
    return Version("", time.time(), _results(published.rows), further, _by_run(digests))


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
        """What is no record of something that happened. Raises GitError."""
        commits = {version.commit for version in self.versions}
        for row in self.rows:
            if not row["reason"].strip():
                yield f"{self.path}: {row['id']} is withdrawn without a reason"
            if row["commit"] not in commits and not is_shallow(self.path.parent):
                yield f"{self.path}: {row['id']}: {row['commit'][:10]} is no commit that changed its sweep's results"

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
        yield f"whether published results changed: {error}"
        return
    known = {key for version in versions for key in version.results}
    if fresh := [key for key in _today(published).results if key not in known]:
        yield f"when {counted(len(fresh), 'result')} in {runs} were published: no commit has them yet"


def committed(folder: Path) -> Sequence[Version]:
    """The versions in the history of HEAD, parents before their children. Raises GitError where there is none."""
    return _committed(folder.resolve(), git(folder, "rev-parse", "HEAD").decode().strip())


@cache
def _committed(folder: Path, head: str) -> Sequence[Version]:
    order = ("--topo-order", "--reverse", "--full-history", "--timestamp")
    listed = [line.split() for line in git(folder, "rev-list", *order, head, "--", *FILES).decode().splitlines()]
    wanted = "".join(f"{commit}:./{file}\n" for _, commit in listed for file in FILES)
    blobs = _blobs(git(folder, "cat-file", "--batch", given=wanted.encode())) if listed else iter(())
    parsed: dict[bytes, Mapping[str, str]] = {}
    found = []
    for at, commit in listed:
        runs, further, *archives = (next(blobs) for _ in FILES)
        for blob in archives:
            if blob not in parsed:
                parsed[blob] = _digests(blob)
        named = zip(FILES[2:], archives, strict=True)
        arrays = {(file, name): digest for file, blob in named for name, digest in parsed[blob].items()}
        found.append(Version(commit, float(at), _results(_rows(runs)), _results(_rows(further)), _by_run(arrays)))
    return found


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
