"""What a cluster wants to be told: partition, account, limits, packing; from one small TOML file.

    # ~/.config/resnet-bench/slurm.toml, or --profile FILE
    partition = "gpu"
    time = "4h"        # a run that needs longer is requeued and goes on from its checkpoint
    pack = 5           # runs of one job
    at_once = 5        # of them side by side: small nets share one GPU
    [extra]
    mail-type = "FAIL"

Standard library only, so that plans can ask.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bench.spec import Resources, SpecError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
# flags that the suite itself decides: another value would break what it promises
OURS = ("array", "comment", "dependency", "error", "export", "input", "job-name", "nodes", "ntasks", "ntasks-per-node",
        "open-mode", "output", "parsable", "requeue", "signal", "test-only", "wait", "wrap")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """How jobs are asked for. None leaves a thing to the run's own Resources or to the cluster's default.

    time, warn: seconds of a job, and how long before its end it is told to write its checkpoints.
    memory_gib, cpus, gpus: of one process. nodes, tasks: of one run, and its processes on each node.
    jobs: at most so many run at once, None for as many as the cluster allows.
    pack: runs of one job. at_once: how many of them side by side; on a GPU they share it. setup: shell lines before.
    extra: further flags of sbatch, without their dashes; true for a flag without a value.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time: float = 4 * 3600
    warn: float = 120
    memory_gib: float | None = None
    cpus: int | None = None
    gpus: int | None = None
    jobs: int | None = None
    pack: int = 1
    at_once: int = 1
    setup: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    nodes: int | None = None
    tasks: int | None = None

    def asks(self, own: Resources) -> Resources:
        """What one run asks for: the profile's word, else the run's own."""
        return Resources(
            cpus=own.cpus if self.cpus is None else self.cpus,
            gpus=own.gpus if self.gpus is None else self.gpus,
            memory_gib=own.memory_gib if self.memory_gib is None else self.memory_gib,
            nodes=own.nodes if self.nodes is None else self.nodes,
            tasks=own.tasks if self.tasks is None else self.tasks,
        )


def user_profile() -> Path:
    """Where a user's own profile is looked for."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "resnet-bench" / "slurm.toml"


def load_profile(given: Path | None) -> Profile:
    """The profile in `given`, else the user's, else the defaults. Raises SpecError with all mistakes at once."""
    path = given or user_profile()
    if given is None and not path.is_file():
        return Profile()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"profile {path}: {error}") from None
    mistakes = [mistake for key, value in values.items() if (mistake := _mistake(key, value))]
    if not mistakes:
        profile = Profile(**{key: _converted(key, value) for key, value in values.items()})
        mistakes = _contradictions(profile)
        if not mistakes:
            return profile
    raise SpecError(f"profile {path}: " + "; ".join(mistakes))


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "must be a text"


def _count(least: int) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        fine = isinstance(value, int) and not isinstance(value, bool) and value >= least
        return None if fine else f"must be a whole number of at least {least}"

    return check


def _memory(value: Any) -> str | None:
    fine = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return None if fine else "must be a number of GiB"


def _time(value: Any) -> str | None:
    fine = isinstance(value, str) and re.fullmatch(r"\d+(?:\.\d+)?[smhd]", value) and _seconds(value) > 0
    return None if fine else 'must be a time such as "90s", "50m", "4h" or "2d"'


def _lines(value: Any) -> str | None:
    fine = isinstance(value, list) and all(isinstance(line, str) for line in value)
    return None if fine else 'must be a list of shell lines, such as ["module load cuda"]'


def _flags(value: Any) -> str | None:
    if not isinstance(value, dict):
        return 'must be a table of sbatch flags, such as {mail-type = "FAIL"}'
    ours = sorted(key for key in value if key.replace("_", "-") in (*OURS, *KINDS))
    odd = sorted(k for k, v in value.items() if v is not True and (isinstance(v, bool) or not isinstance(v, str | int)))
    words = [f"must leave {', '.join(ours)} to the suite and its own keys"] if ours else []
    return " and ".join([*words, *([f"{', '.join(odd)} must be a text, a number or true"] if odd else [])]) or None


KINDS: dict[str, Callable[[Any], str | None]] = {
    "partition": _text, "account": _text, "qos": _text, "constraint": _text, "time": _time, "warn": _time,
    "memory_gib": _memory, "cpus": _count(1), "gpus": _count(0), "jobs": _count(1), "pack": _count(1),
    "at_once": _count(1), "setup": _lines, "extra": _flags, "nodes": _count(1), "tasks": _count(1),
}  # fmt: skip
assert set(KINDS) == {one.name for one in fields(Profile)}


def _mistake(key: str, value: Any) -> str | None:
    if key not in KINDS:
        return f"unknown key {key!r} (allowed: {', '.join(KINDS)})"
    problem = KINDS[key](value)
    return f"{key} {problem}, got {value!r}" if problem else None


def _seconds(text: str) -> float:
    return float(text[:-1]) * UNITS[text[-1]]


def _converted(key: str, value: Any) -> Any:
    if KINDS[key] is _time:
        return _seconds(value)
    return tuple(value) if key == "setup" else value


def _contradictions(profile: Profile) -> list[str]:
    checks = (
        (profile.at_once <= profile.pack, f"at_once {profile.at_once} must not be above pack {profile.pack}"),
        (profile.time >= 60, f"time {profile.time:.0f} s must be at least 1m: Slurm counts in minutes"),
        (profile.warn < profile.time, f"warn {profile.warn:.0f} s must be less than time {profile.time:.0f} s"),
    )
    return [words for fine, words in checks if not fine]
