"""A run's net on further test sets (bench.spec.further), from its final weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from bench.data.locate import DataError
from bench.spec import Run
from bench.spec.further import FurtherSet
from bench.store import Inputs
from bench.store.tensor_file import Raw
from bench.tasks.experiment import Experiment
from bench.tasks.provenance import device_of, session
from bench.tasks.retest import kernels, may_compile, opened
from bench.train.loop import StoppedError
from bench.train.metrics import Evaluation, bits
from bench.train.turns import Work

HERE = ("hardware", "isa", "threads", "kernels", "commit", "tree", "dirty", "bench", "torch", "python")


class Read(Protocol):
    """What a row's reader returns."""

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""


@dataclass(frozen=True, slots=True)
class Tester:
    """Tests a run from its weights, in its precision, with its threads and kernels, as bench.tasks.retest does.

    digest: of the weights. data_sha256: of the data that the run was trained on. data: the data folder.
    stop: asked after each batch.
    """

    run: Run
    tensors: Mapping[str, Raw]
    digest: str
    data_sha256: str
    data: Path
    stop: Callable[[], bool]

    def on(self, rows: Sequence[FurtherSet]) -> Iterator[tuple[FurtherSet, dict[str, Any] | DataError]]:
        """What is kept of each test as soon as it has ended, or why its data cannot be used.

        Raises DataError where the run's own data are not there, WeightsError, DeviceError and StoppedError.
        """
        self.run.dataset.resolve("locate")(self.data, self.run.data)  # nothing is downloaded
        device = device_of(self.run)
        compiled, left = may_compile(self.run, device), list(rows)
        while left:
            with opened(self.run, self.tensors, self.data, device, compiled=compiled) as (experiment, net):
                self._refuse_others(experiment)
                about = session(experiment, Inputs(experiment.digest, None), kernels(compiled=compiled))
                while left:
                    try:
                        kept = self._kept(experiment, net, left[0])
                    except DataError as error:
                        yield left.pop(0), error
                        continue
                    if compiled and any(one["loss"] is None for one in kept["parts"].values()):
                        compiled = False  # compiled kernels can make NaN, see bench.tasks.retest: once more, without
                        break
                    yield left.pop(0), {**kept, **{name: about[name] for name in HERE}, "tested": time.time()}

    def _refuse_others(self, experiment: Experiment) -> None:
        """The mean that is subtracted is the training images'."""
        if experiment.digest != self.data_sha256:
            raise DataError(
                f"{self.run.id} was trained on other {self.run.dataset.title} (SHA-256 {self.data_sha256[:12]}) than "
                f"is in {self.data} ({experiment.digest[:12]}): give the folder of those with --data"
            )

    def _kept(self, experiment: Experiment, net: nn.Module, row: FurtherSet) -> dict[str, Any]:
        place = row.resolve("locate")(self.data, row)
        read: Read = row.resolve("reader")(place, row)
        found = self._finish(row.resolve("test")(experiment, net, row, read))
        parts = {
            part: {
                "images": one.count,
                "error": one.error,
                "loss": one.loss if math.isfinite(one.loss) else None,
                "correct": bits(one.correct),
            }
            for part, one in found.items()
        }
        about = {"id": self.run.id, "test": row.name, "weights_sha256": self.digest, "test_sha256": read.digest}
        return {**about, "parts": parts}

    def _finish(self, work: Work[Mapping[str, Evaluation]]) -> Mapping[str, Evaluation]:
        """All of it, unless it is stopped."""
        while True:
            try:
                event = next(work)
            except StopIteration as end:
                found: Mapping[str, Evaluation] = end.value
                return found
            if event is not None:
                event.synchronize()
            if self.stop():
                raise StoppedError
