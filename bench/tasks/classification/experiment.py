"""Classification of images in memory, as CIFAR-10's (Section 4.2)."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.data.locate import AbsentError, DataError
from bench.spec import Run, counted
from bench.spec.datasets import is_own
from bench.tasks.classification import cifar
from bench.tasks.classification.cifar import Images, Prepare
from bench.tasks.classification.evaluation import given
from bench.tasks.experiment import Experiment, of_own, spread
from bench.tasks.job import Job
from bench.tasks.parts import in_parts
from bench.train import checkpoint
from bench.train.metrics import BATCH, Evaluation, evaluate, evaluation_of, judged
from bench.train.trainer import Batches
from bench.train.turns import Work, finish

RESPONSE_IMAGES = 500  # test images behind a response's std: 32,000 values a channel or more, a twentieth of one test


@dataclass(frozen=True, eq=False)
class InMemory(Experiment):
    """A data set on the device as a whole. kept_back: images and labels that are not trained on.

    prepare: images to inputs, as the net expects them.
    """

    images: Images
    kept_back: list[Tensor] | None
    prepare: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, run: Run, job: Job, device: torch.device) -> InMemory:
        """See Experiment."""
        images, kept_back, batch = load_images(run, job.data, device), None, run.recipe.batch
        if (classes := run.dataset.classes) and images.classes > classes:
            raise DataError(
                f"the labels of {run.data} in {job.data} go up to {images.classes - 1}, and a net for it tells "
                f"{classes:,} classes apart, from 0 on: give the row of {run.data} in bench/spec/datasets.py "
                f"classes={images.classes}, or the data that it describes"
            )
        if not run.task_row.trains:
            return cls._to_test(run, job, device, images)
        if run.recipe.split != "50k":
            generator = torch.Generator().manual_seed(run.seed)
            images, *kept_back = images.holding_out(max(1, len(images.train_y) // 10), generator)
        if (count := len(images.train_y)) < batch:
            raise DataError(
                f"{run.data}: {counted(count, 'training image')}, and a batch has {batch}: write "
                f"Recipe(batch={count}, bn_group={count}) or less"
            )
        return cls(run, job, device, images, kept_back, Prepare.of(images.train_x))

    @classmethod
    def _to_test(cls, run: Run, job: Job, device: torch.device, images: Images) -> InMemory:
        """For weights that are only tested. Raises WeightsError where they do not go with the images."""
        found = cls(run, job, device, images, None, Prepare.of(images.train_x))
        given.require_classes(run, job, found.classes)
        given.require_its_data(run, job, images.digest)

        def as_trained() -> Callable[[Tensor], Tensor]:
            source = given.trained(run, job)
            return cls.of(source, job, device).prepare if source else found.prepare

        return replace(found, prepare=given.prepared(run, job, as_trained))

    @property
    def digest(self) -> str:
        """SHA-256 of all arrays."""
        return self.images.digest

    @classmethod
    def digest_of(cls, run: Run, job: Job) -> str:
        """See Experiment."""
        return load_images(run, job.data, torch.device("cpu")).digest

    @property
    def classes(self) -> int:
        """As the data set's row has it; where that leaves it open, by the labels."""
        return self.run.dataset.classes or self.images.classes

    @property
    def notice(self) -> str:
        """See Experiment."""
        return self.images.notice

    def batches(self) -> Batches:
        """See Experiment."""
        generator = torch.Generator().manual_seed(self.run.seed)
        recipe = self.run.recipe
        batches = cifar.Batches(self.images, self.prepare, recipe.batch, generator, recipe.augment)
        return cifar.Prefetched(batches) if self.device.type == "cuda" and self.job.processes.size == 1 else batches

    def test(self, net: nn.Module) -> Work[Evaluation]:
        """See Experiment."""
        used = self._some(self.images.test_y, self.run.recipe.test_images)
        x, y = self.images.test_x[used], self.images.test_y[used]
        return self.measure(net, x, y) if self.run.task_row.trains else self._in_parts(net, x, y)

    def _some(self, of: Tensor, most: int) -> slice | list[int]:
        """Which of the images are used where at most so many are: the first; of a user's own, by class, every k-th."""
        return list(spread(len(of), most)) if is_own(self.run.data) and len(of) > most else slice(most)

    def extras(self, net: nn.Module, tested: Evaluation) -> dict[str, Any]:  # noqa: ARG002
        """The error on the training images that the split holds back; what a user's own images are."""
        found = of_own(self.images.names, self.images.account) if is_own(self.run.data) else {}
        held_out = {"val_error": finish(self.measure(net, *self.kept_back)).error} if self.kept_back else {}
        return {**found, **held_out}

    @torch.inference_mode()
    def _in_parts(self, net: nn.Module, x: Tensor, y: Tensor) -> Work[Evaluation]:
        """The same numbers as `measure`; a stopped test goes on. Leaves the net in evaluation mode."""

        def test(parts: Sequence[slice]) -> Iterator[Tensor]:
            for part in parts:
                yield judged(net, self.prepare(x[part]), y[part], self.run.recipe.precision).cpu()

        made_of, every = [checkpoint.weights_digest(net.eval().state_dict()), self.digest], self.run.resources
        found = in_parts(
            *(self.job, "test", made_of, len(y), BATCH[x.device.type], test), kept_every=every.checkpoint_seconds
        )
        return evaluation_of(*(yield from found))

    def measure(self, net: nn.Module, x: Tensor, y: Tensor) -> Work[Evaluation]:
        """A net on images (N, 3, H, W) uint8 with labels (N,), on the run's device, prepared as its own are."""
        return evaluate(net, self.prepare, x, y, precision=self.run.recipe.precision, processes=self.job.processes)

    def first_batch(self) -> tuple[Tensor, Tensor]:
        """See Experiment."""
        first = self._some(self.images.train_y, self.run.recipe.batch)
        return self.prepare(self.images.train_x[first]), self.images.train_y[first]

    def first_test_inputs(self) -> Tensor:
        """See Experiment."""
        first = self._some(self.images.test_y, min(self.run.recipe.test_images, RESPONSE_IMAGES))
        return self.prepare(self.images.test_x[first])


def load_images(run: Run, data: Path, device: torch.device) -> Images:
    """The run's data on `device`, read once for all runs of this process: a crew's share them.

    Raises DataError where they are not below `data` and cannot be had.
    """
    row = run.dataset
    try:
        folder = row.resolve("locate")(data, run.data)
    except AbsentError:
        if not row.fetch:
            raise
        folder = row.resolve("fetch")(data, run.data)
    sized = () if row.side else (run.recipe.size,)
    return _loaded(
        row.reader, folder, sized, () if row.made_up else tuple(_stamps(folder, deep=is_own(run.data))), device
    )


def _stamps(found: Path, *, deep: bool) -> Iterator[tuple[Path, int, int]]:
    """A file, or those in a folder, also in folders of it, with their times and sizes."""
    for path in sorted(found.rglob("*") if deep else found.iterdir()) if found.is_dir() else [found]:
        about = path.lstat()
        yield path, about.st_mtime_ns, about.st_size


@lru_cache(maxsize=1)
def _loaded(
    reader: str, found: Path, sized: tuple[int, ...], _: tuple[tuple[Path, int, int], ...], device: torch.device
) -> Images:
    """What is in `found`, in the size of a user's own images; other files are other data."""
    images: Images = pkgutil.resolve_name(reader)(found, *sized)
    return images.to(device)
