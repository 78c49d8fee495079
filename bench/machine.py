"""What this machine is and which commit of the code this is. Standard library only, so that plans can ask."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
CODE = ("bench", "sweeps")  # what can change a number
FROZEN = "frozen.json"  # beside a copy of the code that jobs run: the commit it is of


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_gib() -> float:
    """Main memory in GiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def cache_folder() -> Path:
    """Where what was downloaded, computed or measured is kept for the next time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resnet-bench"


def device_tokens() -> tuple[str, ...]:
    """The CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES spells them (numbers or UUIDs)."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return tuple(map(str, range(len(cuda_devices()))))
    return tuple(token.strip() for token in visible.split(","))[: len(cuda_devices())]


@cache
def cuda_devices() -> tuple[str, ...]:
    """Names of the CUDA devices that this process may use, as nvidia-smi tells; none where it does not answer."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return ()
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ()
    names = tuple(line.strip() for line in done.stdout.splitlines() if line.strip())
    return names if visible is None else names[: len(visible.split(","))]


def hardware() -> str:
    """What runs train on here: the first CUDA device's name, else the processor's."""
    return cuda_devices()[0] if cuda_devices() else cpu_name()


def commit(source: Path = SOURCE) -> dict[str, str | bool | None]:
    """The commit that the code in `source` is of, and whether it differs from it; None outside a checkout.

    Only what can change a number counts as a difference: `bench` and `sweeps`.
    """
    frozen = source / FROZEN
    if frozen.exists():
        known = json.loads(frozen.read_text(encoding="utf-8"))
        return {"commit": known["commit"], "dirty": known["dirty"]}
    own = _git(source, "ls-files", "--", "bench")  # else a checkout that merely holds our venv
    head = _git(source, "rev-parse", "HEAD") if own else None
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
