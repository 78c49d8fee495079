"""What a cluster wants to be told: partition, account, limits, packing; from one small TOML file.

# ~/.config/resnet-bench/slurm.toml, or --profile FILE
partition = "gpu"
time = "4h"        # a run that needs longer is requeued and resumed from its checkpoint
pack = 5           # runs of one job
at_once = 5        # of them side by side: small nets share one GPU
[extra]
mail-type = "FAIL"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeInt, PositiveFloat, Strict

from bench.machine import user_folder
from bench.spec import Resources, SpecError
from bench.spec.declare import Count, declaration
from bench.spec.words import require

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
# flags that the suite itself decides: another value would break what it promises
OURS = ("array", "comment", "dependency", "error", "export", "input", "job-name", "nodes", "ntasks", "ntasks-per-node",
        "open-mode", "output", "parsable", "requeue", "signal", "test-only", "wait", "wrap")  # fmt: skip


def _seconds(value: Any) -> Any:
    """`4h` as seconds; what is no text as it is."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"\d+(?:\.\d+)?[smhd]", value):
        raise ValueError('must be a time such as "90s", "50m", "4h" or "2d"')
    return float(value[:-1]) * UNITS[value[-1]]


def _flags(given: Mapping[str, Any]) -> Mapping[str, Any]:
    keys = {f.name for f in fields(Profile)}
    ours = sorted(key for key in given if key.replace("_", "-") in OURS or key.replace("-", "_") in keys)
    odd = sorted(k for k, v in given.items() if v is not True and (isinstance(v, bool) or not isinstance(v, str | int)))
    words = [f"must leave {', '.join(ours)} to the suite and its own keys"] if ours else []
    words += [f"{', '.join(odd)} must be a text, a number or true"] if odd else []
    if words:
        raise ValueError(" and ".join(words))
    return given


Text = Annotated[str, Field(min_length=1)]
Seconds = Annotated[PositiveFloat, BeforeValidator(_seconds)]


@declaration
class Profile:
    """How jobs are asked for. None leaves a thing to the run's own Resources or to the cluster's default.

    time, warn: seconds of a job, and how long before its end it is told to write its checkpoints.
    memory_gib, cpus, gpus: of one process. nodes, tasks: of one run, and its processes on each node.
    jobs: at most so many run at once, None for as many as the cluster allows.
    pack: runs of one job. at_once: how many of them side by side; on a GPU they share it. setup: shell lines before.
    extra: further flags of sbatch, without their dashes; true for a flag without a value.
    """

    partition: Text | None = None
    account: Text | None = None
    qos: Text | None = None
    constraint: Text | None = None
    time: Seconds = 4 * 3600
    warn: Seconds = 120
    memory_gib: PositiveFloat | None = None
    cpus: Count | None = None
    gpus: NonNegativeInt | None = None
    jobs: Count | None = None
    pack: Count = 1
    at_once: Count = 1
    setup: Annotated[tuple[str, ...], Strict(False)] = ()
    extra: Annotated[Mapping[str, Any], AfterValidator(_flags)] = field(default_factory=dict)
    nodes: Count | None = None
    tasks: Count | None = None

    def __post_init__(self) -> None:
        require(
            "profile",
            (self.at_once <= self.pack, f"at_once {self.at_once} must not be above pack {self.pack}"),
            (self.time >= 60, f"time {self.time:.0f} s must be at least 1m: Slurm counts in minutes"),
            (self.warn < self.time, f"warn {self.warn:.0f} s must be less than time {self.time:.0f} s"),
        )

    def asks(self, own: Resources) -> Resources:
        """What one run asks for: the profile's word, else the run's own."""
        return Resources(
            cpus=own.cpus if self.cpus is None else self.cpus,
            gpus=own.gpus if self.gpus is None else self.gpus,
            memory_gib=own.memory_gib if self.memory_gib is None else self.memory_gib,
            nodes=own.nodes if self.nodes is None else self.nodes,
            tasks=own.tasks if self.tasks is None else self.tasks,
        )


def user_profile() -> Path | None:
    """Where a user's own profile is looked for; None for a user without a home."""
    base = user_folder("XDG_CONFIG_HOME", ".config")
    return base / "resnet-bench" / "slurm.toml" if base else None


def load_profile(given: Path | None) -> Profile:
    """The profile in `given`, else the user's, else the defaults. Raises SpecError with all mistakes at once."""
    path = given or user_profile()
    if path is None or (given is None and not path.is_file()):
        return Profile()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"profile {path}: {error}") from None
    values |= {key: str(values[key]) for key in ("time", "warn") if key in values}  # a number would have no unit
    try:
        return Profile(**values)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
