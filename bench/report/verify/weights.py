"""Published weights as witnesses: files against rows, and what a test of them finds against what was published.

The files alone are checked without torch. A test gives the same bits where the run was made: on the same hardware with
the same instruction set, torch, threads and kernels. Elsewhere it rounds differently, and an image whose two best
classes have nearly the same output, its margin being small, falls to the other side.

How many do so was measured on nets of 20 layers trained on CIFAR-10 in bf16, two at scale paper and two at scale short,
on one processor with AVX-512 and bf16 units, torch 2.14, against the kernels of the runs (compiled, one thread), which
gave every image again. The fewer than 10,000 are the test set's first:

    bf16, eager                             2, 4, 7 and 16 of 10,000 images, margins up to 0.125
    bf16, eager, AVX-512 without bf16       7 of 3,000, up to 0.125
    bf16, eager, AVX2                       6 of 10,000; 0 and 7 of 3,000, up to 0.1875
    bf16, eager, SSE4.1                     2 of 1,000, up to 0.094
    bf16, compiled, oneDNN's AVX2           2 of 500, up to 0.0625
    fp32, eager; AVX2; SSE4.1               none; outputs differ by 0.00002 at most

Two threads gave the numbers of one. In bf16, 24 became right and 27 wrong. TOLERANCE is twice the share and the margin;
of fp32, which moved none, five images in 10,000 and five times the outputs' difference. Half of all images have a
margin of 4 to 11, half of those judged wrong one of 1 to 2. Nobody has tried deeper nets, another make of processor or
a GPU. A forger could claim 21 images of 10,000 in his favour, 0.21 points, and has to find them among those between two
classes. By their digest any other weights are told from the run's; by their images those with noise of 1 % each (100
differ, up to 1.25), and not those with 0.3 % (32 differ), which is no more than bf16 rounds them by.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.machine import cpu_name
from bench.report.card import SUFFIX as CARD
from bench.report.card import card_problems
from bench.report.rows import Row, run_of
from bench.report.verify.published import Published
from bench.spec import Run, SpecError, counted, run_from_json
from bench.spec.own import copy_name
from bench.store import StoreError, file_digest, tensor_file
from bench.store.tensor_file import SUFFIX, TensorFile

FOLDER = "weights"
SAME = ("hardware", "isa", "torch", "threads")  # what the bits depend on, beside the kernels


class Tolerance(NamedTuple):
    """How far tests of the same weights may differ. share: of the images. margin: of each image that differs."""

    share: float
    margin: float


TOLERANCE = {"bf16": Tolerance(0.005, 0.375), "fp32": Tolerance(0.0005, 0.0001)}
DEVIATIONS = 3  # of the difference between those that became right and wrong, were both as likely


class Tested(Protocol):
    """What a test found, see bench.tasks.retest."""

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
    """The published weights against the rows of their runs, without a test of them, and their cards against them."""
    folder = published.folder / FOLDER
    codes = dict(_codes(published, {path.stem for path in weight_files(folder)}))
    for path in sorted(folder.rglob("*")) if folder.exists() else ():
        if path.is_file() and codes.get(path.relative_to(folder)) == file_digest(path):
            continue
        if path.suffix == CARD and path.parent == folder and path.with_suffix(SUFFIX).is_file():
            yield from (f"{path}: {problem}" for problem in card_problems(path))
        elif path.is_dir() or path.parent != folder or path.suffix != SUFFIX:
            yield f"{path} is no file of weights: {folder} holds ID{SUFFIX} and ID{CARD}, which bench export writes"
        else:
            yield from (f"{path}: {problem}" for problem in file_problems(path, published))


def _codes(published: Published, ids: Container[str]) -> Iterator[tuple[Path, str]]:
    """The names and digests of the user's code beside weights of these runs, which are nothing without it."""
    for row in (row for row in published.done if row["id"] in ids):
        with suppress(SpecError, ValueError):  # said of the row
            yield from ((Path(copy_name(*code)), code[1]) for code in run_of(row).codes.values())


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
    return replace(run, resources=run.resources.as_recorded(row, cpu_name()))


def judge(row: Row, bits: NDArray[np.uint8] | None, tested: Tested) -> tuple[bool, str]:
    """Whether a test of the weights agrees with what is published, and in what words. bits: as in correct.npz."""
    if tested.here["data_sha256"] != row["data_sha256"]:
        return False, f"the data here are others (SHA-256 {tested.here['data_sha256'][:12]}): give those of the run"
    there, here, images = float(row["test_error"]), tested.error, int(row["test_images"])
    errors = f"test error {here:.2f} %" + (f", published {there:.2f} %" if here != there else "")
    if bits is None or tested.correct is None:
        return _elsewhere(here == there, f"the images are not judged one by one; {errors}", row, tested)
    if len(tested.correct) != images:
        return False, f"its test has {counted(len(tested.correct), 'image')} here, and {images:,} in its row"
    right = np.unpackbits(bits)[:images].astype(bool)
    differing = np.flatnonzero(tested.correct != right)
    if not len(differing):
        return here == there, f"each of {images:,} images as published, {errors}"
    words = f"{len(differing):,} of {images:,} images not as published, {errors}"
    if tested.margins is None or _same_machine(row, tested.here):
        return _elsewhere(False, words, row, tested)
    problem = _unexplained(tested.margins, differing, int(right[differing].sum()), run_of(row).recipe.precision)
    widest = tested.margins[differing].max()
    return (
        not problem,
        f"{words}; {problem or f'each lies at most {widest:.3g} from another class: rounding explains it'}",
    )


def _elsewhere(same: bool, words: str, row: Row, tested: Tested) -> tuple[bool, str]:
    """Whether bits that have to be the `same` here are; on another machine nobody has measured what rounding does."""
    if same:
        return True, words
    if _same_machine(row, tested.here):
        return False, f"{words}, on the hardware, instruction set and torch of the run, where no bit differs"
    return True, f"{words}: not judged, as nobody has measured how far another machine moves such a test"


def _same_machine(row: Row, here: Mapping[str, Any]) -> bool:
    """Whether bits cannot differ; not where the row does not say it."""
    known = all(row.get(name) and str(here.get(name, "")) == row[name] for name in SAME)
    return known and ("compiled" in row.get("kernels", "")) == ("compiled" in here["kernels"])


def _unexplained(margins: NDArray[np.float32], differing: NDArray[np.int64], lost: int, precision: str) -> str:
    """Why rounding does not explain that these images differ, `lost` of them wrong here; "" where it does."""
    tolerance, count = TOLERANCE[precision], len(differing)
    widest = differing[margins[differing].argmax()]
    most = max(1, round(tolerance.share * len(margins)))
    if not margins[widest] <= tolerance.margin:  # NaN, too
        far = f"image {widest} lies {margins[widest]:.3g} from another class"
        return f"{far}, and rounding ({precision}) moves none that lies more than {tolerance.margin:g} from it"
    if count > most:
        return f"rounding ({precision}) moves at most {most:,} of so many"
    if abs(count - 2 * lost) > DEVIATIONS * math.sqrt(count):
        return f"{lost:,} of them are wrong here, and rounding moves as many to either side"
    return ""
