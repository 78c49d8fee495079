"""What a run's number depends on beside the run: its data, and the weights that its net starts from, by SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bench.spec import SOURCES, Run
from bench.store import Inputs
from bench.tasks.experiment import Experiment, experiment_of
from bench.tasks.job import Job
from bench.tasks.weights import weights_file

LARGEST = 224  # pixels of the images with which a net is checked


def inputs_of(experiment: Experiment) -> Inputs:
    """Of a run that is open. Raises WeightsError where the start weights are not there."""
    return Inputs(experiment.digest, start_sha256(experiment.run, experiment.job))


def data_sha256(run: Run, job: Job) -> str:
    """The digest of the run's data, which are read for it. Raises DataError."""
    return experiment_of(run).digest_of(run, job)


def check_data(run: Run, job: Job) -> None:
    """Raises DataError where the run could not begin with the data that are there."""
    experiment_of(run).check(run, job)


def check_net(run: Run) -> None:
    """Raises OwnCodeError where a net of the user's cannot be trained to a number that can be trusted."""
    if run.net.row.check:
        run.net.row.resolve("check")(run.net, min(run.recipe.side or 32, LARGEST))


def start_sha256(run: Run, job: Job) -> str | None:
    """The SHA-256 of the start weights: of their file, or of a run's final weights; "" for random ones.

    None where timm downloads them, whose own library keeps their version. Raises WeightsError.
    """
    source = SOURCES[run.net.start.source]
    file = weights_file(run.net, job)  # also refuses weights that do not fit the net
    if source.digest:
        return str(source.resolve("digest")(run.net, job))
    if file:
        return _of_file(file)
    return None if run.net.weights else ""


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
