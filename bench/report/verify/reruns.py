"""One published run trained once more: the run of a row, its surroundings, and whether the second result agrees.

On the same kind of machine the bits must be the same. Elsewhere the tests of elsewhere.py decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.report.rows import RESULT_COLUMNS, SOME_RESULTS, Row, read_rows, run_of
from bench.report.verify.elsewhere import curve_test, image_test, seeds_test
from bench.report.verify.published import Published
from bench.spec import Run, Way, counted
from bench.store import StoreError

OF_THE_BITS = ("hardware", "isa", "threads", "kernels", "processes", "torch")  # all the same: the bits must be, too
SURROUNDINGS = (*OF_THE_BITS, "allocator", "torchvision", "python")
UNTIMED = (
    *(name for name in RESULT_COLUMNS if name not in ("seconds", "images_per_s", "test_images_per_s")),
    *(*SOME_RESULTS, "layers_sha256", "matches_sha256"),
)
MOST_PACKAGES = 5  # named, of those that differ
NONE = np.zeros(0, bool)


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run as results keep it.

    curve: its rows, without what a row lacks. correct: each image's correctness, by metric, "" the test error's.
    packages: the versions of its lock files by name, none where they are not known.
    """

    row: Row
    curve: Sequence[Mapping[str, float]]
    correct: Mapping[str, NDArray[np.bool_]]
    packages: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path, run: str) -> Result:
        """The result of the run with this id. Raises StoreError where a file is missing or damaged."""
        published = Published.read(folder)
        row = next((row for row in published.done if row["id"] == run), None)
        if row is None:
            raise StoreError(f"{folder / 'runs.csv'} has no result of {run}")
        curve = published.curves[run].drop(columns="id").to_dict("records") if run in published.curves else []
        rows = [{str(name): value for name, value in one.items() if not math.isnan(value)} for one in curve]
        named = {name.partition(":")[2]: bits for name, bits in published.correct.items() if name.split(":")[0] == run}
        images = int(row["test_images"])
        correct = {metric: np.unpackbits(bits)[:images].astype(bool) for metric, bits in named.items()}
        locks = [folder / "requirements" / f"{one}.txt" for one in (row.get("requirements") or "").split("; ") if one]
        return cls(row, rows, correct, _versions(locks))


def _versions(locks: Sequence[Path]) -> dict[str, str]:
    """The versions that lock files name; of several a package's, one after the other."""
    found: dict[str, list[str]] = {}
    for lock in locks:
        try:
            lines = lock.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise StoreError(f"{lock} cannot be read: {error}; take it from git again") from None
        for name, is_one, version in (line.partition("==") for line in lines if not line.startswith("#")):
            if is_one and version not in found.setdefault(name, []):
                found[name].append(version)
    return {name: " or ".join(versions) for name, versions in found.items()}


def stored_run(asked: str, results: Sequence[Path]) -> tuple[Run, Result, list[float]]:
    """The Run of a row, with the threads and kernels it had; its result; the test errors of all seeds of its net.

    asked: its id, or the beginning that no other one has. results: folders; of one run in two the first counts. Raises
    StoreError naming the finished runs that it may be, or all.
    """
    places: dict[str, tuple[Path, Row]] = {}
    for folder in results:
        rows = (row for row in read_rows(folder / "runs.csv") if row["state"] == "done")
        places = {row["id"]: (folder, row) for row in rows} | places
    found = [name for name in places if name == asked] or [name for name in places if name.startswith(asked)]
    if len(found) != 1:
        what = f"{len(found):,} finished runs begin with" if found else "there is no finished run"
        raise StoreError(f"{what} {asked!r}; give one of these:" + "".join(f"\n  {name}" for name in found or places))
    folder, row = places[found[0]]
    run = run_of(row)
    alike = [one for _, one in places.values() if replace(run_of(one), seed=run.seed) == run]
    cpus, kernels = int(row["threads"].split(";")[0]), (row.get("kernels") or "").split("; ")[0].split(", ")
    batch_norm = next((one for one in ("grouped", "fused") if f"{one} batch norm" in kernels), "passes")
    way = Way(graph="graph" in kernels, compile="compiled" in kernels, batch_norm=batch_norm)
    had = replace(run.resources.made(way), cpus=cpus)
    return replace(run, resources=had), Result.read(folder, run.id), [float(one["test_error"]) for one in alike]


