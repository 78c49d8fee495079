"""What further tests found: results/<sweep>/tests.csv, a row a run, test set and part, and tests.npz, its images."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.report.rows import cell
from bench.report.stored import read_arrays
from bench.spec.further import FURTHER
from bench.store import RunFolder, StoreError, atomic, write_text
from bench.store.further import kept_tests
from bench.store.register import utc

FILE, BITS = "tests.csv", "tests.npz"
KEY = ("id", "test", "part")
OF_TEST = ("hardware", "isa", "threads", "kernels", "commit", "tree", "dirty", "bench", "torch", "python")
COLUMNS = (*KEY, "images", "error", "test_sha256", "weights_sha256", "tested", *OF_TEST)
Key = tuple[str, str, str]
Bits = NDArray[np.uint8]


@dataclass(frozen=True)
class FurtherTests:
    """rows: as text, by column. bits: each image's correctness, eight images a byte, by `<id>:<test>[:<part>]`."""

    rows: tuple[Mapping[str, str], ...] = ()
    bits: Mapping[str, Bits] = field(default_factory=dict)

    @cached_property
    def by_key(self) -> Mapping[Key, Mapping[str, str]]:
        """The rows by run, test set and part."""
        return {key_of(row): row for row in self.rows}

    def right(self, key: Key, weights_sha256: str) -> NDArray[np.bool_] | None:
        """Which images a run with these weights has right; None where that is not there."""
        row, packed = self.by_key.get(key), self.bits.get(array_of(key))
        if row is None or packed is None or row["weights_sha256"] != weights_sha256:
            return None
        return np.unpackbits(packed)[: int(row["images"])].astype(bool)


NO_TESTS = FurtherTests()


def key_of(row: Mapping[str, Any]) -> Key:
    """What a row is known by."""
    return row["id"], row["test"], row["part"]


def array_of(key: Key) -> str:
    """The name of its array."""
    return ":".join(filter(None, key))


def read_tests(results: Path) -> FurtherTests:
    """The further tests in a folder of results; none where there is no file. Raises StoreError where it is damaged."""
    path = results / FILE
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        rows = tuple(reader)
        if lacking := set(COLUMNS).difference(reader.fieldnames or ()):
            raise ValueError(f"no column {', '.join(sorted(lacking))}")
        for number, row in enumerate(rows, 2):
            if None in row or None in row.values() or not int(row["images"]) > 0 or not 0 <= float(row["error"]) <= 100:
                raise ValueError(f"line {number} is no row of it")
    except FileNotFoundError:
        return FurtherTests()
    except (OSError, ValueError, csv.Error) as error:
        raise StoreError(f"{path} is damaged: {error}; take it from git again") from None
    return FurtherTests(rows, read_arrays(results / BITS))


def collect_tests(results: Path, rows: Iterable[Mapping[str, Any]], here: Mapping[str, RunFolder]) -> None:
    """Brings both files up to date. rows: of runs.csv, in their order. here: the runs whose folder has their result.

    The first test of the same weights on the same data stands; those of other weights than the row's go.
    """
    weights = {str(row["id"]): str(row.get("weights_sha256") or "") for row in rows}
    before = read_tests(results)
    found: dict[Key, tuple[Mapping[str, Any], Bits | None]] = {
        key: (row, before.bits.get(array_of(key)))
        for key, row in before.by_key.items()
        if weights.get(key[0]) == row["weights_sha256"]
    }
    for name, folder in here.items():
        for row, packed in (one for test in kept_tests(folder, weights[name]) for one in _rows(test)):
            stands = found.get(key_of(row))
            if stands is None or stands[1] is None or stands[0]["test_sha256"] != row["test_sha256"]:
                found[key_of(row)] = row, packed
    if not found:
        for name in (FILE, BITS):
            (results / name).unlink(missing_ok=True)
        return
    place = {name: k for k, name in enumerate((*weights, *FURTHER))}
    ordered = sorted(found, key=lambda key: (place[key[0]], place.get(key[1], len(place)), key[2]))
    write_text(results / FILE, _as_csv(found[key][0] for key in ordered))
    arrays = {array_of(key): bits for key in ordered if (bits := found[key][1]) is not None}
    with atomic(results / BITS) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _rows(test: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Bits]]:
    """The rows and bits of a file of a run's folder; none where nobody knows the test set any more."""
    shared = {name: test.get(name) for name in COLUMNS} | {"tested": utc(test["tested"])}
    for part, its in test["parts"].items() if test["test"] in FURTHER else ():
        row = {**shared, "part": part, "images": its["images"], "error": its["error"]}
        yield row, np.frombuffer(bytes.fromhex(its["correct"]), np.uint8)


def _as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()
