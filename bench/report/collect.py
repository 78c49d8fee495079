"""From run folders to committed numbers: results/<sweep>/runs.csv, curves.parquet, layers.parquet, correct.npz,
SHA256SUMS.

Rows of runs that other machines did stay as they are. The first result of a run stands; further ones go to repeats.csv.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import Field, asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.nets.counts import multiply_adds_of, parameters_of
from bench.report import standing
from bench.report.digests import write_digests
from bench.report.standing import Found, Settled, settle
from bench.spec import (
    DETECTOR_LOSSES,
    OPTIONS,
    PRECISIONS_OF_BOXES,
    PROTOCOLS,
    SCALES,
    VERIFICATION,
    Detection,
    Ensemble,
    Faces,
    Net,
    Recipe,
    Run,
    Views,
)
from bench.store import RunFolder, StoreError, atomic, curve_text, exclusive, folders, make_folder, sha256, write_text
from bench.tasks.classification.imagenet.ensembles import collect_ensembles

RESULT_COLUMNS = (
    "test_images", "test_error", "train_error", "train_loss", "test_loss", "val_error", "best_test_error", "best_step",
    "seconds", "images_per_s", "test_images_per_s", "weights_sha256", "curve_sha256",
)  # fmt: skip
OF_OPTIONS = tuple(f"{option}_{name}" for option in OPTIONS for name in PRECISIONS_OF_BOXES)
SOME_RESULTS = (
    *PROTOCOLS, *VERIFICATION, *PRECISIONS_OF_BOXES, *OF_OPTIONS, "source_error", "params", "people", "classes",
    "pictures",
)  # fmt: skip  # columns where a run has them
MORE_COLUMNS = ("predicted_seconds", "layers_sha256")
ENV_COLUMNS = (
    "hardware", "threads", "share", "kernels", "allocator", "processes", "commit", "dirty", "claims_sha256",
    "bench", "torch", "torchvision", "python", "data_sha256", "started", "ended", "sessions", "notice",
)  # fmt: skip
ASKED = "test_images_asked"  # the recipe's number, where a run had another
VIEWS, OF_FACES, OF_DETECTION = "views_", "faces_", "detection_"  # before the names of these parts of a recipe
PARTS = {"views": VIEWS, "faces": OF_FACES, "detection": OF_DETECTION}
EXAMPLE = Run("quick", Net("cifar", 20, "A"), "cifar10", Recipe(), 0)
CURVE_COLUMNS = ("id", "step", "rate", "loss", "error", "test_loss", "test_error")
DETECTOR_CURVE_COLUMNS = (*CURVE_COLUMNS[:5], *DETECTOR_LOSSES, *CURVE_COLUMNS[5:])  # in the order a run writes them
LAYER_COLUMNS = (
    "id", "step", "layer", "name", "response_std", "batch_std", "response_grad_norm", "grad_norm", "weight_norm",
)  # fmt: skip
TYPES = {"id": "str", "name": "str", "step": "int64", "layer": "int64"}  # all other columns are numbers, NaN if missing


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
    missing = {run.id: {"id": run.id, **_declared(run), "state": "pending"} for run in declared}
    rows = {**missing, **{name: dict(one.stands.row) for name, one in settled.items()}}
    fresh = {name: one.stands.folder for name, one in settled.items() if one.stands.folder}
    here = {name: folder for name, folder in fresh.items() if rows[name]["state"] == "done"}
    # what was seen of a run that diverged is worth keeping: its layers stand, though it has no result
    seen = {name: folder for name, folder in fresh.items() if rows[name]["state"] in ("done", "failed")}
    curves = {name: folder.curve_rows() for name, folder in here.items()}
    layers = {name: folder.layer_rows() for name, folder in seen.items()}
    detectors = any(row.get("task") == "detect" for row in rows.values())
    _write_table(results / "curves.parquet", DETECTOR_CURVE_COLUMNS if detectors else CURVE_COLUMNS, curves, rows)
    _write_table(results / "layers.parquet", LAYER_COLUMNS, layers, rows)
    _write_arrays(results / "correct.npz", here, rows, _correctness)
    _write_arrays(results / "pairs.npz", here, rows, _pair_scores)
    _write_arrays(results / "matches.npz", here, rows, _matches)
    _write_repeats(results / standing.FILE, settled.values(), rows)
    write_text(results / "runs.csv", _csv(sorted(rows.values(), key=_order)))
    return results / "runs.csv"


def _write_repeats(path: Path, settled: Iterable[Settled], rows: Mapping[str, Mapping[str, Any]]) -> None:
    """The further results of the runs, under the columns of runs.csv; no file where there is none."""
    repeats = [one for each in settled for one in each.aside]
    repeats.sort(key=lambda one: (_order(one.row), one.key))
    if repeats:
        write_text(path, _csv([one.row for one in repeats], rows.values()))
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


def _declared(run: Run) -> dict[str, Any]:
    """The columns that the Run itself gives."""
    net, recipe = asdict(run.net), asdict(run.recipe)
    parts = {prefix: recipe.pop(name) or {} for name, prefix in PARTS.items()}
    if not net["weights"]:
        del net["weights"]
    columns = {
        "scale": run.scale,
        "task": run.task,
        "data": run.data,
        "net": run.net.name,
        **net,
        "seed": run.seed,
        "params": parameters_of(run) or None,
        "multiply_adds": multiply_adds_of(run) or None,
        **recipe,
        **{f"{prefix}{name}": value for prefix, part in parts.items() for name, value in part.items()},
    }
    return {name: _as_text(value) for name, value in columns.items()}


def _as_text(value: Any) -> Any:
    """A tuple as its values with spaces between; anything else as it is."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def run_of(row: Mapping[str, str]) -> Run:
    """The Run whose columns these are: the inverse of what a row says of its run.

    Raises SpecError or ValueError where they are no run's.
    """
    net = Net(**{f.name: _typed(f, row.get(f.name, "")) for f in fields(Net)})
    texts = {**row, "test_images": row.get(ASKED) or row["test_images"]}
    own = {f.name: _typed(f, texts.get(f.name, "")) for f in fields(Recipe) if f.name not in PARTS}
    views, faces = _part(Views, VIEWS, row), _part(Faces, OF_FACES, row)
    recipe = Recipe(**own, views=views, faces=faces, detection=_part(Detection, OF_DETECTION, row))
    return Run(row["scale"], net, row["data"], recipe, int(row["seed"]), row.get("task") or "classify")


