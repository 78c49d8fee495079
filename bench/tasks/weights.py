"""The weights that a run's net starts from: their file, the pixels they expect, and their classification error.

What differs between sources is in the table bench.spec.families, whose functions these are. A file in the folder
`weights` of the data comes first, then what torch and timm have in their caches, then their download.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.nets.weights import HASHED, IMAGENET, Pixels, WeightsError
from bench.spec import SOURCES, Net, Run
from bench.spec.families import CIFAR_MEAN
from bench.store import RunFolder
from bench.tasks.job import Job

SUFFIXES = (".pth", ".pt", ".safetensors", ".bin")


def weights_file(net: Net, job: Job) -> Path | None:
    """The file; None for random weights, or if timm is to download them. Raises WeightsError, see require_stride."""
    require_stride(net)
    found: Path | None = _asked("file", net, job)
    return found


def require_stride(net: Net) -> None:
    """Raises WeightsError where the net's stride is not where its weights learned it."""
    theirs = SOURCES[net.start.source].stride_in
    if net.bottleneck and theirs not in ("", net.stride_in):
        raise WeightsError(
            f"{net.weights} has the stride in the {theirs} convolution, the net has it in the {net.stride_in}: the "
            f"weights would load, and be wrong. Give the net stride_in={theirs!r}"
        )


def source_error(net: Net, job: Job) -> float | None:
    """The classification error (top-1, %) of its weights by their run or their publisher, None where neither says it.

    Raises WeightsError for weights of no classifier.
    """
    error: float | None = _asked("error", net, job)
    return error


def pixels_of(net: Net, job: Job) -> Pixels:
    """What the net with its weights expects of an image. Raises WeightsError."""
    return _asked("pixels", net, job) or (Pixels(net.row.mean) if net.row.mean else IMAGENET)


def _asked(field: str, net: Net, job: Job) -> Any:
    source = SOURCES[net.start.source]
    return source.resolve(field)(net, job) if getattr(source, field) else None


def local_file(net: Net, job: Job) -> Path:
    """A file of the user's. Raises WeightsError naming those there are."""
    folder, name = job.data / "weights", net.start.name
    if not (folder / name).is_file():
        there = sorted(p.name for p in folder.glob("*") if p.suffix in SUFFIXES) if folder.is_dir() else []
        raise WeightsError(f"no file {name} in {folder}; there are: {', '.join(there) or 'none'}")
    return folder / name


def timm_file(net: Net, job: Job) -> Path | None:
    """A local file of timm's weights; None if timm is to download them."""
    paths = (job.data / "weights" / f"{net.start.name}{suffix}" for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def imagenet_pixels(_net: Net, _job: Job) -> Pixels:
    """As published nets were trained, those on CIFAR, too."""
    return IMAGENET


def timm_pixels(net: Net, _: Job) -> Pixels:
    """By timm's configuration of the weights. Raises WeightsError."""
    from bench.nets import timm_nets

    return timm_nets.pixels_of(net.start.name)


def torchvision_file(net: Net, job: Job) -> Path:
    """In the folder of weights, in torch's cache, else downloaded into that. Raises WeightsError."""
    folder, url = job.data / "weights", str(_torchvision(net).url)
    file = url.rsplit("/", 1)[-1]
    cached, said = Path(torch.hub.get_dir(), "checkpoints", file), HASHED.search(file)
    for path in (folder / file, cached):
        if path.is_file():
            return path
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(cached), said and said[1], progress=False)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"{net.weights}: {file} is not in {folder} and cannot be downloaded ({error}). Put it there, from {url}"
        ) from None
    return cached


def torchvision_error(net: Net, _: Job) -> float:
    """By torchvision's metadata. Raises WeightsError for weights of no classifier."""
    accuracy = float(_torchvision(net).meta["_metrics"]["ImageNet-1K"]["acc@1"])
    if math.isnan(accuracy):
        raise WeightsError(f"{net.weights} classify nothing, and torchvision says so: name IMAGENET1K_V1")
    return round(100 - accuracy, 6)


def _torchvision(net: Net) -> Any:
    """torchvision's entry of the net's weights: `url`, and in `meta` what they reach. Raises WeightsError."""
    from torchvision.models import get_weight

    name, model = net.start.name, f"{'VGG' if net.plain else 'ResNet'}-{net.depth}"
    try:
        return get_weight(f"{model.replace('-', '')}_Weights.{name}")
    except (ValueError, KeyError, AttributeError) as error:
        raise WeightsError(f"torchvision has no weights {name!r} of {model}: {error}") from None


def run_file(net: Net, job: Job) -> Path:
    """The last checkpoint of a run in the same folder of runs, which has to be done. Raises WeightsError."""
    return _source_run(net, job)[0].checkpoint


def run_error(net: Net, job: Job) -> float:
    """Its test error. Raises WeightsError."""
    return float((_source_run(net, job)[0].result() or {})["test_error"])


def run_digest(net: Net, job: Job) -> str:
    """Of its final weights: the file has the dates of its training, too. Raises WeightsError."""
    return str((_source_run(net, job)[0].result() or {})["weights_sha256"])


def run_trained(net: Net, job: Job) -> Run:
    """It. Raises WeightsError."""
    return _source_run(net, job)[1]


def trained_by(net: Net, job: Job) -> Run | None:
    """The run of this suite that made the weights, None for others. Raises WeightsError where it is not done."""
    run: Run | None = _asked("trained", net, job)
    return run


def run_pixels(net: Net, job: Job) -> Pixels | None:
    """By its crop: Section 3.4's and images in memory have the mean alone subtracted. Raises WeightsError."""
    run = _source_run(net, job)[1]
    if net.row.own and not run.dataset.part:
        return Pixels(CIFAR_MEAN)
    views = run.recipe.views
    return Pixels(IMAGENET.mean) if views and views.crop == "scale" else None


def _source_run(net: Net, job: Job) -> tuple[RunFolder, Run]:
    """The run that the net starts from. Raises WeightsError where it is not done, or trained another net."""
    sweep, _, name = net.start.name.partition("/")
    folder = RunFolder(job.folder.path.parents[1] / sweep / name)
    path = folder.checkpoint
    if not path.is_file() or folder.result() is None:
        raise WeightsError(
            f"{path} {'is of a run that is not done' if path.is_file() else 'is not there'}: the net starts from that "
            "run. Train it first: "
            f"python -m bench.sweep {sweep} --scale {name.split('-')[-3]} --only {name} --out {path.parents[2]}"
        )
    run = folder.run()
    stride_in = run.net.stride_in if net.bottleneck else net.stride_in  # only bottlenecks have the choice
    if replace(run.net, stride_in=stride_in, weights="") != replace(net, weights=""):
        stride = f" with the stride in the {stride_in}" if net.bottleneck else ""
        raise WeightsError(f"{run.id} trained {run.net.name}{stride}, not the net that is to start from it")
    return folder, run
