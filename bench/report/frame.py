"""The committed numbers as data frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from bench.report.collect import CURVE_COLUMNS, ENV_COLUMNS, read_curves, read_rows
from bench.spec import SCALES, Sweep
from bench.store import StoreError

NUMBERS = (
    "depth", "seed", "params", "multiply_adds", "steps", "batch", "test_images", "test_error", "train_error",
    "train_loss", "best_test_error", "seconds", "images_per_s",
)  # fmt: skip
TEXTS = (*ENV_COLUMNS, "error_message", "weights_sha256")
SPREAD = ("test_error", "train_error", "train_loss")


@dataclass(frozen=True, slots=True)
class Set:
    """The runs of one sweep at one scale on one data set, with their curves.

    others: rows at this scale that the sweep does not declare (an earlier recipe's), which are in no number.
    """

    scale: str
    data: str
    runs: pd.DataFrame
    curves: pd.DataFrame
    others: int = 0

    @property
    def label(self) -> str:
        """`paper`, `short`, `quick`, or with the data set where it is not CIFAR-10: `quick-stand-in`."""
        return self.scale if self.data == "cifar10" else f"{self.scale}-{self.data}"

    @property
    def done(self) -> pd.DataFrame:
        """The runs that have a number."""
        return self.runs[self.runs["state"] == "done"]


def load(results: Path, sweep: Sweep) -> list[Set]:
    """Every set in a sweep's results, the best first. Raises StoreError where there is none to read."""
    rows = read_rows(results / "runs.csv")
    if not rows:
        raise StoreError(f"{results / 'runs.csv'} has no runs; run the sweep, or `python -m bench collect` it, first")
    try:
        runs = pd.DataFrame(rows).reindex(columns=list(dict.fromkeys([*rows[0], *NUMBERS, *TEXTS])), fill_value="")
        runs = runs.assign(**{name: pd.to_numeric(runs[name]) for name in NUMBERS})
    except ValueError as error:
        raise StoreError(f"{results / 'runs.csv'} is damaged: {error}") from None
    curves = _curves(results / "curves.parquet")
    sets = [
        _set(sweep, scale, str(data), part, curves)
        for scale in SCALES
        for data, part in runs[runs["scale"] == scale].groupby("data")
        if scale in sweep.scales
    ]
    return [one for one in sets if one.runs["state"].isin(["done", "failed"]).any()]


def _set(sweep: Sweep, scale: str, data: str, runs: pd.DataFrame, curves: pd.DataFrame) -> Set:
    """The declared runs among `runs`: a mean over seeds must not mix two recipes that share a net's name."""
    seeds = sorted({*sweep.scales[scale].seeds, *runs["seed"].astype(int)})
    declared = {run.id for run in sweep.runs(scale, seeds, data)}
    ours = runs[runs["id"].isin(declared)]
    if ours.duplicated(["net", "seed"]).any():
        raise StoreError(f"at scale {scale} one net stands under two recipes; give each its own sweep")
    others = int((runs["state"] == "done").sum() - (ours["state"] == "done").sum())
    return Set(scale, data, ours, curves[curves["id"].isin(ours["id"])], others)


def _curves(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=list(CURVE_COLUMNS))
    return read_curves(path)


def by_net(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a net: number of done seeds, mean and standard deviation (n - 1) of each number over them."""
    done = runs[runs["state"] == "done"]
    measured = done.groupby("net").agg(
        n=("test_error", "size"),
        **{f"{column}_{s}": (column, s) for column in SPREAD for s in ("mean", "std")},
    )
    about = runs.groupby("net").agg(
        depth=("depth", "first"),
        shortcut=("shortcut", "first"),
        params=("params", "first"),
        declared=("seed", "size"),
        failed=("state", lambda s: int((s == "failed").sum())),
    )
    frame = about.join(measured)
    return frame.assign(n=frame["n"].fillna(0).astype(int)).sort_values(["depth", "shortcut"])


@cache
def paper_numbers() -> dict[str, dict[str, Any]]:
    """The paper's numbers by id (bench/paper.yaml)."""
    text = files("bench").joinpath("paper.yaml").read_text(encoding="utf-8")
    return {number["id"]: number for number in yaml.safe_load(text)["numbers"]}


def paper_error(net: str) -> dict[str, Any] | None:
    """The paper's Table 6 number for a net of this name, None where it prints none."""
    return next((n for n in paper_numbers().values() if n.get("net") == net and n["table"] == "Table 6"), None)
