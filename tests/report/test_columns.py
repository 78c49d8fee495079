"""results/README.md names every column of every file of results."""

from __future__ import annotations

import csv
import re
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest

from bench.report import further, numbers, page, rows, stored
from bench.spec import stored_name
from bench.store.manifest import LAYER_COLUMNS
from bench.tasks.classification.imagenet import ensembles

RESULTS = Path(__file__).parents[2] / "results"
WORDS = set(re.findall(r"`([^`\n]+)`", (RESULTS / "README.md").read_text(encoding="utf-8")))
BEGINNINGS = tuple(word.removesuffix("…") for word in WORDS if word.endswith("_…"))
DECLARED = (
    *rows.declared_columns(rows.EXAMPLE),
    *rows.RESULT_COLUMNS,
    *rows.SOME_RESULTS,
    *rows.MORE_COLUMNS,
    *rows.ENV_COLUMNS,
    *rows.SOME_ENV,
    *rows.SOME_NETS,
    rows.OWN_TASK,
    *(f"{prefix}_{stored_name(part, field.name)}" for prefix, part in rows.PARTS.items() for field in fields(part)),
    rows.ASKED,
    *page.IN_MEMORY,
    *stored.DETECTOR_CURVE_COLUMNS,
    *LAYER_COLUMNS,
    *ensembles.COLUMNS,
    *numbers.COLUMNS,
    *further.COLUMNS,
)


def named(column: str) -> bool:
    return column in WORDS or any(column.removeprefix(start) in WORDS for start in BEGINNINGS)


def unnamed(columns: tuple[str, ...]) -> list[str]:
    return [column for column in columns if not named(column)]


def columns_of(path: Path) -> tuple[str, ...]:
    if path.suffix == ".parquet":
        return tuple(pd.read_parquet(path).columns)
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(next(csv.reader(file)))


def test_every_column_that_collect_writes_is_explained() -> None:
    assert unnamed(DECLARED) == []


@pytest.mark.parametrize(
    "path", sorted([*RESULTS.glob("*/*.csv"), *RESULTS.glob("*/*.parquet")]), ids=lambda p: f"{p.parent.name}/{p.name}"
)
def test_every_column_and_file_of_the_committed_results_is_explained(path: Path) -> None:
    assert path.name in WORDS
    assert unnamed(columns_of(path)) == []


def test_a_column_that_is_not_there_is_found() -> None:
    assert unnamed(("test_error", "colour")) == ["colour"]
