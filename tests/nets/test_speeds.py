"""Predicted time: training and tests apart, from the nearest measurement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.nets.counts import multiply_adds, multiply_adds_of
from bench.nets.speeds import Speed, nearest, predicted_seconds, published_speeds, speed_of
from bench.spec import Detection, Net, Recipe, Run, Views
from tests.launch.builders import NET, RUNS, WORK

SMALL = Views(side=64, shorter=(73, 137), test_shorter=73, scales=())


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


@pytest.mark.parametrize(("depth", "shortcut"), [(18, "A"), (50, "B")])
def test_a_larger_input_costs_as_many_times_more_as_it_has_multiply_adds(depth: int, shortcut: str) -> None:
    """The same throughput at a side of 64 and of 224: 12 times the time, in training and in the tests."""
    net = Net("imagenet", depth, shortcut)
    small, large = (Run("short", net, "imagenet", Recipe(views=views), 0) for views in (SMALL, Views()))
    known = Speed(net.name, multiply_adds_of(small), 128, "fp32", 40.0, "a chip", 300, 100.0, family="imagenet")

    ratio = (predicted_seconds(large, 0, [known]) or 0) / (predicted_seconds(small, 0, [known]) or 1)

    assert ratio == pytest.approx(multiply_adds_of(large) / multiply_adds_of(small))
    assert 11 < ratio < 13


def test_the_nearest_runs_tell_a_time() -> None:
    """Batch and precision before the net, the net before its input's size, that before the family."""
    net = Net("imagenet", 18, "A")
    run = Run("short", net, "imagenet", Recipe(views=Views()), 0)
    work = multiply_adds_of(run)
    order = [
        Speed("other", work, 128, "fp32", 1.0, "", family="cifar"),
        Speed("other", 1, 128, "fp32", 1.0, "", family="imagenet"),
        Speed("other", 1, 128, "fp32", 1.0, "", family="cifar"),
        Speed(net.name, work, 128, "bf16", 1.0, "", family="imagenet"),
        Speed(net.name, work, 256, "fp32", 1.0, "", family="imagenet"),
    ]
    own = [Speed(net.name, w, 128, "fp32", 1.0, "", family="imagenet") for w in (work, 1)]

    assert nearest(run, [*order, *own]) == own[:1]
    assert nearest(run, [*order, own[1]]) == own[1:]
    assert [nearest(run, order[k:]) for k in range(5)] == [[order[0]], [order[1]], [order[2]], order[3:], order[4:]]


def test_another_task_says_nothing_and_a_detector_is_told_by_a_backbone_as_large_alone() -> None:
    known = Speed("resnet-20-A", WORK, 128, "fp32", 200.0, "a chip")
    assert nearest(RUNS[0], [replace(known, task="diagnose")]) == []

    recipe = Recipe(detection=Detection(form="fpn", min_size=240, max_size=480, recalibration_images=16))
    detector = Run("quick", NET, "bccd", recipe, 0, "detect")
    work = multiply_adds_of(detector)
    alike, smaller = (replace(known, net="another start", task="detect", work=w) for w in (work, work // 2))
    assert nearest(detector, [alike, smaller]) == [alike]


def test_published_speeds_are_each_runs_once_on_the_hardware_of_most_or_on_this(tmp_path: Path) -> None:
    header = "id,state,net,multiply_adds,batch,precision,images_per_s,hardware,task"
    row = "{},done,resnet-20-A,1,128,fp32,{},{},{}"
    files = {
        "a": [row.format("x", 10, "a GPU", ""), row.format("y", 1, "a CPU", "classify")],
        "b": [
            row.format("x", 10, "a GPU", "classify"),
            row.format("z", 20, "a GPU", ""),
            row.format("w", 9, "", "verify"),
        ],
        "damaged": ["only,this"],
        "endless": ["id,state", f'a,"{"x" * 200_000}'],  # more than csv takes for one field
    }
    for name, rows in files.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "runs.csv").write_text("\n".join([header, *rows]))

    def rates(here: str = "") -> list[float]:
        return [speed.images_per_s for speed in published_speeds(tmp_path, "classify", here)]

    assert rates() == rates("another machine") == [10, 20]
    assert rates("a CPU") == [1]
