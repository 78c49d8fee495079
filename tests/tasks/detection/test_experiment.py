"""Runs that detect: from a backbone of another sweep to a report whose digits can be checked."""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("pycocotools", reason="needs pycocotools")

from bench.cli.commands import main as commands
from bench.launch.retest import evaluated_with
from bench.launch.worker import work
from bench.report.stored import read_arrays
from bench.spec import Net
from bench.store import RunFolder
from bench.tasks.detection.experiment import AnnotatedImages
from bench.tasks.detection.gains import table_of
from bench.tasks.job import Job
from bench.train import checkpoint
from tests.builders import numbers, tiny_run
from tests.tasks.builders import done, done_by_two, failed, report_of, stopped
from tests.tasks.detection.builders import NET, RECIPE, RUN, SMALL, write_coco, write_list, write_voc


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BCCD's layout: squares of two colours on grey. Among the five to train on a zero-width box and an empty image."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    folder = root / "bccd"
    for number in range(9):
        boxes = [("Cell", *place, place[0] + 15, place[1] + 15) for place in ((3, 3), (30, 5), (12, 28))]
        boxes = [] if number == 4 else [*boxes, ("Plate", 40, 30, 55, 45)]
        boxes += [("Cell", 20, 20, 20, 30)] if number == 3 else []
        write_voc(folder, f"{number}", boxes, size=(64, 48), with_image=False)
        pixels = rng.normal(120, 10, (48, 64, 3))
        for name, x1, y1, x2, y2 in boxes:
            pixels[y1:y2, x1:x2] = (200, 60, 60) if name == "Cell" else (60, 60, 200)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "JPEGImages" / f"{number}.jpg")
    write_list(folder, "train", [str(k) for k in range(5)])
    write_list(folder, "test", [str(k) for k in range(5, 9)])
    return root


