"""ImageNet, or a part of it, as a run uses it (Section 3.4): the training stream and the paper's test protocols."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.decode import Oddities, decode
from bench.data.prefetch import prefetch
from bench.spec import Run, Views
from bench.spec.datasets import is_own
from bench.store import atomic
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
from bench.train import checkpoint
from bench.train.loop import StoppedError
from bench.train.metrics import Evaluation
from bench.train.trainer import Batches
from bench.train.turns import Work, ready

STRIDE = 32  # of a net's last map: the training's global pooling has a window of side / STRIDE


@dataclass(frozen=True, eq=False)
class ImageNet(Experiment):
    """A set of images with a run's views of them. used: which of the validation images it is tested on."""

    images: ImageSet
    view: View
    used: tuple[int, ...]
    views: Views
    odd: Oddities = field(default_factory=Oddities)  # of the validation images
    streams: list[ImageBatches] = field(default_factory=list)

    @classmethod
    def of(cls, run: Run, job: Job, device: torch.device, normalise: Normalise | None = None) -> ImageNet:
        """The run's data set. normalise: of weights from elsewhere, in place of the recipe's own.

        Raises DataError where it is not below the job's data folder.
        """
        views, found = run.recipe.views, _images(run, job)
        assert views is not None
        view = View(ScaleCrop(views.side, views.shorter), normalise) if normalise else _view(found.train, views)
        return cls(run, job, device, found, view, spread(len(found.val), run.recipe.test_images), views)

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
        _images(run, job)

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
        return ready(protocols.evaluated(partial(self._score, net, centre), self._labels(), self.job.processes)[0])

    def extras(self, net: nn.Module, tested: Evaluation) -> dict[str, Any]:
        """The errors by further protocols, and the image anomalies that this start has met."""
        errors = by_protocol(tested, self._further(net))
        training = "".join(f"training: {stream.odd.summary(self.images.train.name)}; " for stream in self.streams)
        pictures = f"{training}validation: {self.odd.summary(self.images.val.name)}"
        if not is_own(self.run.data):
            return errors | {"pictures": pictures}
        return errors | of_own(self.images.classes, f"{pictures}{left_out_words(self.images.left_out)}")

    def _further(self, net: nn.Module) -> dict[str, Evaluation]:
        """By 10 crops and at many scales, where the recipe asks for them. Raises StoppedError between images.

        The scores by each protocol are kept in the run's folder until all have ended; those at many scales stay, for
        ensembles.
        """
        for stream in self.streams:
            stream.close()  # its workers hold memory and cores
        views, found = self.views, {}
        scored = partial(self._scored, net, checkpoint.weights_digest(net.state_dict()))
        if views.ten_crop:
            ten = Protocol(views.test_shorter, partial(protocols.ten_crops, side=views.side))
            found["ten_crop"] = protocols.judge(scored("ten_crop", ten), self._labels(), math.nan)
        if views.scales:
            logits = partial(protocols.dense_logits, net, window=-(-views.side // STRIDE))
            dense = (Protocol(shorter, protocols.with_mirror, logits) for shorter in views.scales)
            mean = torch.stack([scored(f"scale_{one.shorter}", one) for one in dense]).mean(0)
            found["multi_scale"] = protocols.judge(mean, self._labels(), math.nan)
            if self.job.processes.rank == 0:
                with atomic(self.job.folder.ensemble) as temporary, temporary.open("wb") as file:
                    np.savez(file, scores=mean.float().numpy(), labels=self._labels().numpy())
        return found

    def _labels(self) -> Tensor:
        return torch.from_numpy(self.images.val.labels)[list(self.used)]

    def _scored(self, net: nn.Module, weights: str, name: str, protocol: Protocol) -> Tensor:
        """Scores (images, classes), from the run's folder where an earlier start has found them."""

        def cut_or_stop(image: Tensor) -> Tensor:
            if self.job.should_stop():
                raise StoppedError("stopped while the trained net was tested; the next start resumes the tests")
            return protocol.cut(image)

        place = self.job.folder.scores(name)
        saved = self.job.processes.of_first(lambda: checkpoint.load(place))
        made_of = [weights, self.digest, list(self.used)]
        if saved is not None and saved["of"] == made_of:
            return cast(Tensor, saved["scores"])
        score = partial(self._score, net, protocol._replace(cut=cut_or_stop))
        _, found = protocols.evaluated(score, self._labels(), self.job.processes)
        if self.job.processes.rank == 0:
            checkpoint.save(place, {"scores": found, "of": made_of})
        return found

    def _score(self, net: nn.Module, protocol: Protocol, part: slice) -> Tensor:
        """Scores of a part of the images in use."""

        def cut(i: int) -> Tensor:
            image, odd = decode(self.images.val.read(i), self.images.val.name(i))
            self.odd.add(i, odd)
            return protocol.cut(resized(image, protocol.shorter))

        views = prefetch(cut, self.used[part], self.run.resources.cpus)
        inputs = (self.view.normalise(view.to(self.device)) for view in views)
        return protocols.scores(net, inputs, protocol.logits, precision=self.run.recipe.precision)


def _images(run: Run, job: Job) -> ImageSet:
    """The run's images; without training ones where nothing trains. Raises DataError."""
    row = run.dataset
    found: ImageSet = row.resolve("reader")(
        row.resolve("locate")(job.data, run.data), row.classes, trained=run.task_row.trains
    )
    return found


def _view(images: ImageFiles, views: Views) -> View:
    """The recipe's view, its mean and colours measured on training images, the same in every run."""
    if views.crop == "inception":
        return inception_view(views.side)
    return paper_view(images, ScaleCrop(views.side, views.shorter), colours=views.colour == "pca")
