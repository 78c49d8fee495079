"""Packs runs into jobs, and makes sbatch's flags for them and the first lines of their scripts."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bench.launch.slurm.profile import Profile
from bench.spec import Resources, Run
from bench.store import RunFolder

T = TypeVar("T")
# a line of the profile's that fails says so in the log, and need not end the job
WATCH_SETUP = r"""trap 'bench_code=$?; [ -z "${BENCH_SETUP-}" ] || """ + (
    r"""echo "bench: setup failed with exit code $bench_code: $BASH_COMMAND" >&2' ERR EXIT; BENCH_SETUP=1"""
)
PACK_GIB = 0.75  # of the pack's own process, which imports torch: 0.5 measured, most of it shared with the runs


@dataclass(frozen=True, slots=True)
class Shape:
    """Jobs with the same resources: `asked` for one run; `packs`: the run ids of each job."""

    asked: Resources
    packs: tuple[tuple[str, ...], ...]


def batched(values: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    """The values in their order, `size` at a time."""
    return (tuple(values[k : k + size]) for k in range(0, len(values), size))


def shapes(runs: Sequence[tuple[Run, RunFolder]], profile: Profile) -> list[Shape]:
    """Packs the runs into jobs, in their order, separately where they ask for different resources."""
    by_asked: dict[Resources, list[str]] = {}
    for run, folder in runs:
        by_asked.setdefault(profile.asks(run.resources), []).append(folder.path.name)
    return [
        Shape(asked, tuple(batched(names, 1 if asked.processes > 1 else profile.pack)))
        for asked, names in by_asked.items()
    ]


def side_by_side(profile: Profile, asked: Resources) -> int:
    """How many runs of a job train at once; a run of several processes has its own job."""
    return 1 if asked.processes > 1 else profile.at_once


def is_crew(profile: Profile, asked: Resources) -> bool:
    """Whether a job's runs train in one process: several of them, on one GPU."""
    return asked.gpus == 1 and side_by_side(profile, asked) > 1


def flags(profile: Profile, asked: Resources) -> dict[str, Any]:
    """sbatch's flags for a job: memory and cores for all runs side by side, which share the GPUs.

    Each process of a run with several has its own cores, memory and GPUs.
    """
    runs = side_by_side(profile, asked)
    ours = {
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
        "time": math.ceil(profile.time / 60),
        "nodes": asked.nodes,
        "ntasks-per-node": asked.tasks,
        "cpus-per-task": asked.cpus * runs,
        "mem": f"{math.ceil((asked.memory_gib * runs + PACK_GIB) * asked.tasks * 1024)}M",
        "gpus-per-node": asked.gpus * asked.tasks or None,
        "requeue": True,
        "export": "ALL",
    }
    return {**{name: value for name, value in ours.items() if value is not None}, **profile.extra}


def setup(profile: Profile, code: Path) -> list[str]:
    """Shell lines: the profile's own, then those with which Python imports the snapshot, even started in a checkout.

    Only where nobody else may have put it there: the folder was private when the job was submitted.
    """
    own = [WATCH_SETUP, *profile.setup, "unset BENCH_SETUP"] if profile.setup else []
    path = f'export PYTHONPATH={shlex.quote(str(code))}"${{PYTHONPATH:+:$PYTHONPATH}}"'
    codes = shlex.quote(str(code.parent))
    ours = f'[ -O {codes} ] && [ -z "$(find {codes} -maxdepth 0 -perm /022)" ]'
    words = shlex.quote(
        f"bench: other users may write to {code.parent}, and jobs execute what lies there: chmod go-w it"
    )
    return [*own, f"{ours} || {{ echo {words} >&2; exit 1; }}", path, "export PYTHONSAFEPATH=1"]


def as_word(name: str, value: Any) -> str:
    """A flag as on the command line."""
    return f"--{name}" if value is True else f"--{name}={value}"
