"""Runs that detect: from a backbone of another sweep to a report whose digits can be checked."""

from __future__ import annotations

import csv
import math
import runpy
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("pycocotools", reason="needs pycocotools")

from bench.cli.commands import main as commands
from bench.cli.sweep import main
from bench.launch.worker import work, work_until
from bench.report.rows import declared_columns, run_of
from bench.report.stats import Interval
from bench.report.stored import read_arrays
from bench.spec import Detection, Net, Recipe, Resources, Run, SpecError, Sweep, run_from_json
from bench.store import RunFolder
from bench.tasks.detection.experiment import AnnotatedImages
from bench.tasks.detection.gains import Detected, Gain, table_of
from bench.tasks.detection.sections import gain_findings
from bench.tasks.job import Job
from bench.tasks.training import train_run
from bench.train import checkpoint
from bench.train.process_group import ProcessGroup
from bench.train.turns import finish
from tests.builders import StopAt, make, numbers, tiny_run
from tests.tasks.detection.builders import write_list, write_voc
from tests.train.builders import in_processes

SMALL = Detection(
    form="fpn", side=48, longest=64, width=8, hidden=8, before_nms=(50, 50), after_nms=(20, 20), sampled=16,
    clip=10.0, settle=4, refine=True,
)  # fmt: skip
RECIPE = Recipe(
    steps=5, drops=(4,), lr=0.01, batch=2, bn_group=1, curve_every=2, test_every=4, detection=SMALL, test_images=3
)
RESOURCES = Resources(cpus=1, gpus=0, memory_gib=1)
NET = Net("cifar", 8, "A")
RUN = Run("quick", NET, "bccd", RECIPE, 0, "detect", RESOURCES)


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
    folder = make(tmp_path_factory.mktemp("straight"), RUN)
    assert work(folder.path, data) == "done", folder.error()
    return folder


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
    assert result["test_error"] == 100 - result["ap50"]
    assert Image.open(straight.detections).size[0] > 1_000
    losses = [
        set(row) & {"class_loss", "box_loss", "objectness_loss", "proposal_loss"} for row in straight.curve_rows()
    ]
    assert all(len(found) == 4 for found in losses)
    parts = [sum(row[n] for n in row if n.endswith("_loss") and n != "test_loss") for row in straight.curve_rows()]
    assert parts == pytest.approx([row["loss"] for row in straight.curve_rows()], rel=1e-5)


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
    folder = make(tmp_path, RUN)

    assert work_until(folder.path, data, StopAt(questions)) == "stopped"
    saved = checkpoint.load(folder.checkpoint)
    assert saved is not None
    assert (saved["step"], folder.scores("plain").exists()) == AFTER[questions]
    assert work(folder.path, data) == "done"

    assert numbers(folder) == numbers(straight)


def test_the_papers_form_is_tested_in_several_scales_too(data: Path, tmp_path: Path) -> None:
    usual: dict[str, Any] = {"width": 256, "hidden": 1024}
    found = replace(SMALL, form="c4", anchors=(8, 16), scales=(32, 48, 64), context=True, **usual)
    run = replace(RUN, recipe=replace(RECIPE, steps=1, drops=(), detection=found))
    folder = make(tmp_path, run)

    assert work(folder.path, data) == "done", folder.error()

    result = numbers(folder)
    assert {"refined_ap50", "multi_scale_ap50", "multi_scale_ap"} <= set(result)
    assert result["train_loss"] == pytest.approx(math.log(3) + math.log(2), abs=0.8), "where it starts"
    assert not list(folder.path.glob("scores-*"))


def test_a_test_that_has_ended_is_not_done_again(
    straight: RunFolder, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.tasks.detection.experiment.CHUNK", 2)
    folder = make(tmp_path, RUN)
    assert work_until(folder.path, data, StopAt(9)) == "stopped"  # in the refined test
    kept = folder.scores("plain")
    saved = torch.load(kept, weights_only=True)
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "scores": torch.zeros(0)}
    torch.save({**saved, "predictions": [nothing] * 3}, kept)

    assert work(folder.path, data) == "done"

    assert numbers(folder)["ap50"] == 0
    assert numbers(folder)["refined_ap50"] == numbers(straight)["refined_ap50"]


def trained(processes: ProcessGroup, folder: Path, data: Path) -> None:
    torch.set_num_threads(1)
    finish(train_run(RUN, Job(RunFolder(folder), data, lambda: False, processes)))


