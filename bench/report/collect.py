"""From run folders to committed numbers: results/<sweep>/runs.csv, curves.parquet, layers.parquet, correct.npz,
SHA256SUMS.

Rows of runs that other machines did stay as they are. The first result of a run stands; further ones go to repeats.csv.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.report import standing
from bench.report.digests import write_digests
from bench.report.rows import (
    ASKED,
    ENV_COLUMNS,
    RESULT_COLUMNS,
    SOME_RESULTS,
    as_csv,
    declared_columns,
    order,
    read_rows,
)
from bench.report.standing import Found, Settled, settle
from bench.report.stored import (
    CURVE_COLUMNS,
    DETECTOR_CURVE_COLUMNS,
    LAYER_COLUMNS,
    arrays_digest,
    layers_digest,
    read_arrays,
    write_arrays,
    write_table,
)
from bench.spec import Ensemble, Run
from bench.store import RunFolder, StoreError, exclusive, folders, make_folder, write_text
from bench.tasks.classification.imagenet.ensembles import collect_ensembles


def collect(
    results: Path,
    runs: Sequence[Path],
    declared: Iterable[Run],
    say: Callable[[str], object] = lambda _: None,
    ensembles: Sequence[Ensemble] = (),
) -> Path:
    """Merges the run folders below each of `runs` (a sweep's folders) into `results`; returns runs.csv.

    declared: the runs that belong to the sweep; one that is nowhere done is a row that says so. ensembles: of them.
    Of several results of one run `bench.report.standing.settle` says which one stands.
    """
    make_folder(results)
    with exclusive(results):  # two runners that end together must not drop each other's rows
        declared, settled = tuple(declared), _settled(results, runs, say)
        collected = _merge(results, settled, declared)
        ours = {run.id: one.source for run in declared if (one := settled.get(run.id)) and one.source}
        collect_ensembles(results, ensembles, ours)
        write_digests(results)
        return collected


def _settled(results: Path, runs: Sequence[Path], say: Callable[[str], object]) -> dict[str, Settled]:
    """Every run of the results and of the folders: what stands, and what does not, which is said."""
    known = {row["id"]: Found(row) for row in read_rows(results / "runs.csv")}
    found, aside = _found(runs, say), [Found(row) for row in read_rows(results / standing.FILE)]
    settled = {}
    for name in dict.fromkeys((*known, *found)):
        kept = [one for one in aside if one.row["id"] == name] if aside else []
        settled[name] = settle(known.get(name), kept, found.get(name, ()))
        for line in standing.said(name, known.get(name), settled[name]):
            say(line)
    return settled


def _merge(results: Path, settled: Mapping[str, Settled], declared: Iterable[Run]) -> Path:
    missing = {run.id: {"id": run.id, **declared_columns(run), "state": "pending"} for run in declared}
    rows = {**missing, **{name: dict(one.stands.row) for name, one in settled.items()}}
    fresh = {name: one.stands.folder for name, one in settled.items() if one.stands.folder}
    here = {name: folder for name, folder in fresh.items() if rows[name]["state"] == "done"}
    # what was seen of a run that diverged is worth keeping: its layers stand, though it has no result
    seen = {name: folder for name, folder in fresh.items() if rows[name]["state"] in ("done", "failed")}
    curves = {name: folder.curve_rows() for name, folder in here.items()}
    layers = {name: folder.layer_rows() for name, folder in seen.items()}
    detectors = any(row.get("task") == "detect" for row in rows.values())
    write_table(results / "curves.parquet", DETECTOR_CURVE_COLUMNS if detectors else CURVE_COLUMNS, curves, rows)
    write_table(results / "layers.parquet", LAYER_COLUMNS, layers, rows)
    for file, arrays_of in (("correct", _correctness), ("pairs", _pair_scores), ("matches", _matches)):
        write_arrays(results / f"{file}.npz", here, rows, arrays_of)
    _write_repeats(results / standing.FILE, settled.values(), rows)
    write_text(results / "runs.csv", as_csv(sorted(rows.values(), key=order)))
    return results / "runs.csv"


def _write_repeats(path: Path, settled: Iterable[Settled], rows: Mapping[str, Mapping[str, Any]]) -> None:
    """The further results of the runs, under the columns of runs.csv; no file where there is none."""
    repeats = [one for each in settled for one in each.aside]
    repeats.sort(key=lambda one: (order(one.row), one.key))
    if repeats:
        write_text(path, as_csv([one.row for one in repeats], rows.values()))
    else:
        path.unlink(missing_ok=True)


def _found(runs: Sequence[Path], say: Callable[[str], object]) -> dict[str, list[Found]]:
    """Every run folder by its run, in the order given; foreign folders and copies by another name are passed over."""
    found: dict[str, list[Found]] = {}
    for sweep_folder in runs:
        for name, folder in folders(sweep_folder.parent, sweep_folder.name).items():
            if problem := _foreign(folder):
                say(f"{folder.path} is passed over: {problem}")
            else:
                found.setdefault(name, []).append(Found(_row(folder), folder))
    return found


def _foreign(folder: RunFolder) -> str | None:
    """Why a folder is not the run that its name says; None where it is."""
    try:
        run = folder.run()
    except StoreError as error:
        return str(error)
    result = folder.result()
    return None if run.id == folder.path.name and (not result or result["id"] == run.id) else f"it holds {run.id}"


def _row(folder: RunFolder) -> dict[str, Any]:
    run, state = folder.run(), folder.state()
    result, env = folder.result() or {}, folder.env() or {}
    error = (folder.error() or {}).get("message", "")
    row: dict[str, Any] = {
        "id": run.id,
        **declared_columns(run),
        "state": state,
        "error_message": " ".join(error.split()),
        "layers_sha256": layers_digest(folder.layer_rows()) if state in ("done", "failed") else None,
    }
    if state == "failed":
        row["claims_sha256"] = folder.claims_digest()
    if state == "done":
        row |= {name: result.get(name) for name in RESULT_COLUMNS}
        row |= {name: result[name] for name in SOME_RESULTS if name in result}
        if result["test_images"] != run.recipe.test_images:  # there were fewer than the recipe allows
            row[ASKED] = run.recipe.test_images
        if folder.matches.exists():
            row["matches_sha256"] = arrays_digest(read_arrays(folder.matches))
        row |= {"predicted_seconds": folder.predicted_seconds()}
        row |= {name: env.get(name) for name in ENV_COLUMNS}
        row |= {name: _date(env[name]) for name in ("started", "ended")}
    return row


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _correctness(name: str, folder: RunFolder) -> dict[str, NDArray[Any]]:
    """Per-image correctness, packed eight images a byte: `<id>`, by other protocols `<id>:<metric>`."""
    result = folder.result() or {}
    if "correct" not in result:
        return {}
    by_metric = {f"{name}:{metric}": bits for metric, bits in result.get("correct_by", {}).items()}
    packed = {name: result["correct"], **by_metric}
    return {array: np.frombuffer(bytes.fromhex(bits), np.uint8) for array, bits in packed.items()}


def _pair_scores(name: str, folder: RunFolder) -> dict[str, NDArray[Any]]:
    """Of a verification each pair's score `<id>`, whether it is one person `<id>:same`, and its fold `<id>:fold`."""
    result = folder.result() or {}
    if "pair_scores" not in result:
        return {}
    about = {f"{name}:{part}": np.array(result[f"pair_{part}"], np.uint8) for part in ("same", "fold")}
    return {name: np.array(result["pair_scores"], np.float64), **about}


def _matches(name: str, folder: RunFolder) -> dict[str, NDArray[Any]]:
    """Of a detector what became of every detection: `<id>:<option>:<field>`, and some of them to be shown."""
    return {f"{name}:{field}": array for field, array in read_arrays(folder.matches).items()}
