"""No run's id changes: ids.csv has a digest over all of them for each sweep, scale and data set.

A digest that differs means that runs which have been trained are no longer found. A new sweep gets a new row:
`python -m tests.spec.test_ids >tests/spec/ids.csv`, of which git shows what else has changed.
"""

from __future__ import annotations

import csv
import hashlib
import runpy
from collections.abc import Iterator
from pathlib import Path

from bench.spec import Sweep
from bench.spec.datasets import dataset_of

ROOT, GOLDEN = Path(__file__).parents[2], Path(__file__).with_name("ids.csv")
IN_PLACE = {"imagenet": "tiny-imagenet-100"}  # what the committed results are on


def sets_at(sweep: Sweep, scale: str) -> Iterator[str]:
    """The declared data, and what may take their place."""
    declared = sweep.data_at(scale)
    yield declared
    if declared in IN_PLACE:
        yield IN_PLACE[declared]
    if scale == "quick" and dataset_of(declared).stand_in:
        yield dataset_of(declared).stand_in


def rows() -> Iterator[tuple[str, ...]]:
    for path in sorted((ROOT / "sweeps").glob("[!_]*.py")):
        sweep: Sweep = runpy.run_path(str(path))["SWEEP"]
        for scale in sweep.scales:
            for data in sets_at(sweep, scale):
                ids = [run.id for run in sweep.runs(scale, data=data)]
                yield path.stem, scale, data, str(len(ids)), hashlib.sha256("\n".join(ids).encode()).hexdigest()


def test_no_id_changes() -> None:
    with GOLDEN.open(newline="") as file:
        _, *golden = (tuple(row) for row in csv.reader(file))

    assert list(rows()) == golden


if __name__ == "__main__":
    print("sweep,scale,data,runs,sha256", *(",".join(row) for row in rows()), sep="\n")
