"""Arrows go one way, each heavy import has one home, and nobody but the tables asks what kind of thing it has."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"
# what of a task works on finished numbers: pandas and no torch. The others train: torch and no pandas
PAGES = ("sections", "figures", "gains", "layers", "ensembles")
SHARED = ("tasks/detection/average_precision.py", "tasks/verification/roc.py")  # NumPy only, of both sides
HOMES = {  # by package: the rooms that may import it
    "torch": {"nets", "data", "train", "tasks", "speed"},
    "torchvision": {"nets", "data", "tasks", "speed"},
    "PIL": {"data", "tasks", "speed"},
    "simplejpeg": {"data"},
    "timm": {"nets"},
    "sklearn": set(),  # the tests'
    "pytorch_metric_learning": set(),
    "safetensors": {"nets"},
    "pycocotools": {"tasks"},
    "triton": {"train"},
    "submitit": {"launch"},
    "pandas": {"report", "pages"},
    "seaborn": {"report", "pages"},
    "matplotlib": {"report", "pages"},
    "scipy": {"report", "tasks"},  # tasks: the development kit's meta.mat
    "statsmodels": {"report"},
    "markdown_it": {"report"},
}
GROUND = {"spec", "store", "machine", "paper"}
ARROWS = {  # what each room may import beside itself
    "spec": set[str](),
    "machine": set[str](),
    "paper": set[str](),
    "shared": set[str](),
    "store": {"spec"},
    "nets": {"spec"},
    "data": {"machine", "spec"},
    "train": {"machine", "store", "spec"},
    "tasks": {"shared", "nets", "data", "train", *GROUND},
    "launch": {"tasks", "nets", "data", "train", *GROUND},
    "pages": {"shared", "report", "nets", *GROUND},
    "report": {"pages", "nets", *GROUND},
    "cli": {"speed", "transfer", "report", "launch", "data", *GROUND},
    "sweep": {"cli"},
    "speed": {"cli", "launch", "report", "tasks", "nets", "data", "train", *GROUND},
    "transfer": {"train", *GROUND},
    "__main__": {"cli"},
    "__init__": set[str](),
}
FILES = sorted(BENCH.rglob("*.py"))


def room(name: str) -> str:
    """The room of a file below bench by its path, `tasks/detection/voc.py`."""
    if name in SHARED:
        return "shared"
    first, *rest = name.removesuffix(".py").split("/")
    return "pages" if first == "tasks" and rest and rest[-1] in PAGES else first


def relative(path: Path) -> str:
    return path.relative_to(BENCH).as_posix()


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def file_of(name: str) -> str | None:
    """The file below bench that an import names, by its path; None for the package itself."""
    parts = name.split(".")[1:]
    while parts:
        for place in ("/".join(parts) + ".py", "/".join(parts) + "/__init__.py"):
            if (BENCH / place).is_file():
                return place
        parts.pop()
    return None


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_each_heavy_import_has_one_home(path: Path) -> None:
    for name in imports(path):
        allowed = HOMES.get(name.split(".")[0])
        assert allowed is None or room(relative(path)) in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_arrows_go_one_way(path: Path) -> None:
    here = room(relative(path))
    theirs = {room(file) for name in imports(path) if name.startswith("bench.") and (file := file_of(name))}

    assert theirs - {here} <= ARROWS[here]


LIGHT = [relative(path) for path in FILES if room(relative(path)) in ("spec", "store", "machine")]


@pytest.mark.parametrize("name", LIGHT)
def test_spec_store_and_machine_need_the_standard_library_only(name: str) -> None:
    assert {n.split(".")[0] for n in imports(BENCH / name)} <= {*sys.stdlib_module_names, "bench"}


# those that may ask what kind of thing they have, each with its reason
MAY_ASK = {
    "tasks/classification/imagenet/experiment.py": "the two crops of Views are its own to make",
}
KINDS = {"task", "data", "family", "views", "faces", "detection"}


def questions(path: Path) -> Iterator[str]:
    """Comparisons of an attribute that names a task, a data set or a family with a word, outside their tables."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Compare):
            continue
        asked = any(isinstance(part, ast.Attribute) and part.attr in KINDS for part in [node.left, *node.comparators])
        words = any(_words(part) for part in [node.left, *node.comparators])
        if asked and words:
            yield f"line {node.lineno}: {ast.unparse(node)}"


def _words(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and bool(node.value)
    return isinstance(node, ast.Tuple | ast.List | ast.Set) and any(_words(part) for part in node.elts)


OUTSIDE = [path for path in FILES if room(relative(path)) != "spec" and relative(path) not in MAY_ASK]


@pytest.mark.parametrize("path", OUTSIDE, ids=relative)
def test_nobody_asks_by_name_which_task_data_or_family_it_has(path: Path) -> None:
    assert list(questions(path)) == []


def test_a_question_is_found(tmp_path: Path) -> None:
    (tmp_path / "asks.py").write_text('if run.task == "detect" or run.data in ("a", "b"):\n    pass\n')

    assert len(list(questions(tmp_path / "asks.py"))) == 2


@pytest.mark.parametrize(
    ("module", "free_of"),
    [
        ("bench.report.page", "torch"),
        ("bench.cli.commands", "torch pandas"),
        *((f"bench.tasks.{name}.sections", "torch") for name in ("classification", "classification.imagenet")),
        *((f"bench.tasks.{name}.sections", "torch") for name in ("diagnosis", "detection", "verification")),
        ("bench.tasks.training", "pandas timm pycocotools simplejpeg"),
        ("bench.tasks.classification.experiment", "pandas timm pycocotools simplejpeg"),
    ],
)
def test_a_module_loads_without(module: str, free_of: str) -> None:
    code = f"import sys, {module}; print(*sorted(set({free_of.split()!r}) & set(sys.modules)))"

    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=BENCH.parent, capture_output=True, encoding="utf-8"
    )
    assert done.stdout.split() == []
