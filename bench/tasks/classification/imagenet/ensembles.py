"""Table 5: ensembles of a sweep's nets, from the scores that its runs keep. results/<sweep>/ensembles.csv

Made where the runs' folders are; the scores, 200 MB a run on ImageNet, stay there. What is committed is each image's
correctness, from which the errors can be computed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.spec import Ensemble, Run, digest
from bench.store import RunFolder, StoreError, write_text

FILE = "ensembles.csv"
KEY = ["id", "scale", "data", "seed"]
ERRORS = {"multi_scale_error": "correct", "multi_scale_top5_error": "correct5"}
COLUMNS = [*KEY, "runs", "weights_sha256", "test_images", *ERRORS, *ERRORS.values()]


def collect_ensembles(results: Path, ensembles: Sequence[Ensemble], folders: Mapping[str, RunFolder]) -> None:
    """Brings ensembles.csv up to date with these runs of the sweep, by id; rows of other machines stay.

    Raises StoreError where two members of an ensemble saw different images.
    """
    if not ensembles:
        return
    made = pd.DataFrame(_made(ensembles, folders), columns=COLUMNS).astype(str)
    rows = pd.concat([read_ensembles(results), made]).drop_duplicates(KEY, keep="last").sort_values(KEY)
    if len(rows):
        write_text(results / FILE, rows.to_csv(index=False, lineterminator="\n"))


def read_ensembles(results: Path) -> pd.DataFrame:
    """The rows of ensembles.csv as text; none where there is no file. Raises StoreError where it is damaged."""
    path = results / FILE
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        return pd.DataFrame(columns=COLUMNS, dtype=str)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}; take it from git again") from None
    if missing := set(COLUMNS) - set(rows):
        raise StoreError(f"{path} is damaged: no column {', '.join(sorted(missing))}")
    return rows


def _made(ensembles: Sequence[Ensemble], folders: Mapping[str, RunFolder]) -> Iterator[dict[str, Any]]:
    """A row for each ensemble, scale, data set and seed of which every member's scores are here."""
    members: dict[tuple[str, str, int], dict[str, tuple[Run, RunFolder]]] = {}
    for folder in folders.values():
        if folder.ensemble.exists() and folder.result() is not None:
            run = folder.run()
            members.setdefault((run.scale, run.data, run.seed), {})[run.net.name] = (run, folder)
    for (scale, data, seed), by_net in sorted(members.items()):
        for one in ensembles:
            if all(net.name in by_net for net in one.nets):
                found = [by_net[net.name] for net in one.nets]
                yield dict(zip(KEY, (one.id, scale, data, seed), strict=True)) | _of(one, found)


def _of(ensemble: Ensemble, members: Sequence[tuple[Run, RunFolder]]) -> dict[str, Any]:
    loaded = [_scores(folder) for _, folder in members]
    labels = loaded[0][1]
    if any(not np.array_equal(theirs, labels) for _, theirs in loaded):
        raise StoreError(f"the nets of ensemble {ensemble.id} were tested on different images")
    mean = np.mean([scores for scores, _ in loaded], axis=0, dtype=np.float64)
    best = np.argsort(-mean, axis=1, kind="stable")[:, :5] == labels[:, None]
    correct = {"correct": best[:, 0], "correct5": best.any(1)}
    return {
        "runs": " ".join(run.id for run, _ in members),
        # one digest of the members' own: a member that is trained again makes the ensemble's number an old one
        "weights_sha256": digest([str((folder.result() or {})["weights_sha256"]) for _, folder in members]),
        "test_images": len(labels),
        **{error: _error(correct[bits]) for error, bits in ERRORS.items()},
        **{name: np.packbits(values).tobytes().hex() for name, values in correct.items()},
    }


def _scores(folder: RunFolder) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    try:
        with np.load(folder.ensemble, allow_pickle=False) as file:
            return file["scores"], file["labels"]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise StoreError(f"{folder.ensemble} is damaged: {error}; move it away, and the ensemble is left out") from None


def _error(correct: NDArray[np.bool_]) -> float:
    return 100 * int((~correct).sum()) / len(correct)


def ensemble_problems(results: Path, runs: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """The errors in ensembles.csv that its images and members do not confirm. Raises StoreError."""
    weights = {row["id"]: row["weights_sha256"] for row in runs}
    for row in read_ensembles(results).to_dict("records"):
        name = f"{results / FILE}: {row['id']}, seed {row['seed']}"
        if row["weights_sha256"] != digest([weights.get(run, "") for run in row["runs"].split()]):
            yield f"{name}: its nets are not those of runs.csv; collect it again where they were trained"
        for error, bits in ERRORS.items():
            right = np.unpackbits(np.frombuffer(bytes.fromhex(row[bits]), np.uint8))[: int(row["test_images"])]
            if float(row[error]) != _error(right.astype(bool)):
                yield f"{name}: {error} is {row[error]}, and its images say {_error(right.astype(bool))}"


def ensemble_frame(results: Path) -> pd.DataFrame:
    """A row for each ensemble and seed, at all scales."""
    found = read_ensembles(results)
    return found.assign(**{name: pd.to_numeric(found[name]) for name in ("seed", "test_images", *ERRORS)})
