"""Object detection as a run uses it: images with boxes, Faster R-CNN over the run's net, AP (Appendix A and B)."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.locate import DataError
from bench.spec import DETECTOR_LOSSES, Run, counted
from bench.spec.datasets import is_own
from bench.store import atomic, file_digest
from bench.tasks.detection.annotations import Annotated, DetectionSet, named
from bench.tasks.detection.average_precision import MatchTable
from bench.tasks.detection.batches import DetectionBatches
from bench.tasks.detection.build import detection_of, detector, rate_warning
from bench.tasks.detection.drawings import draw, shown
from bench.tasks.detection.found import Found
from bench.tasks.detection.inference import Detections, detect
from bench.tasks.detection.matching import matched
from bench.tasks.detection.own import refuse_shared
from bench.tasks.experiment import Experiment
from bench.tasks.job import Job
from bench.tasks.weights import source_error
from bench.train import checkpoint
from bench.train.loop import StoppedError
from bench.train.metrics import autocast
from bench.train.trainer import DivergedError
from bench.train.turns import Work, ready

CHUNK, KEPT_EVERY = 8, 800  # test images between two looks at whether to stop, and between two savings


@dataclass(frozen=True, slots=True)
class DetectionLosses:
    """The four losses of Faster R-CNN, added up: classes and boxes of regions, objectness and boxes of proposals."""

    parts: tuple[str, ...] = DETECTOR_LOSSES

    def __call__(
        self, net: nn.Module, inputs: list[Tensor], targets: list[dict[str, Tensor]], precision: str
    ) -> tuple[Tensor, ...]:
        """See Objective."""
        with autocast(inputs[0].device, precision):
            losses = net(inputs, targets)
        names = ("loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg")
        each = [losses[name].float() for name in names]
        return torch.stack(each).sum(), *(loss.detach() for loss in each)


@dataclass(frozen=True, slots=True, eq=False)
class DetectionTest:
    """What a detector found in the test images, and the outcome."""

    predictions: list[Detections]
    table: MatchTable
    numbers: dict[str, float]
    seconds: float

    @property
    def error(self) -> float:
        """100 - AP50, in percent."""
        return 100 - self.numbers["ap50"]

    @property
    def loss(self) -> float:
        """What is missing of COCO's AP, from 0 to 1."""
        return 1 - self.numbers["ap"] / 100

    @property
    def count(self) -> int:
        """Images."""
        return len(self.predictions)

    def kept(self) -> dict[str, Any]:
        """Every AP that there is."""
        return {name: value for name, value in self.numbers.items() if not math.isnan(value)}


