"""What stands beside runs.csv: curves and layers as tables, what was judged image by image as arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.spec import DETECTOR_LOSSES
from bench.store import RunFolder, StoreError, atomic, curve_text, sha256

CURVE_COLUMNS = ("id", "step", "rate", "loss", "error", "test_loss", "test_error")
DETECTOR_CURVE_COLUMNS = (*CURVE_COLUMNS[:5], *DETECTOR_LOSSES, *CURVE_COLUMNS[5:])  # in the order a run writes them
LAYER_COLUMNS = (
    "id", "step", "layer", "name", "response_std", "batch_std", "response_grad_norm", "grad_norm", "weight_norm",
)  # fmt: skip
TYPES = {"id": "str", "name": "str", "step": "int64", "layer": "int64"}  # all other columns are numbers, NaN if missing


def read_curves(path: Path) -> pd.DataFrame:
    """The curves of a sweep's results; none where there is no file. Raises StoreError where it is damaged."""
    return _read_table(path, CURVE_COLUMNS)


def read_layers(path: Path) -> pd.DataFrame:
    """What was seen of the layers, a row a layer, step and run; none where there is no file. Raises StoreError."""
    return _read_table(path, LAYER_COLUMNS)


def _read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=list(columns)).astype(_types(columns))
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}; take it from git again") from None


def _types(columns: Sequence[str]) -> dict[str, str]:
    return {name: TYPES.get(name, "float64") for name in columns}


def write_table(
    path: Path, columns: Sequence[str], here: Mapping[str, Sequence[Mapping[str, Any]]], rows: Iterable[str]
) -> None:
    """The rows of the runs `here`, and of those done elsewhere what the file had, without runs that are in no row."""
    parts = [pd.DataFrame([{"id": name, **row} for name, its in here.items() for row in its])]
    old = _read_table(path, columns)
    parts.append(old[old["id"].isin(set(rows)) & ~old["id"].isin(set(here))])
    filled = [part.reindex(columns=list(columns)).astype(_types(columns)) for part in parts if len(part)]
    if not filled:
        path.unlink(missing_ok=True)
        return
    order = [name for name in ("id", "step", "layer") if name in columns]
    table = pd.concat(filled).sort_values(order, ignore_index=True)
    with atomic(path) as temporary:
        table.to_parquet(temporary, index=False)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file of results, by name; none where there is no file. Raises StoreError where it is damaged."""
    if not path.exists():
        return {}
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, BadZipFile) as error:
        raise StoreError(f"{path} is damaged: {error}; take it from git again") from None


def write_arrays(
    path: Path,
    here: Mapping[str, RunFolder],
    rows: Iterable[str],
    arrays_of: Callable[[str, RunFolder], dict[str, NDArray[Any]]],
) -> None:
    """The arrays of the runs `here`, and of those done elsewhere what the file had, without runs that are in no row."""
    kept = set(rows)
    arrays = {name: array for name, array in read_arrays(path).items() if name.split(":")[0] in kept - set(here)}
    for name, folder in here.items():
        arrays |= arrays_of(name, folder)
    if not arrays:
        path.unlink(missing_ok=True)
        return
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **dict(sorted(arrays.items())))


def arrays_digest(arrays: Mapping[str, NDArray[Any]]) -> str | None:
    """SHA-256 of arrays with their names and shapes, from a run's folder or from its results; None of none."""
    sha = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest() if arrays else None


def layers_digest(rows: Sequence[Mapping[Any, Any]]) -> str | None:
    """SHA-256 of what was seen of the layers, read from a run's folder or from layers.parquet; None of nothing."""
    there = [{k: row[k] for k in LAYER_COLUMNS[1:] if not pd.isna(row.get(k))} for row in rows]
    return sha256(curve_text(there).encode()) if there else None
