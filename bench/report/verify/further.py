"""What further tests say, held against their images, the runs that they are of, and what was published before."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import suppress

import numpy as np

from bench.machine import GitError
from bench.report.further import FILE, FurtherTests, array_of, key_of, read_tests
from bench.report.rows import Row
from bench.report.verify.history import in_words
from bench.report.verify.published import Published
from bench.report.verify.versions import contents
from bench.report.verify.versions import in_words as version
from bench.spec.further import FURTHER

STAYS = ("images", "error")  # of a test of the same weights on the same data


def in_tests(published: Published) -> Iterator[str]:
    """Each row of tests.csv against its run and its images; nothing is there without a row, and no row twice."""
    tests, path = read_tests(published.folder), published.folder / FILE
    runs = {row["id"]: row for row in published.done}
    for row in tests.rows:
        where = f"{path}: {row['id']}, {' '.join(filter(None, key_of(row)[1:]))}"
        yield from (f"{where}: {problem}" for problem in _of_row(row, runs.get(row["id"]), tests))
    if len(tests.by_key) < len(tests.rows):
        yield f"{path}: it has two rows of one run, test set and part"
    for name in sorted(set(tests.bits) - set(map(array_of, tests.by_key))):
        yield f"{path.with_suffix('.npz')}: {name} has no row in {FILE}"
    for name in sorted({row["test"] for row in tests.rows}):
        shas = sorted({row["test_sha256"] for row in tests.rows if row["test"] == name})
        if len(shas) > 1:
            yield f"{path}: its runs were tested on different {name} (SHA-256 {', '.join(shas)})"


def _of_row(row: Row, run: Row | None, tests: FurtherTests) -> Iterator[str]:
    """What a row contradicts. run: its row in runs.csv."""
    known, packed = FURTHER.get(row["test"]), tests.bits.get(array_of(key_of(row)))
    if run is None:
        yield "runs.csv has no finished run of this name"
    elif row["weights_sha256"] != run["weights_sha256"]:
        yield f"it is of weights {row['weights_sha256'][:12]}, and the run ended with {run['weights_sha256'][:12]}"
    elif row["tested"] < run["ended"]:
        yield f"it was tested ({row['tested']}) before the run ended ({run['ended']})"
    if known is None or row["part"] not in known.parts:
        yield f"there is no such test set: the sets are {', '.join(FURTHER)}"
    elif run is not None and run["data"] != known.of:
        yield f"it tests nets trained on {known.of}, and the run trained on {run['data']}"
    elif int(row["images"]) > known.images:
        yield f"it has {int(row['images']):,} images, and the set {known.images:,}"
    if packed is None:
        yield "its per-image correctness is missing"
        return
    images, right = int(row["images"]), np.unpackbits(packed)
    if len(packed) != -(-images // 8) or right[images:].any():
        yield f"its per-image correctness is not of {images:,} images"
    elif float(row["error"]) != (error := 100 * (images - int(right.sum())) / images):
        yield f"error is {row['error']}, and its images say {error}"


def changed_tests(published: Published) -> Iterator[str]:
    """Which tests of the same weights on the same data are others than published, or gone."""
    path = published.folder / FILE
    weights = {row["id"]: row["weights_sha256"] for row in published.rows}
    with suppress(GitError):  # which is said of the rows
        today, said = _facts(path.read_bytes() if path.exists() else b""), set[str]()
        for commit, time, (text,) in contents(path.parent, [path.name]):
            for name, was in _facts(text).items():
                now = today.get(name)
                others = {key: (was[key], now[key]) for key in STAYS if now and now[key] != was[key]}
                gone = now is None and weights.get(was["id"]) == was["weights_sha256"]
                if (others or gone) and name not in said:
                    said.add(name)
                    words = in_words(others) if others else "it is gone, though its run stands as it was"
                    yield f"{path}: {name}: {words} in {version(commit, time)}"


def _facts(text: bytes) -> Mapping[str, Mapping[str, str]]:
    """The rows by what they are of; of an earlier version what can be read of it."""
    rows = [row for row in csv.DictReader(io.StringIO(text.decode(errors="replace"))) if None not in row.values()]
    return {" ".join((*key_of(row), row["weights_sha256"][:8], row["test_sha256"][:8])): row for row in rows}
