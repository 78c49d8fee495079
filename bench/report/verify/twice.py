"""What two runs cannot have in common: weights, curves, layers.

A training is told apart from another one by its net, seed, data and settings, up to the step where their rates part
(`kept.one_training`): two names of one training, as the first steps of a longer one, share rows rightly.

Weights, curves and layers by SHA-256: no false alarm. Of single rows two losses must be equal to the bit. A loss is a
mean of fp32 numbers: over ten steps, two runs that differ by 0.01 hit one value with a chance of 1e-6, in single
steps of 1e-5. That makes 5e-8 for two equal ones among 330 rows, and 5e-7 among 100 single steps. Committed curves,
2,400 pairs of runs on one data set: no loss is equal where trainings are two. Of layers a norm and a response must
both be equal, 1e-12 a layer.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from bench.report.verify.kept import Kept, Pair, kin, one_training, pairs_of

DIGESTS = {"weights_sha256": "weights", "curve_sha256": "curve", "layers_sha256": "layers"}
EQUAL = 2  # losses


def digests(runs: Sequence[Kept]) -> Iterator[Pair]:
    """Two trainings with one digest."""
    for column, what in DIGESTS.items():
        by_digest: dict[str, list[Kept]] = defaultdict(list)
        for run in runs:
            if run.run.recipe.steps and (digest := run.row.get(column)):
                by_digest[digest].append(run)
        for alike in by_digest.values():
            for one, other in pairs_of(alike):
                steps = {one.run.recipe.steps, other.run.recipe.steps, one_training(one, other)}
                if len(steps) > 1 and not (what == "layers" and kin(one, other)):  # the first layers are the seed's
                    yield one, other, f"its {column} is that of another training,"


def curves(runs: Sequence[Kept]) -> Iterator[Pair]:
    """Two trainings with rows in common."""
    values = ((run, *loss) for run in runs for loss in _losses(run))
    for (one, other), steps in _meetings(values).items():
        shared = one_training(one, other)
        if sum(step > shared for step in steps) >= EQUAL:
            yield one, other, "its curve has losses, to the bit, of another training,"


def layers(runs: Sequence[Kept]) -> Iterator[Pair]:
    """Two trainings with a layer in common, after the first step: norm and response to the bit."""
    values = ((run, *layer) for run in runs for layer in _layers(run))
    for one, other in _meetings(values):
        if not kin(one, other):
            yield one, other, "its layers have norms and responses, to the bit, of another training,"


def _losses(run: Kept) -> Iterator[tuple[int, object]]:
    if run.curve is None:
        return
    for name in {"loss", "test_loss"} & set(run.curve.columns):
        for step, value in zip(run.curve["step"].tolist(), run.curve[name].tolist(), strict=True):
            if math.isfinite(value):
                yield step, (run.run.data, name, step, value)


def _layers(run: Kept) -> Iterator[tuple[int, object]]:
    if run.layers is None:
        return
    columns = (run.layers[name].tolist() for name in ("step", "layer", "weight_norm", "response_std"))
    for step, layer, norm, response in zip(*columns, strict=True):
        if step and norm > 0 and response > 0:
            yield step, (step, layer, norm, response)


def _meetings(values: Iterable[tuple[Kept, int, object]]) -> dict[tuple[Kept, Kept], list[int]]:
    """The steps at which two runs have a value in common, by pair."""
    holders: dict[object, list[tuple[Kept, int]]] = defaultdict(list)
    for run, step, value in values:
        holders[value].append((run, step))
    found: dict[tuple[Kept, Kept], list[int]] = defaultdict(list)
    for each in holders.values():
        if len(each) > 1:
            step = each[0][1]
            for pair in pairs_of([run for run, _ in each]):
                found[pair].append(step)
    return found
