"""What a clean `bench verify` has proven, what it has not, and how a stranger could prove more: three lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.machine import GitError
from bench.report.rows import read_rows
from bench.report.verify.commits import is_shallow
from bench.report.verify.versions import committed
from bench.spec import counted


def three_lines(folders: Sequence[Path]) -> str:
    """The lines about the results in these folders, each of one sweep."""
    runs = [
        (folder, row["id"]) for folder in folders for row in read_rows(folder / "runs.csv") if row["state"] == "done"
    ]
    there = {
        kind: sum((folder / pattern.format(name)).exists() for folder, name in runs)
        for kind, pattern in {
            "manifest": "manifests/{}.json", "signed": "manifests/{}.json.sig", "stamped": "manifests/{}.json.tsr",
            "weights": "weights/{}.safetensors",
        }.items()
    }  # fmt: skip
    every = counted(len(runs), "run")
    unchanged = "no published result has changed in this history, " if all(map(_is_dated, folders)) else ""
    return (
        f"proven: the numbers of {every} follow from the curves and images that were kept of them, {unchanged}"
        "and the pages say what the numbers say\n"
        f"not proven: that the trainings took place as said. Of {every} a register of starts and a manifest speak for "
        f"{there['manifest']}, a signature for {there['signed']}, a time stamp for {there['stamped']}; "
        f"the final weights of {there['weights']} are here\n"
        "to prove more: bench verify --weights tests these weights image by image (minutes), --figures draws all "
        "figures again, --rerun RUN trains a run once more"
    )


def _is_dated(folder: Path) -> bool:
    """Whether the history of these results is here, whole."""
    try:
        return bool(committed(folder)) and not is_shallow(folder)
    except GitError:
        return False
