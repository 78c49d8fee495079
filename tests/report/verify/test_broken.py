"""Tables that no run writes give sentences, never a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from bench.report.digests import write_digests
from bench.report.verify import across, problems, unchecked
from bench.report.verify.layers import names_of
from bench.report.verify.published import to_the_end
from bench.store import StoreError
from bench.store.manifest import LAYER_COLUMNS
from tests.report.verify.builders import NAME, SWEEP

Change = Callable[[pd.DataFrame], pd.DataFrame]
CHANGES: dict[str, Change] = {
    "empty": lambda table: table.iloc[:0],
    "no id": lambda table: table.drop(columns="id"),
    "no step": lambda table: table.drop(columns="step"),
    "the last column is gone": lambda table: table.iloc[:, :-1],
    "one number is gone": lambda table: table.drop(columns=[{"loss", "response_std"} & set(table)][0]),
    "text for numbers": lambda table: table.assign(**dict.fromkeys({"loss", "response_std"} & set(table), "much")),
    "a column more": lambda table: table.assign(more="x"),
    "each row twice": lambda table: pd.concat([table, table]),
    "half the rows of a run": lambda table: table.iloc[1::2],
    "steps out of order": lambda table: table.iloc[::-1],
    "no step at all": lambda table: table.assign(step=0),
}


def layered(results: Path) -> None:
    """Layers of all runs, after the last step."""
    runs = [run for scale in SWEEP.scales for run in SWEEP.runs(scale)]
    rows = [
        {"id": run.id, "step": run.recipe.steps, "layer": k, "name": name, "response_std": 1 / k, "weight_norm": 1.0}
        for run in runs
        for k, name in enumerate(names_of(run.net), 1)
    ]
    pd.DataFrame(rows).reindex(columns=LAYER_COLUMNS).to_parquet(results / "layers.parquet", index=False)


@pytest.mark.parametrize("file", ["curves", "layers"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_table_that_no_run_writes_is_named(results: Path, tmp_path: Path, file: str, change: Change) -> None:
    path = results / f"{file}.parquet"
    layered(results)
    reports = tmp_path / "reports"
    reports.mkdir()
    change(pd.read_parquet(path)).to_parquet(path, index=False)
    write_digests(results)

    assert list(problems(NAME, SWEEP, results, reports))
    assert all(isinstance(said, str) for said in (*unchecked(results), *across([results, results])))


def test_a_check_that_breaks_off_says_where_and_what_is_known_is_left_to_the_caller() -> None:
    def broken(error: Exception) -> Iterator[str]:
        yield "a first sentence"
        raise error

    first, said = to_the_end("results/x: the check in_layers", broken(ValueError("no\n such layer")))

    assert first == "a first sentence"
    assert said.startswith("results/x: the check in_layers broke off (ValueError: no such layer; ")
    with pytest.raises(StoreError):
        list(to_the_end("x", broken(StoreError("damaged"))))
