"""A package that is not installed stops only what needs it, in one line that says what to install."""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bench.cli.exits import guarded
from bench.cli.request import refuse_without_submitit
from bench.cli.sweep import main
from bench.cli.sweep_files import MistakeError, load_sweep
from bench.launch.slurm import commands as scheduler
from bench.launch.worker import work
from bench.machine import SOME_NEED
from tests.builders import SPAWN, make, needs, tiny_run

WORDS = ("status", "verify")
ROOT = Path(__file__).resolve().parents[1]


def python(code: str, *arguments: str, cwd: Path | None = None, given: str = "") -> str:
    """What a process of its own prints that ends well."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(line, input=given, capture_output=True, text=True, cwd=cwd, env=environment, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


OF_OTHERS = {"triton": "torch", "pydantic_core": "pydantic"}  # always there with the package that brings them
NAMES = {"PIL": "pillow", "yaml": "pyyaml", "markdown_it": "markdown-it-py"}  # where pip's is another


def test_what_is_imported_is_declared_with_a_lower_bound_and_nothing_else_is() -> None:
    imported = {
        name.partition(".")[0]
        for folder in ("bench", "sweeps")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in names_of(node)
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = dict(text.split(">=") for text in project["dependencies"])

    packages = imported - sys.stdlib_module_names - {"bench", *OF_OTHERS} | {"pyarrow"}  # by pandas, for parquet

    assert bounds.keys() == {NAMES.get(name, name) for name in packages}


def names_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def test_a_cifar_run_imports_nothing_that_only_other_runs_and_reports_need(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import bench.sweep; from bench.launch.worker import work\n"
        "assert work(Path(sys.argv[1]), Path()) == 'done'\n"
        "print('imported:', *{name.partition('.')[0] for name in sys.modules} & set(sys.argv[2:]))"
    )
    folder = make(tmp_path, tiny_run())

    assert python(code, str(folder.path), *SOME_NEED, "pandas", "torch").splitlines()[-1] == "imported: torch"


def test_a_cifar_sweep_goes_to_its_report_without_them(tiny_sweep: Path) -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(sys.argv[1:]))\n"
        "from bench.cli.commands import main\n"
        "for command in sys.stdin: assert main(command.split()) == 0, command"
    )
    sweep = "sweep tiny --scale quick --cluster"
    commands = [f"{sweep} local --dry-run", f"{sweep} inline", *(f"{word} tiny" for word in WORDS)]

    printed = python(code, *SOME_NEED, cwd=tiny_sweep.parents[1], given="\n".join(commands))

    assert "2 of 2 runs are done" in printed
    assert "tiny: every number follows from its runs" in printed


@pytest.mark.parametrize(
    ("package", "sweep", "family"),
    [
        ("pycocotools", "detection", "vgg"),
        pytest.param("timm", "imagenet_pretrained", "timm", marks=needs("simplejpeg")),
        ("simplejpeg", "imagenet_depth", "imagenet"),
    ],
)
def test_a_run_that_lacks_a_package_fails_in_one_line_and_the_next_start_tries_again(
    package: str, sweep: str, family: str, tmp_path: Path
) -> None:
    _, declared = load_sweep(str(ROOT / "sweeps" / f"{sweep}.py"))
    scale = next(iter(declared.scales))
    runs = declared.runs(scale, None, declared.data_at(scale))
    folder = make(tmp_path, next(run for run in runs if run.net.family == family))

    process = SPAWN.Process(target=work_without, args=(package, folder.path))
    process.start()
    process.join(60)

    error = folder.error()
    assert error is not None
    assert error["message"] == f"this needs {package}, which is not installed: pip install {package}"
    assert error["retry"]
    assert not error["trace"]
    assert folder.state() == "pending"


def work_without(package: str, folder: Path) -> None:
    sys.modules[package] = None  # type: ignore[assignment]  # as Python marks what cannot be imported
    work(folder, folder)


@pytest.mark.parametrize("options", [[], ["--no-wait"]])
def test_without_submitit_runs_in_processes_of_their_own_are_refused_before_anything_starts(
    options: list[str], tiny_sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)

    assert main(["tiny", "--scale", "quick", "--cluster", "local", *options]) == 2

    said = "bench: --cluster local starts runs through submitit, which is not installed: pip install submitit, or take "
    assert (
        capsys.readouterr().err
        == f"{said}--cluster inline (one run after another) or crew (several in one process), which need none\n"
    )
    assert not (tiny_sweep.parents[1] / "runs").exists()
    assert main(["tiny", "--scale", "quick", "--cluster", "local", "--dry-run"]) == 0
    with pytest.raises(MistakeError, match="--cluster slurm starts runs through submitit"):
        refuse_without_submitit("slurm")


@pytest.mark.usefixtures("tiny_sweep")
def test_without_submitit_the_cluster_is_inline_unless_another_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    monkeypatch.setattr(scheduler, "is_here", lambda: False)

    assert main(["tiny", "--scale", "quick", "--dry-run"]) == 0

    said = "cluster: inline, one run after another, as submitit is not installed (pip install submitit)\n"
    assert capsys.readouterr().out.startswith(said)


def test_a_command_that_lacks_a_package_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def lacks(args: argparse.Namespace) -> int:
        raise ModuleNotFoundError(name=args.module)

    assert guarded(lacks, argparse.Namespace(module="timm.layers")) == 2
    assert capsys.readouterr().err == "bench: this needs timm, which is not installed: pip install timm\n"
    with pytest.raises(ModuleNotFoundError):
        guarded(lacks, argparse.Namespace(module="bench.nothing"))
