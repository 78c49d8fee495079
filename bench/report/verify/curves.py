"""What in a curve no training by its recipe gives.

Exact: steps, tests and learning rates are those of the recipe, errors whole numbers of images of their window, losses
not negative and at least ln 2 a wrong image (`values`). A loss is a mean of many fp32 numbers and hardly ever short:
one in 4e6 of windows of 200 steps ends after six digits, so that SHORT of them among 320 rows have a chance of 1e-13,
of single steps 1e-9; equal ones less. Committed runs have neither.

By chance, of a classifier on data of a known size, in windows of half an epoch or less, in each of which WRONG images
or more were right and as many wrong: the second differences of the training error, in its binomial deviations.

They scatter: by 1 where each image has a chance of its own, by 0.9 where images are sure and windows half epochs, by
less where the net knows its images. Committed runs: 1.07 to 1.82 (by the median of 38 or 318), and 0.55 in the least
quarter of one. A curve is too smooth where so small a median has a chance below ALARM if they scatter by SCATTER.
Counted are triples of rows that share none: 106 of 320 rows have to be below 0.17, and 12 of 40 below 0.014, which
says little. A smooth curve rounded to whole images has 0.01.

A window's loss and error are of the same images: the rank correlation of both ones' second differences is 0.81 to
0.95 in committed runs. It is too low where that has a chance below ALARM if it is LINKED: below 0.26 with 320 rows,
as that of independent noise is in 99.9 % of curves; with 40 rows below -0.55, which says nothing.

Two trainings with one seed see the same batches and scatter alike: by a rank correlation of 0.76 at most in the error
and 0.83 in the loss of committed nets on CIFAR-10 (0.92 of faces, which are not compared). One is a copy, scaled or
shifted, where so high a one has a chance below ALARM if it is ALIKE: above 0.978 with 320 rows, 0.996 with 40. A copy
has 0.999; one with noise of its own, a quarter of the scatter, passes.

Second differences depend on each other: n of them count as 18/35 n, as in the variance of the sum of their squares.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bench.report.verify.kept import ALARM, Kept, Pair, kept, kin
from bench.report.verify.published import Published
from bench.report.verify.values import too_low, whole
from bench.spec import dataset_of
from bench.spec.schedule import rate_of

SHORT, DIGITS = 3, 6
WRONG = 10
HALF = 0.55  # of an epoch
SCATTER, LINKED, ALIKE = 0.5, 0.6, 0.95
FEWEST = 15  # second differences
Numbers = NDArray[np.float64]


def in_curves(published: Published) -> Iterator[str]:
    """Each finished run's curve against its recipe."""
    for run in kept(published):
        if run.done and run.curve is not None and run.run.recipe.steps:
            yield from map(run.at, curve_problems(run, run.curve))


def curve_problems(run: Kept, curve: pd.DataFrame) -> Iterator[str]:
    """What in these rows, in their order, is not of this run."""
    recipe, steps = run.run.recipe, curve["step"].tolist()
    if steps != (due := _due(recipe.curve_every, recipe.steps)):
        yield f"its curve has {len(steps)} rows, not one each {recipe.curve_every:,} of {recipe.steps:,} steps"
        return
    for step, rate in zip(steps, curve["rate"].tolist(), strict=True):
        if rate != rate_of(recipe, step - 1):
            yield f"its curve has the rate {rate} at step {step:,}, where the recipe has {rate_of(recipe, step - 1)}"
            break
    tested = curve.dropna(subset=["test_error"])
    if tested["step"].tolist() != [k for k in due if k % recipe.test_every == 0 or k == recipe.steps]:
        yield f"its curve has tests at other steps than each {recipe.test_every:,} and the last"
    yield from _of_losses(curve)
    if run.task.by_image:
        images = int(run.row["test_images"])
        yield from _of_errors("error", curve, [size * recipe.batch for size in np.diff([0, *steps])])
        yield from _of_errors("test_error", tested, [images] * len(tested), bounded=not run.task.answers)
    if (noise := _noise(run)) is not None:
        yield from _of_chance(*noise)


def _due(every: int, steps: int) -> list[int]:
    return sorted({*range(every, steps + 1, every), steps})


def _of_losses(curve: pd.DataFrame) -> Iterator[str]:
    losses = curve["loss"].tolist()
    for name in [column for column in curve.columns if column.endswith("loss")]:
        values = curve[name].dropna()
        if len(values) and not (values.min() >= 0 and values.max() < math.inf):
            yield f"its curve has {name} from {values.min()} to {values.max()}, not between 0 and infinity"
    short = [loss for loss in losses if float(f"{loss:.{DIGITS}g}") == loss]
    if len(short) >= SHORT:
        yield f"{len(short)} losses of its curve end after {DIGITS} digits or fewer, such as {short[0]}"
    loss, often = Counter(losses).most_common(1)[0]
    if often >= SHORT:
        yield f"{often} rows of its curve have the loss {loss}"