@pytest.mark.team
def test_two_processes_have_the_numbers_of_one(straight: RunFolder, data: Path, tmp_path: Path) -> None:
    """Each takes one image of every batch and half of the test's; what is sampled of an image is the same."""
    folder = make(tmp_path, RUN)

    in_processes(2, trained, tmp_path / "team", folder.path, data)

    curves = [[row["loss"] for row in one.curve_rows()] for one in (folder, straight)]
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)
    ours, theirs = (numbers(one) for one in (folder, straight))
    assert ours["test_images"] == 3
    assert ours["ap50"] == pytest.approx(theirs["ap50"], abs=1)
    first, second = (read_arrays(one.matches)[":voc_positives"] for one in (folder, straight))
    assert np.array_equal(first, second), "in their order"


def failure(run: Run, data: Path, tmp_path: Path) -> str:
    folder = make(tmp_path, run)
    assert work(folder.path, data) == "failed"
    error = folder.error()
    assert error is not None
    assert not folder.checkpoint.exists(), "before any training"
    return str(error["message"])


def test_without_its_data_a_run_says_where_to_get_them(tmp_path: Path) -> None:
    assert "no bccd/ or BCCD_Dataset/BCCD/ there. Get it from http" in failure(RUN, tmp_path, tmp_path / "runs")


def test_images_to_learn_from_that_are_tested_too_are_refused(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "bccd", tmp_path / "bccd")
    write_list(tmp_path / "bccd", "test", ["4", "5", "6"])

    said = failure(RUN, tmp_path, tmp_path / "runs")

    assert "1 image in both bccd train and bccd test (4.jpg)" in said


def test_a_list_that_is_no_text_is_named(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "bccd", tmp_path / "bccd")
    (tmp_path / "bccd" / "ImageSets" / "Main" / "test.txt").write_bytes(b"\xff\xfe\x00")

    assert "test.txt cannot be read as a list of images" in failure(RUN, tmp_path, tmp_path / "runs")


def test_a_backbone_is_one_of_another_sweeps_runs_and_that_is_recorded(data: Path, tmp_path: Path) -> None:
    source = tiny_run(steps=2, drops=(), curve_every=1, test_every=1)
    trained_before = RunFolder(tmp_path / "runs" / "other" / source.id)
    trained_before.create(source)
    assert work(trained_before.path, tmp_path) == "done"
    run = replace(RUN, net=replace(NET, weights=f"run:other/{source.id}"), recipe=replace(RECIPE, steps=1, drops=()))
    folder = RunFolder(tmp_path / "runs" / "detection" / run.id)
    folder.create(run)

    assert work(folder.path, data) == "done", folder.error()

    start = AnnotatedImages.of(run, Job(folder, data, lambda: False), torch.device("cpu")).net()
    saved, result = checkpoint.load(trained_before.checkpoint), trained_before.result()
    assert saved is not None
    assert result is not None
    assert torch.equal(start.get_parameter("backbone.backbone.stages.0.0.weight"), saved["net"]["conv1.weight"])
    assert numbers(folder)["source_error"] == result["test_error"]


def test_a_run_that_trained_another_net_is_refused_as_a_backbone(data: Path, tmp_path: Path) -> None:
    source = replace(tiny_run(steps=1, drops=(), curve_every=1, test_every=1), net=Net("cifar", 8, "none"))
    trained_before = RunFolder(tmp_path / "runs" / "other" / source.id)
    trained_before.create(source)
    assert work(trained_before.path, tmp_path) == "done"
    run = replace(RUN, net=replace(NET, weights=f"run:other/{source.id}"))
    folder = RunFolder(tmp_path / "runs" / "detection" / run.id)
    folder.create(run)

    assert work(folder.path, data) == "failed"

    error = folder.error()
    assert error is not None
    assert "these weights are of another net" in error["message"] or "trained plain-8" in error["message"]


SWEEP = """
from bench.spec import Detection, Net, Recipe, Resources, Scale, Sweep

found = Detection(form="fpn", side=48, longest=64, width=8, hidden=8, before_nms=(50, 50), after_nms=(20, 20),
                  sampled=16, refine=True, settle=2)
recipe = Recipe(steps=2, drops=(1,), lr=0.01, batch=2, bn_group=2, curve_every=1, test_every=1, detection=found)
cells = ((Net("cifar", 8, "none"), recipe), (Net("cifar", 8, "A"), recipe))
SWEEP = Sweep("Tiny", "What?", "None.", {"quick": Scale(cells, (0, 1), data="bccd")}, task="detect", data="voc07",
              resources=Resources(cpus=1, gpus=0, memory_gib=1))
"""


