"""Which of several results of one run stands, and what becomes of the others. results/<sweep>/repeats.csv"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.spec import DIVERGED
from bench.spec.datasets import data_words, is_official
from bench.store import RunFolder

FILE = "repeats.csv"
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A row of a run, and the run folder that it is from; None where it is from results/."""

    row: Row
    folder: RunFolder | None = None

    @property
    def done(self) -> bool:
        """Whether it is a result."""
        return bool(self.row["state"] == "done")

    @property
    def diverged(self) -> bool:
        """Whether it failed by itself, which is a result, too."""
        return self.row["state"] == "failed" and bool(DIVERGED.match(str(self.row.get("error_message") or "")))

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same result as another one: weights and data, bit for bit."""
        return str(self.row.get("weights_sha256") or ""), str(self.row.get("data_sha256") or "")

    @property
    def official(self) -> bool:
        """Whether it is known to be on the official data."""
        return bool(is_official(self.row["data"], self.key[1]))


@dataclass(frozen=True, slots=True)
class Settled:
    """What `settle` found: the row that stands, further results of the same run, and those that leave the results.

    source: the folder of a run folder with the result that stands, its copy on another machine, too.
    """

    stands: Found
    aside: Sequence[Found] = ()
    left: Sequence[Found] = ()
    source: RunFolder | None = None


def settle(known: Found | None, aside: Sequence[Found], folders: Sequence[Found]) -> Settled:
    """The rule: the first result of a run stands, and no later one takes its place because it is newer or better.

    known: the row in runs.csv, None without one; aside: the rows in repeats.csv; folders: in the order they were given.
    A result is one that is done: any of them stands before a failure, but for a divergence in runs.csv, which is the
    run's first result and never replaced. Of rows without a result the first folder's stands. The same weights on the
    same data are the same result. Of others
    - one on the official data stands before all that are not, which then leave the results;
    - else the first stands, which is the one in runs.csv, without it the one that ended first; the rest is kept aside.
    """
    results = [one for one in (*([known] if known else []), *folders) if one.done]
    if not results:
        return Settled((*folders, *([known] if known else []))[0], aside)
    if known and known.diverged:
        return Settled(known, _distinct([*sorted(results, key=_ended), *aside]))
    first = results[0] if known and known.done else min(results, key=_ended)
    in_order = _distinct([first, *sorted(results, key=_ended), *aside])
    official = [one for one in in_order if one.official]
    stands, *others = official or in_order
    return Settled(
        _read_again(stands, folders),
        others,
        [one for one in in_order if official and not one.official],
        next((one.folder for one in folders if one.done and one.key == stands.key), None),
    )


def _ended(one: Found) -> str:
    return str(one.row["ended"])


def _distinct(results: Iterable[Found]) -> list[Found]:
    """Each result once, at its first place."""
    found: dict[tuple[str, str], Found] = {}
    for one in results:
        found.setdefault(one.key, one)
    return list(found.values())


def _read_again(stands: Found, folders: Sequence[Found]) -> Found:
    """The same result from the folder that it was collected from, where that is here: it may know more columns."""
    again = (one for one in folders if one.done and one.key == stands.key and _ended(one) == _ended(stands))
    return stands if stands.folder else next(again, stands)


def said(name: str, known: Found | None, settled: Settled) -> Iterator[str]:
    """A line for each result that does not stand, and for the row whose place another one takes."""
    stands = settled.stands.row
    for one in settled.aside:
        if one.folder:
            later = f"{_percent(one.row)} from {one.folder.path}"
            yield f"{name}: {later} is kept in {FILE}; {_first(settled.stands)} stands"
    for one in settled.left:
        was = data_words(one.row["data"], one.key[1]).replace("not the", "data that are not the", 1)
        if one is known:
            yield (
                f"{name}: {_percent(stands)} on {data_words(stands['data'], settled.stands.key[1])} takes the place "
                f"of {_percent(one.row)} on {was} (measured on {one.row['hardware']})"
            )
        else:
            place = one.folder.path if one.folder else FILE
            yield f"{name}: {_percent(one.row)} from {place}, on {was}, is left out; {_percent(stands)} stands"


def _first(one: Found) -> str:
    """The result that stands, in words."""
    if one.diverged:
        return f"the first result, {one.row['error_message']},"
    return f"the first result, {_percent(one.row)} ({one.row['hardware']}, {one.row['ended'][:10]}),"


def _percent(row: Row) -> str:
    return f"{float(row['test_error']):.2f} %"
