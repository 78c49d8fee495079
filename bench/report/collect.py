"""From run folders to committed numbers: results/<sweep>/runs.csv, curves.parquet, layers.parquet, correct.npz, the
registers and manifests (copied.py), further tests (further.py), SHA256SUMS.

Rows of runs that other machines did stay as they are. The first result of a run stands; further ones go to repeats.csv.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.report import repeats
from bench.report.copied import copy_all
from bench.report.digests import write_digests
from bench.report.further import collect_tests
from bench.report.repeats import Choice, Found, choose
from bench.report.rows import (
    ASKED,
    ENV_COLUMNS,
    RESULT_COLUMNS,
    SOME_ENV,
    SOME_RESULTS,
    as_csv,
    classes_of,
    declared_columns,
    order,
    read_rows,
)
from bench.report.stored import (
    CURVE_COLUMNS,
    DETECTOR_CURVE_COLUMNS,
    read_arrays,
    write_arrays,
    write_table,
)
from bench.spec import Ensemble, Run, dataset_of
from bench.store import RunFolder, StoreError, exclusive, folders, make_folder, write_text
from bench.store.manifest import LAYER_COLUMNS, arrays_digest, layers_digest, names_of
from bench.store.register import utc
from bench.tasks.classification.imagenet.ensembles import collect_ensembles


def collect(
    results: Path,
    runs: Sequence[Path],
    declared: Iterable[Run],
    say: Callable[[str], object] = lambda _: None,
    ensembles: Sequence[Ensemble] = (),
    *,
    made_up: bool = True,
) -> Path:
    """Merges the run folders below each of `runs` (a sweep's folders) into `results`; returns runs.csv.

    declared: the runs that belong to the sweep; one that is done nowhere is a row that says so. ensembles: of them.
    Of several results of one run `bench.report.repeats.choose` says which one stands. made_up: whether runs on a
    stand-in for data are taken, too.
    """
    make_folder(results)
    with exclusive(results):  # two runners that end together must not drop each other's rows
        declared, chosen = tuple(declared), _choices(results, runs, say, made_up=made_up)
        collected = _merge(results, chosen, declared)
        copy_all(results, runs, chosen, say)
        ours = {run.id: one.source for run in declared if (one := chosen.get(run.id)) and one.source}
        collect_ensembles(results, ensembles, ours)
        write_digests(results)
        return collected


def standing(runs: Sequence[Path]) -> dict[str, Found]:
    """Of each run below these folders of a sweep the result that stands, or how far it is."""
    return {name: choose(None, (), its).stands for name, its in _found(runs, lambda _: None, made_up=True).items()}


def _choices(results: Path, runs: Sequence[Path], say: Callable[[str], object], *, made_up: bool) -> dict[str, Choice]:
    """For every run of the results and of the folders which result stands; says which do not."""
    known = {row["id"]: Found(row) for row in read_rows(results / "runs.csv")}
    found, further = _found(runs, say, made_up=made_up), [Found(row) for row in read_rows(results / repeats.FILE)]
    chosen = {}
    for name in dict.fromkeys((*known, *found)):
        kept = [one for one in further if one.row["id"] == name]
        chosen[name] = choose(known.get(name), kept, found.get(name, ()))
        for line in repeats.messages(name, known.get(name), chosen[name]):
            say(line)
    return chosen


def _merge(results: Path, chosen: Mapping[str, Choice], declared: Iterable[Run]) -> Path:
    missing = {run.id: {"id": run.id, **declared_columns(run), "state": "pending"} for run in declared}
    rows = {**missing, **{name: dict(one.stands.row) for name, one in chosen.items()}}
    fresh = {name: one.stands.folder for name, one in chosen.items() if one.stands.folder}
    here = {name: folder for name, folder in fresh.items() if rows[name]["state"] == "done"}
    curves = {name: folder.curve_rows() for name, folder in here.items()}
    # what was seen of a run that diverged is worth keeping: its layers stand, though it has no result
    layers = {name: folder.layer_rows() for name, folder in fresh.items() if rows[name]["state"] in ("done", "failed")}
    detectors = any(row.get("task") == "detect" for row in rows.values())
    write_table(results / "curves.parquet", DETECTOR_CURVE_COLUMNS if detectors else CURVE_COLUMNS, curves, rows)
    write_table(results / "layers.parquet", LAYER_COLUMNS, layers, rows)
    for file, arrays_of in (("correct", _correctness), ("pairs", _pair_scores), ("matches", _matches)):
        write_arrays(results / f"{file}.npz", {name: arrays_of(name, folder) for name, folder in here.items()}, rows)
    collect_tests(results, sorted(rows.values(), key=order), here)
    further = [one for each in chosen.values() for one in each.repeats]
    further.sort(key=lambda one: (order(one.row), one.key))
    if further:  # under the columns of runs.csv
        write_text(results / repeats.FILE, as_csv([one.row for one in further], rows.values()))
    else:
        (results / repeats.FILE).unlink(missing_ok=True)
    write_text(results / "runs.csv", as_csv(sorted(rows.values(), key=order)))
    return results / "runs.csv"


def _found(runs: Sequence[Path], say: Callable[[str], object], *, made_up: bool) -> dict[str, list[Found]]:
    """Every run folder by its run, in the order given; foreign folders and copies by another name are skipped."""
    found: dict[str, list[Found]] = {}
    for sweep_folder in runs:
        for name, folder in folders(sweep_folder.parent, sweep_folder.name).items():
            if problem := _foreign(folder):
                say(f"{folder.path} is skipped: {problem}")
            elif made_up or not dataset_of(folder.run().data).made_up:
                found.setdefault(name, []).append(Found(_row(folder), folder))
    return found


def _foreign(folder: RunFolder) -> str | None:
    """Why a folder is not of the run that its name says; None if it is."""
    try:
        run = folder.run()
    except StoreError as error:
        return str(error)
    return None if run.id == folder.path.name else f"it holds {run.id}"


def _row(folder: RunFolder) -> dict[str, Any]:
    run, state = folder.run(), folder.state()
    result, env = folder.result() or {}, folder.env() or {}
    error = (folder.error() or {}).get("message", "")
    row: dict[str, Any] = {
        "id": run.id,
        **declared_columns(run, classes_of({"task": run.task, **result})),
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
        row["requirements"] = names_of(env.get("requirements") or ())
        row |= {name: env[name] for name in SOME_ENV if env.get(name)}
        row |= {name: utc(env[name]) for name in ("started", "ended")}
    return row


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
    """Of a detector the outcome of every detection: `<id>:<option>:<field>`, and some of them to be shown."""
    return {f"{name}:{field}": array for field, array in read_arrays(folder.matches).items()}
