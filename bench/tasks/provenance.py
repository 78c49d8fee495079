"""The commit and the processor behind a number."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
CODE = ("bench", "sweeps")  # what can change a number
FROZEN = "frozen.json"  # beside a copy of the code that jobs run: the commit it is of


def commit(source: Path = SOURCE) -> dict[str, str | bool | None]:
    """The commit that the code in `source` is of, and whether it differs from it; None outside a checkout.

    Only what can change a number counts as a difference: `bench` and `sweeps`.
    """
    frozen = source / FROZEN
    if frozen.exists():
        known = json.loads(frozen.read_text(encoding="utf-8"))
        return {"commit": known["commit"], "dirty": known["dirty"]}
    head = _git(source, "rev-parse", "HEAD")
    if head is None:
        return {"commit": None, "dirty": None}
    changes = _git(source, "status", "--porcelain", "--", *CODE)
    return {"commit": head, "dirty": bool(changes)}


def _git(source: Path, *arguments: str) -> str | None:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(source), *arguments],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def cpu_name() -> str:
    """The processor's own name and its cores, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"
