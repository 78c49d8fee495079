"""The file of the weights that a run's net starts from."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from bench.nets.pretrained import WeightsError, local_file, timm_file, torchvision_file, torchvision_weights
from bench.spec import Net, Run
from bench.store import RunFolder
from bench.tasks.job import Job

WEIGHTS = "weights"  # the folder of local files beside the data sets


def weights_folder(job: Job) -> Path:
    """Where files of weights are looked for first."""
    return job.data / WEIGHTS


def weights_file(net: Net, job: Job) -> Path | None:
    """The file; None where the net starts from none, or timm is to get them. Raises WeightsError."""
    source, name = net.source
    if source == "run":
        return _of_run(name, job)
    if source == "file":
        return local_file(weights_folder(job), name)
    if source == "torchvision":
        return torchvision_file(net, weights_folder(job))
    return timm_file(name, weights_folder(job)) if source == "timm" else None


def source_error(net: Net, job: Job) -> float | None:
    """The classification error (top-1, %) of what the net starts from, as its own run or its publisher has it.

    None where nobody says it. Raises WeightsError for weights of no classifier.
    """
    source, name = net.source
    if source == "run":
        result = RunFolder(_of_run(name, job).parent).result()
        return float(result["test_error"]) if result else None
    if source == "torchvision":
        accuracy = float(torchvision_weights(net).meta["_metrics"]["ImageNet-1K"]["acc@1"])
        if math.isnan(accuracy):
            raise WeightsError(f"{net.weights} classify nothing, and torchvision says so: name IMAGENET1K_V1")
        return round(100 - accuracy, 6)
    return None


def source_run(net: Net, job: Job) -> Run | None:
    """The run that the net starts from, if it is one. Raises WeightsError where it trained another net."""
    source, name = net.source
    if source != "run":
        return None
    run = RunFolder(_of_run(name, job).parent).run()
    strided = net.bottleneck  # elsewhere no block has a stride to be in either place
    theirs = run.net if strided else replace(run.net, stride_in=net.stride_in)
    if replace(theirs, weights="") != replace(net, weights=""):
        stride = f" with the stride in the {run.net.stride_in}" if strided else ""
        raise WeightsError(f"{run.id} trained {run.net.name}{stride}, not the net that is to start from it")
    return run


def _of_run(name: str, job: Job) -> Path:
    """The last checkpoint of `SWEEP/RUN` in the same folder of runs, which has to be done."""
    sweep, _, run = name.partition("/")
    folder = RunFolder(job.folder.path.parents[1] / sweep / run)
    path = folder.checkpoint
    if not path.is_file() or folder.result() is None:
        raise WeightsError(
            f"{path} {'is of a run that is not done' if path.is_file() else 'is not there'}: the net starts from that "
            "run. Train it first: "
            f"python -m bench.sweep {sweep} --scale {run.split('-')[-3]} --only {run} --runs {path.parents[2]}"
        )
    return path
