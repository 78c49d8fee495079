"""What a run learns from and is tested on: CIFAR-10 in memory, or ImageNet's pictures on disk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from bench.data import locate
from bench.spec import Recipe, Run
from bench.tasks.classification import cifar as cifar_data
from bench.tasks.classification import synthetic
from bench.tasks.classification.cifar import Images, Prepare
from bench.tasks.job import Job
from bench.train.loop import Batches, Objective
from bench.train.metrics import Evaluation, Tested, evaluate
from bench.train.team import Team
from bench.train.turns import Work, finish

# by the part of the recipe that only its runs have; imported when one is asked for, as each needs packages of its own
HOMES = {
    "detection": "bench.tasks.detection.experiment:AnnotatedImages",
    "views": "bench.tasks.classification.imagenet.experiment:ImageNet",
    "faces": "bench.tasks.verification.experiment:FacePairs",
}
RESPONSE_IMAGES = 500  # test images behind a response's std: 32,000 values a channel or more, a twentieth of one test


class Material(Protocol):
    """A data set as one run uses it, on the run's device."""

    @property
    def digest(self) -> str:
        """SHA-256 of what tells it from other data."""

    @property
    def notice(self) -> str:
        """What the data's owner says must be known of them, or ""."""

    def batches(self) -> Batches:
        """The stream of training batches from the run's seed."""

    def test(self, net: nn.Module) -> Work[Tested]:
        """The test whose error is the run's number; others may have turns in it."""

    def held_out(self, net: nn.Module) -> Evaluation | None:
        """The same on the training images that the split holds back; None where it holds none back."""

    def further(self, net: nn.Module) -> dict[str, Evaluation]:
        """What other protocols say of the trained net, by their names."""

    def remarks(self, net: nn.Module, tested: Any) -> dict[str, Any]:
        """What else is to be kept of data and net, by column of the results. tested: what `test` said last."""

    def first_batch(self) -> tuple[Tensor, Tensor] | None:
        """Inputs and labels of the first training images, not augmented; None where nobody looks at layers."""

    def some_test_inputs(self) -> Tensor | None:
        """Inputs of the first test images, for the layers' responses (Fig. 7); None where nobody looks at layers."""


@runtime_checkable
class OwnNet(Protocol):
    """A Material whose runs train a net of its own, which draws random numbers, by an objective of its own."""

    @property
    def objective(self) -> Objective:
        """What the training minimises."""

    @property
    def clip(self) -> float:
        """See Trainer."""

    def untrained(self) -> nn.Module:
        """The run's net before its first step, from its seed. Raises WeightsError for weights that are not there."""


@dataclass(frozen=True, slots=True)
class Cifar:
    """CIFAR-10, or its stand-in, in memory."""

    images: Images
    kept_back: tuple[Tensor, Tensor] | None
    prepare: Prepare
    recipe: Recipe
    seed: int
    team: Team

    @classmethod
    def of(cls, run: Run, job: Job, device: torch.device) -> Cifar:
        """The run's data set. Raises DataError where it is not below the job's data folder."""
        images, kept_back = _split(load_images(run, job.data, device), run.recipe, run.seed)
        return cls(images, kept_back, Prepare.of(images.train_x), run.recipe, run.seed, job.team)

    @property
    def digest(self) -> str:
        """SHA-256 of all arrays."""
        return self.images.digest

    @property
    def notice(self) -> str:
        """What the data's owner says."""
        return self.images.notice

    def batches(self) -> Batches:
        """See Material."""
        generator = torch.Generator().manual_seed(self.seed)
        batches = cifar_data.Batches(self.images, self.prepare, self.recipe.batch, generator)
        on_cuda = self.images.train_x.device.type == "cuda"
        return cifar_data.Ahead(batches) if on_cuda and self.team.size == 1 else batches

    def _measure(self, net: nn.Module, x: Tensor, y: Tensor) -> Work[Evaluation]:
        return evaluate(net, self.prepare, x, y, precision=self.recipe.precision, team=self.team)

    def test(self, net: nn.Module) -> Work[Evaluation]:
        """See Material."""
        used = self.recipe.test_images
        return self._measure(net, self.images.test_x[:used], self.images.test_y[:used])

    def held_out(self, net: nn.Module) -> Evaluation | None:
        """See Material."""
        return finish(self._measure(net, *self.kept_back)) if self.kept_back else None

    def further(self, net: nn.Module) -> dict[str, Evaluation]:  # noqa: ARG002
        """CIFAR-10 has one protocol."""
        return {}

    def remarks(self, net: nn.Module, tested: Evaluation) -> dict[str, Any]:  # noqa: ARG002
        """All of its images are alike."""
        return {}

    def first_batch(self) -> tuple[Tensor, Tensor]:
        """See Material."""
        first = self.recipe.batch
        return self.prepare(self.images.train_x[:first]), self.images.train_y[:first]

    def some_test_inputs(self) -> Tensor:
        """See Material."""
        return self.prepare(self.images.test_x[: min(self.recipe.test_images, RESPONSE_IMAGES)])


def load_images(run: Run, data: Path, device: torch.device) -> Images:
    """The stand-in, or CIFAR-10 on `device`, read once for all runs of this process: a crew's share it.

    Raises DataError where it is not below `data`.
    """
    if run.data == "stand-in":
        return synthetic.stand_in().to(device)
    folder = locate.cifar10(data) or locate.fetch_cifar10(data)
    files = tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(folder.iterdir()))
    return _cifar10(folder, files, device)


@lru_cache(maxsize=1)
def _cifar10(folder: Path, files: tuple[tuple[Path, int, int], ...], device: torch.device) -> Images:  # noqa: ARG001
    """What is in `folder`; other `files` are other data."""
    return cifar_data.load(folder).to(device)


def _split(images: Images, recipe: Recipe, seed: int) -> tuple[Images, tuple[Tensor, Tensor] | None]:
    if recipe.split == "50k":
        return images, None
    kept, x, y = images.holding_out(len(images.train_y) // 10, torch.Generator().manual_seed(seed))
    return kept, (x, y)
