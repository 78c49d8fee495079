"""Task `evaluate`: tests weights as they are, published ones, a file's or a run's; no training (Tables 3 and 4)."""

from __future__ import annotations

from typing import Any

import torch

from bench.nets.weights import WeightsError
from bench.spec import Run
from bench.tasks.classification.evaluation import given
from bench.tasks.experiment import experiment_of
from bench.tasks.inputs import inputs_of
from bench.tasks.job import Job
from bench.tasks.provenance import device_of, session
from bench.tasks.weights import source_error
from bench.tasks.witnesses import begin, finish
from bench.train import checkpoint
from bench.train.metrics import Evaluation, bits
from bench.train.process_group import agree
from bench.train.turns import Work


def evaluate(run: Run, job: Job) -> Work[None]:
    """Tests the run's weights and writes its result; a stopped test goes on where it stopped.

    Raises WeightsError, DataError, StoppedError, StoreError, LostError and the MACHINE_ERRORS.
    """
    device, processes = device_of(run), job.processes
    net = given.net_of(run, job).to(device).to(memory_format=torch.channels_last)
    experiment = experiment_of(run).of(run, job, device)
    weights = checkpoint.weights_digest(net.state_dict())
    agree(processes, device=device.type, data=experiment.digest, weights=weights, torch=str(torch.__version__))
    inputs = inputs_of(experiment)
    about = session(experiment, inputs)
    start = begin(run, job, inputs, 0, about)
    print(f"bench: tests {run.id} on {device}", flush=True)
    tested: Any = yield from experiment.test(net)
    extras = experiment.extras(net, tested)
    if processes.rank == 0:
        curve = {"curve_sha256": job.folder.write_curve([])}
        params = {"params": sum(p.numel() for p in net.parameters())}
        found = _result(run, tested, weights) | params | extras | _beside_its_run(run, job, tested)
        finish(run, job, start, found | curve, [about])
    processes.any(False)  # the others stay until the result is written


def _beside_its_run(run: Run, job: Job, tested: Evaluation) -> dict[str, Any]:
    """Of weights that a run of this suite made, its own test error, and how many images it judged otherwise.

    That only where both tested the same images: all of them that a run of a classifier keeps.
    """
    if given.trained(run, job) is None:
        return {}
    own = given.folder_of(run, job).result()
    if own is None:
        raise WeightsError(f"{run.net.weights} is not done any more: leave its folder as it is while it is tested")
    found: dict[str, Any] = {"source_error": source_error(run.net, job)}
    if own.get("correct") and own["test_images"] == tested.count:
        ours, its = (int.from_bytes(bytes.fromhex(text)) for text in (bits(tested.correct), own["correct"]))
        found["source_differs"] = (ours ^ its).bit_count()
    return found


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
