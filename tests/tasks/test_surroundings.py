"""Which packages and which instruction set a run is said to have had."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bench.store.manifest import names_of
from bench.tasks import surroundings
from bench.tasks.provenance import merged
from bench.tasks.surroundings import instruction_set, onednn, requirements

CODE = {"commit": "c" * 40, "dirty": False}


@pytest.fixture(autouse=True)
def asked_anew() -> None:
    surroundings._packages.cache_clear()


def installed(monkeypatch: pytest.MonkeyPatch, **packages: tuple[str, ...]) -> None:
    """These packages are installed, at version 1, with what they require."""

    def distribution(name: str) -> SimpleNamespace:
        if name not in packages:
            raise PackageNotFoundError(name)
        return SimpleNamespace(version="1", requires=packages[name])

    monkeypatch.setattr(surroundings, "distribution", distribution)


def pyproject(folder: Path, monkeypatch: pytest.MonkeyPatch, *needs: str, name: str = "resnet-bench") -> None:
    (folder / "pyproject.toml").write_text(f"[project]\nname = {name!r}\ndependencies = {list(needs)}\n")
    monkeypatch.setattr(surroundings, "SOURCE", folder)


def test_pip_takes_the_list_of_the_packages_that_are_here(tmp_path: Path) -> None:
    (path := tmp_path / "requirements.txt").write_text(requirements(CODE))
    comment, *lines = path.read_text().splitlines()

    assert re.fullmatch(rf"# Python 3\.\d+\.\d+, resnet-bench [\d.]+ at commit {'c' * 40}", comment)
    assert all(re.fullmatch(r"[a-z0-9-]+==[^ ;]+", line) for line in lines)
    names = [line.partition("==")[0] for line in lines]
    assert names == sorted(names)
    assert {*names} >= {"torch", "torchvision", "numpy", "sympy"}, "what they need, too"
    assert not {*names} & {"resnet-bench", "pytest", "ruff"}
    words = ["install", "--quiet", "--dry-run", "--no-deps", "--no-index", "-r", str(path)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)


def test_what_is_needed_by_what_is_needed_is_listed_as_far_as_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyproject(tmp_path, monkeypatch, "Top_Level>=2", "absent")
    needs = ('b[x,y]==3; platform_system == "Linux"', "not-here", 'c; extra == "docs"')
    own = ('d ; extra == "x"', "e>1;extra == 'z'", "top.level")
    installed(monkeypatch, **{"top-level": needs, "b": own, "c": (), "d": ("b[z]",), "e": (), "f": ()})

    assert requirements(CODE).splitlines()[1:] == ["b==1", "d==1", "e==1", "top-level==1"]
    assert requirements({"commit": None, "dirty": None}).startswith("# Python ")
    assert "of no known commit\n" in requirements({"commit": None, "dirty": None})
    assert f"at commit {'c' * 40} with changes\n" in requirements(CODE | {"dirty": True})


def test_without_a_checkout_the_installed_suite_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyproject(tmp_path, monkeypatch, "a", name="another")
    installed(monkeypatch, **{"resnet-bench": ("b", 'c; extra == "test"'), "a": (), "b": (), "c": ()})
    assert requirements(CODE).splitlines()[1:] == ["b==1"]

    surroundings._packages.cache_clear()
    installed(monkeypatch, b=())
    assert requirements(CODE) == "", "nobody knows"


def test_starts_with_other_packages_keep_both_lists() -> None:
    one = {"dirty": False, "started": 1.0, "ended": 2.0, "isa": "torch AVX2, oneDNN AVX2", "requirements": "a==1\n"}
    two, unknown = one | {"isa": "torch AVX512, oneDNN AVX2", "requirements": "a==2\n"}, one | {"requirements": ""}

    both = merged([one, two, one, unknown])

    assert both["requirements"] == ["a==1\n", "a==2\n"]
    assert both["isa"] == "torch AVX2, oneDNN AVX2; torch AVX512, oneDNN AVX2"
    first, second = names_of(both["requirements"]).split("; ")
    assert (len(first), len(second), first != second) == (12, 12, True)


def test_the_instruction_set_is_named_with_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    capabilities = {"sse4_1": True, "avx": True, "avx2": True, "avx512_f": True, "avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    for name in surroundings.LIMITS:
        monkeypatch.delenv(name, raising=False)
    assert instruction_set(torch.device("cpu")) == "torch AVX2, oneDNN AVX512_CORE_BF16"

    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx2")

    limited = "torch AVX2 (ATEN_CPU_CAPABILITY=avx2), oneDNN AVX2 (ONEDNN_MAX_CPU_ISA=avx2)"
    assert instruction_set(torch.device("cpu")) == limited
    assert (onednn("AVX512_CORE"), onednn("nonsense"), onednn("SSE41")) == ("AVX2", "AVX512_CORE_BF16", "SSE41")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"neon": True})
    assert onednn() == "none"
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert onednn() == "unknown"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    assert instruction_set(torch.device("cuda")) == "compute capability 9.0"
