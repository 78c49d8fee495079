"""What stands beside runs.csv: curves and layers as tables, what was judged image by image as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.spec import DETECTOR_LOSSES
from bench.store import StoreError, atomic
from bench.store.manifest import LAYER_COLUMNS

CURVE_COLUMNS = ("id", "step", "rate", "loss", "error", "test_loss", "test_error")
DETECTOR_CURVE_COLUMNS = (*CURVE_COLUMNS[:5], *DETECTOR_LOSSES, *CURVE_COLUMNS[5:])  # in the order a run writes them
COLUMNS: Mapping[str, Sequence[str]] = {"curves": CURVE_COLUMNS, "layers": LAYER_COLUMNS}  # by name of the file
TYPES = {"id": "str", "name": "str", "step": "int64", "layer": "int64"}  # all other columns are numbers, NaN if missing


def read_table(path: Path) -> pd.DataFrame:
    """The rows of curves.parquet or layers.parquet; none if there is no file. Raises StoreError if it is damaged."""
    if not path.exists():
        return _typed(pd.DataFrame(), COLUMNS[path.stem])
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}; take it from git again") from None
    if missing := [name for name in TYPES if name in COLUMNS[path.stem] and name not in table]:
        raise StoreError(f"{path} is damaged: no column {', '.join(missing)}; take it from git again")
    return table


def _typed(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    return frame.reindex(columns=list(columns)).astype({name: TYPES.get(name, "float64") for name in columns})


def write_table(
    path: Path, columns: Sequence[str], here: Mapping[str, Sequence[Mapping[str, Any]]], rows: Iterable[str]
) -> None:
    """The rows of the runs `here`, and of those done elsewhere what the file had, without runs that are in no row."""
    old = read_table(path)
    kept = old[old["id"].isin(set(rows)) & ~old["id"].isin(set(here))]
    ours = pd.DataFrame([{"id": name, **row} for name, its in here.items() for row in its])
    filled = [_typed(part, columns) for part in (ours, kept) if len(part)]
    if not filled:
        path.unlink(missing_ok=True)
        return
    order = [name for name in ("id", "step", "layer") if name in columns]
    table = pd.concat(filled).sort_values(order, ignore_index=True)
    with atomic(path) as temporary:
        table.to_parquet(temporary, index=False)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file of results, by name; none if there is no file. Raises StoreError if it is damaged."""
    if not path.exists():
        return {}
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # a damaged archive raises whatever its bytes happen to say
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StoreError(f"{path} is damaged: {reason}; take it from git again") from None


def write_arrays(path: Path, here: Mapping[str, Mapping[str, NDArray[Any]]], rows: Iterable[str]) -> None:
    """The arrays of the runs `here`, and of those done elsewhere what the file had, without runs that are in no row."""
    kept = set(rows) - set(here)
    arrays = {name: array for name, array in read_arrays(path).items() if name.split(":")[0] in kept}
    for own in here.values():
        arrays |= own
    if not arrays:
        path.unlink(missing_ok=True)
        return
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **dict(sorted(arrays.items())))