Part = TypeVar("Part", Views, Faces, Detection)


def _part(kind: type[Part], prefix: str, row: Mapping[str, str]) -> Part | None:
    """A part of a recipe from the columns with its prefix, None where the row has none."""
    if not row.get(f"{prefix}side"):
        return None
    return kind(**{f.name: _typed(f, row[prefix + f.name]) for f in fields(kind)})


def _typed(field: Field[Any], text: str) -> Any:
    """A column's text as the type of the field; a word that is not there, as in rows of before, has its default."""
    kinds: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "bool": lambda word: word == "True"}
    if str(field.type).startswith("tuple"):
        return tuple(int(part) for part in text.split())
    return kinds[str(field.type)](text) if str(field.type) in kinds else text or field.default


def _row(folder: RunFolder) -> dict[str, Any]:
    run, state = folder.run(), folder.state()
    result, env = folder.result() or {}, folder.env() or {}
    error = (folder.error() or {}).get("message", "")
    row: dict[str, Any] = {
        "id": run.id,
        **_declared(run),
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


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a runs.csv as text; none where there is no file. Raises StoreError where it is damaged."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        raise StoreError(
            f"{path} is damaged: {error}; take it from git again, or collect into another folder"
        ) from None
    lacking = {"id", "state", "scale", "data", "net", "depth", "shortcut", "seed", "test_error"} - set(
        rows[0] if rows else ()
    )
    if rows and lacking:
        raise StoreError(f"{path} is damaged: no column {', '.join(sorted(lacking))}; take it from git again")
    return rows


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Best scale first, then by depth, plain before residual, and seed."""
    plain_first = (row["shortcut"] != "none", row["shortcut"])
    return (
        SCALES.index(row["scale"]),
        row["data"],
        int(row["depth"]),
        plain_first,
        int(row["seed"]),
        row["id"],
    )


def _csv(rows: Sequence[Mapping[str, Any]], beside: Iterable[Mapping[str, Any]] = ()) -> str:
    """All rows under all columns, those of other versions after ours; floats in full, so that nothing is lost.

    beside: rows whose columns it has, too.
    """
    always = ("id", *_declared(EXAMPLE), "state", "error_message", *RESULT_COLUMNS, *MORE_COLUMNS, *ENV_COLUMNS)
    columns = list(dict.fromkeys((*always, *(name for row in (*beside, *rows) for name in row))))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)
    return out.getvalue()


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


def _write_table(
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


def read_correct(path: Path) -> dict[str, NDArray[np.uint8]]:
    """Per-image correctness by run, eight images a byte; none where there is no file. Raises StoreError."""
    return read_arrays(path)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file of results, by name; none where there is no file. Raises StoreError where it is damaged."""
    if not path.exists():
        return {}
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, BadZipFile) as error:
        raise StoreError(f"{path} is damaged: {error}; take it from git again") from None


def _correctness(name: str, folder: RunFolder) -> dict[str, NDArray[Any]]:
    """Per-image correctness, packed eight images a byte: `<id>`, by other protocols `<id>:<metric>`."""
    result = _result(folder)
    if "correct" not in result:
        return {}
    by_metric = {f"{name}:{metric}": bits for metric, bits in result.get("correct_by", {}).items()}
    packed = {name: result["correct"], **by_metric}
    return {array: np.frombuffer(bytes.fromhex(bits), np.uint8) for array, bits in packed.items()}


def _pair_scores(name: str, folder: RunFolder) -> dict[str, NDArray[Any]]:
    """Of a verification each pair's score `<id>`, whether it is one person `<id>:same`, and its fold `<id>:fold`."""
    result = _result(folder)
    if "pair_scores" not in result:
        return {}
    about = {f"{name}:{part}": np.array(result[f"pair_{part}"], np.uint8) for part in ("same", "fold")}
    return {name: np.array(result["pair_scores"], np.float64), **about}


def _matches(name: str, folder: RunFolder) -> dict[str, NDArray[Any]]:
    """Of a detector what became of every detection: `<id>:<option>:<field>`, and some of them to be shown."""
    return {f"{name}:{field}": array for field, array in read_arrays(folder.matches).items()}


def _result(folder: RunFolder) -> Mapping[str, Any]:
    """Of a run that is done."""
    result = folder.result()
    assert result is not None
    return result


def _write_arrays(
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
