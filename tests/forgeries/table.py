"""The forgeries by class, as bench/README.md shows them: what caught.csv says."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

TABLE = Path(__file__).with_name("caught.csv")
OF_GIT = {"of_history", "of_claims", "of_age", "of_commits", "changed_ensembles", "strays"}  # wholly or in part
UNSEEN = ("said", "nothing")  # said: verify says that it has not checked what is forged
HEAD = ("| class | forged | of them consistent | caught | by |", "| --- | --- | --- | --- | --- |")
# what the checks are called, by their functions
WORDS = {
    "of_history": "history", "of_claims": "history", "of_age": "history", "of_commits": "history",
    "changed_ensembles": "history",
    "in_manifests": "manifest", "in_registers": "register", "in_requirements": "manifest", "in_seals": "signature",
    "in_weights": "weights", "in_pairs": "two runs", "across": "two runs", "in_values": "invariants",
    "in_times": "invariants", "in_curves": "invariants", "in_layers": "invariants", "in_images": "invariants",
    "in_rows": "digits", "in_repeats": "digits", "in_ensembles": "digits", "of_one_row": "digits",
    "on_same_data": "digits", "SHA256SUMS": "digits", "pages": "pages", "index": "pages", "figures": "figures",
    "strays": "beside the sweeps", "of_files": "stray files", "read": "digits",
}  # fmt: skip


def caught() -> list[dict[str, str]]:
    """The rows of caught.csv: class, forgery, consistent (yes or no), by (names of checks, or one of UNSEEN)."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def is_caught(row: Mapping[str, str]) -> bool:
    return row["by"] not in UNSEEN


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """A line a class, and their sum."""
    kinds = dict.fromkeys(row["class"] for row in rows)
    lines = [_line(kind, [row for row in rows if row["class"] == kind]) for kind in kinds]
    return "\n".join([*HEAD, *lines, _line("all", rows)])


def sentences(rows: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """What the page says of the table: how many there are, how many are caught, and how many without the history."""
    alike = [row for row in rows if row["consistent"] == "yes"]
    found = [sum(map(is_caught, some)) for some in (rows, alike)]
    without = [sum(is_caught(row) and not set(row["by"].split()) <= OF_GIT for row in some) for some in (rows, alike)]
    return (
        f"{len(rows)} forgeries in copies of this project, {len(alike)} of them consistent",
        f"names {found[0]} of them, {found[1]} of the consistent ones",
        f"name at least {without[0]}, {without[1]} of the consistent ones",
    )


def _line(kind: str, rows: Sequence[Mapping[str, str]]) -> str:
    by = Counter(words for row in rows if is_caught(row) for words in {WORDS[name] for name in row["by"].split()})
    consistent = sum(row["consistent"] == "yes" for row in rows)
    what = ", ".join(f"{words} {count}" for words, count in sorted(by.items(), key=lambda one: (-one[1], one[0])))
    return f"| {kind} | {len(rows)} | {consistent} | {sum(map(is_caught, rows))} | {what or '–'} |"