@dataclass(frozen=True, eq=False)
class AnnotatedImages(Experiment):
    """A detection set's training and test images, with the run that uses them.

    used: the images that are tested. source_error: of what the net starts from, see bench.tasks.weights.
    On CUDA the backward pass of RoI pooling (form "c4") adds in no fixed order: there a resumed training differs from
    an uninterrupted one by rounding.
    """

    training: DetectionSet
    tested: DetectionSet
    used: tuple[Annotated, ...]
    source_error: float | None

    @classmethod
    def of(cls, run: Run, job: Job, device: torch.device) -> AnnotatedImages:
        """The run's data set. Raises DataError where it is not there, or has nothing to find in what is tested.

        Raises WeightsError where the net is to start from a run that trained no classifier, or is not done.
        """
        training, tested = _sets(run, job)
        refuse_shared(training, tested, copies=is_own(run.data))
        used = tested.images[: run.recipe.test_images]
        if not any(image.to_find.any() for image in used):
            raise DataError(
                f"{tested.name}: no object to find in the first {counted(len(used), 'image')}: test more of them"
            )
        return cls(run, job, device, training, tested, used, source_error(run.net, job))

    @cached_property
    def digest(self) -> str:
        """Of both lists' annotations, and their images' names and lengths: half of the SHA-256 of each."""
        return _digest(self.training, self.tested)

    @classmethod
    def digest_of(cls, run: Run, job: Job) -> str:
        """See Experiment."""
        return _digest(*_sets(run, job))

    @property
    def objective(self) -> DetectionLosses:
        """See DetectionLosses."""
        return DetectionLosses()

    @property
    def clip(self) -> float:
        """The recipe's bound."""
        return detection_of(self.run).max_grad_norm

    @property
    def dropout_seed(self) -> int:
        """The run's: of the regions that are sampled, too."""
        return self.run.seed

    def net(self) -> nn.Module:
        """Faster R-CNN; see Experiment."""
        if warning := self._warning():
            print(f"bench: {self.run.id}: {warning}", flush=True)
        return detector(self.run, self.job, self.training)

    def _warning(self) -> str:
        recipe = self.run.recipe
        return rate_warning(detection_of(self.run).form, recipe.lr, recipe.batch)

    def batches(self) -> DetectionBatches:
        """See Experiment."""
        generator = torch.Generator().manual_seed(self.run.seed)
        return DetectionBatches(self.training.trainable(), self.run.recipe.batch, generator, self.device)

    def test(self, net: nn.Module) -> Work[DetectionTest]:
        """AP on the test images."""
        return ready(self._tested(net, "plain", {}))

    def _tested(self, net: nn.Module, name: str, options: dict[str, Any]) -> DetectionTest:
        """One way to test; what it finds is kept in the run's folder until all ways have ended.

        Raises DivergedError where a score is not finite, StoppedError where it is asked to stop.
        """
        predictions, seconds = self._found(net, name, options)
        start = time.perf_counter()
        try:
            table = matched([image.truth() for image in self.used], predictions, self.tested.classes)
        except ValueError as error:
            raise DivergedError(str(error)) from None
        return DetectionTest(predictions, table, table.numbers(), seconds + time.perf_counter() - start)

    def _found(self, net: nn.Module, name: str, options: dict[str, Any]) -> tuple[list[Detections], float]:
        """What `net` as it is now finds, and the seconds that took; a test that was stopped is resumed.

        The processes of a run share CHUNK images at a time, so that all of them stop at the same one.
        """
        processes, folder = self.job.processes, self.job.folder
        made_of = [checkpoint.weights_digest(net.state_dict()), self.digest, len(self.used)]
        saved = processes.of_first(lambda: checkpoint.load(folder.scores(name)))
        predictions, seconds = list[Detections](), 0.0
        if saved is not None and saved["of"] == made_of:
            predictions, seconds = list(saved["predictions"]), saved["seconds"]
        while len(predictions) < len(self.used):
            start = time.perf_counter()
            chunk = self.used[len(predictions) : len(predictions) + CHUNK]
            mine = [self._detect(net, image, options) for image in chunk[processes.slice_of(len(chunk))]]
            predictions += [one for part in processes.each(mine) for one in part]
            seconds += time.perf_counter() - start
            stop = processes.any(self.job.should_stop())
            if processes.rank == 0:
                folder.beat_again()
                if stop or len(predictions) == len(self.used) or len(predictions) % KEPT_EVERY == 0:
                    content = {"predictions": predictions, "seconds": seconds, "of": made_of}
                    checkpoint.save(folder.scores(name), content)
            if stop and len(predictions) < len(self.used):
                raise StoppedError("stopped while the detector was tested; the next start resumes")
        return predictions, seconds

    def _detect(self, net: nn.Module, image: Annotated, options: dict[str, Any]) -> Detections:
        with autocast(self.device, self.run.recipe.precision):
            found = detect(net, image.pixels().to(self.device).float() / 255, **options)
        return {name: (value.float() if name != "labels" else value).cpu() for name, value in found.items()}

    def extras(self, net: nn.Module, tested: DetectionTest) -> dict[str, Any]:
        """Table 9's options, what the backbone came from, and what was left out of the data.

        Leaves the outcome of every detection in the run's folder, and some of them drawn on their images.
        """
        more = self.further(net)
        if self.job.processes.rank == 0:
            self._keep({"": tested, **more})
        columns = {f"{name}_{key}": value for name, test in more.items() for key, value in test.kept().items()}
        warning = self._warning()
        words = [self.training.summary(), self.tested.summary(), f"Warning: {warning}." if warning else ""]
        return {
            **columns,
            "params": sum(p.numel() for p in net.parameters()),
            "classes": " ".join(name.replace(" ", "_") for name in self.tested.classes),
            "source_error": self.source_error,
            "pictures": " ".join(filter(None, words)),
            "matches_sha256": file_digest(self.job.folder.matches),
            "found_sha256": file_digest(self.job.folder.found),
        }

    def further(self, net: nn.Module) -> dict[str, DetectionTest]:
        """The tests with the recipe's options, by their name in OPTIONS."""
        spec = detection_of(self.run)
        refine: dict[str, Any] = {"refine": True} if spec.refine else {}
        asked = {"refined": refine, "multi_scale": {**refine, "sides": spec.scales} if spec.scales else {}}
        return {name: self._tested(net, name, options) for name, options in asked.items() if options}

    def found(self, tests: Mapping[str, DetectionTest]) -> Found:
        """What tests found, by their option."""
        return Found.of(self.used, self.tested, {option: test.predictions for option, test in tests.items()})

    def _keep(self, tests: dict[str, DetectionTest]) -> None:
        plain, folder = tests[""], self.job.folder
        arrays = shown(self.used, plain.predictions, self.tested.classes)
        for option, test in tests.items():
            arrays |= {f"{option}:{name}": array for name, array in test.table.arrays().items()}
        for path, content in ((folder.found, self.found(tests).arrays()), (folder.matches, arrays)):
            with atomic(path) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **content)
        with atomic(folder.detections) as temporary:
            draw(self.used, plain.predictions, self.tested.classes, temporary)


def _sets(run: Run, job: Job) -> tuple[DetectionSet, DetectionSet]:
    """What the run's data set has to train on and to test on. Raises DataError, also where their classes differ."""
    row = run.dataset
    training, tested = row.resolve("reader")(row.resolve("locate")(job.data, run.data))
    if training.classes != tested.classes:
        names = named(sorted({*training.classes} ^ {*tested.classes})) or "the same ones in another order"
        raise DataError(
            f"{training.name} has {len(training.classes)} classes and {tested.name} {len(tested.classes)}, which "
            f"differ ({names}): a label would mean two of them; number them alike in both files"
        )
    return training, tested


def _digest(training: DetectionSet, tested: DetectionSet) -> str:
    return f"{training.digest[:32]}{tested.digest[:32]}"
