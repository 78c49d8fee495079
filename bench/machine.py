"""This machine's hardware and settings, and the commit of the code. Standard library only, for plans."""

from __future__ import annotations

import codecs
import importlib.util
import io
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
CODE = ("bench", "sweeps")  # what can change a result
FROZEN = "frozen.json"  # names the commit, beside a copy of the code without its history
SMI_SECONDS = 30  # the first call may wait for the driver to load
# glibc returns buffers as large as a net's activations to the kernel at every step and requests them again, with a
# fault for each page. With these settings, which are read when a process starts, it keeps its pages, of 2 MiB each;
# `bench speed settings` measures the gain.
TUNABLES = "GLIBC_TUNABLES"
KEEPS_PAGES = "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184:glibc.malloc.hugetlb=1"
# by which a hook, or the user, names another repository than the one the code is in (git rev-parse --local-env-vars);
# settings of GIT_CONFIG_* stay, which may say that this one is trusted
OF_REPOSITORY = {
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_SHALLOW_FILE"),
    *("GIT_GRAFT_FILE", "GIT_REPLACE_REF_BASE", "GIT_NO_REPLACE_OBJECTS"),
    *("GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"),
}
# what is written for a character that the terminal, pipe or file cannot have: no number loses its sign
ASCII = {"−": "-", "–": "-", "±": "+-", "×": "x", "≤": "<=", "≥": ">=", "∞": "inf", "…": "...", "“": '"', "”": '"'}
MEMORY = "BENCH_MEMORY_GIB"
SOME_NEED = ("pycocotools", "simplejpeg", "submitit", "timm")  # packages that only some runs need
MOST_GIB = 10**6
BF16_FLAGS = ("amx_bf16", "avx512_bf16")  # of x86 processors that multiply bf16
BF16_CAPABILITY = 8.0  # of CUDA devices, from Ampere on


class MissingError(RuntimeError):
    """A package is needed and not installed."""


def installed(package: str) -> bool:
    """Whether the package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def missing(error: Exception) -> MissingError | None:
    """Says what to install, where `error` is for a package that only some runs need; None for other errors."""
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if package not in SOME_NEED:
        return None
    return MissingError(f"this needs {package}, which is not installed: pip install {package}")


class GitError(RuntimeError):
    """Git does not answer; says why in its own words, which name the remedy."""


class SettingError(ValueError):
    """An environment variable of the suite has an invalid value."""


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_gib() -> float:
    """Main memory in GiB; $BENCH_MEMORY_GIB where that is set, as some virtual machines start small and grow.

    Raises SettingError where that is not a positive number.
    """
    if given := os.environ.get(MEMORY):
        if not re.fullmatch(r"\d+(\.\d+)?", given) or not 0 < float(given) <= MOST_GIB:
            raise SettingError(f"{MEMORY}={given!r} is no number of GiB; write one such as 64")
        return float(given)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def user_folder(variable: str, below_home: str) -> Path | None:
    """A user's own folder, which `variable` names, else the one below the home; None for a user without a home.

    A relative name counts for none: it would mean another folder in each process.
    """
    named = Path(os.environ.get(variable) or "")
    if named.is_absolute():
        return named
    try:
        home = Path.home()
    except RuntimeError:  # no HOME and no entry in passwd, as in some containers
        return None
    return home / below_home if home.is_absolute() and os.access(home, os.X_OK) else None


def cache_folder() -> Path:
    """The folder for downloads and measurements; of a user without a home in the folder for temporary files.

    Raises SettingError where that is not only the user's: others could put files there.
    """
    if base := user_folder("XDG_CACHE_HOME", ".cache"):
        return base / "resnet-bench"
    folder = Path(tempfile.gettempdir()) / f"resnet-bench-{os.getuid()}"
    with suppress(OSError):
        folder.mkdir(mode=0o700)
    if (
        not folder.is_dir()
        or folder.is_symlink()
        or folder.stat().st_uid != os.getuid()
        or folder.stat().st_mode & 0o22
    ):
        raise SettingError(f"there is no home folder, and {folder} cannot be used: set XDG_CACHE_HOME to a folder")
    return folder


def tolerate_ascii() -> None:
    """Lets stdout and stderr write ASCII for what their encoding lacks, where it would be an error.

    One that the shell closed (`>&-`) becomes the null device: else the next file that is opened would get its number,
    and what a library prints.
    """
    codecs.register_error("bench.ascii", _ascii)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="bench.ascii")


def _ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # no stream of output decodes
    lacking = error.object[error.start : error.end]
    return "".join(ASCII.get(c) or ascii(c)[1:-1] for c in lacking), error.end


def device_tokens() -> tuple[str, ...]:
    """The CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES spells them (numbers or UUIDs)."""
    count, visible = len(cuda_devices()), os.environ.get("CUDA_VISIBLE_DEVICES")
    tokens = map(str, range(count)) if visible is None else map(str.strip, visible.split(","))
    return tuple(tokens)[:count]


@cache
def cuda_devices() -> tuple[str, ...]:
    """Names of the CUDA devices that this process may use, by nvidia-smi; none where it does not answer."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return ()
    names = _nvidia_smi("name")
    return names if visible is None else names[: len(visible.split(","))]


