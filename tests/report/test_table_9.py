"""What Table 9's tests of a trained detector answer: their numbers, and what each option gains."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from bench.cli.sweep_files import load_sweep
from bench.paper import paper_numbers
from bench.report.answers import Study
from bench.report.coverage import coverage
from bench.report.frame import Set
from bench.report.rows import OF_OPTIONS

SWEEP = load_sweep("detection_coco")[1]
TESTED = ("refined_", "multi_scale_")
NUMBERS = [n for n in paper_numbers().values() if n.get("metric", "").startswith(TESTED) and n["unit"] != "%"]


def test_they_are_six() -> None:
    table = [f"t9.{row}.val.{metric}" for row in ("box-refinement", "multi-scale") for metric in ("ap50", "ap")]

    assert [n["id"] for n in NUMBERS] == [*table, "txt.box-refinement.gain", "txt.multi-scale.gain"]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: n["id"])
def test_the_sweep_that_answers_asks_for_these_tests(number: dict[str, Any]) -> None:
    scale = SWEEP.scales["paper"]
    recipe = {name: recipe for (_, recipe), name in zip(scale.cells, scale.names, strict=True)}[number["net"]]
    assert recipe.detection is not None
    asked = {"refined": recipe.detection.refine, "multi_scale": bool(recipe.detection.scales), "": True}

    for column in number["metric"].split(" - "):
        assert asked[column.rpartition("_")[0]]
        assert column in (*OF_OPTIONS, "ap")


def test_they_are_read_from_the_columns_of_one_run() -> None:
    columns = {"refined_ap50": 49.0, "refined_ap": 29.5, "multi_scale_ap50": 53.0, "multi_scale_ap": 32.0, "ap": 27.0}
    about = {"id": "a", "net": NUMBERS[0]["net"], "seed": 0, "state": "done", "variant": "", "test_error": 52.0}
    curves = pd.DataFrame({"id": [], "step": [], "error": []})
    study = Study("detection_coco", SWEEP, (Set("paper", "coco14", pd.DataFrame([{**about, **columns}]), curves),))

    found = {a.number["id"]: a.ours for a in coverage([study]) if a.status == "measured, without a claim"}

    assert [found[n["id"]] for n in NUMBERS] == [f"{v:.2f} (1)" for v in (49.0, 29.5, 53.0, 32.0, 2.5, 2.5)]
    assert found["t8.resnet-101.ap"] == "27.00 (1)"
    assert "t8.resnet-101.ap50" not in found, "there is no such column"