def _of_errors(name: str, rows: pd.DataFrame, images: Sequence[int], *, bounded: bool = True) -> Iterator[str]:
    """The first error that so many images cannot give, or not with its loss."""
    loss = name.replace("error", "loss")
    for step, error, its_loss, size in zip(rows["step"], rows[name], rows[loss], images, strict=True):
        if not 0 <= error <= 100 or not whole(error, size):
            yield f"its curve has {name} {error} at step {step:,}, which no number of {size:,} images gives"
            return
        if bounded and too_low(its_loss, error):
            yield f"its curve has {loss} {its_loss} at step {step:,}: {error} % of wrong images make at least ln 2 each"
            return


def copies(runs: Sequence[Kept]) -> Iterator[Pair]:
    """Two trainings whose curves scatter alike: one is the other's, scaled or shifted."""
    groups: dict[tuple[int, int, int], list[Kept]] = defaultdict(list)
    for run in runs:
        recipe = run.run.recipe
        if run.done and run.curve is not None and len(run.curve) == len(_due(recipe.curve_every, recipe.steps)):
            groups[recipe.curve_every, recipe.steps, recipe.batch].append(run)
    for group in groups.values():
        noise = [(run, parts) for run in group if (parts := _noise(run)) is not None]
        if len(noise) < 2:
            continue
        unit = np.sqrt(np.mean([parts[2] ** 2 for _, parts in noise], axis=0))
        alike = [np.corrcoef([_ranks(parts[what] / unit) for _, parts in noise]) for what in (0, 1)]
        most = _bound(ALIKE, unit.size, +1)
        for k, (second, _) in enumerate(noise):
            for j, (first, _) in enumerate(noise[:k]):
                if max(one[j, k] for one in alike) > most and not kin(first, second):
                    yield first, second, "its curve is, scaled or shifted, that of another training,"


def _noise(run: Kept) -> tuple[Numbers, Numbers, Numbers] | None:
    """Second differences of the training error and loss, and the error's binomial deviations; None where too few.

    Errors are shares here.
    """
    curve, recipe = run.curve, run.run.recipe
    size, epoch = recipe.curve_every * recipe.batch, dataset_of(run.run.data).images
    if curve is None or len(curve) < FEWEST + 2 or size > HALF * epoch or recipe.steps % recipe.curve_every:
        return None
    error, loss = (curve[name].to_numpy(np.float64) for name in ("error", "loss"))
    error = error / 100
    enough = WRONG / size <= error
    if not (enough & (error <= 1 - WRONG / size)).all():
        return None
    variance = error * (1 - error) / size
    unit = np.sqrt(variance[:-2] + 4 * variance[1:-1] + variance[2:])
    return np.diff(error, 2), np.diff(loss, 2), unit


def _of_chance(error: Numbers, loss: Numbers, unit: Numbers) -> Iterator[str]:
    """What of a curve's scatter is not as chance has it."""
    apart = np.abs(error / unit)[::3]
    median, most = float(np.median(apart)), smoothest(apart.size)
    if median < most:
        yield f"its training error scatters by {median:.3f} of what chance gives at least: it is too smooth"
    linked, least = float(np.corrcoef(_ranks(error / unit), _ranks(loss / unit))[0, 1]), _bound(LINKED, unit.size, -1)
    if not linked > least:
        yield f"its training loss and error do not scatter together (rank correlation {linked:.2f})"


def smoothest(triples: int) -> float:
    """The median of so many |second differences| below which chance hardly ever comes, in binomial deviations."""
    half = triples // 2 + triples % 2
    share = float(special.bdtri(half - 1, triples, 1 - ALARM))  # of which half or more are below with that chance
    return SCATTER * float(special.ndtri((1 + share) / 2))


def _bound(correlation: float, count: int, sign: int) -> float:
    """Which rank correlation of `count` second differences is that of chance no more, where it should be this."""
    free = max(count * 18 / 35 - 3, 0.1)
    beyond = float(-special.ndtri(ALARM)) * math.sqrt(1.06 / free)
    return math.tanh(math.atanh(correlation) + sign * beyond)


def _ranks(values: Numbers) -> Numbers:
    return values.argsort().argsort().astype(np.float64)
