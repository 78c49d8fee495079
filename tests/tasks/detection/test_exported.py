"""Detections for others: pycocotools on the exported files has the AP of the run, or nothing is written."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("pycocotools", reason="needs pycocotools")

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.cli.commands import main as bench
from bench.spec import Run
from bench.store import RunFolder
from bench.tasks.detection.found import Found
from bench.tasks.detection.matching import BEYOND
from bench.train import checkpoint
from tests.builders import make, numbers, tiny_run
from tests.tasks.builders import done, report_of, sweep_of
from tests.tasks.detection.builders import NET, RECIPE, RUN
from tests.tasks.detection.layouts import as_coco, as_voc
from tests.tasks.detection.scored import NAMES, made_up

STATS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")  # the API's first six
SHORT = replace(RECIPE, steps=1, drops=(), curve_every=1, test_every=1, test_images=2)
OWN = replace(RUN, data="coco:pets", recipe=SHORT)


def official(truth: Path, results: Path) -> dict[str, float]:
    """What pycocotools says of two files, in percent."""
    with contextlib.redirect_stdout(io.StringIO()):
        api = COCO(truth)
        evaluation = COCOeval(api, api.loadRes(str(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: 100 * float(share) for name, share in zip(STATS, evaluation.stats, strict=False) if share >= 0}


def assert_official(found: dict[str, float], ours: dict[str, Any], before: str = "") -> None:
    assert found == pytest.approx({name: ours[f"{before}{name}"] for name in found}, rel=1e-12, abs=1e-12)


def of_made_up(seed: int, names: list[str], categories: list[int]) -> Found:
    """With crowds, difficult objects and scores that are equal."""
    truths, predictions = made_up(seed)
    for k, one in enumerate(truths):
        one["difficult"] = torch.tensor([n == 1 and k % 3 == 0 for n in range(len(one["labels"]))], dtype=torch.bool)
    found = [{**one, "scores": (one["scores"] * 20).round() / 20, "boxes": one["boxes"].float()} for one in predictions]
    files = [f"{name}.jpg" for name in names]
    return Found(names, files, np.full((30, 2), 300), NAMES, categories, truths, {"": found, "refined": found[::-1]})


@pytest.mark.parametrize(
    ("names", "first"),
    [
        ([f"{k}" for k in range(7, 37)], 7),
        ([f"2007_{k:06}" for k in range(30)], 1),
        ([f"{k}" for k in range(40, 10, -1)], 1),
        ([f"{k // 2}" for k in range(30)], 1),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_the_files_have_the_numbers_of_the_test(tmp_path: Path, seed: int, names: list[str], first: int) -> None:
    found = of_made_up(seed, names, [30, 4, 17])
    truth, results = tmp_path / "truth.json", tmp_path / "results.json"
    truth.write_text(json.dumps(found.truth_json(), allow_nan=False))
    for option, table in found.tables().items():
        results.write_text(json.dumps(found.results_json(option)))

        assert_official(official(truth, results), table.numbers())

    written = json.loads(truth.read_text())
    assert written["images"][0] == {"id": first, "file_name": f"{names[0]}.jpg", "width": 300, "height": 300}
    assert [one["id"] for one in written["categories"]] == [30, 4, 17]
    assert {one["category_id"] for one in written["annotations"]} <= {30, 4, 17}
    assert any(one["area"] == BEYOND for one in written["annotations"])


def test_what_is_kept_is_read_to_the_last_bit(tmp_path: Path) -> None:
    found, path = of_made_up(1, [f"bild é {k}" for k in range(30)], [1, 2, 3]), tmp_path / "found.npz"
    np.savez_compressed(path, allow_pickle=False, **found.arrays())

    with np.load(path) as arrays:
        again = Found.of_arrays(dict(arrays))

    assert (again.names, again.files, again.classes, again.categories) == (
        found.names, found.files, found.classes, found.categories,
    )  # fmt: skip
    pairs = [(found.truths, again.truths), *((one, again.predictions[k]) for k, one in found.predictions.items())]
    for ours, theirs in pairs:
        for one, other in zip(ours, theirs, strict=True):
            assert all(torch.equal(one[name], other[name]) for name in other)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    as_coco(root / "pets")
    as_voc(root / "bccd")
    return root


@pytest.fixture(scope="module")
def run_of_pets(data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return done(tmp_path_factory.mktemp("pets"), OWN, data, "own")


@pytest.fixture
def folder(run_of_pets: RunFolder, tmp_path: Path) -> Iterator[RunFolder]:
    """A copy of the run's."""
    copy = RunFolder(tmp_path / "runs" / "own" / run_of_pets.path.name)
    copy.path.mkdir(parents=True)
    for path in run_of_pets.path.iterdir():
        if path.is_file():
            (copy.path / path.name).write_bytes(path.read_bytes())
    yield copy
    assert not list(copy.path.parent.glob(".*")), "nothing is left of a test"


