"""ImageNet, or a part of it, as a run uses it (Section 3.4): the training stream and the paper's test protocols."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.decode import Oddities, decode
from bench.data.prefetch import prefetch
from bench.spec import SOURCES, Run, Views, counted
from bench.spec.datasets import is_own
from bench.store import atomic
from bench.tasks.classification.evaluation import given
from bench.tasks.classification.imagenet import protocols
from bench.tasks.classification.imagenet.files import ImageFiles, ImageSet
from bench.tasks.classification.imagenet.protocols import Protocol
from bench.tasks.classification.imagenet.stream import ImageBatches
from bench.tasks.classification.imagenet.transforms import (
    Normalise,
    ScaleCrop,
    View,
    inception_view,
    paper_view,
    resized,
)
from bench.tasks.experiment import Experiment, by_protocol, left_out_words, of_own, spread
from bench.tasks.job import Job
from bench.tasks.parts import in_parts
from bench.tasks.weights import pixels_of
from bench.train import checkpoint
from bench.train.metrics import Evaluation
from bench.train.trainer import Batches
from bench.train.turns import Work, finish, ready

DENSE = 10  # the views of a whole image, mirrored: so many centre crops it costs at a shorter side of 448
STRIDE = 32  # of a net's last map: the training's global pooling has a window of side / STRIDE


@dataclass(frozen=True, eq=False)
class ImageNet(Experiment):
    """A set of images with a run's views of them. used: which of the validation images it is tested on.

    places: of weights that are only tested on a part of ImageNet, the outputs that are its classes; () for all.
    """

    images: ImageSet
    view: View
    used: tuple[int, ...]
    views: Views
    places: tuple[int, ...] = ()
    odd: Oddities = field(default_factory=Oddities)  # of the validation images
    streams: list[ImageBatches] = field(default_factory=list)

    @classmethod
    def of(cls, run: Run, job: Job, device: torch.device) -> ImageNet:
        """The run's data set. Raises DataError where it is not below the job's data folder.

        Raises WeightsError for weights that are only to be tested and do not go with it.
        """
        views, found = run.recipe.views, _images(run, job)
        assert views is not None
        places = () if run.task_row.trains else _places(run, job, found)
        view = _view(found.train, views) if run.task_row.trains else _expected(run, job, found, views)
        return cls(run, job, device, found, view, spread(len(found.val), run.recipe.test_images), views, places)

    @property
    def digest(self) -> str:
        """See ImageSet."""
        return self.images.digest

    @classmethod
    def digest_of(cls, run: Run, job: Job) -> str:
        """See Experiment."""
        return _images(run, job).digest

    @classmethod
    def check(cls, run: Run, job: Job) -> None:
        """See Experiment. The images' mean and colours are left for the run."""
        found = _images(run, job)
        if not run.task_row.trains:
            _places(run, job, found)

    @property
    def classes(self) -> int:
        """As the data set's row has it; where that leaves it open, by the folders."""
        return self.run.dataset.classes or len(self.images.classes)

    @property
    def notice(self) -> str:
        """See ImageSet."""
        return self.images.notice

    def batches(self) -> Batches:
        """See Experiment. Each process of a run reads its own images only."""
        recipe, resources = self.run.recipe, self.run.resources
        groups = self.job.processes.own(recipe.batch // recipe.bn_group)
        own = slice(groups.start * recipe.bn_group, groups.stop * recipe.bn_group)
        workers = resources.cpus if self.device.type == "cuda" else 0  # on a CPU the cores are the training's
        stream = ImageBatches(
            self.images.train, self.view, recipe.batch, self.run.seed, workers, device=self.device, own=own
        )
        self.streams.append(stream)
        return stream

    def test(self, net: nn.Module) -> Work[Evaluation]:
        """Top-1 and top-5 on the centre crop: the protocol of Fig. 4. A training stops between its steps only."""
        centre = Protocol(self.views.test_shorter, partial(protocols.centre_crop, side=self.views.side))
        labels = self._labels()
        if self.run.task_row.trains:
            found = protocols.evaluated(lambda part: next(self._score(net, centre, [part])), labels, self.job.processes)
            return ready(found[0])
        return self._in_parts(net, "centre_crop", centre)

    def extras(self, net: nn.Module, tested: Evaluation) -> dict[str, Any]:
        """The errors by further protocols, and the image anomalies that this start has met."""
        errors = by_protocol(tested, self._further(net))
        if self.places:
            errors["classes"] = " ".join(self.images.classes)
        training = "".join(f"training: {stream.odd.summary(self.images.train.name)}; " for stream in self.streams)
        pictures = f"{training}validation: {self.odd.summary(self.images.val.name)}"
        if not is_own(self.run.data):
            return errors | {"pictures": pictures}
        trained = f"{len(self.images.train):,} training and " if len(self.images.train) else ""
        about = (
            f"{trained}{len(self.images.val):,} test images of {counted(len(self.images.classes), 'class')}; {pictures}"
        )
        return errors | of_own(self.images.classes, f"{about}{left_out_words(self.images.left_out)}")

    def _further(self, net: nn.Module) -> dict[str, Evaluation]:
        """By 10 crops and at many scales, where the recipe asks for them. Raises StoppedError between images.

        The scores by each protocol are kept in the run's folder until all have ended; those at many scales stay, for
        ensembles.
        """
        for stream in self.streams:
            stream.close()  # its workers hold memory and cores
        views, found = self.views, {}

        def scored(name: str, protocol: Protocol) -> Tensor:
            return finish(self._scored(net, name, protocol))[0]

        if views.ten_crop:
            ten = Protocol(views.test_shorter, partial(protocols.ten_crops, side=views.side), views=10)
            found["ten_crop"] = protocols.judge(scored("ten_crop", ten), self._labels(), math.nan)
        if views.scales:
            logits = partial(protocols.dense_logits, net, window=-(-views.side // STRIDE))
            dense = (Protocol(shorter, protocols.with_mirror, logits, DENSE) for shorter in views.scales)
            mean = torch.stack([scored(f"scale_{one.shorter}", one) for one in dense]).mean(0)
            found["multi_scale"] = protocols.judge(mean, self._labels(), math.nan)
            if self.job.processes.rank == 0:
                with atomic(self.job.folder.ensemble) as temporary, temporary.open("wb") as file:
                    np.savez(file, scores=mean.float().numpy(), labels=self._labels().numpy())
        return found

    def _labels(self) -> Tensor:
        return torch.from_numpy(self.images.val.labels)[list(self.used)]

    def _in_parts(self, net: nn.Module, name: str, protocol: Protocol) -> Work[Evaluation]:
        """A protocol that can be stopped between images; see Experiment.test."""
        found, seconds = yield from self._scored(net, name, protocol)
        return protocols.judge(found, self._labels(), seconds)

    def _scored(self, net: nn.Module, name: str, protocol: Protocol) -> Work[tuple[Tensor, float]]:
        """Scores (images, classes) and the seconds that they took, from the run's folder as far as they are there."""
        made_of = [checkpoint.weights_digest(net.state_dict()), self.digest, list(self.used)]
        size, every = max(1, protocols.BATCH // protocol.views), self.run.resources.checkpoint_seconds
        score = partial(self._score, net, protocol)
        parts, seconds = yield from in_parts(self.job, name, made_of, len(self.used), size, score, kept_every=every)
        return torch.cat(parts), seconds

    def _score(self, net: nn.Module, protocol: Protocol, parts: Sequence[slice]) -> Iterator[Tensor]:
        """Scores of parts of the images in use, some of which are decoded ahead."""

        def cut(i: int) -> Tensor:
            image, odd = decode(self.images.val.read(i), self.images.val.name(i))
            self.odd.add(i, odd)
            return protocol.cut(resized(image, protocol.shorter))

        views = prefetch(cut, (i for part in parts for i in self.used[part]), self.run.resources.cpus)
        inputs = (self.view.normalise(view.to(self.device)) for view in views)
        scores = partial(protocols.scores, precision=self.run.recipe.precision, places=self.places)
        for part in parts:
            yield scores(net, islice(inputs, part.stop - part.start), protocol.logits)


def _images(run: Run, job: Job) -> ImageSet:
    """The run's images; without training ones where nothing trains, and no run of this suite did. Raises DataError."""
    row, needed = run.dataset, run.task_row.trains or bool(SOURCES[run.net.start.source].trained)
    found: ImageSet = row.resolve("reader")(row.resolve("locate")(job.data, run.data), row.classes, trained=needed)
    return found


def _places(run: Run, job: Job, images: ImageSet) -> tuple[int, ...]:
    given.require_its_data(run, job, images.digest)
    return given.places(run, job, images.classes)


def _expected(run: Run, job: Job, images: ImageSet, views: Views) -> View:
    """What weights expect that are only tested: of a run of this suite as it was trained, its mean measured again."""
    source = given.trained(run, job)
    if source is None:
        return View(ScaleCrop(views.side, views.shorter), Normalise.of(pixels_of(run.net, job)))
    assert source.recipe.views is not None, "it learned the same data in the same way"
    return _view(images.train, source.recipe.views)


def _view(images: ImageFiles, views: Views) -> View:
    """The recipe's view, its mean and colours measured on training images, the same in every run."""
    if views.crop == "inception":
        return inception_view(views.side)
    return paper_view(images, ScaleCrop(views.side, views.shorter), colours=views.colour == "pca")
