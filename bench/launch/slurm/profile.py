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

from pydantic import AfterValidator, BeforeValidator, Field, PositiveFloat, Strict

from bench.machine import user_folder
from bench.spec import Resources, SpecError
from bench.spec.declare import settings
from bench.spec.words import require

MOST_BYTES, MOST_DAYS, MOST_WARN = 1_000_000, 366, 18
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
# flags that the suite itself decides: another value would break what it promises. Its commands ask one cluster, and
# sbatch must say the job's number
OURS = ("M", "array", "clusters", "comment", "dependency", "error", "export", "input", "job-name", "no-requeue",
        "nodes", "ntasks", "ntasks-per-node", "open-mode", "output", "parsable", "quiet", "requeue", "signal",
        "test-only", "wait", "wrap")  # fmt: skip
KEYS = ("account", "constraint", "partition", "qos", "time")  # of the profile, with flags of the same names


def _seconds(value: Any) -> Any:
    """`4h` as seconds; what is no text as it is."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"[0-9]+(?:\.[0-9]+)?[smhd]", value):
        raise ValueError('must be a time such as "90s", "50m", "4h" or "2d"')
    return float(value[:-1]) * UNITS[value[-1]]


def _word(text: str) -> str:
    """A text that is one value on its line of the job's script; what comes after a line would be commands."""
    if not re.fullmatch(r"[^\s-]\S*", text) or not text.isprintable():
        raise ValueError("must be one word")
    return text


def _lines(text: str) -> str:
    if not text.replace("\n", "").replace("\t", "").isprintable():
        raise ValueError("must have no control characters")
    return text


def _flags(given: Mapping[str, Any]) -> Mapping[str, Any]:
    keys = {f.name for f in fields(Profile)}
    ours = sorted(key for key in given if _is_ours(key) or key.replace("-", "_") in keys)
    unnamed = sorted(key for key in given if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", key))
    odd = sorted(key for key, value in given.items() if not _is_value(value))
    words = [f"must leave {', '.join(ours)} to the suite and its own keys"] if ours else []
    words += [f"{', '.join(map(repr, unnamed))} must be names of flags, without dashes before them"] if unnamed else []
    words += [f"{', '.join(odd)} must be a text on one line, a whole number or true"] if odd else []
    if words:
        raise ValueError(" and ".join(words))
    return given


def _is_value(value: Any) -> bool:
    """Whether a flag can have it."""
    return value.isprintable() if isinstance(value, str) else value is True or type(value) is int


def _is_ours(key: str) -> bool:
    """Whether sbatch may take it for one of OURS or KEYS: it knows a flag by its first letters, too."""
    return bool(key) and any(name.startswith(key.replace("_", "-")) for name in OURS + KEYS)


Word = Annotated[str, AfterValidator(_word)]
Many = Annotated[int, Field(ge=1, le=65_533)]  # Slurm's own bound; it takes some larger numbers for others
Memory = Annotated[PositiveFloat, Field(le=1_000_000, allow_inf_nan=False)]
Seconds = Annotated[PositiveFloat, BeforeValidator(_seconds)]
Lines = Annotated[str, AfterValidator(_lines)]


@settings
class Profile:
    """How jobs are asked for. None leaves a thing to the run's own Resources or to the cluster's default.

    time, warn: seconds of a job, and how long before its end it is told to write its checkpoints.
    memory_gib, cpus, gpus: of one process. nodes, tasks: of one run, and its processes on each node.
    jobs: at most so many run at once, None for as many as the cluster allows.
    pack: runs of one job. at_once: how many of them side by side; on a GPU they share it. setup: shell lines before.
    extra: further flags of sbatch, without their dashes; true for a flag without a value.
    """

    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    time: Seconds = 4 * 3600
    warn: Seconds = 120
    memory_gib: Memory | None = None
    cpus: Many | None = None
    gpus: Annotated[int, Field(ge=0, le=65_533)] | None = None
    jobs: Annotated[int, Field(ge=1, le=4_000_000)] | None = None
    pack: Many = 1
    at_once: Many = 1
    setup: Annotated[tuple[Lines, ...], Strict(False)] = ()
    extra: Annotated[Mapping[str, Any], AfterValidator(_flags)] = field(default_factory=dict)
    nodes: Many | None = None
    tasks: Many | None = None

    def __post_init__(self) -> None:
        require(
            "profile",
            (self.at_once <= self.pack, f"at_once {self.at_once} must not be above pack {self.pack}"),
            (self.time >= 60, f"time {self.time:.0f} s must be at least 1m: Slurm counts in minutes"),
            (self.time <= MOST_DAYS * 86_400, f"time {self.time:.3g} s must be at most {MOST_DAYS}d"),
            (
                self.warn <= MOST_WARN * 3600,
                f"warn {self.warn:.3g} s must be at most {MOST_WARN}h: Slurm signals no sooner",
            ),
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
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"larger than {MOST_BYTES:,} bytes")
        values = tomllib.loads(content.decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:  # no TOML, no UTF-8, digits or brackets without an end
        raise SpecError(f"profile {path}: {error}") from None
    values |= {key: str(values[key]) for key in ("time", "warn") if key in values}  # a number would have no unit
    try:
        return Profile(**values)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
