"""The file of the weights that a run's net starts from."""

from __future__ import annotations

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
    source, _, name = net.weights.partition(":")
    if source == "run":
        return _of_run(name, job)
    if source == "file":
        return local_file(weights_folder(job), name)
    if source == "torchvision":
        return torchvision_file(net, weights_folder(job))
    return timm_file(name, weights_folder(job)) if source == "timm" else None


def source_error(net: Net, job: Job) -> float | None:
    """The classification error (top-1, %) of what the net starts from, as its own run or its publisher has it."""
    source, _, name = net.weights.partition(":")
    if source == "run":
        result = RunFolder(_of_run(name, job).parent).result()
        return float(result["test_error"]) if result else None
    if source == "torchvision":
        accuracy = torchvision_weights(net).meta["_metrics"]["ImageNet-1K"]["acc@1"]
        return round(100 - float(accuracy), 6)
    return None


def source_run(net: Net, job: Job) -> Run | None:
    """The run that the net starts from, if it is one. Raises WeightsError where it trained another net."""
    source, _, name = net.weights.partition(":")
    if source != "run":
        return None
    run = RunFolder(_of_run(name, job).parent).run()
    if replace(run.net, weights="", stride_in=net.stride_in) != replace(net, weights=""):
        raise WeightsError(f"{run.id} trained {run.net.name}, which is not {replace(net, weights='').name}")
    return run


def _of_run(name: str, job: Job) -> Path:
    """The last checkpoint of `SWEEP/RUN` in the same folder of runs."""
    sweep, _, run = name.partition("/")
    path = RunFolder(job.folder.path.parents[1] / sweep / run).checkpoint
    if not path.is_file():
        raise WeightsError(
            f"{path} is not there: the net starts from that run. Train it first: "
            f"python -m bench.sweep {sweep} --scale {run.split('-')[-3]} --only {run} --runs {path.parents[2]}"
        )
    return path
