"""Predicted time: training and tests apart, from the nearest measurement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.nets.counts import multiply_adds
from bench.nets.speeds import Speed, predicted_seconds, speed_of
from bench.spec import Net, Recipe, Run
from tests.launch.builders import NET, RUNS, WORK


def test_training_and_tests_are_predicted_apart() -> None:
    """200 images/s in training and 1,000 in testing: 64 tests of 10,000 images."""
    known = Speed("resnet-20-A", WORK, 128, "fp32", 200.0, "a chip", 10_000, 1_000.0)
    whole = 64_000 * 128 / 200 + 64 * 10

    assert predicted_seconds(RUNS[0], 0, [known]) == pytest.approx(whole)
    assert predicted_seconds(RUNS[0], 32_000, [known]) == pytest.approx(whole / 2)
    assert predicted_seconds(RUNS[0], 0, [known], part=0.5) == pytest.approx(2 * whole)
    assert predicted_seconds(RUNS[0], 0, [replace(known, part=0.5)]) == pytest.approx(whole / 2)
    assert predicted_seconds(RUNS[0], 0, [replace(known, part=None)], part=0.5) == pytest.approx(whole)
    deep = replace(RUNS[0], net=Net("cifar", 110, "A"))
    assert predicted_seconds(deep, 0, [known]) == pytest.approx(whole * multiply_adds(deep.net) / WORK)
    untested = replace(known, tested=0, tested_per_s=0.0)
    assert predicted_seconds(RUNS[0], 0, [untested]) == pytest.approx(64_000 * 128 / 200 + 64 * 10_000 / 600)
    assert predicted_seconds(RUNS[0], 0, []) is None


def test_its_own_batch_and_net_count_before_others() -> None:
    small = Speed("resnet-20-A", WORK, 32, "fp32", 100.0, "a chip")
    other = Speed("resnet-32-A", 2 * WORK, 128, "fp32", 150.0, "a chip")
    own = replace(small, batch=128, images_per_s=250.0)
    bare = replace(RUNS[0], recipe=replace(Recipe(), test_images=1))

    def rate(*known: Speed) -> float:
        return 64_000 * 128 / (predicted_seconds(bare, 0, known) or 0)

    assert rate(small) == pytest.approx(100, rel=1e-3)
    assert rate(small, other) == pytest.approx(300, rel=1e-3)
    assert rate(small, other, own) == pytest.approx(250, rel=1e-3)


def test_what_tests_took_is_taken_off_a_finished_run() -> None:
    """100 s, of which two tests of 1,000 images took 10 s each."""
    recipe = Recipe(steps=200, drops=(), batch=32, bn_group=32, test_images=1_000, curve_every=20, test_every=100)
    run = Run("quick", NET, "cifar10", recipe, 0)
    row: dict[str, Any] = {
        **{name: getattr(recipe, name) for name in ("steps", "batch", "test_every", "precision")},
        "seconds": 100.0, "images_per_s": 64.0, "test_images": 1_000, "test_images_per_s": 100.0,
    }  # fmt: skip

    speed = speed_of("resnet-20-A", WORK, row, "a chip", 1.0)

    assert speed.images_per_s == pytest.approx(80)
    assert predicted_seconds(run, 0, [speed]) == pytest.approx(100)
    slow = speed_of("resnet-20-A", WORK, {**row, "test_images_per_s": 1.0}, "a chip", 1.0)
    assert (slow.images_per_s, slow.tested) == (64, 0), "a last test on a busy machine says nothing of the others"
    assert predicted_seconds(run, 0, [slow]) == pytest.approx(100), "its speed has the tests in it"
    processes = speed_of("resnet-20-A", WORK, {**row, "processes": "2"}, "a chip", 1.0)
    assert predicted_seconds(run, 0, [processes]) == pytest.approx(200)
    tests = speed_of("resnet-20-A", WORK, {**row, "test_images_per_s": 2_000 / 80}, "a chip", 1.0)
    assert predicted_seconds(run, 0, [tests]) == pytest.approx(100), "mostly tests"
