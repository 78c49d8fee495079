"""What several tests share: tiny runs, a folder of real data where there is one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.machine import installed
from bench.spec import Net, Recipe, Resources, Run

torch.set_num_threads(1)

TINY = Recipe(steps=12, drops=(6, 9), batch=8, bn_group=4, test_images=40, curve_every=3, test_every=6)


def tiny_run(net: str = "A", seed: int = 0, checkpoint_seconds: float = 60, **recipe: object) -> Run:
    """A run of seconds: 8 layers, 12 steps of 8 stand-in images, one thread."""
    changed = replace(TINY, **recipe)  # type: ignore[arg-type]  # any field of Recipe
    resources = Resources(cpus=1, gpus=0, memory_gib=0.5, checkpoint_seconds=checkpoint_seconds)
    return Run("quick", Net("cifar", 8, net), "stand-in", changed, seed, resources=resources)


class StopAt:
    """Asked to stop at the nth question."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


def needs(package: str) -> pytest.MarkDecorator:
    """Skips a test where the package is not installed, in the words that .ci/run refuses where all of them are."""
    return pytest.mark.skipif(not installed(package), reason=f"needs {package}")


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was downloaded or measured on this machine moves no test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def bench_data() -> Path:
    """The folder of real data; the test is skipped, saying so, where there is none."""
    folder = os.environ.get("BENCH_DATA")
    if not folder:
        pytest.skip("BENCH_DATA is not set: no real data here")
    return Path(folder)


SWEEP_FILE = """
from bench.spec import Net, Recipe, Resources, Scale, Sweep

def recipe(lr):
    return Recipe(steps={steps}, drops=(6, 9), batch=8, bn_group=4, test_images=40, curve_every=3, test_every=6, lr=lr)

cells = ((Net("cifar", 8, "none"), recipe({plain_lr})), (Net("cifar", 8, "A"), recipe(0.1)))
SWEEP = Sweep("Tiny on CIFAR-10", "Does it run?", "It does.", {{"quick": Scale(cells, (0,))}},
              resources=Resources(cpus=1, gpus=0, memory_gib=0.5))
"""


@pytest.fixture
def tiny_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep file of two tiny runs, in an empty project folder without data or network."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: a download fails at once
    path = tmp_path / "sweeps" / "tiny.py"
    path.write_text(SWEEP_FILE.format(steps=12, plain_lr=0.1))
    return path
