"""Arrows go one way, each heavy import has one home, and nobody but the tables asks what kind of thing it has."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
BENCH = TESTS.parent / "bench"
# what of a task works on finished numbers: pandas and no torch. The others train: torch and no pandas
PAGES = ("sections", "sentences", "figures", "gains", "gradients", "layers", "ensembles", "made_up")
SHARED = ("tasks/detection/average_precision.py", "tasks/verification/roc.py")  # NumPy only, of both sides
HOMES = {  # by package: the rooms that may import it
    "torch": {"nets", "data", "train", "tasks", "speed", "transfer"},  # transfer: its writer of TensorBoard's files
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
    "pydantic": {"spec", "launch"},  # launch: the Slurm profile
    "pydantic_core": {"spec"},
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
    "train": {"nets", "machine", "store", "spec"},
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


@cache
def imports(path: Path) -> tuple[str, ...]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += (f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(found)


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
def test_spec_store_and_machine_need_the_standard_library_and_pydantic_only(name: str) -> None:
    allowed = {"pydantic", "pydantic_core"} if name.startswith("spec/") else set[str]()
    assert {n.split(".")[0] for n in imports(BENCH / name)} <= {*sys.stdlib_module_names, "bench", *allowed}


NAMES = {"task", "data", "family", "source", "margin", "loss"}  # compared with a word
PARTS = {"views", "faces", "detection"}  # of a recipe, there or not
CLASSES = {"Views", "Faces", "Detection", "InMemory", "ImageNet", "FacePairs", "AnnotatedImages"}


def questions(path: Path) -> Iterator[str]:
    """Comparisons with the name of a task, a data set, a family, and branches on a recipe's part or a kind of class."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            asked = any(_named(side) in NAMES for side in sides) and any(map(_words, sides))
        elif isinstance(node, ast.If | ast.IfExp | ast.While):
            asked = any(_named(part) in PARTS for part in _conditions(node.test))
        elif isinstance(node, ast.Match):
            asked = _named(node.subject) in NAMES | PARTS
        else:
            asked = _is_of_class(node)
        if asked:
            yield f"line {node.lineno}: {ast.unparse(node).splitlines()[0]}"  # type: ignore[attr-defined]  # all have


def _named(node: ast.expr) -> str:
    """`task` of `run.task` and of `row["task"]`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    inside = isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
    return str(node.slice.value) if inside else ""  # type: ignore[attr-defined]  # a subscript


def _conditions(test: ast.expr) -> Iterator[ast.expr]:
    if isinstance(test, ast.BoolOp):
        for value in test.values:
            yield from _conditions(value)
    elif isinstance(test, ast.UnaryOp):
        yield from _conditions(test.operand)
    elif isinstance(test, ast.Compare):
        yield from (test.left, *test.comparators)
    else:
        yield test


def _is_of_class(node: ast.AST) -> bool:
    call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance"
    return call and bool({n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & CLASSES)


def _words(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and bool(node.value)
    return isinstance(node, ast.Tuple | ast.List | ast.Set) and any(_words(part) for part in node.elts)


OUTSIDE = [path for path in FILES if room(relative(path)) != "spec"]


@pytest.mark.parametrize("path", OUTSIDE, ids=relative)
def test_nobody_asks_by_name_which_task_data_or_family_it_has(path: Path) -> None:
    assert list(questions(path)) == []


@pytest.mark.parametrize(
    ("code", "asks"),
    [
        ('x = run.task == "detect"', True),
        ('if run.data in ("a", "b"): pass', True),
        ('x = row["family"] != "vgg"', True),
        ("x = 1 if run.recipe.views else 2", True),
        ("if run.recipe.faces is not None: pass", True),
        ("match run.task:\n    case _: pass", True),
        ("x = isinstance(part, Views)", True),
        ("x = run.task == other.task", False),
        ('x = data.part == ""', False),
    ],
)
def test_a_question_is_found(code: str, asks: bool, tmp_path: Path) -> None:
    (tmp_path / "asks.py").write_text(code)

    assert bool(list(questions(tmp_path / "asks.py"))) is asks


SECTIONS = ("classification", "classification.imagenet", "diagnosis", "detection", "verification")


@pytest.mark.parametrize(
    ("modules", "free_of"),
    [
        (("cli.commands",), "torch pandas"),
        (("report.page", *(f"tasks.{name}.sections" for name in SECTIONS)), "torch"),
        (("tasks.training", "tasks.classification.experiment"), "pandas timm pycocotools simplejpeg"),
    ],
)
def test_modules_load_without(modules: tuple[str, ...], free_of: str) -> None:
    names = ", ".join(f"bench.{module}" for module in modules)
    code = f"import sys, {names}; print(*sorted(set({free_of.split()!r}) & set(sys.modules)))"

    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=BENCH.parent, capture_output=True, encoding="utf-8"
    )
    assert done.stdout.split() == []


TEST_FILES = sorted(TESTS.rglob("*.py"))


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_tests_import_builders_and_nothing_of_each_other(path: Path) -> None:
    parts = {part for name in imports(path) if name.startswith("tests.") for part in name.split(".")}

    assert not [part for part in parts if part == "conftest" or part.startswith("test_")]
