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
    """The lines about the results in these folders, each of one sweep. A result that is in two of them counts once."""
    runs = dict[tuple[str, str], set[Path]]()  # by id and final weights
    for folder in folders:
        for row in read_rows(folder / "runs.csv"):
            if row["state"] == "done":
                runs.setdefault((row["id"], row["weights_sha256"]), set()).add(folder)
    there = {
        kind: sum(
            any((folder / place.format(name)).exists() for folder in its for place in places)
            for (name, _), its in runs.items()
        )
        for kind, *places in (
            ("manifest", "manifests/{}.json"),
            ("signed", "manifests/{}.json.sig"),
            ("stamped", "manifests/{}.json.tsr"),
            ("weights", "weights/{}.safetensors", "../weights/{}.safetensors"),  # published, beside own runs
        )
    }
    tests = "tests these weights" if there["weights"] else "DIR tests those that bench export --weights wrote,"
    every = counted(len(runs), "run")
    unchanged = "no published result has changed in this history, " if all(map(_is_dated, folders)) else ""
    return (
        f"proven: the numbers of {every} follow from the curves and images that were kept of them, {unchanged}"
        "and the pages say what the numbers say\n"
        f"not proven: that the trainings took place as said. Of {every} a register of starts and a manifest speak for "
        f"{there['manifest']}, a signature for {there['signed']}, a time stamp for {there['stamped']}; "
        f"the final weights of {there['weights']} are here\n"
        f"to prove more: bench verify --weights {tests} image by image (minutes), --figures draws all figures again, "
        "--rerun RUN trains a run once more"
    )


def _is_dated(folder: Path) -> bool:
    """Whether the history of these results is here, whole."""
    try:
        return bool(committed(folder)) and not is_shallow(folder)
    except GitError:
        return False
