"""All that a run leaves behind, read from published results and written as a run folder: the inverse of `collect`."""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.rows import (
    ENV_COLUMNS,
    NUMBERS,
    RESULT_COLUMNS,
    SOME_ENV,
    SOME_RESULTS,
    WHOLE,
    declared_columns,
    run_of,
)
from bench.report.stored import read_arrays, read_table
from bench.spec import Run
from bench.store import RunFolder, read_json, write_bytes, write_json
from bench.store.files import file_digest
from tests.forgeries import witnesses_kept

DATES = ("started", "ended")
DATE = "%Y-%m-%dT%H:%M:%SZ"


@dataclass
class Left:
    """What a run leaves: a forger changes it and writes it again."""

    run: Run
    result: dict[str, Any] = field(default_factory=dict)  # of a run that failed empty
    env: dict[str, Any] = field(default_factory=dict)
    curve: list[dict[str, Any]] = field(default_factory=list)
    layers: list[dict[str, Any]] = field(default_factory=list)
    matches: dict[str, NDArray[Any]] = field(default_factory=dict)
    claims: str = ""
    predicted: float | None = None
    error: str = ""

    def copy(self) -> Left:
        return copy.deepcopy(self)

    def right(self, metric: str = "test_error") -> NDArray[np.bool_]:
        """Which test images (or pairs) are judged right."""
        text = self.result["correct"] if metric == "test_error" else self.result["correct_by"][metric]
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))
        return bits[: self.result["test_images"]].astype(bool)

    def judge(self, right: NDArray[np.bool_], metric: str = "test_error") -> None:
        """Keeps that these images are right, and the error that follows; `settle` carries it into the curve."""
        text = np.packbits(right).tobytes().hex()
        if metric == "test_error":
            self.result |= {"correct": text, "test_images": len(right)}
        else:
            self.result["correct_by"][metric] = text
        self.result[metric] = 100 * int((~right).sum()) / len(right)

    def settle(self) -> None:
        """Makes curve and result agree: the last row has the test error of the images, the rest is the curve's."""
        last = self.curve[-1]
        last["test_error"] = self.result["test_error"]
        tested = [row for row in self.curve if "test_error" in row]
        best = min(tested, key=lambda row: (row["test_error"], row["step"]))
        self.result |= {
            "train_error": last.get("error"),
            "train_loss": last["loss"],
            "test_loss": last.get("test_loss"),
            "best_test_error": best["test_error"],
            "best_step": best["step"],
            "step": last["step"],
        }

    def lasts(self, seconds: float) -> None:
        """Seconds of training, the speed and the date of the end that follow."""
        spare = self.env["ended"] - self.env["started"] - self.result["seconds"]
        self.result["seconds"] = seconds
        self.result["images_per_s"] = self.run.recipe.steps * self.run.recipe.batch / seconds
        self.env["ended"] = self.env["started"] + round(seconds + max(spare, 0))

    def starts(self, moment: str) -> None:
        """Moves the run to another date, and keeps how long it took."""
        began = datetime.strptime(moment, DATE).replace(tzinfo=UTC).timestamp()
        self.env |= {"started": began, "ended": began + self.env["ended"] - self.env["started"]}

    def write(self, sweep_folder: Path) -> RunFolder:
        """The run folder as the worker leaves it."""
        folder = RunFolder(sweep_folder / self.run.id)
        folder.create(self.run)
        if self.claims:
            folder.declare(self.claims)
        if self.layers:
            folder.write_layers(self.layers)
        if self.error:
            folder.fail(self.error, retry=False)
            return folder
        if self.predicted is not None:
            folder.predict(self.predicted)
        folder.write_curve(self.curve)
        if self.matches:
            file = io.BytesIO()
            np.savez_compressed(file, allow_pickle=False, **self.matches)
            write_bytes(folder.matches, file.getvalue())
        folder.finish({**self.result, "id": self.run.id}, self.env)
        reseal(folder)
        return folder


def reseal(folder: RunFolder) -> None:
    """Makes every digest inside a run folder that of the file as it is now.

    The one place for what else a run comes to leave: with a manifest or a register they are made anew as well.
    """
    result = read_json(folder.path / "result.json")
    result["curve_sha256"] = file_digest(folder.curve)
    for name, path in (("layers_sha256", folder.layers), ("matches_sha256", folder.matches)):
        if path.exists():
            result[name] = file_digest(path)
    write_json(folder.path / "result.json", result)
    witnesses_kept.renew(folder)


def read_left(results: Path, row: Mapping[str, str]) -> Left:
    """What the run of a published row left, as far as it is published."""
    name, run = row["id"], run_of(row)
    layers = _rows(results / "layers.parquet", name)
    if row["state"] == "failed":
        return Left(run, layers=layers, claims=row.get("claims_sha256", ""), error=row["error_message"])
    correct = {k: v for k, v in read_arrays(results / "correct.npz").items() if k.split(":")[0] == name}
    scores = {k: v for k, v in read_arrays(results / "pairs.npz").items() if k.split(":")[0] == name}
    matches = read_arrays(results / "matches.npz")
    # params are a result of embedders and detectors alone, else what the Run itself gives
    known = {key for key, value in declared_columns(run).items() if value is not None and key in SOME_RESULTS}
    result = {
        key: _value(key, row[key]) for key in (*RESULT_COLUMNS, *SOME_RESULTS) if row.get(key) and key not in known
    }
    result["step"] = run.recipe.steps
    if correct:
        result["correct"] = correct[name].tobytes().hex()
        by_metric = {key.split(":", 1)[1]: bits.tobytes().hex() for key, bits in correct.items() if ":" in key}
        result |= {"correct_by": by_metric} if by_metric else {}
    if scores:
        result |= {"pair_scores": scores[name].tolist()}
        result |= {f"pair_{part}": scores[f"{name}:{part}"].tolist() for part in ("same", "fold")}
    env = {key: _value(key, row[key]) for key in (*ENV_COLUMNS, *SOME_ENV) if row.get(key)}
    env |= {"dirty": row["dirty"] == "True", "notice": row.get("notice", ""), **_seconds(row)}
    if lists := env.pop("requirements", ""):
        env["requirements"] = [(results / "requirements" / f"{one}.txt").read_text() for one in lists.split("; ")]
    return Left(
        run,
        result,
        env,
        _rows(results / "curves.parquet", name),
        layers,
        {key.split(":", 1)[1]: array for key, array in matches.items() if key.split(":")[0] == name},
        row.get("claims_sha256", ""),
        float(row["predicted_seconds"]) if row.get("predicted_seconds") else None,
    )


def _seconds(row: Mapping[str, str]) -> dict[str, float]:
    return {name: datetime.strptime(row[name], DATE).replace(tzinfo=UTC).timestamp() for name in DATES}


def _rows(path: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a run as it wrote them: no value where there was none."""
    table: pd.DataFrame = read_table(path)
    rows = table[table["id"] == name].drop(columns="id").to_dict("records")
    return [{str(key): value for key, value in row.items() if not pd.isna(value)} for row in rows]


def _value(name: str, text: str) -> Any:
    """A cell of runs.csv as the run wrote it."""
    if name in (*WHOLE, "people") or (name in ("share", "processes", "threads") and text.isdigit()):
        return int(text)
    return float(text) if name in NUMBERS else text
