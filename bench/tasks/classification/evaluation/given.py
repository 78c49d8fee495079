"""Weights that are tested as they are (task evaluate): whose classes their outputs are, which pixels they expect."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from bench.data.locate import DataError
from bench.nets.weights import WeightsError, outputs_of, read_weights
from bench.spec import SOURCES, Net, Run, counted
from bench.store import RunFolder
from bench.tasks.job import Job
from bench.tasks.weights import pixels_of, require_stride, trained_by, weights_file

OFFICIAL = 1000  # classes of ImageNet, whose wnids in their order are the outputs of all published weights
NAMED = 4


def net_of(run: Run, job: Job) -> nn.Module:
    """The net with its weights, as many classes as these tell apart. Raises WeightsError."""
    file = weights_file(run.net, job)
    built: nn.Module = run.net.row.resolve("build")(run.net, outputs(run.net, job), file)
    if file is not None and trained(run, job):  # with the counts of batch norm: their digest is then the run's
        built.load_state_dict(read_weights(file).sets["net"])
    return built


def outputs(net: Net, job: Job) -> int:
    """How many classes the net's weights tell apart. Nothing is downloaded for it. Raises WeightsError."""
    require_stride(net)
    if known := SOURCES[net.start.source].outputs:
        return known
    file = weights_file(net, job)
    found = outputs_of(read_weights(file)) if file else 0
    if not found and net.row.by_weights:
        from bench.nets import timm_nets

        return timm_nets.outputs_of(net)
    if not found:
        raise WeightsError(f"{file} holds no classifier (fc.weight), and that is to be tested: save the whole net")
    return found


def places(run: Run, job: Job, classes: Sequence[str]) -> tuple[int, ...]:
    """The outputs of the weights that are the data's `classes`, by their wnids; () where all are, in their order.

    Only these outputs compete in a test on a part of ImageNet. Raises WeightsError or DataError where the weights do
    not know the classes.
    """
    told, data = outputs(run.net, job), run.data
    if trained(run, job) or (told == len(classes) != OFFICIAL):
        return _own(run, told, len(classes))
    if told != OFFICIAL:
        raise WeightsError(
            f"{run.net.weights} tell {told:,} classes apart and {data} has {len(classes):,}: give the data that they "
            "were trained on, or weights of ImageNet's 1,000 classes and a folder of some of these"
        )
    from bench.nets.timm_nets import imagenet_wnids

    official = imagenet_wnids()
    if other := sorted(set(classes) - set(official)):
        raise DataError(
            f"{data}: {len(other):,} of its {len(classes):,} classes are none of ImageNet's 1,000 "
            f"({', '.join(other[:NAMED])}{', …' * (len(other) > NAMED)}), and the weights know these by the order of "
            f"their wnids: name each class's folder by its wnid, such as {official[0]}, and take the others out"
        )
    return tuple(official.index(wnid) for wnid in classes) if len(classes) < OFFICIAL else ()


def require_classes(run: Run, job: Job, count: int) -> None:
    """Raises WeightsError unless the weights tell the data's `count` classes apart, whose names nobody knows."""
    trained(run, job)
    _own(run, outputs(run.net, job), count)


def _own(run: Run, told: int, count: int) -> tuple[int, ...]:
    if told != count:
        raise WeightsError(
            f"{run.net.weights} tell {counted(told, 'class')} apart and {run.data} has {count:,}: give weights of a "
            f"net for {run.data}, or the data that they were trained on"
        )
    return ()


def trained(run: Run, job: Job) -> Run | None:
    """The run of this suite that made the weights, None where none is known.

    Raises WeightsError where it is not done, or learned other classes than the data's.
    """
    source = trained_by(run.net, job)
    if source and source.data != run.data:
        raise WeightsError(
            f"{run.net.weights} learned the classes of {source.data} and are to be tested on {run.data}: give "
            f"data={source.data!r}"
        )
    if source and source.dataset != run.dataset:
        learned = f"with {source.dataset.part}" if source.dataset.part else f"without {run.dataset.part}"
        raise WeightsError(f"{run.net.weights} learned {source.data} by a recipe {learned}: give the test's the same")
    return source


def require_its_data(run: Run, job: Job, digest: str) -> None:
    """Raises WeightsError unless the weights' own run, if there is one, was trained on the data of this digest.

    Its classes and its mean are theirs.
    """
    if trained(run, job) and (learned := folder_of(run, job).inputs()) and learned.data_sha256 != digest:
        raise WeightsError(
            f"{run.net.weights} learned other data than are in {job.data} (SHA-256 {learned.data_sha256[:12]}, here "
            f"{digest[:12]}), by which their classes and the mean of their pixels go: give those with --data"
        )


def folder_of(run: Run, job: Job) -> RunFolder:
    """That of the run of this suite that made the weights."""
    file = weights_file(run.net, job)
    assert file is not None, "a run leaves a checkpoint"
    return RunFolder(file.parent)


def prepared(run: Run, job: Job, own: Callable[[], Callable[[Tensor], Tensor]]) -> Callable[[Tensor], Tensor]:
    """Images as the weights expect them, (N, 3, H, W) uint8 to inputs.

    own: makes what nets of this suite expect, which subtract the mean image of what they are trained on.
    """
    source = SOURCES[run.net.start.source]
    if source.trained or (run.net.row.mean and not source.pixels):
        return own()
    pixels = pixels_of(run.net, job)
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in pixels)
    return lambda x: ((x.float() / 255 - mean.to(x.device)) / std.to(x.device)).contiguous(
        memory_format=torch.channels_last
    )