@pytest.fixture(scope="module")
def straight(data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return done(tmp_path_factory.mktemp("straight"), RUN, data)


def test_a_run_keeps_what_became_of_every_detection(straight: RunFolder) -> None:
    result = numbers(straight)

    assert result["test_images"] == 3
    assert result["classes"] == "Cell Plate"
    assert "1 of zero width or height (3)" in result["pictures"]
    assert "Images without a box to train on: 1" in result["pictures"]
    arrays = {f"run:{name}": array for name, array in read_arrays(straight.matches).items()}
    for option, before in (("", ""), ("refined", "refined_")):
        again = table_of(arrays, "run", option).numbers()
        kept = {name: result[f"{before}{name}"] for name in again if f"{before}{name}" in result}
        assert kept == pytest.approx({name: again[name] for name in kept}, abs=1e-9)
        assert {"ap", "ap50", "voc07_map"} <= set(kept)
    hits = int(arrays["run:shown"][:, 7].sum())
    assert len(arrays["run:shown_missed"]) == int(arrays["run:shown_objects"].sum()) - hits > 0
    assert result["test_error"] == 100 - result["ap50"]
    assert Image.open(straight.detections).size[0] > 1_000
    losses = [
        set(row) & {"class_loss", "box_loss", "objectness_loss", "proposal_loss"} for row in straight.curve_rows()
    ]
    assert all(len(found) == 4 for found in losses)
    parts = [sum(row[n] for n in row if n.endswith("_loss") and n != "test_loss") for row in straight.curve_rows()]
    assert parts == pytest.approx([row["loss"] for row in straight.curve_rows()], rel=1e-5)


def test_weights_alone_find_what_the_run_found(straight: RunFolder, data: Path) -> None:
    net = checkpoint.loads(straight.checkpoint.read_bytes())["net"]

    found = evaluated_with(RUN, dict(checkpoint.raw(net)), data)

    assert found.error == numbers(straight)["test_error"]
    assert found.correct is None
    assert found.margins is None


def test_fixed_batch_norm_does_not_move_by_a_bit_and_the_rest_does(straight: RunFolder, data: Path) -> None:
    start = AnnotatedImages.of(RUN, Job(straight, data, lambda: False), torch.device("cpu")).net().state_dict()

    saved = checkpoint.load(straight.checkpoint)

    assert saved is not None
    fixed = [name for name in start if ".running_" in name]
    layers = {name.rpartition(".")[0] for name in fixed}
    fixed += [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    assert len(fixed) == 4 * len(layers) > 0
    assert all(torch.equal(start[name], saved["net"][name]) for name in fixed)
    assert not any(torch.equal(start[n], saved["net"][n]) for n in start if n.endswith("conv1.weight"))


AFTER = {2: (2, False), 4: (4, True), 7: (5, True)}  # the step and whether a part of a test is kept, by the question


@pytest.mark.parametrize("questions", list(AFTER))
def test_stopped_and_started_again_a_run_ends_in_the_same_bits(
    straight: RunFolder, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, questions: int
) -> None:
    """Between two steps, in the test on the way, and in the last one, a chunk being two of the three images."""
    monkeypatch.setattr("bench.tasks.detection.experiment.CHUNK", 2)

    folder = stopped(tmp_path, RUN, data, questions)

    saved = checkpoint.load(folder.checkpoint)
    assert saved is not None
    assert (saved["step"], folder.scores("plain").exists()) == AFTER[questions]
    assert work(folder.path, data) == "done"

    assert numbers(folder) == numbers(straight)


def test_the_papers_form_is_tested_in_several_scales_too(data: Path, tmp_path: Path) -> None:
    usual: dict[str, Any] = {"width": 256, "hidden": 1024}
    found = replace(SMALL, form="c4", anchors=(8, 16), scales=(32, 48, 64), context=True, **usual)

    folder = done(tmp_path, replace(RUN, recipe=replace(RECIPE, steps=1, drops=(), detection=found)), data)

    result = numbers(folder)
    assert {"refined_ap50", "multi_scale_ap50", "multi_scale_ap"} <= set(result)
    assert result["train_loss"] == pytest.approx(math.log(3) + math.log(2), abs=0.8), "where it starts"
    assert not list(folder.path.glob("scores-*"))


def test_a_test_that_has_ended_is_not_done_again(
    straight: RunFolder, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.tasks.detection.experiment.CHUNK", 2)
    folder = stopped(tmp_path, RUN, data, 9)  # in the refined test
    kept = folder.scores("plain")
    saved = torch.load(kept, weights_only=True)
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "scores": torch.zeros(0)}
    torch.save({**saved, "predictions": [nothing] * 3}, kept)

    assert work(folder.path, data) == "done"

    assert numbers(folder)["ap50"] == 0
    assert numbers(folder)["refined_ap50"] == numbers(straight)["refined_ap50"]


@pytest.mark.team
def test_two_processes_have_the_numbers_of_one(straight: RunFolder, data: Path, tmp_path: Path) -> None:
    """Each takes one image of every batch and half of the test's; what is sampled of an image is the same."""
    folder = done_by_two(tmp_path, RUN, data)

    curves = [[row["loss"] for row in one.curve_rows()] for one in (folder, straight)]
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)
    ours, theirs = (numbers(one) for one in (folder, straight))
    assert ours["test_images"] == 3
    assert ours["ap50"] == pytest.approx(theirs["ap50"], abs=1)
    first, second = (read_arrays(one.matches)[":voc_positives"] for one in (folder, straight))
    assert np.array_equal(first, second), "in their order"


def test_without_its_data_a_run_says_where_to_get_them(tmp_path: Path) -> None:
    assert (
        "no bccd/ or BCCD_Dataset/BCCD/ there. Get it from http" in failed(tmp_path / "runs", RUN, tmp_path)["message"]
    )


def test_images_to_learn_from_that_are_tested_too_are_refused(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "bccd", tmp_path / "bccd")
    write_list(tmp_path / "bccd", "test", ["4", "5", "6"])

    said = failed(tmp_path / "runs", RUN, tmp_path)["message"]

    assert "1 image in both bccd train and bccd test (4.jpg)" in said


@pytest.mark.parametrize(
    ("categories", "words"),
    [
        (
            [{"id": 3, "name": "dog"}, {"id": 18, "name": "car"}],
            r"2 classes and .* 2, .* \(the same ones in another order\)",
        ),
        ([{"id": 3, "name": "car"}], r"2 classes and .* 1, which differ \(dog\)"),
        ([{"id": 3, "name": "car"}, {"id": 18, "name": "Dog"}], r"2 classes and .* 2, which differ \(Dog, dog\)"),
    ],
)
def test_classes_that_are_others_in_the_test_are_refused(tmp_path: Path, categories: object, words: str) -> None:
    folder = tmp_path / "coco"
    (folder / "annotations").mkdir(parents=True)
    for part, changes in (("train", {}), ("val", {"categories": categories})):
        annotations, images = write_coco(tmp_path, **changes)
        images.rename(folder / f"{part}2014")
        annotations.rename(folder / "annotations" / f"instances_{part}2014.json")

    assert re.search(words, failed(tmp_path / "runs", replace(RUN, data="coco14"), tmp_path)["message"])


def test_a_list_that_is_no_text_is_named(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "bccd", tmp_path / "bccd")
    (tmp_path / "bccd" / "ImageSets" / "Main" / "test.txt").write_bytes(b"\xff\xfe\x00")

    assert "test.txt is not UTF-8" in failed(tmp_path / "runs", RUN, tmp_path)["message"]


def test_a_backbone_is_one_of_another_sweeps_runs_and_that_is_recorded(data: Path, tmp_path: Path) -> None:
    source = tiny_run(steps=2, drops=(), curve_every=1, test_every=1)
    trained_before = done(tmp_path / "runs", source, tmp_path, "other")
    run = replace(RUN, net=replace(NET, weights=f"run:other/{source.id}"), recipe=replace(RECIPE, steps=1, drops=()))

    folder = done(tmp_path / "runs", run, data, "detection")

    start = AnnotatedImages.of(run, Job(folder, data, lambda: False), torch.device("cpu")).net()
    saved, result = checkpoint.load(trained_before.checkpoint), trained_before.result()
    assert saved is not None
    assert result is not None
    assert torch.equal(start.get_parameter("backbone.backbone.stages.0.0.weight"), saved["net"]["conv1.weight"])
    assert numbers(folder)["source_error"] == result["test_error"]


def test_a_run_that_trained_another_net_is_refused_as_a_backbone(data: Path, tmp_path: Path) -> None:
    source = replace(tiny_run(steps=1, drops=(), curve_every=1, test_every=1), net=Net("cifar", 8, "none"))
    done(tmp_path / "runs", source, tmp_path, "other")
    run = replace(RUN, net=replace(NET, weights=f"run:other/{source.id}"))

    said = failed(tmp_path / "runs", run, data, "detection")["message"]

    assert "these weights are of another net" in said or "trained plain-8" in said


SWEEP = """
from bench.spec import Detection, Net, Recipe, Resources, Scale, Sweep

found = Detection(form="fpn", min_size=48, max_size=64, width=8, hidden=8, pre_nms_top_n=(50, 50),
                  post_nms_top_n=(20, 20), regions_per_image=16, refine=True, recalibration_images=2)
recipe = Recipe(steps=2, drops=(1,), lr=0.01, batch=2, bn_group=2, curve_every=1, test_every=1, detection=found)
cells = ((Net("cifar", 8, "none"), recipe), (Net("cifar", 8, "A"), recipe))
SWEEP = Sweep("Tiny", "What?", "None.", {"quick": Scale(cells, (0, 1), data="bccd")}, task="detect", data="voc07",
              resources=Resources(cpus=1, gpus=0, memory_gib=1))
"""


def test_a_sweep_on_objects_ends_with_a_report_whose_digits_can_be_checked(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    page, headings, by_id = report_of(SWEEP, data)

    assert headings[:6] == [
        "## AP50 by backbone", "## The claim", "## Average precision", "## AP with options at test time",
        "## AP50 by class", "## Detections in held-out images",
    ]  # fmt: skip
    assert "ResNet-8 over plain-8: " in page
    assert Path("runs/tiny/report/detections-quick.svg").stat().st_size > 1_000
    assert {"tiny.quick.resnet-8-A.ap50", "tiny.quick.gain-plain-8-resnet-8-A"} <= by_id.keys()
    assert commands(["verify", "tiny"]) == 0
    assert "AP50" in capsys.readouterr().out

    path = Path("runs/tiny/results/matches.npz")
    arrays: dict[str, Any] = read_arrays(path)
    name = next(one for one in arrays if one.endswith("::voc_positives"))
    arrays[name] = arrays[name] + 1
    np.savez(path, allow_pickle=False, **arrays)

    assert commands(["verify", "tiny"]) == 1
    assert f"{name.split(':')[0]}: voc" in capsys.readouterr().err
