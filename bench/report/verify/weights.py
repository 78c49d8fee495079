"""Published weights as witnesses: files against rows, and what a test of them finds against what was published.

The files alone are checked without torch. A test gives the same bits where the run was made: on the same hardware with
the same instruction set, torch, threads and kernels. Elsewhere it rounds differently, and images between two classes
fall to the other side. TOLERANCE says how far that goes, as measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.machine import cpu_name
from bench.report.rows import Row, run_of
from bench.report.verify.published import Published
from bench.spec import Run, SpecError, counted, run_from_json
from bench.store import StoreError, file_digest, tensor_file
from bench.store.tensor_file import SUFFIX, TensorFile

FOLDER = "weights"
SAME = ("hardware", "isa", "torch", "threads")  # what the bits depend on, beside the kernels


class Tolerance(NamedTuple):
    """How far tests of the same weights may differ. share: of the images. margin: of each image that differs."""

    share: float
    margin: float


TOLERANCE = {"bf16": Tolerance(0.002, 0.125), "fp32": Tolerance(0.0005, 0.001)}


class Tested(Protocol):
    """What a test found, see bench.tasks.witness."""

    @property
    def error(self) -> float:
        """In percent."""

    @property
    def correct(self) -> NDArray[np.bool_] | None:
        """By image, or pair."""

    @property
    def margins(self) -> NDArray[np.float32] | None:
        """By image, from the best class's output to the second best's."""

    @property
    def here(self) -> Mapping[str, Any]:
        """Its provenance."""


def weight_files(folder: Path) -> list[Path]:
    """Those in a folder."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def in_weights(published: Published) -> Iterator[str]:
    """The published weights against the rows of their runs, without a test of them."""
    folder = published.folder / FOLDER
    for path in sorted(folder.rglob("*")) if folder.exists() else ():
        if path.is_dir() or path.parent != folder or path.suffix != SUFFIX:
            yield f"{path} is no file of weights: {folder} holds ID{SUFFIX}, which bench export writes"
        else:
            yield from (f"{path}: {problem}" for problem in file_problems(path, published))


def file_problems(path: Path, published: Published) -> Iterator[str]:
    """What in a file of weights contradicts the row that it is of."""
    rows = {row["id"]: row for row in published.done}
    row = rows.get(path.stem)
    if row is None:
        yield f"{published.folder} has no finished run of this name: a file is called by its run"
        return
    try:
        file = tensor_file.read(path)
    except StoreError as error:
        yield str(error).removeprefix(f"{path} ")
        return
    if (found := file.digest) != row["weights_sha256"]:
        of = next((name for name, one in rows.items() if one["weights_sha256"] == found), "")
        whose = f"those of {of}" if of else f"no weights that are published here (SHA-256 {found[:12]})"
        yield f"its tensors are {whose}; the run ended with those of SHA-256 {row['weights_sha256'][:12]}"
    yield from _metadata_problems(file, row, published.folder)


def _metadata_problems(file: TensorFile, row: Row, folder: Path) -> Iterator[str]:
    about = file.about
    try:
        run = run_from_json(about.get("run", "")).id
    except SpecError:
        run = "no run"
    for name in dict.fromkeys((about.get("id", "none"), run)):
        if name != row["id"]:
            yield f"its metadata are of {name}"
    for name in ("weights_sha256", "test_error", "test_images", "data", "data_sha256", "commit"):
        if about.get(name, "") != row.get(name, ""):
            yield f"its metadata say {name} {about.get(name) or 'nothing'}, its row {row.get(name) or 'nothing'}"
    manifest = file_digest(folder / "manifests" / f"{row['id']}.json")
    if manifest and about.get("manifest_sha256", manifest) != manifest:
        yield "its metadata name another manifest than the published one (SHA-256)"


def run_to_test(row: Row) -> Run:
    """The run of a row, with the threads and kernels that it had; on the CPU where that is of the row's name."""
    run = run_of(row)
    threads = re.match(r"\d+", row.get("threads", ""))
    kernels = re.split(r"[,;] ", row.get("kernels", ""))
    return replace(
        run,
        resources=replace(
            run.resources,
            cpus=int(threads[0]) if threads else run.resources.cpus,
            gpus=0 if row["hardware"] == cpu_name() else run.resources.gpus,
            compile="compiled" in kernels,
        ),
    )


def judge(row: Row, bits: NDArray[np.uint8] | None, tested: Tested) -> tuple[bool, str]:
    """Whether a test of the weights agrees with what is published, and in what words. bits: as in correct.npz."""
    if tested.here["data_sha256"] != row["data_sha256"]:
        return False, f"the data here are others (SHA-256 {tested.here['data_sha256'][:12]}): give those of the run"
    there, here, images = float(row["test_error"]), tested.error, int(row["test_images"])
    if bits is None or tested.correct is None:
        words = f"test error {here:.2f} %, published {there:.2f} %; what it judged image by image is not published"
        return here == there, words
    if len(tested.correct) != images:
        return False, f"its test has {counted(len(tested.correct), 'image')} here, and {images:,} in its row"
    differing = np.flatnonzero(tested.correct != np.unpackbits(bits)[:images].astype(bool))
    if not len(differing):
        fine = here == there
        return (
            fine,
            f"each of {images:,} images as published, test error {here:.2f} %{'' if fine else f', not {there}'}",
        )
    words = f"{len(differing):,} of {images:,} images not as published, test error {here:.2f} % against {there:.2f} %"
    if _same_machine(row, tested.here):
        return False, f"{words}, on the machine, instruction set and torch of the run, where no bit differs"
    return _excused(words, differing, tested.margins, run_of(row).recipe.precision)


def _same_machine(row: Row, here: Mapping[str, Any]) -> bool:
    """Whether bits cannot differ; not where the row does not say it."""
    known = all(row.get(name) and str(here.get(name, "")) == row[name] for name in SAME)
    return known and ("compiled" in row.get("kernels", "")) == ("compiled" in here["kernels"])


def _excused(
    words: str, differing: NDArray[np.int64], margins: NDArray[np.float32] | None, precision: str
) -> tuple[bool, str]:
    """Whether rounding explains these images."""
    if margins is None:
        return False, f"{words}; for this task it is not known how many may differ on another machine"
    tolerance, widest = TOLERANCE[precision], differing[margins[differing].argmax()]
    most = max(1, round(tolerance.share * len(margins)))
    if margins[widest] > tolerance.margin:
        return False, (
            f"{words}; image {widest} lies {margins[widest]:.3g} from the other class, and rounding ({precision}) "
            f"moves images up to {tolerance.margin:g}"
        )
    if len(differing) > most:
        return False, f"{words}; rounding ({precision}) moves at most {most:,} of so many"
    return True, (
        f"{words}: each lies at most {margins[widest]:.3g} from the other class, as rounding on another machine "
        f"({precision}, up to {tolerance.margin:g} and {counted(most, 'image')}) allows"
    )
