"""Arrows go one way and each heavy import has one home."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"
HOMES = {
    "torch": {"nets", "data", "train", "tasks", "speed"},
    "torchvision": {"nets", "data", "speed"},
    "PIL": {"data", "speed"},
    "simplejpeg": {"data"},
    "timm": {"nets"},
    "sklearn": set(),  # the tests'
    "pytorch_metric_learning": set(),
    "safetensors": {"nets"},
    "pycocotools": {"train"},
    "triton": {"train"},
    "submitit": {"launch"},
    "pandas": {"report"},
    "seaborn": {"report"},
    "matplotlib": {"report"},
    "scipy": {"report", "data"},  # data: the development kit's meta.mat
    "statsmodels": {"report"},
    "markdown_it": {"report"},
}
ARROWS = {
    "spec": {"spec"},
    "machine.py": set[str](),
    "paper.py": set[str](),
    "precision.py": set[str](),
    "verification.py": set[str](),
    "store.py": {"spec"},
    "nets": {"nets", "spec"},
    "data": {"data", "machine", "spec"},
    "train": {"train", "precision", "store", "spec"},
    "tasks": {"tasks", "nets", "data", "train", "machine", "precision", "verification", "store", "spec"},
    "launch": {"launch", "tasks", "nets", "data", "train", "machine", "store", "spec"},
    "report": {"report", "nets", "paper", "precision", "verification", "store", "spec"},
    "options.py": {"spec"},
    "declared.py": {"paper", "store", "spec"},
    "choices.py": {"declared", "launch", "data", "machine", "spec"},
    "sweep.py": {"options", "declared", "choices", "launch", "report", "data", "machine", "store", "spec"},
    "speed": {"speed", "options", "launch", "report", "tasks", "nets", "data", "train", "machine", "store", "spec"},
    "transfer": {"transfer", "train", "machine", "store", "spec"},
    "cli.py": {
        *("sweep", "options", "choices", "declared", "speed", "report", "transfer", "launch", "data", "store", "spec"),
    },
    "__main__.py": {"cli"},
    "__init__.py": set[str](),
}
FILES = sorted(BENCH.rglob("*.py"))


def home(path: Path) -> str:
    """The folder below bench, or the file directly in it."""
    return path.relative_to(BENCH).parts[0]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(BENCH)))
def test_each_heavy_import_has_one_home(path: Path) -> None:
    for name in imports(path):
        allowed = HOMES.get(name.split(".")[0])
        assert allowed is None or home(path) in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(BENCH)))
def test_arrows_go_one_way(path: Path) -> None:
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("bench.")} - {"__version__"}

    assert ours <= ARROWS[home(path)]


SPEC = [str(path.relative_to(BENCH)) for path in FILES if home(path) == "spec"]


@pytest.mark.parametrize("name", [*SPEC, "store.py", "machine.py"])
def test_spec_store_and_machine_need_the_standard_library_only(name: str) -> None:
    assert {n.split(".")[0] for n in imports(BENCH / name)} <= {*sys.stdlib_module_names, "bench"}


def test_reports_never_import_torch() -> None:
    import subprocess

    code = "import sys, bench.report.page, bench.cli.commands; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=BENCH.parent)
