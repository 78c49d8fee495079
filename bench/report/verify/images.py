"""Which images two runs got wrong, as nets do that were trained on the same data.

Compared are finished runs that were tested on the same images, both with less than half of the errors of guessing. Of
the run with fewer wrong images, each has a chance q to be wrong in the other one, too, whose share of errors is e.

Some images are harder than others: q is well above e, which independent errors would have. Committed runs: (q - e) /
(1 - e) is 0.48 at least (91 pairs on CIFAR-10, also of 8.6 beside 45 %), of faces 0.54. Bits were drawn at random
where so few common errors have a chance below ALARM if it is COMMON: of 10,000 images with 8 % wrong below q = 0.27,
and random bits have 0.08.

Two trainings do not know the same: q is 0.77 at most in committed runs (faces 0.65). One is a copy with some images
changed where so many common errors have a chance below ALARM if q is NESTED: above 0.87 of those 10,000; NESTED_HARD,
0.95, where labels may be in doubt (ImageNet, faces: two nets of 24 % errors have 0.8). This is not asked of one net
and seed, nor of runs from the same weights.

Both are tails of a binomial, as if images were independent. Exact besides: an image that is right is among the five
best by the same protocol. The majority of other runs' bits passes, and so does an own invention of hard images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.report.rows import classes_of
from bench.report.verify.kept import ALARM, Kept, Pair, kept, kin
from bench.report.verify.published import Published
from bench.report.verify.values import TOP5

COMMON, NESTED, NESTED_HARD = 0.3, 0.8, 0.9
Bits = NDArray[np.bool_]


def in_images(published: Published) -> Iterator[str]:
    """Each run's own images: by one protocol the right ones are among the five best."""
    for run in kept(published):
        for five, one in TOP5.items():
            right = [_bits(run, name) for name in (one, five)]
            if right[0] is not None and right[1] is not None and (outside := int((right[0] & ~right[1]).sum())):
                yield run.at(f"{outside} of its images are right ({one}) and not among the five best ({five})")


def mistakes(runs: Sequence[Kept]) -> Iterator[Pair]:
    """Two runs that err on other images, or on the same ones, than two trainings do."""
    groups: dict[tuple[str, str], list[tuple[Kept, Bits]]] = defaultdict(list)
    for run in runs:
        answers = run.task.answers or run.run.dataset.classes or classes_of(run.row)
        right = _bits(run, "test_error")
        if run.done and right is not None and answers and 2 * (~right).mean() < 1 - 1 / answers:
            groups[run.row["data_sha256"], run.row["test_images"]].append((run, ~right))
    for group in groups.values():
        if len(group) > 1:
            yield from _in_group([run for run, _ in group], np.array([bits for _, bits in group]))


def _in_group(runs: Sequence[Kept], wrong: Bits) -> Iterator[Pair]:
    images = wrong.astype(np.float32)
    both, alone = (images @ images.T).round(), images.sum(1)
    fewer, share = np.minimum.outer(alone, alone).astype(np.int64), np.maximum.outer(alone, alone) / images.shape[1]
    apart = special.bdtr(both, fewer, share + COMMON * (1 - share))
    nested = NESTED if runs[0].run.dataset.test_images else NESTED_HARD
    copied = special.bdtrc(both - 1, fewer, nested)
    for k, second in enumerate(runs):
        for j, first in enumerate(runs[:k]):
            if first.row["id"] == second.row["id"] or _same_test(first, second):
                continue
            if apart[j, k] < ALARM:
                yield first, second, "it errs on other images than two trainings do: beside"
            elif copied[j, k] < ALARM and not kin(first, second):
                yield first, second, "it errs on the very images that are wrong in another training,"


def _same_test(one: Kept, other: Kept) -> bool:
    return one.row.get("weights_sha256") == other.row.get("weights_sha256")


def _bits(run: Kept, metric: str) -> Bits | None:
    """Which images it got right; None where that was not kept."""
    name = run.row["id"] if metric == "test_error" else f"{run.row['id']}:{metric}"
    packed = run.published.correct.get(name)
    images = int(run.row["test_images"] or 0)
    return np.unpackbits(packed)[:images].astype(bool) if packed is not None and 8 * len(packed) >= images else None
