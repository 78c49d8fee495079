"""`bench export NAME --detections`: what a finished run's tests found, as COCO's results, with their ground truth.

Nothing is written but what the run kept, to the bit, or what has the outcomes, and so the AP, that it ended with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.data.locate import DataError, home
from bench.nets.weights import WeightsError
from bench.spec import Run
from bench.store import RunFolder, StoreError, file_digest, write_text
from bench.store.files import sha256
from bench.tasks.detection.experiment import AnnotatedImages
from bench.tasks.detection.found import Found
from bench.tasks.job import Job
from bench.tasks.provenance import DeviceError, device_of
from bench.train import checkpoint
from bench.train.turns import finish


def export(folder: RunFolder, result: Mapping[str, Any], data: Callable[[], Path], to: Path) -> str:
    """Writes `<id>.json`, with an option `<id>.<option>.json`, and the ground truth; returns a line on them.

    data: the data folder, where the run has to be tested again. Raises StoreError, DataError.
    """
    name = folder.path.name
    found = _kept(folder, result) or _again(folder, result, data)
    truth = _dumped(found.truth_json())
    files = {f"ground-truth-{sha256(truth.encode())[:8]}.json": truth}
    files |= {
        f"{name}{f'.{option}' * bool(option)}.json": _dumped(found.results_json(option)) for option in found.predictions
    }
    for file, content in files.items():
        write_text(to / file, content)
    first, *results = files
    return f"{name}: AP50 {result['ap50']:.2f} %, AP {result['ap']:.2f} %: {', '.join(results)}; ground truth: {first}"


def _dumped(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":")) + "\n"


def _kept(folder: RunFolder, result: Mapping[str, Any]) -> Found | None:
    """What the run kept; None of a run that kept nothing, or where that is not as it ended."""
    if not result.get("found_sha256") or file_digest(folder.found) != result["found_sha256"]:
        return None
    with np.load(folder.found) as arrays:
        return Found.of_arrays(dict(arrays))


def _again(folder: RunFolder, result: Mapping[str, Any], data: Callable[[], Path]) -> Found:
    """What the run's weights find now. Raises StoreError, DataError where that is not what they found, or cannot be."""
    run, env = folder.run(), folder.env() or {}
    print(
        f"{run.id}: keeps no detections, as runs of earlier versions, or damaged ones: tested again …",
        flush=True,
    )
    try:
        content = folder.checkpoint.read_bytes()
        net = checkpoint.of_run(content, run.id, str(result["weights_sha256"]))["net"]
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder.checkpoint} cannot be used ({error}), and the run keeps no detections") from None
    # beside the run, where its net finds the run that it starts from
    with TemporaryDirectory(prefix=".tested-again-", dir=folder.path.parent) as place:
        job = Job(RunFolder(Path(place)), home(run.dataset, data()), lambda: False)
        try:
            found = _tested(run, job, net, str(env.get("data_sha256")))
        except (WeightsError, DeviceError) as error:
            raise StoreError(f"it cannot be tested again: {error}") from None
    with np.load(folder.matches) as kept:
        ap50 = _differing(found, kept)
    if ap50 is not None:
        raise StoreError(
            f"tested again here its weights have another outcome (AP50 {ap50:.4f} %, the run ended with "
            f"{result['ap50']:.4f} %), as other hardware or versions round otherwise: export it where it was trained"
        )
    return found


def _tested(run: Run, job: Job, tensors: Mapping[str, torch.Tensor], data_sha256: str) -> Found:
    experiment = AnnotatedImages.of(run, job, device_of(run))
    if experiment.digest != data_sha256:
        raise DataError(
            f"{job.data} has other data ({experiment.digest[:12]}) than the run was tested on ({data_sha256[:12]}): "
            "name theirs with --data"
        )
    net = experiment.net()
    net.load_state_dict(dict(tensors))
    net = net.to(experiment.device).to(memory_format=torch.channels_last)
    return experiment.found({"": finish(experiment.test(net)), **experiment.further(net)})


def _differing(found: Found, kept: Mapping[str, NDArray[Any]]) -> float | None:
    """AP50 of the first test whose outcomes are not those that are kept, None where all are."""
    for option, table in found.tables().items():
        if not all(np.array_equal(kept[f"{option}:{name}"], array) for name, array in table.arrays().items()):
            return table.numbers()["ap50"]
    return None
