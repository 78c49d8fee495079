"""The published results of one sweep, read once for all checks."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.rows import Row, read_rows
from bench.report.stored import read_arrays, read_table
from bench.spec import SpecError
from bench.store import StoreError


@dataclass(frozen=True, slots=True)
class Trusted:
    """Whom the reader trusts: files of their own; None for those that are published beside the results.

    signers: of `ssh-keygen`'s ALLOWED SIGNERS. authorities: certificates (PEM) of those who stamp the time.
    """

    signers: Path | None = None
    authorities: Path | None = None


BESIDE = Trusted()


@dataclass(frozen=True, slots=True)
class Published:
    """What is in results/<sweep>/.

    rows: of runs.csv, as text. curves, layers: by a run's id. correct: each image's correctness, eight images a byte,
    by `<id>` and `<id>:<metric>`. arrays: those of pairs.npz and matches.npz, by `<id>` and `<id>:<field>`.
    """

    folder: Path
    rows: Sequence[Row]
    curves: Mapping[str, pd.DataFrame]
    layers: Mapping[str, pd.DataFrame]
    correct: Mapping[str, NDArray[np.uint8]]
    arrays: Mapping[str, NDArray[Any]]
    trusted: Trusted = BESIDE

    @classmethod
    def read(cls, folder: Path, trusted: Trusted = BESIDE) -> Published:
        """The results in `folder`. Raises StoreError where a file cannot be read."""
        return cls(
            folder,
            read_rows(folder / "runs.csv"),
            _by_run(read_table(folder / "curves.parquet")),
            _by_run(read_table(folder / "layers.parquet")),
            read_arrays(folder / "correct.npz"),
            read_arrays(folder / "pairs.npz") | read_arrays(folder / "matches.npz"),
            trusted,
        )

    @property
    def done(self) -> list[Row]:
        """The rows with a result."""
        return [row for row in self.rows if row["state"] == "done"]

    def of_rows(self, problems: Callable[[Row], Iterator[str]]) -> Iterator[str]:
        """The problems of each finished row by itself; that one cannot be read `in_rows` says."""
        for row in self.done:
            with suppress(ValueError, KeyError):
                yield from (self.at(row, problem) for problem in problems(row))

    def at(self, row: Row, problem: str) -> str:
        """The problem with the place of its row."""
        return f"{self.folder / 'runs.csv'}: {row['id']}: {problem}"


def to_the_end(what: str, found: Iterable[str]) -> Iterator[str]:
    """The sentences of a check, and one more where values that no run writes broke it off.

    What a check knows to be unreadable, StoreError and SpecError, is left to the caller.
    """
    try:
        yield from found
    except (StoreError, SpecError):
        raise
    except Exception as error:  # whatever the values run into
        frames = traceback.extract_tb(error.__traceback__)
        place = next(frame for frame in reversed(frames) if "bench" in Path(frame.filename).parts)  # this one, at last
        where = f"{Path(place.filename).name}, line {place.lineno}"
        words = " ".join(str(error).split())[:100]
        yield f"{what} broke off ({type(error).__name__}: {words}; {where}): it read what no run writes, or is at fault"


def _by_run(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(name): rows for name, rows in table.groupby("id")}
