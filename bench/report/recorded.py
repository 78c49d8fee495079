"""Runs as they can be shown elsewhere, from their folders or from published numbers: the row and the curve of each."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.report.collect import standing
from bench.report.rows import OF_OPTIONS, as_csv, declared_columns, order, read_rows, run_of
from bench.report.stored import CURVE_COLUMNS, read_table
from bench.spec import PRECISIONS_OF_BOXES, PROTOCOLS, VERIFICATION, Run
from bench.store import RunFolder, write_text

MEASURED = (
    "test_error", "test_loss", "train_error", "train_loss", "val_error", *PROTOCOLS, *VERIFICATION,
    *PRECISIONS_OF_BOXES, *OF_OPTIONS,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run. row: as of runs.csv. curve: rows, as of curve.jsonl.

    seen: the time, in seconds since 1970, at which it had made `at` steps. pace: seconds a step before it, 0 where that
    is not known.
    """

    run: Run
    row: Mapping[str, Any]
    curve: Sequence[Mapping[str, Any]]
    seen: float
    at: int
    pace: float

    @property
    def id(self) -> str:
        """The run's."""
        return str(self.row["id"])

    @property
    def settings(self) -> dict[str, Any]:
        """What was chosen before it began: the columns that its Run gives."""
        return {name: value for name, value in declared_columns(self.run).items() if value is not None}

    @property
    def measured(self) -> dict[str, float]:
        """What it reached, by column; nothing where it is not done."""
        return {name: float(value) for name in MEASURED if (value := self.row.get(name)) not in (None, "")}

    def time(self, step: int) -> float:
        """When it had made so many steps, as though all had taken as long."""
        return self.seen - (self.at - step) * self.pace


def in_folders(runs: Sequence[Path], ids: Collection[str]) -> list[Recorded]:
    """The runs of these ids below folders of a sweep; of one in several the result that stands."""
    found = [one for name, one in standing(runs).items() if name in ids and one.folder]
    return [_of_folder(one.folder, one.row) for one in sorted(found, key=lambda one: order(one.row)) if one.folder]


def _of_folder(folder: RunFolder, row: Mapping[str, Any]) -> Recorded:
    curve, run = folder.curve_rows(), folder.run()
    if row["state"] == "done":
        return Recorded(run, row, curve, *_ended(run, row))
    if beat := folder.heartbeat():
        pace = 1 / beat["steps_per_s"] if beat.get("steps_per_s") else 0.0
        return Recorded(run, row, curve, beat["time"], beat["step"], pace)
    return Recorded(run, row, curve, folder.curve.stat().st_mtime if curve else 0.0, 0, 0.0)


def published_runs(results: Path, ids: Collection[str]) -> list[Recorded]:
    """The published runs of these ids. Raises StoreError where the results are damaged."""
    curves = {
        str(name): list(_without_gaps(part.to_dict("records")))
        for name, part in read_table(results / "curves.parquet").groupby("id")
        if name in ids
    }
    rows = [row for row in read_rows(results / "runs.csv") if row["id"] in ids]
    return [_of_row(row, curves.get(row["id"], ())) for row in rows]


def _of_row(row: Mapping[str, Any], curve: Sequence[Mapping[str, Any]]) -> Recorded:
    run = run_of(row)
    return Recorded(run, row, curve, *(_ended(run, row) if row["state"] == "done" else (0.0, 0, 0.0)))


def _without_gaps(rows: Iterable[Mapping[Any, Any]]) -> Iterator[dict[str, Any]]:
    """As a run writes them: a row names no number that it does not have."""
    for row in rows:
        yield {name: value for name, value in row.items() if name != "id" and not math.isnan(value)}


def _ended(run: Run, row: Mapping[str, Any]) -> tuple[float, int, float]:
    steps = max(run.recipe.steps, 1)
    return datetime.fromisoformat(row["ended"]).timestamp(), steps, float(row["seconds"] or 0) / steps


def write_csv(found: Sequence[Recorded], to: Path) -> int:
    """Writes runs.csv, a row a run, and curves.csv, a row a run and step; returns how many these are."""
    curves = [{"id": one.id, **row} for one in found for row in one.curve]
    out = io.StringIO()
    columns = dict.fromkeys((*CURVE_COLUMNS, *(name for row in curves for name in row)))
    writer = csv.DictWriter(out, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(curves)
    write_text(to / "runs.csv", as_csv([one.row for one in found]))
    write_text(to / "curves.csv", out.getvalue())
    return len(curves)
