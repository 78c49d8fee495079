"""Several results of one run: which one stands, and where the others go (results/<sweep>/repeats.csv)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.spec import DIVERGED
from bench.spec.datasets import data_words, is_official
from bench.store import Inputs, RunFolder

FILE = "repeats.csv"
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A row of a run, and the run folder that it is from; None if it is from results/."""

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

    def replaces(self, known: Found) -> bool:
        """Whether it was started again in place of that result, which was on other data or start weights."""
        instead = self.folder.instead_of() if self.folder else None
        was = Inputs(known.key[1], str(known.row.get("start_sha256") or ""))
        return instead is not None and not instead.unlike(was) and known.key != self.key

    def beside(self, known: Row) -> Found:
        """The same result with what its folder does not say and its row knows, such as what was found out later."""
        return replace(
            self, row={**self.row, **{k: v for k, v in known.items() if v and self.row.get(k) in (None, "")}}
        )

    @property
    def ended(self) -> str:
        """The date and time of a result."""
        return str(self.row["ended"])

    @property
    def words(self) -> str:
        """`8.61 %`, or why it diverged."""
        return str(self.row["error_message"]) if self.diverged else f"{float(self.row['test_error']):.2f} %"


@dataclass(frozen=True, slots=True)
class Choice:
    """What `choose` found: the row that stands, further results of the same run, and those that leave the results.

    source: a folder here of the result that stands, which may be a copy.
    """

    stands: Found
    repeats: Sequence[Found] = ()
    dropped: Sequence[Found] = ()
    source: RunFolder | None = None


def choose(known: Found | None, repeats: Sequence[Found], folders: Sequence[Found]) -> Choice:
    """The rule: the first result of a run stands, and no later one replaces it because it is newer or better.

    known: the row in runs.csv, None without one; repeats: the rows in repeats.csv; folders: in the order given.
    A result is one that is done: any of them stands before a failure, except for a divergence in runs.csv, which is the
    run's first result and never replaced. Of rows without a result the first folder's stands. The same weights on the
    same data are the same result. Of others
    - one on the official data stands before all that are not, which then leave the results;
    - else one that was trained again, on other data or start weights, stands before the one whose place it takes;
    - else the first stands, which is the one in runs.csv, without it the one that ended first; the rest are repeats.
    """
    given = [known] if known else []
    results = sorted((one for one in (*given, *folders) if one.done), key=lambda one: one.ended)
    if not results:
        return Choice((*folders, *given)[0], repeats)
    if known and known.diverged:
        return Choice(known, _distinct([*results, *repeats]))
    first = given if known and known.done else []
    again = [one for one in results if known and one.replaces(known)]
    in_order = _distinct([*again, *first, *results, *repeats])
    official = [one for one in in_order if is_official(one.row["data"], one.key[1])]
    stands, *others = official or in_order
    copies = [one for one in folders if one.done and one.key == stands.key]
    if not stands.folder:  # read again from the folder it was collected from, which may know more columns
        stands = next((one.beside(stands.row) for one in copies if one.ended == stands.ended), stands)
    dropped = [one for one in in_order if official and one not in official]
    return Choice(stands, others, dropped, copies[0].folder if copies else None)


def _distinct(results: Sequence[Found]) -> list[Found]:
    """Each result once, at its first place."""
    found: dict[tuple[str, str], Found] = {}
    for one in results:
        found.setdefault(one.key, one)
    return list(found.values())


def messages(name: str, known: Found | None, choice: Choice) -> Iterator[str]:
    """A line for each result that does not stand, and for the row that another one replaces."""
    first, row = choice.stands, choice.stands.row
    for one in choice.repeats:
        if one is known:
            yield f"{name}: {first.words}, trained again on what is here, takes the place of {one.words}; see {FILE}"
        elif one.folder:
            about = "" if first.diverged else f" ({row['hardware']}, {row['ended'][:10]})"
            other = ", on other data," if one.key[1] != first.key[1] else ""
            yield (
                f"{name}: {one.words} from {one.folder.path}{other} is kept in {FILE}; "
                f"the first result, {first.words}{about}, stands"
            )
    for one in choice.dropped:
        was = data_words(one.row["data"], one.key[1]).replace("not the", "data that are not the", 1)
        if one is known:
            yield (
                f"{name}: {first.words} on {data_words(row['data'], first.key[1])} takes the place of {one.words} on "
                f"{was} (measured on {one.row['hardware']})"
            )
        else:
            place = one.folder.path if one.folder else FILE
            yield f"{name}: {one.words} from {place}, on {was}, is left out; {first.words} stands"
