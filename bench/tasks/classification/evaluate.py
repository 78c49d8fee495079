"""Task `evaluate`: tests published weights by the paper's protocols; no training (Tables 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from bench.data.locate import DataError
from bench.nets.weights import WeightsError
from bench.spec import Run
from bench.tasks.classification.imagenet.experiment import ImageNet
from bench.tasks.classification.imagenet.transforms import Normalise
from bench.tasks.inputs import inputs_of
from bench.tasks.job import Job
from bench.tasks.provenance import device_of, session
from bench.tasks.weights import pixels_of, weights_file
from bench.tasks.witnesses import begin, finish
from bench.train import checkpoint
from bench.train.metrics import Evaluation
from bench.train.process_group import agree
from bench.train.turns import Work


def evaluate(run: Run, job: Job) -> Work[None]:
    """Tests the run's weights and writes its result; a stopped test resumes at the next protocol.

    Raises WeightsError, DataError, StoppedError, StoreError, LostError and the MACHINE_ERRORS.
    """
    device, processes = device_of(run), job.processes
    built: nn.Module = run.net.row.resolve("build")(run.net, 1000, weights_file(run.net, job))
    experiment = ImageNet.of(run, job, device, Normalise.of(pixels_of(run.net, job)))
    _require_official(experiment.images.classes, run.data, outputs=getattr(built, "num_classes", 1000))
    net = built.to(device).to(memory_format=torch.channels_last)
    weights = checkpoint.weights_digest(net.state_dict())
    agree(processes, device=device.type, data=experiment.digest, weights=weights, torch=str(torch.__version__))
    inputs = inputs_of(experiment)
    about = session(experiment, inputs)
    start = begin(run, job, inputs, 0, about)
    print(f"bench: tests {run.id} on {device}", flush=True)
    centre = yield from experiment.test(net)
    extras = experiment.extras(net, centre)
    if processes.rank == 0:
        curve = {"curve_sha256": job.folder.write_curve([])}
        params = {"params": sum(p.numel() for p in net.parameters())}
        finish(run, job, start, _result(run, centre, weights) | params | extras | curve, [about])
    processes.any(False)  # the others stay until the result is written


def _require_official(classes: Sequence[str], data: str, *, outputs: int) -> None:
    """Refuses other classes than those whose places in the order of wnids are the weights' outputs.

    outputs: how many the net has; timm has nets of ImageNet-21k, too.
    """
    from bench.nets.timm_nets import imagenet_wnids

    official = imagenet_wnids()
    if outputs != len(official):
        raise WeightsError(f"the weights tell {outputs:,} classes apart, not ImageNet's 1,000: name weights of these")
    if len(classes) != len(official):
        raise DataError(
            f"the weights tell {len(official):,} classes apart and {data} has {len(classes):,}: give all of ImageNet"
        )
    if other := sorted(set(classes) - set(official)):
        raise DataError(
            f"{data}: {len(other):,} of its classes are none of ImageNet's 1,000 ({', '.join(other[:4])}"
            f"{', …' * (len(other) > 4)}), and the weights know these by the order of their wnids: name each class's "
            f"folder by its wnid, such as {official[0]}"
        )


def _result(run: Run, centre: Evaluation, weights: str) -> dict[str, object]:
    return {
        "id": run.id,
        "step": 0,
        "test_error": centre.error,
        "test_loss": centre.loss,
        "test_images": len(centre.correct),
        **centre.kept(),
        "weights_sha256": weights,
        "seconds": centre.seconds,
        "images_per_s": len(centre.correct) / centre.seconds,
        "test_images_per_s": len(centre.correct) / centre.seconds,
    }
