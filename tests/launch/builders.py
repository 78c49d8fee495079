"""Runs to plan for, what was measured of them, and a machine of any size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.launch import concurrency
from bench.launch.concurrency import Measurement
from bench.nets.counts import multiply_adds
from bench.spec import Net, Recipe, Run, Way
from tests.builders import tiny_run

CURVED = {"steps": 12, "drops": (5, 9), "curve_every": 3, "test_every": 6, "test_images": 20}
NET = Net("cifar", 20, "A")
WORK = multiply_adds(NET)
RUNS = tuple(Run("paper", NET, "cifar10", Recipe(), seed) for seed in range(4))
ALONE = Measurement("resnet-20-A", WORK, 128, "fp32", 1, 2, 2, 200.0)
FAST = Way(graph=True, batch_norm="fused")
BOTH = replace(ALONE, at_once=2, threads=1, images_per_s=230.0)


def machine(monkeypatch: pytest.MonkeyPatch, *, cores: int, devices: tuple[str, ...]) -> None:
    monkeypatch.setattr(concurrency, "cores", lambda: cores)
    for module in ("concurrency", "plan"):
        monkeypatch.setattr(f"bench.launch.{module}.cuda_devices", lambda: devices)
        monkeypatch.setattr(f"bench.launch.{module}.hardware", lambda: devices[0] if devices else "a chip")
    monkeypatch.setattr(concurrency, "memory_gib", lambda: 16.0)


def run_of(depth: int, seed: int, shortcut: str = "A", threads: int = 1, **recipe: Any) -> Run:
    """A run of a net of this depth, with a curve."""
    run = tiny_run(seed=seed, **{**CURVED, **recipe})
    return replace(run, net=Net("cifar", depth, shortcut), resources=replace(run.resources, cpus=threads))
