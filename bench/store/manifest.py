"""manifest.json: the digests of all that a finished run's number depends on, and of what it left. No torch, no NumPy.

Each value follows from what is published of the run: `run_sha256` from its row's settings, `curve_sha256` and
`layers_sha256` from the tables, `matches_sha256` and `predictions_sha256` from the arrays, `environment` and the rest
from the row; `register` names the line that was written before the run trained.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from bench.spec import Run
from bench.store.files import curve_text, sha256
from bench.store.register import Start, utc

FORMAT = 1
SIGNATURES = (".sig", ".tsr")  # beside a manifest: an SSH signature, a time stamp (RFC 3161)
CODE = ("commit", "tree", "dirty", "data_sha256", "start_sha256", "claims_sha256")
ENVIRONMENT = ("hardware", "isa", "threads", "kernels", "processes", "python", "torch", "torchvision")
PREDICTIONS = ("correct", "correct_by", "pair_scores", "pair_same", "pair_fold")
RESULT = ("step", "test_error", "test_images", "seconds")
LAYER_COLUMNS = (
    "id", "step", "layer", "name", "response_std", "batch_std", "response_grad_norm", "grad_norm", "weight_norm",
)  # fmt: skip


def manifest(
    run: Run,
    result: Mapping[str, Any],
    env: Mapping[str, Any],
    start: Start,
    *,
    layers_sha256: str | None,
    matches_sha256: str | None,
) -> dict[str, Any]:
    """The values of a run's manifest. layers_sha256, matches_sha256: as `layers_digest`, `arrays_digest` give them."""
    environment = {name: env.get(name) for name in ENVIRONMENT}
    return {
        "format": FORMAT,
        "run": run.id,
        "run_sha256": run.sha256,
        **{name: env.get(name) for name in CODE},
        "environment": environment | {"requirements": names_of(env.get("requirements") or ())},
        "curve_sha256": result["curve_sha256"],
        "layers_sha256": layers_sha256,
        "matches_sha256": matches_sha256,
        "predictions_sha256": predictions_digest(result),
        "weights_sha256": result["weights_sha256"],
        "result": {name: result[name] for name in RESULT},
        "started": utc(env["started"]),
        "ended": utc(env["ended"]),
        "register": asdict(start),
    }


def names_of(requirements: Iterable[str]) -> str:
    """How runs.csv names a run's lists of packages, and their files: by the first digits of their SHA-256."""
    return "; ".join(sha256(text.encode())[:12] for text in requirements)


def predictions_digest(result: Mapping[str, Any]) -> str | None:
    """SHA-256 of what was judged image by image, or pair by pair; None where a result has nothing of it."""
    kept = {name: result[name] for name in PREDICTIONS if name in result}
    return sha256(json.dumps(kept, sort_keys=True, separators=(",", ":")).encode()) if kept else None


def layers_digest(rows: Iterable[Mapping[Any, Any]]) -> str | None:
    """SHA-256 of a run's rows of layers, from its folder or from layers.parquet; None of none."""
    there = [{k: row[k] for k in LAYER_COLUMNS[1:] if not _is_missing(row.get(k))} for row in rows]
    return sha256(curve_text(there).encode()) if there else None


def _is_missing(value: Any) -> bool:
    return value is None or value != value  # NaN, as a table has it


def arrays_digest(arrays: Mapping[str, Any]) -> str | None:
    """SHA-256 of NumPy's arrays with their names and shapes; None of none."""
    sha = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest() if arrays else None
