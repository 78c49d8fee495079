"""What a task provides for a run on a device: its net, its data, its objective and its tests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.spec import Run, counted
from bench.spec.advice import shown
from bench.spec.own import OwnCodeError, load
from bench.tasks.job import Job
from bench.train.metrics import Evaluation, Tested, bits, error_of
from bench.train.trainer import Batches, CrossEntropy, Objective
from bench.train.turns import Work


@dataclass(frozen=True, eq=False)
class Experiment(ABC):
    """A run on its device. The class of a data set (bench.spec.datasets) opens it with `of`.

    The defaults are a classifier's: cross-entropy, no dropout, no bound on the gradient, no number but the test's.
    """

    run: Run
    job: Job
    device: torch.device

    @classmethod
    @abstractmethod
    def of(cls, run: Run, job: Job, device: torch.device) -> Experiment:
        """The run's experiment. Raises DataError where its data are not below the job's data folder."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256 that identifies the data."""

    @classmethod
    def digest_of(cls, run: Run, job: Job) -> str:
        """The digest of the run's data, without the run. Raises DataError."""
        return cls.of(run, job, torch.device("cpu")).digest

    @classmethod
    def check(cls, run: Run, job: Job) -> None:
        """Raises DataError where the run could not begin with the data that are there."""
        cls.of(run, job, torch.device("cpu"))

    @property
    def notice(self) -> str:
        """The data owner's notice to readers, or ""."""
        return ""

    def net(self) -> nn.Module:
        """The net before its first step, from the run's seed. Raises WeightsError for missing weights."""
        torch.manual_seed(self.run.seed)
        net: nn.Module = self.run.net.row.resolve("build")(self.run.net, self.classes)
        return net

    @property
    def classes(self) -> int:
        """How many classes the net has to tell apart."""
        return self.run.dataset.classes

    @abstractmethod
    def batches(self) -> Batches:
        """The stream of training batches from the run's seed."""

    @property
    def objective(self) -> Objective:
        """The training's objective."""
        return CrossEntropy()

    @property
    def clip(self) -> float:
        """The gradient's largest norm, 0 for no bound."""
        return 0.0

    @property
    def dropout_seed(self) -> int | None:
        """The seed of the net's own random numbers (dropout), None for a net that draws none. A user's net may."""
        return self.run.seed if self.run.net.row.own else None

    @abstractmethod
    def test(self, net: nn.Module) -> Work[Tested]:
        """The test whose error is the run's number; others may have turns in it."""

    def extras(self, net: nn.Module, tested: Any) -> dict[str, Any]:  # noqa: ARG002
        """Further columns of the result, of the trained net. tested: the last test's outcome."""
        return {}

    def first_batch(self) -> tuple[Tensor, Tensor] | None:
        """Inputs and labels of the first training images, not augmented; None where layers are not recorded."""
        return None

    def first_test_inputs(self) -> Tensor | None:
        """Inputs of the first test images, for the layers' responses (Fig. 7); None where they are not recorded."""
        return None


def experiment_of(run: Run) -> type[Experiment]:
    """The class that opens the run: its data set's, or the user's of a task of one's own. Raises OwnCodeError."""
    if run.own_task is None:
        found: type[Experiment] = run.dataset.resolve("experiment")  # type: ignore[assignment]  # a class
        return found
    own = load(run.own_task.code, run.own_task.sha256)
    if not (isinstance(own, type) and issubclass(own, Experiment)):
        raise OwnCodeError(f"{run.own_task.code} is {shown(own)}, where a subclass of Experiment belongs")
    return own


def spread(count: int, most: int) -> tuple[int, ...]:
    """At most `most` of `count` images, evenly over their order, which may be by class."""
    used = min(count, most)
    return tuple(k * count // used for k in range(used))


def of_own(classes: Sequence[str], pictures: str) -> dict[str, Any]:
    """What a classifier's result says of a user's own images: the names of the classes, an account of the images."""
    return {"classes": " ".join(name.replace(" ", "_") for name in classes), "pictures": pictures}


def left_out_words(names: Sequence[str]) -> str:
    """`; left out: 2 that are no images (train/notes.txt, …)`, "" for none."""
    shown = f"{', '.join(names[:3])}{', …' * (len(names) > 3)}"
    return f"; left out: {counted(len(names), 'file')} that no image is by name ({shown})" if names else ""


def by_protocol(tested: Tested, further: Mapping[str, Evaluation]) -> dict[str, Any]:
    """The errors by each protocol under their columns, and each image's correctness in `correct_by`.

    Top-1 by the first protocol, which every run has, is test_error.
    """
    errors = {"top5_error": tested.correct5 if isinstance(tested, Evaluation) else None}
    for name, measured in further.items():
        errors |= {f"{name}_error": measured.correct, f"{name}_top5_error": measured.correct5}
    found = {name: correct for name, correct in errors.items() if correct is not None}
    by_image = {"correct_by": {name: bits(correct) for name, correct in found.items()}} if found else {}
    return {name: error_of(correct) for name, correct in found.items()} | by_image
