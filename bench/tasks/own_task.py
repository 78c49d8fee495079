"""Tasks of the user's own: what is refused before anything trains, as it would fail after hours or mean nothing."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bench.data.locate import DataError
from bench.nets.own import aside
from bench.nets.torch_files import unpickled
from bench.spec import OwnTask, Run
from bench.spec.advice import shown
from bench.spec.own import OwnCodeError, guarded
from bench.tasks.experiment import Experiment, experiment_of
from bench.tasks.job import Job
from bench.train.trainer import CrossEntropy
from bench.train.turns import finish

TESTED = 16  # images of the trial's test, as far as the task heeds Recipe.test_images


def check(run: Run, job: Job) -> None:
    """Raises OwnCodeError where a run of the user's task would be another one after a stop, or its test gives no error.

    Tried are two batches, a stop between them, and a test of the untrained net. Raises DataError.
    """
    own = run.own_task
    assert own is not None
    trial = replace(run, recipe=replace(run.recipe, test_images=min(TESTED, run.recipe.test_images)))
    with aside():
        try:
            guarded(_file(own), lambda: _try(own, experiment_of(run).of(trial, job, torch.device("cpu"))))
        except OwnCodeError as error:
            if isinstance(error.__cause__, DataError):
                raise error.__cause__ from None
            raise


def _try(own: OwnTask, experiment: Experiment) -> None:
    stream, again, resumed = (experiment.batches() for _ in range(3))
    first = stream.draw()
    if not _same(first, again.draw()):
        raise _wrong(own, "draws another first batch from the same seed: seed each generator of batches() by run.seed")
    _check_labels(own, experiment, first)
    kept = io.BytesIO()
    torch.save(stream.state_dict(), kept)
    second = stream.draw()
    resumed.load_state_dict(unpickled(kept.getvalue()))
    if not _same(second, resumed.draw()):
        raise _wrong(
            own,
            "draws another batch once its state was saved and loaded, so that a resumed run would be another one: keep "
            "all generators in state_dict()",
        )
    net = experiment.net()
    one, other = (_tested(own, experiment, net) for _ in range(2))
    if not _same(one, other):
        raise _wrong(own, "tests one net twice to two results: let test() draw nothing at random, or from a seed")


def _check_labels(own: OwnTask, experiment: Experiment, batch: tuple[Any, ...]) -> None:
    classes, labels = experiment.classes, batch[-1]
    if not isinstance(classes, int) or classes < 2:
        raise _wrong(own, f"has classes {shown(classes)}, where a whole number from 2 on belongs")
    if not isinstance(experiment.objective, CrossEntropy) or not isinstance(labels, Tensor):
        return
    if labels.is_floating_point() or not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise _wrong(
            own,
            f"draws labels from {labels.min().item():g} to {labels.max().item():g}, where whole numbers from 0 to "
            f"{classes - 1} belong, as its classes are {classes}",
        )


def _tested(own: OwnTask, experiment: Experiment, net: torch.nn.Module) -> tuple[Any, ...]:
    work = experiment.test(net)
    if not hasattr(work, "__next__"):
        raise _wrong(own, f"its test() returns {shown(work)}: return evaluate(…) of bench.train.metrics")
    tested = finish(work)
    lacks = [name for name in ("error", "loss", "seconds", "count", "kept") if not hasattr(tested, name)]
    if lacks:
        raise _wrong(own, f"its test ends in {shown(tested)} without {', '.join(lacks)}: end it in an Evaluation")
    if not 0 <= tested.error <= 100 or math.isnan(tested.loss) or tested.count < 1:
        raise _wrong(
            own,
            f"its test of the untrained net ends in an error of {tested.error} % and a loss of {tested.loss}",
        )
    return tested.error, tested.loss, tested.kept()


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _file(own: OwnTask) -> str:
    return own.code.rpartition(":")[0]


def _wrong(own: OwnTask, words: str) -> OwnCodeError:
    return OwnCodeError(f"{own.code} for task {own.name}: {words}")
