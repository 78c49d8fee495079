"""Submits packs as one array: submitit pickles them and writes the script, but does not call sbatch.

Its own call would take the shell's SBATCH_* and, of what a site's wrapper prints, the first "job" with a number.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.launch.slurm import commands
from bench.launch.slurm.job import Pack


def submit_packs(executor: Any, folder: Path, work: Sequence[Pack]) -> str:
    """Submits the packs with the parameters of a submitit.SlurmExecutor, from its folder; returns the job's number."""
    from submitit.core.utils import DelayedSubmission, JobPaths

    pickles = [folder / f"{index}.pkl" for index in range(len(work))]
    for pack, pickle in zip(work, pickles, strict=True):
        delayed = DelayedSubmission(pack)
        delayed.set_timeout(executor.parameters["time"], executor.max_num_timeout)
        delayed.dump(pickle)
    if len(work) > 1:
        executor.parameters["map_count"] = len(work)
    script = executor._make_submission_file_text(executor._submitit_command_str, "")
    number = commands.submit(folder, script, options_of(script))
    for index, pickle in enumerate(pickles):  # a job that has started already waits for its own
        job_id = f"{number}_{index}" if len(work) > 1 else number
        pickle.rename(JobPaths(folder, job_id).submitted_pickle)
    return number


def options_of(script: str) -> list[str]:
    """Those of a script's #SBATCH lines."""
    lines = [line for line in script.splitlines() if line.startswith("#SBATCH ")]
    return [word for line in lines for word in shlex.split(line)[1:]]
