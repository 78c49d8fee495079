"""Slurm's commands as shell lines that answer for it, and variables that change what the real ones do."""

from __future__ import annotations

import os
from pathlib import Path

HOSTILE = {
    "SBATCH_JOB_NAME": "mine", "SBATCH_TIMELIMIT": "1", "SBATCH_ARRAY_INX": "0-5", "SBATCH_NO_REQUEUE": "1",
    "SBATCH_EXPORT": "NONE", "SBATCH_PARTITION": "low", "SBATCH_OUTPUT": "/dev/null", "SBATCH_WAIT": "1",
    "SBATCH_CLUSTERS": "other", "SBATCH_GPUS": "9", "SBATCH_MEM_PER_NODE": "7T", "SBATCH_SIGNAL": "KILL@10",
    "SBATCH_EXCLUSIVE": "user", "SQUEUE_STATES": "RUNNING", "SQUEUE_NAMES": "mine", "SQUEUE_PARTITION": "low",
    "SQUEUE_ACCOUNT": "mine", "SQUEUE_LICENSES": "none", "SQUEUE_USERS": "nobody", "SQUEUE_FORMAT": "%i",
    "SQUEUE_SORT": "i", "SCANCEL_STATE": "RUNNING", "SCANCEL_NAME": "mine", "SCANCEL_INTERACTIVE": "1",
    "SCANCEL_USER": "nobody", "SCONTROL_FUTURE": "1", "SINFO_FORMAT": "%n", "SINFO_PARTITION": "low",
    "SACCT_FORMAT": "jobid", "SLURM_CLUSTERS": "other", "SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "8",
    "SLURM_JOB_ID": "7", "SLURM_CPU_BIND": "map_cpu:99", "SLURM_EXPORT_ENV": "NONE", "SLURM_HOSTFILE": "/none",
    "SRUN_CPUS_PER_TASK": "99", "SALLOC_PARTITION": "low", "SLURMD_NODENAME": "n9", "SUBMITIT_FOLDER": "/none",
    "_SLURM_SPANK_OPTION_pyxis_container_image": "none",
}  # fmt: skip


def commands_on_path(folder: Path, **lines: str) -> str:
    """A PATH that begins with these commands; each notes in `folder`/asked what it was asked, then runs its line."""
    folder.mkdir()
    for name, line in lines.items():
        path = folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{folder}/asked\n{line}\n')
        path.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"
