"""What a recipe of detection declares: all of it in the id, nothing that cannot be meant; the sweeps that there are."""

from __future__ import annotations

import json
import runpy
from dataclasses import fields, replace
from typing import Any

import pytest

from bench.report.rows import declared_columns, run_of
from bench.spec import Detection, Net, SpecError, Sweep, run_from_json
from tests.builders import tiny_run
from tests.tasks.detection.builders import NET, RECIPE, RUN

OTHERS: dict[str, Any] = {
    "form": "fpn", "min_size": 500, "max_size": 900, "anchors": (64, 128), "pooling": "align", "context": True,
    "width": 128, "hidden": 512, "pre_nms_top_n": (100, 50), "post_nms_top_n": (90, 40), "regions_per_image": 64,
    "nms_threshold": 0.5, "max_grad_norm": 10, "recalibration_images": 16, "refine": True, "scales": (400, 600),
}  # fmt: skip


@pytest.mark.parametrize("name", [f.name for f in fields(Detection)])
def test_every_field_is_in_the_id_and_comes_back_from_a_row(name: str) -> None:
    form: dict[str, Any] = {"form": "fpn"} if name in ("width", "hidden") else {}
    run = replace(RUN, net=Net("vgg", 16, "none"))
    changed = replace(run, recipe=replace(RECIPE, detection=Detection(**{**form, name: OTHERS[name]})))

    assert changed.id != replace(run, recipe=replace(RECIPE, detection=Detection(**form))).id
    row = {key: "" if value is None else str(value) for key, value in declared_columns(changed).items()}
    assert run_of(row) == changed
    assert run_of(row).id == changed.id


def test_the_nets_that_scale_quick_starts_from_are_those_that_are_declared() -> None:
    sweeps = {name: runpy.run_path(f"sweeps/{name}.py")["SWEEP"] for name in ("detection", "plain_vs_residual")}

    wanted = {run.net.weights.partition("/")[2] for run in sweeps["detection"].runs("quick", (0,), "bccd")} - {""}

    assert wanted <= {run.id for run in sweeps["plain_vs_residual"].runs("short", (0,))}


def test_a_run_is_read_back_from_its_json() -> None:
    run = replace(RUN, recipe=replace(RECIPE, detection=Detection(scales=(400, 600), recalibration_images=1)))

    assert run_from_json(json.dumps(run.as_json())) == run
    assert run.id != RUN.id


@pytest.mark.parametrize(
    ("make_it", "words"),
    [
        (lambda: replace(RUN, task="classify"), "do not go together"),
        (lambda: replace(RUN, data="cifar10"), "do not go together"),
        (lambda: replace(RUN, recipe=replace(RECIPE, detection=Detection())), "give detection.recalibration_images"),
        (lambda: Detection(form="ssd"), "form 'ssd' is not one of: c4, fpn"),
        (lambda: Detection(form="fpn", scales=(400, 600)), "scales: no part of form 'fpn'"),
        (lambda: Detection(scales=(600,)), "two or more, rising"),
        (lambda: Detection(pooling="max"), "'max' is not one of: pool, align"),
        (lambda: Detection(min_size=800, max_size=600), "min_size 800 must be at most max_size 600"),
        (
            lambda: replace(tiny_run(), net=Net("vgg", 16, "none")),
            "nets of family 'vgg' are there for task detect only",
        ),
        (lambda: replace(NET, weights="run:foo/bar"), "are not run:SWEEP/RUN, as in"),
        (lambda: Net("vgg", 19, "none"), "depth 19 is not one of: 16"),
        (lambda: Net("vgg", 16, "A"), "VGG-16 is one net"),
    ],
)
def test_what_cannot_be_meant_is_refused(make_it: object, words: str) -> None:
    assert callable(make_it)
    with pytest.raises(SpecError, match=words):
        make_it()


@pytest.mark.parametrize("name", ["detection", "detection_coco"])
def test_the_declared_sweeps_have_the_papers_form_and_images(name: str) -> None:
    sweep: Sweep = runpy.run_path(f"sweeps/{name}.py")["SWEEP"]

    for _, recipe in sweep.scales["paper"].cells:
        found = recipe.detection
        assert found is not None
        assert (found.form, found.min_size, found.post_nms_top_n[1], found.nms_threshold) == ("c4", 600, 300, 0.3)
        assert found.scales == (200, 400, 600, 800, 1000)
    assert [net.name.split("-torch")[0] for net, _ in sweep.scales["paper"].cells] == ["vgg-16", "resnet-101-B"]