def export(place: Path, *options: str) -> int:
    return bench(["export", "own", "--detections", "--out", str(place / "runs"), *options])


def truth_in(place: Path) -> Path:
    [path] = place.glob("ground-truth-*.json")
    return path


def test_a_run_is_exported_by_the_ids_of_the_users_own_file_and_needs_no_data(
    folder: RunFolder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(tmp_path) == 0

    said, to = capsys.readouterr().out, tmp_path / "runs" / "own" / "detections"
    assert f"{OWN.id}: AP50 {numbers(folder)['ap50']:.2f} %" in said
    assert "the detections of 1 run" in said
    assert "tested again" not in said
    for option in ("", "refined"):
        results = to / f"{OWN.id}{f'.{option}' * bool(option)}.json"
        assert_official(official(truth_in(to), results), numbers(folder), f"{option}_" * bool(option))
    users = json.loads((data / "pets" / "annotations" / "instances_val.json").read_text())
    ours = json.loads(truth_in(to).read_text())
    for part, names in (("images", ("id", "file_name")), ("categories", ("id", "name")), ("annotations", ("bbox",))):
        assert [[one[n] for n in names] for one in ours[part]] == [[one[n] for n in names] for one in users[part]]


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_without_kept_detections_a_run_is_tested_again(
    folder: RunFolder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    assert export(tmp_path) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "runs" / "own" / "detections").iterdir()}
    content = folder.found.read_bytes()
    folder.found.unlink()
    if damage == "cut":
        folder.found.write_bytes(content[:-40])
    elif damage == "other":
        with np.load(io.BytesIO(content)) as arrays:
            np.savez(folder.found, allow_pickle=False, **{**arrays, "truth:boxes": arrays["truth:boxes"] + 9})

    assert export(tmp_path, "--data", str(data), "--to", str(tmp_path / "files")) == 0

    assert "tested again …" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in (tmp_path / "files").iterdir()} == before


def test_a_run_that_started_from_another_is_tested_again_beside_it(data: Path, tmp_path: Path) -> None:
    source = tiny_run(steps=1, drops=(), curve_every=1, test_every=1)
    done(tmp_path / "runs", source, tmp_path, "other")
    folder = done(tmp_path / "runs", replace(OWN, net=replace(NET, weights=f"run:other/{source.id}")), data, "own")
    folder.found.unlink()

    assert export(tmp_path, "--data", str(data)) == 0


