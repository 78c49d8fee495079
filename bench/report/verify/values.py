"""What no row can say, whatever was trained: exact, so that no honest row is ever named.

The cross-entropy is at least ln 2 for each wrong image: where the label has not the largest output, some other has at
least its probability, the two sum to at most 1, so the label's is at most 1/2. Loss and error are means over the same
images and of the same outputs, fp32 from the logits on in bf16, too, and nothing smooths labels here; a margin changes
the outputs before both. Not so the tests of faces (1 - AUC) and detectors. Committed runs: loss >= 3.1 error ln 2 in
training, 3.1 in tests; ROUNDING is for fp32 sums over 500 images (1e-6).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from bench.report.rows import ASKED, OF_OPTIONS, Row, run_of
from bench.report.verify.published import Published
from bench.spec import PRECISIONS_OF_BOXES, PROTOCOLS, VERIFICATION, Run, counted

ROUNDING = 1e-4
DIGESTS = (
    "weights_sha256", "curve_sha256", "layers_sha256", "matches_sha256", "data_sha256", "start_sha256", "claims_sha256",
)  # fmt: skip
SHA256 = re.compile(r"[0-9a-f]{64}")
FEWEST_DIGITS = 9  # different ones in a digest: eight or fewer of 16 in a true one have a chance of 1e-15
PERCENT = (
    "test_error", "best_test_error", "train_error", "val_error", "source_error", *PROTOCOLS,
    *(name for name in VERIFICATION if name != "auc"), *PRECISIONS_OF_BOXES, *OF_OPTIONS,
)  # fmt: skip
TOP5 = {
    "top5_error": "test_error", "ten_crop_top5_error": "ten_crop_error",
    "multi_scale_top5_error": "multi_scale_error",
}  # fmt: skip


def in_values(published: Published) -> Iterator[str]:
    """Each finished row by itself."""
    yield from published.of_rows(value_problems)


def value_problems(row: Row) -> Iterator[str]:
    """What no finished row can say. Raises ValueError and KeyError for one that cannot be read."""
    run = run_of(row)
    yield from _of_digests(row)
    yield from _of_errors(row, run)
    yield from _of_images(row, run)


def number(row: Row, name: str) -> float | None:
    """The number of a column; None where it is empty, or was not there yet."""
    return float(row[name]) if row.get(name) else None


def too_low(loss: float, error: float) -> bool:
    """Whether so many wrong images, in percent, make a larger cross-entropy."""
    return loss < error / 100 * math.log(2) * (1 - ROUNDING)


def whole(error: float, images: int) -> bool:
    """Whether it is the share, in percent, of a whole number of images."""
    wrong = error / 100 * images
    return math.isclose(wrong, round(wrong), rel_tol=1e-11, abs_tol=1e-9)


def _of_digests(row: Row) -> Iterator[str]:
    for name in DIGESTS:
        for digest in (row.get(name) or "").split("; "):
            if digest and not SHA256.fullmatch(digest):
                yield f"{name} is {digest[:70]!r}, not a SHA-256"
            elif name == "weights_sha256" and 0 < len(set(digest)) < FEWEST_DIGITS:
                yield f"{name} has {len(set(digest))} different digits: nothing has such a SHA-256"


def _of_errors(row: Row, run: Run) -> Iterator[str]:
    task = run.task_row
    for name in PERCENT:
        if (value := number(row, name)) is not None and not 0 <= value <= 100:
            yield f"{name} is {value}, not a percentage"
    for five, one in TOP5.items():
        if row.get(five) and row.get(one) and float(row[five]) > float(row[one]):
            yield f"{five} is {row[five]}, above the {row[one]} of {one}: who is among the five best is not wrong"
    pairs = {"train_error": "train_loss"} if task.by_image else {}
    pairs |= {"test_error": "test_loss"} if task.by_image and not task.answers else {}
    for error, loss in pairs.items():
        if row.get(error) and row.get(loss) and too_low(float(row[loss]), float(row[error])):
            yield f"{loss} is {row[loss]}, and so many wrong images ({row[error]} %) make at least ln 2 each"
    best, at, steps = number(row, "best_test_error"), number(row, "best_step"), run.recipe.steps
    if best is not None and best > float(row["test_error"]):
        yield f"best_test_error is {best}, above the last step's {row['test_error']}"
    if at is not None and at != steps and (at > steps or at % run.recipe.test_every):
        yield f"best_step is {at:.0f}, where there was no test"


def _of_images(row: Row, run: Run) -> Iterator[str]:
    data, tested, asked = run.dataset, int(row["test_images"]), run.recipe.test_images
    known = min(asked, data.test_images or asked)
    if tested > known or (data.test_images and tested < known):
        yield f"{counted(tested, 'image')} tested, and of {run.data} the recipe tests {known:,}"
    elif (tested < asked) != bool(row.get(ASKED)):
        yield f"{counted(tested, 'image')} tested and {asked:,} asked for: {ASKED} says that of fewer images alone"
    error = float(row["test_error"])
    if run.task_row.by_image and not whole(error, tested):
        yield f"test_error is {error}, which no number of {tested} images gives"
    held_out = data.images // 10 if run.recipe.split != "50k" else 0
    has = bool(row.get("val_error"))
    if has and run.recipe.split == "50k":
        yield f"val_error is {row['val_error']}, and its split holds no images out"
    elif not has and held_out:
        yield f"val_error is missing, and its split {run.recipe.split} holds images out"
    elif has and held_out and not whole(float(row["val_error"]), held_out):
        yield f"val_error is {row['val_error']}, which no number of {held_out} images gives"