def _nvidia_smi(column: str) -> tuple[str, ...]:
    """A property of each device; none where nvidia-smi fails. Says so if it hangs, as there may be a GPU."""
    query = ["nvidia-smi", f"--query-gpu={column}", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            query, capture_output=True, encoding="utf-8", errors="replace", check=True, timeout=SMI_SECONDS
        )
    except subprocess.TimeoutExpired:
        print(
            f"bench: nvidia-smi has not answered for {SMI_SECONDS} s: taken for a machine without GPU", file=sys.stderr
        )
        return ()
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())


def allocator_settings() -> dict[str, str]:
    """Environment of a worker that keeps its memory; empty where the user has set it, and off Linux."""
    return {TUNABLES: KEEPS_PAGES} if sys.platform == "linux" and TUNABLES not in os.environ else {}


def allocator() -> str:
    """The allocator's settings: "tuned", the suite's; "own", the user's; or "default"."""
    given = os.environ.get(TUNABLES)
    return "tuned" if given == KEEPS_PAGES else "own" if given else "default"


def compiler_name() -> str:
    """The C++ compiler that torch.compile calls on a CPU: $CXX, else the system's default."""
    return os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")


def cxx_compiler() -> str | None:
    """That compiler's path; None where it is not installed."""
    return shutil.which((shlex.split(compiler_name()) or [""])[0])


def no_compiler() -> str:
    """An error message: what is missing and what to do."""
    return (
        f"torch.compile needs a C++ compiler on a CPU, and there is no {compiler_name()} here: install one "
        "(apt-get install g++) or set CXX to one"
    )


def lacks_bf16(cpuinfo: str) -> bool:
    """Whether /proc/cpuinfo's text is of a processor without bf16 units; False where it names no flags."""
    flags = next((line.split(":", 1)[1].split() for line in cpuinfo.splitlines() if line.startswith("flags")), None)
    return flags is not None and not set(BF16_FLAGS) & set(flags)


def cpu_lacks_bf16() -> bool:
    """Whether this processor has no bf16 units, as far as is known."""
    try:
        return lacks_bf16(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        return False


@cache
def gpu_lacks_bf16() -> bool:
    """Whether a CUDA device is older than Ampere, by nvidia-smi."""
    try:
        return any(float(capability) < BF16_CAPABILITY for capability in _nvidia_smi("compute_cap"))
    except ValueError:  # an old driver does not know the property
        return False


def hardware() -> str:
    """The hardware that runs train on: the first CUDA device's name, else the processor's."""
    return cuda_devices()[0] if cuda_devices() else cpu_name()


def commit(source: Path = SOURCE) -> dict[str, str | bool | None]:
    """The commit of the code in `source`, its tree, and whether it has changes; None where that is unknown.

    Only changes that can change a result count: in `bench` and `sweeps`.
    """
    return _commit(source)[0]


def commit_unknown(source: Path = SOURCE) -> str:
    """Why the commit of a checkout is unknown, in git's own words; "" where it is known, or there is no checkout."""
    return _commit(source)[1]


def _commit(source: Path) -> tuple[dict[str, str | bool | None], str]:
    why = ""
    try:
        # else another repository, which holds our venv or a copy of the code
        if git(source, "ls-files", "--", "bench"):
            head = git(source, "rev-parse", "HEAD").decode().strip()
            # untracked code counts whatever the user's configuration of `git status` leaves out
            changes = git(source, "status", "--porcelain", "--untracked-files=normal", "--", *CODE)
            tree = git(source, "rev-parse", f"{head}^{{tree}}").decode().strip()
            return {"commit": head, "tree": tree, "dirty": bool(changes)}, ""
    except GitError as error:
        why = str(error) if any((folder / ".git").exists() for folder in (source, *source.parents)) else ""
    if (source / FROZEN).exists():
        known = json.loads((source / FROZEN).read_text(encoding="utf-8"))
        return {"commit": known["commit"], "tree": known.get("tree"), "dirty": known["dirty"]}, ""
    return {"commit": None, "tree": None, "dirty": None}, why


def commit_of(file: Path) -> tuple[str, bool]:
    """The commit of the repository that holds a file, "" where none does; whether the file is in no commit as it is."""
    try:
        head = git(file.parent, "rev-parse", "HEAD").decode().strip()
        changes = git(file.parent, "status", "--porcelain", "--untracked-files=normal", "--ignored", "--", file.name)
    except GitError:
        return "", True
    return head, bool(changes)


def git(source: Path, *arguments: str) -> bytes:
    """What git answers in `source`, whichever repository the environment names. Raises GitError."""
    env = {name: value for name, value in os.environ.items() if name not in OF_REPOSITORY}
    words = ["git", "-C", str(source), *arguments]
    try:
        done = subprocess.run(words, capture_output=True, env=env | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"})
    except OSError as error:
        raise GitError(f"git cannot be started: {error.strerror}; install it (apt-get install git)") from None
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise GitError(f"git {arguments[0]} in {source}: {said or f'exit code {done.returncode}'}")
    return done.stdout


def cpu_name() -> str:
    """The processor's name and its cores, as far as is known."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"