def refused(folder: RunFolder, place: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    folder.found.unlink(missing_ok=True)
    assert export(place, *options) == 1
    said = capsys.readouterr().out
    assert "the detections of 0 runs" in said
    assert not list((place / "runs" / "own" / "detections").iterdir())
    [line] = [line for line in said.splitlines() if line.startswith(f"{OWN.id}: ") and "tested again …" not in line]
    return line


def test_without_data_or_weights_or_with_others_a_run_is_not_exported(
    folder: RunFolder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    words = refused(folder, tmp_path, capsys, "--data", str(tmp_path / "empty"))
    assert "no folder pets there, which data 'coco:pets' is read from" in words

    as_coco(tmp_path / "others" / "pets")
    path = tmp_path / "others" / "pets" / "annotations" / "instances_val.json"
    path.write_text(path.read_text().replace("[1, 2, ", "[1, 3, "))
    words = refused(folder, tmp_path, capsys, "--data", str(tmp_path / "others"))
    assert re.search(r"others has other data \(\w{12}\) than the run was tested on \(\w{12}\): name theirs", words)

    folder.checkpoint.unlink()
    assert "checkpoint.pt cannot be used (" in refused(folder, tmp_path, capsys, "--data", str(data))


def test_weights_that_find_something_else_here_are_not_exported(
    folder: RunFolder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(*_: Any, **__: Any) -> dict[str, torch.Tensor]:
        box, label = torch.tensor([[0.0, 0, 64, 48]]), torch.tensor([2])
        return {"boxes": box, "labels": label, "scores": torch.tensor([0.5])}

    monkeypatch.setattr("bench.tasks.detection.experiment.detect", other)

    words = refused(folder, tmp_path, capsys, "--data", str(data))

    assert "tested again here its weights have another outcome (AP50 " in words
    assert f"the run ended with {numbers(folder)['ap50']:.4f} %)" in words


def test_it_is_for_runs_that_detect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "runs", tiny_run(), "own")

    assert export(tmp_path) == 2
    assert "--detections: no run of own detects objects" in capsys.readouterr().err


def test_of_a_set_by_name_images_and_categories_are_numbered(data: Path, tmp_path: Path) -> None:
    run: Run = replace(RUN, recipe=SHORT)
    done(tmp_path / "runs", run, data, "own")

    assert export(tmp_path) == 0

    written = json.loads(truth_in(tmp_path / "runs" / "own" / "detections").read_text())
    assert [one["id"] for one in written["images"]] == [1, 2]
    assert [one["file_name"] for one in written["images"]] == ["d.jpg", "e.jpg"]
    assert written["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]


def test_damaged_weights_are_named(
    folder: RunFolder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = checkpoint.loads(folder.checkpoint.read_bytes())
    first = next(iter(state["net"]))
    checkpoint.save(folder.checkpoint, {**state, "net": {**state["net"], first: state["net"][first] + 1}})

    assert "its weights are not those that the run ended with" in refused(folder, tmp_path, capsys, "--data", str(data))


SWEEP = """
from bench.spec import Detection, Net, Recipe, Resources, Scale, Sweep

found = Detection(form="fpn", min_size=48, max_size=64, width=8, hidden=8, pre_nms_top_n=(50, 50),
                  post_nms_top_n=(20, 20), regions_per_image=16, recalibration_images=2)
recipe = Recipe(steps=1, drops=(), lr=0.01, batch=2, bn_group=2, curve_every=1, test_every=1, detection=found)
SWEEP = Sweep("Tiny", "What?", "None.", {"quick": Scale(((Net("cifar", 8, "A"), recipe),), (0,))}, task="detect",
              data="coco:pets", resources=Resources(cpus=1, gpus=0, memory_gib=1))
"""


@pytest.mark.usefixtures("figures_not_rendered")
def test_a_sweep_on_a_users_own_boxes_speaks_of_them_alone(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    page, _, by_id = report_of(SWEEP, data)

    assert "1 of 1 run done, on pets." in page
    assert "- Data: coco:pets (SHA-256 " in page
    assert "pets train: 3 images, 3 boxes of 2 classes. Images without a box to train on: 1, evaluated" in page
    assert "| net | cat | dog |" in page
    assert not re.search("blood|cells|BCCD|VOC 20|COCO 20", page)
    assert bench(["cite", next(iter(by_id))]) == 0
    assert bench(["verify", "tiny"]) == 0
    assert bench(["export", "tiny", "--detections"]) == 0


def test_another_layout_is_refused_before_anything_trains(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert sweep_of(SWEEP.replace("coco:pets", "yolo:pets"), data, "--cluster", "inline") == 2

    assert "That looks like data 'coco:pets'" in capsys.readouterr().err
    assert not list(tmp_path.rglob("checkpoint.pt"))
