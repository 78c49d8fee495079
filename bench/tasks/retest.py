"""A run's test once more, with weights from a file: what `bench verify --weights` holds against the row of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.machine import cxx_compiler
from bench.nets.weights import Stored, load
from bench.spec import Run
from bench.store import Inputs, RunFolder
from bench.store.tensor_file import Raw
from bench.tasks.experiment import Experiment, experiment_of
from bench.tasks.job import Job
from bench.tasks.provenance import device_of, session
from bench.train.turns import finish


@dataclass(frozen=True, slots=True)
class Tested:
    """What a test found. correct: by image, or pair; None of a detector.

    margins: by image, by how much the best class's output exceeds the second best's; None of other tasks.
    here: the provenance of this test, with the names that it has in env.json.
    """

    error: float
    correct: NDArray[np.bool_] | None
    margins: NDArray[np.float32] | None
    here: Mapping[str, Any]


class Watched(nn.Module):
    """A classifier that keeps the margin of every image that it has classified, in order."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.margins: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """The net's outputs."""
        out: Tensor = self.net(x)
        best, second = out.detach().float().topk(2, 1).values.unbind(1)
        self.margins.append((best - second).cpu())
        return out


def evaluated_with(run: Run, tensors: Mapping[str, Raw], data: Path) -> Tested:
    """The test of `run` with these weights, by its own code, in its precision, with its threads and kernels.

    Where these were compiled and there is no compiler, they are not; nor where the compiled ones make NaN, as those of
    torch 2.14 in bf16 did under ATEN_CPU_CAPABILITY=avx2. Raises DataError, and WeightsError where the tensors are not
    of the run's net.
    """
    device = device_of(run)
    compiled = may_compile(run, device)
    tested = _evaluated(run, tensors, data, device, compiled=compiled)
    if compiled and tested.margins is not None and np.isnan(tested.margins).any():
        return _evaluated(run, tensors, data, device, compiled=False)
    return tested


def may_compile(run: Run, device: torch.device) -> bool:
    """Whether the run's kernels were compiled, and can be here."""
    return run.resources.compile and (device.type == "cuda" or cxx_compiler() is not None)


def _evaluated(run: Run, tensors: Mapping[str, Raw], data: Path, device: torch.device, *, compiled: bool) -> Tested:
    task = run.task_row
    with opened(run, tensors, data, device, compiled=compiled) as (experiment, net):
        watched = Watched(net) if task.by_image and not task.answers else None  # between classes, not whether a pair is
        tested = finish(experiment.test(watched or net))
        here = session(experiment, Inputs(experiment.digest, None), kernels(compiled=compiled))
    return Tested(
        tested.error,
        tested.correct.numpy() if task.by_image else None,  # type: ignore[attr-defined]  # an Evaluation
        torch.cat(watched.margins).numpy() if watched else None,
        here,
    )


def kernels(*, compiled: bool) -> str:
    """What provenance calls them."""
    return "compiled" if compiled else "eager"


@contextmanager
def opened(
    run: Run, tensors: Mapping[str, Raw], data: Path, device: torch.device, *, compiled: bool
) -> Iterator[tuple[Experiment, nn.Module]]:
    """The run's experiment and its net with these weights, to be tested. Raises DataError and WeightsError."""
    with TemporaryDirectory() as place:
        job = Job(RunFolder(Path(place)), data, lambda: False)
        experiment = experiment_of(run).of(run, job, device)
        net = experiment.net()
        load(net, Stored({"": {name: _tensor(raw) for name, raw in tensors.items()}}), run.net.name, ())
        net = net.to(device).to(memory_format=torch.channels_last)
        if compiled:
            net.compile()
        yield experiment, net


def _tensor(raw: Raw) -> Tensor:
    dtype = getattr(torch, raw.dtype.removeprefix("torch."))
    flat = torch.frombuffer(bytearray(raw.data), dtype=dtype) if raw.data else torch.empty(0, dtype=dtype)
    return flat.reshape(raw.shape)
