"""A run's device, and the provenance of each of its starts."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import torch

from bench import __version__
from bench.machine import allocator, commit, cpu_name, cuda_devices, cxx_compiler, no_compiler
from bench.spec import Run
from bench.store import Inputs
from bench.tasks.experiment import Experiment
from bench.tasks.surroundings import instruction_set, requirements


class DeviceError(RuntimeError):
    """A device that cannot be used, or is not the kind that a checkpoint needs."""


def device_of(run: Run) -> torch.device:
    """A CUDA device if there is one and the run may have it, else the CPU with the run's threads."""
    torch.set_num_threads(run.resources.cpus)
    if not run.resources.gpus or not cuda_devices():
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DeviceError(
            f"{cuda_devices()[0]} is there, but torch {torch.__version__} cannot use it (an old driver, or a build of "
            "torch for CPUs). Fix the installation, or set CUDA_VISIBLE_DEVICES= to train on the CPU"
        )
    _reproducible_cuda()
    return torch.device("cuda")


def device_name(device: torch.device) -> str:
    """A name that no other GPU has, "" for a CPU."""
    return f"{platform.node()}, {torch.cuda.get_device_properties(device).uuid}" if device.type == "cuda" else ""


def require_compiler(run: Run, device: torch.device) -> None:
    """Raises DeviceError if the run's kernels must be compiled and cannot."""
    if run.resources.compile and device.type == "cpu" and cxx_compiler() is None:
        raise DeviceError(
            f"this run was begun, or is declared, with compiled kernels. {no_compiler()}; it is then resumed"
        )


def _reproducible_cuda() -> None:
    """fp32 without TF32, and deterministic kernels as far as torch has them."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # deterministic algorithms also fill all fresh memory with NaN: some 960 kernels a step of ResNet-20 more
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch's stubs lack it
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False  # it may choose other kernels when a run resumes


def session(experiment: Experiment, inputs: Inputs, kernels: str = "eager") -> dict[str, Any]:
    """Provenance of one start's part of a run, taken before it trains. kernels: the text of a Way."""
    run, device, processes = experiment.run, experiment.device, experiment.job.processes
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    code = commit()
    return {
        **code,
        "bench": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # a TorchVersion is not a plain string: weights_only refuses it
        "torchvision": version("torchvision"),
        "hardware": "; ".join(dict.fromkeys(processes.each(hardware))),
        "isa": "; ".join(dict.fromkeys(processes.each(instruction_set(device)))),
        "threads": run.resources.cpus,
        "share": run.resources.share,
        "kernels": kernels,
        "allocator": allocator(),
        "processes": processes.size,
        "claims_sha256": experiment.job.folder.claims_digest(),
        "data": run.data,
        **asdict(inputs),
        "requirements": requirements(code),
        "notice": experiment.notice,
        "started": time.time(),
        "ended": time.time(),
    }


def merged(sessions: list[dict[str, Any]]) -> dict[str, Any]:
    """Provenance of a run: each value of its sessions, several of them joined by "; ", from first start to last end.

    A session of an older version lacks what was added later. The lists of packages stay apart, in `requirements`.
    """
    names = dict.fromkeys(name for s in sessions for name in s)
    values = {name: list(dict.fromkeys(s[name] for s in sessions if name in s)) for name in names}
    joined: dict[str, Any] = {n: v[0] if len(v) == 1 else "; ".join(map(str, v)) for n, v in values.items()}
    if "requirements" in values:
        joined["requirements"] = list(filter(None, values["requirements"]))
    dirty = any(values["dirty"]) if None not in values["dirty"] else None
    first, last = sessions[0], sessions[-1]
    return {
        **joined,
        "dirty": dirty,
        "claims_sha256": first.get("claims_sha256", ""),  # as the run began, "" where that was before its claims
        "started": first["started"],
        "ended": last["ended"],
        "sessions": len(sessions),
    }
