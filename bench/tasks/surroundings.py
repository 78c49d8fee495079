"""What a run's bits depend on beside its code: the CPU's instruction set, and the packages installed."""

from __future__ import annotations

import os
import platform
import re
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution

import torch

from bench import __version__
from bench.machine import SOURCE

NAME = "resnet-bench"
LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")  # what torch's own kernels, and oneDNN's, are held to
# oneDNN's instruction sets for x86 in its order, with what a CPU needs for each beside those before; torch does not
# pass on oneDNN's own word for the one that it uses
ONEDNN = {
    "SSE41": ("sse4_1",),
    "AVX": ("avx",),
    "AVX2": ("avx2",),
    "AVX2_VNNI": ("avx_vnni",),
    "AVX2_VNNI_2": ("avx_vnni_int8", "avx_ne_convert"),
    "AVX512_CORE": ("avx512_f", "avx512_bw", "avx512_vl", "avx512_dq"),
    "AVX512_CORE_VNNI": ("avx512_f", "avx512_vnni"),
    "AVX512_CORE_BF16": ("avx512_f", "avx512_bf16"),
    "AVX512_CORE_FP16": ("avx512_f", "avx512_fp16"),
    "AVX512_CORE_AMX": ("avx512_fp16", "amx_int8", "amx_bf16"),
    "AVX512_CORE_AMX_FP16": ("avx512_fp16", "amx_fp16"),
}


def instruction_set(device: torch.device) -> str:
    """The instruction set that torch and oneDNN use here, with the limits that are set; of a GPU its capability."""
    if device.type == "cuda":
        return "compute capability {}.{}".format(*torch.cuda.get_device_capability(device))
    limits = [os.environ.get(name, "") for name in LIMITS]
    used = (f"torch {torch.backends.cpu.get_cpu_capability()}", f"oneDNN {onednn(limits[1])}")
    named = (f" ({name}={limit})" * bool(limit) for name, limit in zip(LIMITS, limits, strict=True))
    return ", ".join(map("".join, zip(used, named, strict=True)))


def onednn(limit: str = "") -> str:
    """The best instruction set that oneDNN knows and this CPU has, up to `limit`; "none" off x86.

    "unknown" with a torch that does not say what the CPU has, as early ones.
    """
    capabilities, names = getattr(torch.cpu, "get_capabilities", None), list(ONEDNN)
    if capabilities is None:
        return "unknown"
    has = capabilities()
    last = names.index(limit.upper()) if limit.upper() in ONEDNN else len(names)
    fit = [name for name in names[: last + 1] if all(has.get(flag) for flag in ONEDNN[name])]
    return fit[-1] if fit else "none"


def requirements(code: Mapping[str, object]) -> str:
    """The packages that the suite needs and that are installed, in the form that `pip install -r` takes.

    code: its commit and whether it has changes. "" where nothing says what it needs: a copy of the code alone, without
    pyproject.toml and not installed.
    """
    at = (
        f"at commit {code['commit']}{' with changes' * bool(code['dirty'])}" if code["commit"] else "of no known commit"
    )
    packages = _packages()
    return f"# Python {platform.python_version()}, {NAME} {__version__} {at}\n{packages}" if packages else ""


@cache
def _packages() -> str:
    """A line `name==version` for each of them, in order of name."""
    todo, found = [(name, extras) for name, extras in _needed(_own(), frozenset())], dict[str, str]()
    seen = set(todo)
    for name, extras in todo:  # which grows
        try:
            package = distribution(name)
        except PackageNotFoundError:  # for another system, or one that only some runs need
            continue
        found[name] = package.version
        new = [one for one in _needed(package.requires or (), extras) if one not in seen]
        seen.update(new)
        todo += new
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()) if name != NAME)


def _own() -> Iterable[str]:
    """What the suite needs: of a checkout by its pyproject.toml, else as it was installed."""
    with suppress(OSError, ValueError, KeyError):
        project = tomllib.loads((SOURCE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        if project["name"] == NAME:
            return list(project["dependencies"])
    with suppress(PackageNotFoundError):
        return distribution(NAME).requires or ()
    return ()


def _needed(requires: Iterable[str], extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    """Name and extras of each requirement, those for other extras than these left out."""
    found = []
    for text in requires:
        match = re.match(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^]]*)\])?", text)
        asked = set(re.findall(r"""extra\s*==\s*['"]([^'"]+)""", text.partition(";")[2]))
        if match and (not asked or asked & extras):
            its = frozenset(part.strip() for part in (match[2] or "").split(",") if part.strip())
            found.append((re.sub(r"[-_.]+", "-", match[1]).lower(), its))
    return found
