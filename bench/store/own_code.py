"""The user's code that a run depends on, in its folder: what it trains, whatever becomes of the user's file."""

from __future__ import annotations

from pathlib import Path

from bench.spec import Run
from bench.spec.own import CODE_FOLDER, content_of, keep_file
from bench.store.files import sha256, write_bytes


def put(folder: Path, run: Run) -> None:
    """Writes the files that are not there. Raises OwnCodeError where nobody has their content."""
    for name, (code, digest) in run.codes.items():
        if not (folder / name).exists():
            write_bytes(folder / name, content_of(code, digest))


def found_in(folder: Path, run: Run) -> None:
    """Says that the run's code lies in its folder."""
    for name, (_, digest) in run.codes.items():
        keep_file(digest, folder / name)


def beside_results(results: Path) -> None:
    """Says that the code of the rows in a folder of results lies in its folder of code."""
    for path in sorted((results / CODE_FOLDER).glob("*.py")):
        keep_file(sha256(path.read_bytes()), path)
