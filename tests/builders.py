"""What several tests build: tiny runs and their folders, a sweep file, processes."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.machine import installed
from bench.spec import Net, Recipe, Resources, Run
from bench.store import RunFolder, register
from bench.store.manifest import layers_digest, manifest

TINY = Recipe(steps=12, drops=(6, 9), batch=8, bn_group=4, test_images=40, curve_every=3, test_every=6)

ENDLESS = 1_000_000  # steps of a run that can only be stopped


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


SWEEP_FILE = """
from bench.spec import Net, Recipe, Resources, Scale, Sweep

def recipe(lr):
    return Recipe(steps={steps}, drops=(6, 9), batch=8, bn_group=4, test_images=40, curve_every=3, test_every=6, lr=lr)

cells = ((Net("cifar", 8, "none"), recipe({plain_lr})), (Net("cifar", 8, "A"), recipe(0.1)))
SWEEP = Sweep("Tiny on CIFAR-10", "Does it run?", "It does.", {{"quick": Scale(cells, (0,))}},
              resources=Resources(cpus=1, gpus=0, memory_gib=0.5))
"""
# a clean process in which torch is imported once: each worker is a fork of it, there in milliseconds
SPAWN = multiprocessing.get_context("forkserver")
# the first optimiser of a process imports torch._dynamo: two seconds
SPAWN.set_forkserver_preload(["bench.tasks.training", "tests.conftest", "torch._dynamo"])


def make(tmp_path: Path, run: Run, name: str = "a") -> RunFolder:
    folder = RunFolder(tmp_path / name / run.id)
    folder.create(run)
    return folder


def numbers(folder: RunFolder) -> dict[str, Any]:
    """The result without the wall clock."""
    result = folder.result()
    assert result is not None
    return {k: v for k, v in result.items() if k not in ("seconds", "images_per_s", "test_images_per_s")}


def with_momentum(folder: RunFolder) -> int:
    """Gives a done run the checkpoint that earlier versions left, and returns its size."""
    from bench.train import checkpoint

    state = checkpoint.loads(folder.checkpoint.read_bytes())
    weights = [value for name, value in state["net"].items() if not name.endswith(("_mean", "_var", "_tracked"))]
    momentum = {number: {"momentum_buffer": value + 1} for number, value in enumerate(weights)}
    optimizer = {**state["optimizer"], "state": momentum}
    checkpoint.save(folder.checkpoint, {**state, "optimizer": optimizer, "batches": {"epoch": 3}})
    return folder.checkpoint.stat().st_size


def wait_for(what: Callable[[], object], seconds: float = 150, pause: float = 0.005) -> None:
    limit = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < limit, "waited too long"
        time.sleep(pause)


def end(processes: Iterable[subprocess.Popen[str]]) -> None:
    """Ends what still runs: SIGTERM to each, SIGKILL to those that do not end by it."""
    processes = [process for process in processes if process.poll() is None]
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def results_of(project: Path, runs: str = "runs") -> dict[str, dict[str, Any]]:
    found = {p.parent.name: json.loads(p.read_text()) for p in (project / runs / "tiny").glob("*/result.json")}
    return {
        n: {k: v for k, v in r.items() if k not in ("seconds", "images_per_s", "test_images_per_s")}
        for n, r in found.items()
    }


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done = subprocess.run(["git", *who, "-C", str(folder), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def timm_net(name: str) -> Net:
    """timm's net of that name."""
    return Net("timm", 0, "none", weights=f"timm:{name}")


def witnessed(folder: RunFolder) -> RunFolder:
    """Gives a made-up run that is done its lines in the register and its manifest, as a worker leaves them."""
    result, env = folder.result(), folder.env()
    assert result is not None
    assert env is not None
    facts = {name: env.get(name) for name in ("commit", "dirty", "data_sha256")} | {"start_sha256": ""}
    start = register.start(folder.path.parent, folder.path.name, 0, trains=True, **facts)
    layers = layers_digest(folder.layer_rows())
    folder.finish(result, env, manifest(folder.run(), result, env, start, layers_sha256=layers, matches_sha256=None))
    return folder
