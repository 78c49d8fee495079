"""What a run leaves that others can check it by: a line in the register before it trains, a manifest when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from bench.spec import Run
from bench.store import Inputs
from bench.store.manifest import arrays_digest, layers_digest, manifest
from bench.store.register import Start
from bench.store.register import start as register_start
from bench.tasks.job import Job
from bench.tasks.provenance import merged


def begin(run: Run, job: Job, inputs: Inputs, step: int, about: Mapping[str, Any]) -> Start | None:
    """Says that the run trains from `step` on, or is tested; None from the processes that write nothing.

    about: the provenance of this start. Raises StoreError, also where the run has trained on other inputs.
    """
    if job.processes.rank:
        return None
    job.folder.begin(inputs)
    facts = {"commit": about["commit"], "dirty": about["dirty"], **asdict(inputs)}
    trains = step < run.recipe.steps or not run.recipe.steps
    return register_start(job.folder.path.parent, run.id, step, trains=trains, **facts)


def finish(run: Run, job: Job, start: Start | None, result: Mapping[str, Any], sessions: list[dict[str, Any]]) -> None:
    """Writes what the run ends with, by the process that `begin` gave its start. Raises StoreError."""
    assert start is not None, "only the first process writes"
    folder, env = job.folder, merged(sessions)
    digests = {"layers_sha256": layers_digest(folder.layer_rows()), "matches_sha256": None}
    if result.get("matches_sha256"):
        with np.load(folder.matches) as arrays:
            digests["matches_sha256"] = arrays_digest(dict(arrays))
    folder.finish(result, env, manifest(run, result, env, start, **digests))
