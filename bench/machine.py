"""What this machine is and which commit of the code this is. Standard library only, so that plans can ask."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
CODE = ("bench", "sweeps")  # what can change a number
FROZEN = "frozen.json"  # beside a copy of the code that has no history: the commit it is of
SMI_SECONDS = 30  # a first answer may wait for the driver to load
# glibc gives buffers as large as a net's activations back to the kernel at every step and asks for them anew, a fault a
# page. With these a process keeps its pages, and takes them 2 MiB at a time; `bench speed settings` measures the gain.
# They are read when a process starts, so that they must be in its environment before.
TUNABLES = "GLIBC_TUNABLES"
KEEPS_PAGES = "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184:glibc.malloc.hugetlb=1"
MEMORY = "BENCH_MEMORY_GIB"
SOME_NEED = ("pycocotools", "simplejpeg", "submitit", "timm")  # packages without which the other runs still train
MOST_GIB = 10**6
BF16_FLAGS = ("amx_bf16", "avx512_bf16")  # of x86 processors that multiply bf16
BF16_CAPABILITY = 8.0  # of CUDA devices, from Ampere on


class MissingError(RuntimeError):
    """A package that is needed here and not installed."""


def installed(package: str) -> bool:
    """Whether the package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def missing(error: Exception) -> MissingError | None:
    """What to install, where `error` comes of a package that only some runs need; None for all other errors."""
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if package not in SOME_NEED:
        return None
    return MissingError(f"this needs {package}, which is not installed: pip install {package}")


class SettingError(ValueError):
    """An environment variable of the suite's says nothing that makes sense."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_gib() -> float:
    """Main memory in GiB; $BENCH_MEMORY_GIB where that is set: some virtual machines start small and grow.

    Raises SettingError where that is no number above zero.
    """
    if told := os.environ.get(MEMORY):
        if not re.fullmatch(r"\d+(\.\d+)?", told) or not 0 < float(told) <= MOST_GIB:
            raise SettingError(f"{MEMORY}={told!r} is no number of GiB; write one such as 64")
        return float(told)
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
    names = _nvidia_smi("name")
    return names if visible is None else names[: len(visible.split(","))]


def _nvidia_smi(column: str) -> tuple[str, ...]:
    """This of each device; nothing where nvidia-smi does not answer. One that hangs is said: it may hide a GPU."""
    query = ["nvidia-smi", f"--query-gpu={column}", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=SMI_SECONDS)
    except subprocess.TimeoutExpired:
        print(
            f"bench: nvidia-smi has not answered for {SMI_SECONDS} s: taken for a machine without GPU", file=sys.stderr
        )
        return ()
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())


def allocator_settings() -> dict[str, str]:
    """What a worker's environment needs so that it keeps its memory; nothing off Linux or where the user has set it."""
    return {TUNABLES: KEEPS_PAGES} if sys.platform == "linux" and TUNABLES not in os.environ else {}


def allocator() -> str:
    """The settings that the allocator started with: "tuned", the suite's; "own", the user's; or "default"."""
    given = os.environ.get(TUNABLES)
    return "tuned" if given == KEEPS_PAGES else "own" if given else "default"


def compiler_name() -> str:
    """The C++ compiler that torch.compile calls on a CPU: $CXX, else the system's usual one."""
    return os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")


def cxx_compiler() -> str | None:
    """Where that compiler is, None where it is not there."""
    return shutil.which((shlex.split(compiler_name()) or [""])[0])


def no_compiler() -> str:
    """What is missing and what to do, in words."""
    return (
        f"torch.compile needs a C++ compiler on a CPU, and there is no {compiler_name()} here: install one "
        "(apt-get install g++) or set CXX to one"
    )


def lacks_bf16(cpuinfo: str) -> bool:
    """Whether this text of /proc/cpuinfo is of a processor without bf16 units; not said where it names no flags."""
    flags = next((line.split(":", 1)[1].split() for line in cpuinfo.splitlines() if line.startswith("flags")), None)
    return flags is not None and not set(BF16_FLAGS) & set(flags)


def cpu_lacks_bf16() -> bool:
    """Whether this processor has no bf16 units, as far as the system tells."""
    try:
        return lacks_bf16(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        return False


def gpu_lacks_bf16() -> bool:
    """Whether a CUDA device here is older than Ampere, as nvidia-smi tells."""
    return any(capability < BF16_CAPABILITY for capability in _capabilities())


@cache
def _capabilities() -> tuple[float, ...]:
    try:
        return tuple(map(float, _nvidia_smi("compute_cap")))
    except ValueError:  # an old driver does not know the question
        return ()


def hardware() -> str:
    """What runs train on here: the first CUDA device's name, else the processor's."""
    return cuda_devices()[0] if cuda_devices() else cpu_name()


def commit(source: Path = SOURCE) -> dict[str, str | bool | None]:
    """The commit that the code in `source` is of, and whether it differs from it; None outside a checkout.

    Only what can change a number counts as a difference: `bench` and `sweeps`.
    """
    own = _git(source, "ls-files", "--", "bench")  # else a checkout that merely holds our venv, or a copy of the code
    head = _git(source, "rev-parse", "HEAD") if own else None
    frozen = source / FROZEN
    if head is None and frozen.exists():
        known = json.loads(frozen.read_text(encoding="utf-8"))
        return {"commit": known["commit"], "dirty": known["dirty"]}
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
