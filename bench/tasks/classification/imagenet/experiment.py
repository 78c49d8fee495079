"""ImageNet, or a part of it, as a run uses it (Section 3.4): the training stream and the paper's test protocols."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.decode import Oddities, decode
from bench.data.prefetch import ahead
from bench.spec import Run, Views, dataset_of
from bench.store import atomic
from bench.tasks.classification.imagenet.colour import Normalise
from bench.tasks.classification.imagenet.crops import centre_crop, ten_crops, with_mirror
from bench.tasks.classification.imagenet.files import Pictures, PictureSet
from bench.tasks.classification.imagenet.protocols import Headed, dense_logits, evaluated, judge, scores
from bench.tasks.classification.imagenet.stream import PictureBatches
from bench.tasks.classification.imagenet.transforms import ScaleCrop, View, inception_view, paper_view, resized
from bench.tasks.experiment import Experiment, by_protocol
from bench.tasks.job import Job
from bench.train import checkpoint
from bench.train.loop import StoppedError
from bench.train.metrics import Evaluation
from bench.train.trainer import Batches
from bench.train.turns import Work, ready

STRIDE = 32  # of a net's last map: the training's global pooling has a window of side / STRIDE


@dataclass(frozen=True, eq=False)
class ImageNet(Experiment):
    """A set of pictures with a run's views of them. `used`: which of the validation pictures it is tested on."""

    pictures: PictureSet
    view: View
    used: tuple[int, ...]
    views: Views
    odd: Oddities = field(default_factory=Oddities)  # of the validation pictures
    streams: list[PictureBatches] = field(default_factory=list)

    @classmethod
    def of(cls, run: Run, job: Job, device: torch.device, normalise: Normalise | None = None) -> ImageNet:
        """The run's data set. normalise: of weights from elsewhere, in place of the recipe's own.

        Raises DataError where it is not below the job's data folder.
        """
        views = run.recipe.views
        assert views is not None
        row = dataset_of(run.data)
        found: PictureSet = row.resolve("reader")(
            row.resolve("locate")(job.data, run.data), row.classes, trained=normalise is None
        )
        crop = ScaleCrop(views.side, views.shorter)
        view = View(crop, normalise) if normalise else _view(found.train, views)
        used = spread(len(found.val), run.recipe.test_images)
        return cls(run, job, device, found, view, used, views)

    @property
    def workers(self) -> int:
        """Processes or threads that decode."""
        return self.run.resources.cpus

    @property
    def digest(self) -> str:
        """See PictureSet."""
        return self.pictures.digest

    @property
    def notice(self) -> str:
        """See PictureSet."""
        return self.pictures.notice

    def batches(self) -> Batches:
        """See Experiment. Each process of a run's team reads its own pictures only."""
        recipe = self.run.recipe
        groups = self.job.team.own(recipe.batch // recipe.bn_group)
        own = slice(groups.start * recipe.bn_group, groups.stop * recipe.bn_group)
        workers = self.workers if self.device.type == "cuda" else 0  # on a CPU the cores are the training's
        stream = PictureBatches(
            self.pictures.train, self.view, recipe.batch, self.run.seed, workers, device=self.device, own=own
        )
        self.streams.append(stream)
        return stream

    def test(self, net: nn.Module) -> Work[Evaluation]:
        """Top-1 and top-5 on the centre crop: the protocol of Fig. 4."""
        return ready(evaluated(self._centre(net), self._labels(), self.job.team)[0])

    def extras(self, net: nn.Module, tested: Evaluation) -> dict[str, Any]:
        """The errors by further protocols, and the odd pictures that this start has met."""
        return by_protocol(tested, self._further(net)) | {"pictures": self._odd_pictures()}

    def _further(self, net: nn.Module) -> dict[str, Evaluation]:
        """By 10 crops and at many scales, where the recipe asks for them.

        What a protocol found is kept in the run's folder until all have ended; the scores at many scales stay, for
        ensembles. Raises StoppedError between pictures.
        """
        for stream in self.streams:
            stream.close()  # its workers hold memory and cores
        found = {}
        kept = partial(self._kept, checkpoint.weights_digest(net.state_dict()))
        if self.views.ten_crop:
            found["ten_crop"] = judge(kept("ten_crop", self._ten_crops(net)), self._labels(), math.nan)
        if self.views.scales:
            each = [kept(f"scale_{shorter}", self._dense(net, shorter)) for shorter in self.views.scales]
            mean = torch.stack(each).mean(0)
            found["multi_scale"] = judge(mean, self._labels(), math.nan)
            if self.job.team.rank == 0:
                self._keep_for_ensembles(mean)
        return found

    def _keep_for_ensembles(self, found: Tensor) -> None:
        with atomic(self.job.folder.ensemble) as temporary, temporary.open("wb") as file:
            np.savez(file, scores=found.float().numpy(), labels=self._labels().numpy())

    def _odd_pictures(self) -> str:
        met = {"training": [stream.odd() for stream in self.streams], "validation": [self.odd.summary(_names(self))]}
        return "; ".join(f"{part}: {_in_words(odd)}" for part, each in met.items() for odd in each)

    def _labels(self) -> Tensor:
        return torch.from_numpy(self.pictures.val.labels)[list(self.used)]

    def _kept(self, weights: str, name: str, score: Callable[[slice], Tensor]) -> Tensor:
        """Scores (pictures, classes) by one protocol, from the run's folder where an earlier start has found them."""
        place = self.job.folder.scores(name)
        saved = self.job.team.of_first(lambda: checkpoint.load(place))
        made_of = [weights, self.digest, list(self.used)]
        if saved is not None and saved["of"] == made_of:
            return cast(Tensor, saved["scores"])
        _, found = evaluated(score, self._labels(), self.job.team)
        if self.job.team.rank == 0:
            checkpoint.save(place, {"scores": found, "of": made_of})
        return found

    def _centre(self, net: nn.Module) -> Callable[[slice], Tensor]:
        """Never stops: a training can only stop between its steps."""
        return partial(self._score, net, self.views.test_shorter, partial(centre_crop, side=self.views.side), None)

    def _ten_crops(self, net: nn.Module) -> Callable[[slice], Tensor]:
        cut = self._stoppable(partial(ten_crops, side=self.views.side))
        return partial(self._score, net, self.views.test_shorter, cut, None)

    def _dense(self, net: nn.Module, shorter: int) -> Callable[[slice], Tensor]:
        window = -(-self.views.side // STRIDE)
        logits = partial(dense_logits, cast(Headed, net), window=window)
        return partial(self._score, net, shorter, self._stoppable(with_mirror), logits)

    def _stoppable(self, cut: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def cut_or_stop(picture: Tensor) -> Tensor:
            if self.job.should_stop():
                raise StoppedError("stopped while the trained net was tested; the next start goes on")
            return cut(picture)

        return cut_or_stop

    def _score(
        self,
        net: nn.Module,
        shorter: int,
        cut: Callable[[Tensor], Tensor],
        logits: Callable[[Tensor], Tensor] | None,
        part: slice,
    ) -> Tensor:
        """Scores of a part of the pictures in use, each resized to `shorter` and cut into views."""
        views = ahead(lambda i: cut(resized(self._picture(i), shorter)), self.used[part], self.workers)
        inputs = (self.view.normalise(view.to(self.device)) for view in views)
        return scores(net, inputs, logits, precision=self.run.recipe.precision)

    def _picture(self, i: int) -> Tensor:
        picture, odd = decode(self.pictures.val.read(i), self.pictures.val.name(i))
        self.odd.add(i, odd)
        return picture


def _names(data: ImageNet) -> Sequence[str]:
    return data.pictures.val.names


def _in_words(odd: Mapping[str, Any]) -> str:
    """`3 grey, 1 truncated (n01440764/a.JPEG)`, or `all usual`."""
    counts = {kind: n for kind, n in odd.items() if isinstance(n, int) and n}
    names = {kind: odd.get(f"names of {kind}", []) for kind in counts}
    parts = [f"{n} {kind}" + (f" ({', '.join(names[kind])})" if names[kind] else "") for kind, n in counts.items()]
    return ", ".join(parts) or "all usual"


def spread(count: int, most: int) -> tuple[int, ...]:
    """At most `most` of `count` pictures, evenly over their order, which is by class."""
    used = min(count, most)
    return tuple(k * count // used for k in range(used))


def _view(pictures: Pictures, views: Views) -> View:
    """The recipe's view, its mean and colours measured on training pictures, the same in every run."""
    if views.crop == "inception":
        return inception_view(views.side)
    return paper_view(pictures, views.side, views.shorter, colours=views.colour == "pca")