def test_a_sweep_on_objects_ends_with_a_report_whose_digits_can_be_checked(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.py").write_text(SWEEP)

    assert main(["tiny.py", "--scale", "quick", "--data", str(data), "--cluster", "inline"]) == 0

    page = Path("reports/tiny/README.md").read_text()
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert headings[:7] == [
        "## What the numbers say", "## What a backbone gives (Tables 7 and 8)", "## Average precision",
        "## Options at test time (Table 9)", "## By class (Tables 10 and 11)", "## Curves", "## Detections",
    ]  # fmt: skip
    assert "ResNet-8 over plain-8: " in page
    assert Path("reports/tiny/detections-quick.svg").stat().st_size > 1_000
    ids = {row["id"] for row in csv.DictReader(Path("reports/tiny/numbers.csv").read_text().splitlines())}
    assert {"tiny.quick.resnet-8-A.ap50", "tiny.quick.gain-plain-8-resnet-8-A"} <= ids
    assert commands(["verify", "tiny"]) == 0
    assert "AP50" in capsys.readouterr().out

    path = Path("results/tiny/matches.npz")
    arrays: dict[str, Any] = read_arrays(path)
    name = next(one for one in arrays if one.endswith("::voc_positives"))
    arrays[name] = arrays[name] + 1
    np.savez(path, allow_pickle=False, **arrays)

    assert commands(["verify", "tiny"]) == 1
    assert f"{name.split(':')[0]}: voc" in capsys.readouterr().err


def test_a_gain_says_over_what_a_difference_is_detected() -> None:
    over_images, over_seeds = Interval(1.0, 3.0, "bootstrap"), Interval(-4.0, 8.0, "t")
    gain = Gain("A over B", "B", "A", (10.0, 12.0), (5.0, 6.0), over_images, over_seeds, (2, 2), ())
    alone = replace(gain, interval=over_seeds, over_seeds=None)

    first, second = gain_findings(Detected({}, {}, (gain, alone)))

    assert first.endswith(
        "1.00 to 3.00 over images, −4.00 to 8.00 over seeds; n = 2, 2 seeds): a difference over images."
    )
    assert second.endswith("(95 %: −4.00 to 8.00 over images; n = 2, 2 seeds): no difference detected.")


OTHERS: dict[str, Any] = {
    "form": "fpn", "side": 500, "longest": 900, "anchors": (64, 128), "pooling": "align", "context": True,
    "width": 128, "hidden": 512, "before_nms": (100, 50), "after_nms": (90, 40), "sampled": 64, "nms": 0.5, "clip": 10,
    "settle": 16, "refine": True, "scales": (400, 600),
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
    run = replace(RUN, recipe=replace(RECIPE, detection=Detection(scales=(400, 600), settle=1)))

    assert run_from_json(run.as_json()) == run
    assert run.id != RUN.id


@pytest.mark.parametrize(
    ("make_it", "words"),
    [
        (lambda: replace(RUN, task="classify"), "do not go together"),
        (lambda: replace(RUN, data="cifar10"), "do not go together"),
        (lambda: replace(RUN, recipe=replace(RECIPE, detection=Detection())), "give detection.settle"),
        (lambda: Detection(form="ssd"), "form 'ssd' is not one of: c4, fpn"),
        (lambda: Detection(form="fpn", scales=(400, 600)), "scales: no part of form 'fpn'"),
        (lambda: Detection(scales=(600,)), "two or more, rising"),
        (lambda: Detection(pooling="max"), "'max' is not one of: pool, align"),
        (lambda: Detection(side=800, longest=600), "side 800 must be 32 or more, and at most 600"),
        (
            lambda: replace(tiny_run(), net=Net("vgg", 16, "none")),
            "nets of family 'vgg' are there for task detect only",
        ),
        (lambda: replace(NET, weights="run:foo/bar"), "do not name a run: run:SWEEP/RUN, as in"),
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
        assert (found.form, found.side, found.after_nms[1], found.nms) == ("c4", 600, 300, 0.3)
        assert found.scales == (200, 400, 600, 800, 1000)
    assert [net.name.split("-torch")[0] for net, _ in sweep.scales["paper"].cells] == ["vgg-16", "resnet-101-B"]