def compare_rerun(stored: Result, again: Result, errors: Sequence[float]) -> tuple[bool, list[str]]:
    """Whether a rerun agrees with its row, and why, a sentence each; what differs in their surroundings comes first.

    errors: test errors in percent of all stored seeds of the net and recipe.
    """
    there, here = stored.row, again.row
    lines = [surroundings(stored, again)]
    if there["data_sha256"] != here["data_sha256"]:
        shas = f"SHA-256 {here['data_sha256'][:12]}, not {there['data_sha256'][:12]}"
        return False, [*lines, f"trained on other data ({shas})"]
    departs = departure(stored, again)
    if not departs:
        return True, [*lines, f"the same weights, curve and images bit for bit, test error {_error(here):.2f} %"]
    unknown = [_name(name) for name in OF_THE_BITS if not (there.get(name) and here.get(name))]
    unlike = any(there[name] != here[name] for name in OF_THE_BITS if there.get(name) and here.get(name))
    if not unlike and not unknown:
        return False, [*lines, f"on the same kind of machine all bits must be the same: {departs}"]
    if there["weights_sha256"] == here["weights_sha256"] and stored.curve:
        return False, [*lines, f"with the same weights bit for bit all else must be the same: {departs}"]
    kind = "another kind of machine" if unlike else f"perhaps another kind of machine (not known: {', '.join(unknown)})"
    curve, seeds = curve_test(stored.curve, again.curve), seeds_test(_error(here), errors)
    images, power = image_test(stored.correct.get(""), again.correct.get(""))
    lines += [f"{kind}: {departs}; three tests decide"]
    lines += [f"{'passed' if one.passed else 'FAILED'}, {one.words}" for one in (curve, images, seeds)]
    return all(one.passed for one in (curve, images, seeds)), [*lines, power]


def _error(row: Row) -> float:
    return float(row["test_error"])


def _name(column: str) -> str:
    return "instruction set" if column == "isa" else column


def surroundings(stored: Result, again: Result) -> str:
    """What differs between where the row was made and here, and what is not known of both."""
    there, here = stored.row, again.row
    known = [name for name in SURROUNDINGS if there.get(name) and here.get(name)]
    unlike = [f"{_name(name)} {there[name]}, here {here[name]}" for name in known if there[name] != here[name]]
    unknown = [_name(name) for name in SURROUNDINGS if name not in known]
    if stored.packages and again.packages:
        named = sorted({*stored.packages, *again.packages})
        versions = {name: (stored.packages.get(name, "none"), again.packages.get(name, "none")) for name in named}
        other = [f"{name} {was}, here {now}" for name, (was, now) in versions.items() if was != now]
        unlike += [*other[:MOST_PACKAGES], *[f"and {len(other) - MOST_PACKAGES} more"] * (len(other) > MOST_PACKAGES)]
    else:
        unknown.append("versions of packages")
    words = f"differs from the row's surroundings: {'; '.join(unlike)}" if unlike else "surroundings: those of the row"
    return f"{words}{' as far as known' * (not unlike)}; not known: {', '.join(unknown)}" if unknown else words


def departure(stored: Result, again: Result) -> str:
    """Where a rerun first departs from the bits of its row; "" where it does not."""
    there, here = stored.row, again.row
    weights = "the same weights" if there["weights_sha256"] == here["weights_sha256"] else "other weights"
    for number, (was, now) in enumerate(zip(stored.curve, again.curve, strict=False), 1):
        for name in (name for name in {**was, **now} if was.get(name) != now.get(name)):
            values = f"{name} {was.get(name, 'none')}, here {now.get(name, 'none')}"
            return (
                f"{weights}; the curve departs at row {number} of {len(stored.curve)}, step {was['step']:.0f}: {values}"
            )
    if len(stored.curve) != len(again.curve):
        return f"{weights}; the curve has {counted(len(stored.curve), 'row')}, here {len(again.curve)}"
    for metric in sorted(stored.correct.keys() | again.correct.keys()):
        ours, theirs = again.correct.get(metric, NONE), stored.correct.get(metric, NONE)
        if not np.array_equal(ours, theirs):
            apart = f"{int((ours != theirs).sum()):,} of {ours.size:,}" if ours.size == theirs.size else "not as many"
            return f"{weights}, and {apart} images judged otherwise ({metric or 'test_error'})"
    unlike = [name for name in UNTIMED if (there.get(name) or "") != (here.get(name) or "")]
    values = "; ".join(f"{name} {there.get(name) or 'none'}, here {here.get(name) or 'none'}" for name in unlike)
    return f"{weights}; {values}" if unlike else ""
