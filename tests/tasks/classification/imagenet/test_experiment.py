"""Runs on images in ImageNet's layout: trained, stopped, resumed, tested by every protocol; published weights."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("simplejpeg", reason="needs simplejpeg")

from bench.cli.commands import main as commands
from bench.cli.sweep import main
from bench.launch.worker import work
from bench.spec import Net, Recipe, Resources, Run, Views
from bench.store import RunFolder
from bench.tasks.classification.imagenet import protocols
from bench.tasks.experiment import spread
from tests.builders import numbers
from tests.tasks.builders import done, done_by_two, failed, report_of, resumed, stopped, sweep_of

VIEWS = Views(side=32, shorter=(36, 60), test_shorter=40, scales=(32, 48))
RECIPE = Recipe(
    steps=7, drops=(4, 6), batch=8, bn_group=4, lr=0.01, test_images=9, curve_every=2, test_every=4, views=VIEWS
)
RUN = Run("quick", Net("imagenet", 18, "A"), "imagenet-3", RECIPE, 0, resources=Resources(cpus=1, gpus=0, memory_gib=1))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of ten training images, so that seven batches of eight run over an epoch's end, and four others.

    Of the validation images one is grey and one truncated.
    """
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for part, count in (("train", 10), ("val", 4)):
        for k in range(3):
            folder = root / "imagenet" / part / f"n{k:08}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
                image = Image.fromarray(pixels).resize((70, 50), Image.Resampling.BICUBIC)
                image.save(folder / f"{number}.JPEG", quality=90)
    odd = root / "imagenet" / "val" / "n00000001"
    Image.open(odd / "0.JPEG").convert("L").save(odd / "0.JPEG")
    (odd / "1.JPEG").write_bytes((odd / "1.JPEG").read_bytes()[:-40])
    return root


@pytest.fixture(scope="module")
def straight(data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return done(tmp_path_factory.mktemp("straight"), RUN, data)


def test_a_run_has_its_errors_by_every_protocol_and_names_odd_images(straight: RunFolder) -> None:
    result = straight.result()

    assert result is not None
    assert result["test_images"] == 9
    protocols = ("test_error", "top5_error", "ten_crop_error", "ten_crop_top5_error", "multi_scale_error")
    assert all(0 <= result[name] <= 100 for name in protocols)
    assert result["top5_error"] == 0, "there are three classes"
    assert result["pictures"] == ("training: all usual; validation: 1 grey, 1 truncated (n00000001/1.JPEG)")
    assert [row["step"] for row in straight.curve_rows()] == [2, 4, 6, 7]
    assert not list(straight.path.glob("scores-*"))


@pytest.fixture
def two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests by 10 crops and at many scales look after every second image whether to stop."""
    monkeypatch.setattr(protocols, "BATCH", 20)


@pytest.mark.usefixtures("two_at_a_time")
@pytest.mark.parametrize("questions", [6, 9, 17])
def test_stopped_at_any_moment_and_started_again_a_run_ends_in_the_same_bits(
    data: Path, straight: RunFolder, tmp_path: Path, questions: int
) -> None:
    """In the middle of an epoch, at its end, and between the images of the tests after the last step."""
    whole = numbers(done(tmp_path, RUN, data, "whole"))
    mine, alone = numbers(resumed(tmp_path, RUN, data, questions)), numbers(straight)

    for one in (whole, mine, alone):
        del one["pictures"]  # what this start has met
    assert mine == whole
    assert mine["weights_sha256"] == alone["weights_sha256"]


PERFECT = torch.eye(3, dtype=torch.float64).repeat_interleave(3, 0)  # of the nine images, three a class


@pytest.mark.usefixtures("two_at_a_time")
def test_a_protocol_that_has_ended_is_not_done_again(straight: RunFolder, data: Path, tmp_path: Path) -> None:
    folder = stopped(tmp_path, RUN, data, 17)
    kept = folder.scores("ten_crop")
    assert kept.exists()
    saved = torch.load(kept, weights_only=True)
    torch.save({**saved, "found": [PERFECT]}, kept)

    assert work(folder.path, data) == "done"

    assert numbers(folder)["ten_crop_error"] == 0
    assert numbers(folder)["multi_scale_error"] == numbers(straight)["multi_scale_error"]


@pytest.mark.usefixtures("two_at_a_time")
def test_scores_of_other_weights_are_not_taken(straight: RunFolder, data: Path, tmp_path: Path) -> None:
    folder = stopped(tmp_path, RUN, data, 17)
    saved = torch.load(folder.scores("ten_crop"), weights_only=True)
    spoilt = {**saved, "found": [PERFECT], "of": ["another", *saved["of"][1:]]}
    torch.save(spoilt, folder.scores("ten_crop"))

    assert work(folder.path, data) == "done"

    assert numbers(folder)["ten_crop_error"] == numbers(straight)["ten_crop_error"]


@pytest.mark.team
def test_two_processes_have_the_numbers_of_one(straight: RunFolder, data: Path, tmp_path: Path) -> None:
    """Each reads half of every batch and tests half of the images."""
    folder = done_by_two(tmp_path, RUN, data)

    mine, alone = numbers(folder), numbers(straight)
    assert mine["train_loss"] == pytest.approx(alone["train_loss"], abs=1e-4)
    assert mine["test_images"] == 9
    assert mine["test_loss"] == pytest.approx(alone["test_loss"], abs=1e-3)


@pytest.mark.parametrize(
    ("views", "words"),
    [
        (replace(VIEWS, crop="inception", colour="none", ten_crop=False, scales=()), {"ten_crop_error"}),
        (replace(VIEWS, colour="none", scales=()), {"multi_scale_error"}),
    ],
)
def test_what_a_recipe_does_not_ask_for_is_not_in_the_result(
    data: Path, tmp_path: Path, views: Views, words: set[str]
) -> None:
    run = replace(RUN, recipe=replace(RECIPE, steps=2, drops=(), views=views))

    assert words.isdisjoint(numbers(done(tmp_path, run, data)))


def test_without_images_a_run_fails_saying_what_belongs_where(tmp_path: Path) -> None:
    error = failed(tmp_path, RUN, tmp_path)

    assert error["retry"]
    assert "no ImageNet there" in error["message"]
    assert "train/<wnid>/" in error["message"]


SWEEP = """
from bench.spec import Claim, Net, Recipe, Resources, Scale, Sweep, Views

recipe = Recipe(steps=4, drops=(2,), batch=8, bn_group=4, lr=0.01, test_images=9, curve_every=2, test_every=4,
                views=Views(side=32, shorter=(36, 60), test_shorter=40, scales=(32, 48)))
plain, residual = Net("imagenet", 18, "none"), Net("imagenet", 18, "A")
claim = Claim("better", "Better.", "Table 2", "residual beats plain", (plain, residual), "ten_crop_error")
SWEEP = Sweep("Tiny", "Is it better?", "It is.",
              {"quick": Scale(((plain, recipe), (residual, recipe)), (0, 1), classes=3)}, claims=(claim,),
              resources=Resources(cpus=1, gpus=0, memory_gib=1), data="imagenet")
"""


def test_a_sweep_on_images_ends_with_tables_by_protocol_and_its_digits_can_be_checked(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    page, headings, by_id = report_of(SWEEP, data)

    assert headings[:6] == [
        "## Plain and residual nets, top-1 error by 10 crops", "## Claims",
        "## Errors by 10 crops", "## Errors at many scales, one model", "## Errors on centre crops",
        "## Plain against residual nets",
    ]  # fmt: skip
    assert "1 grey, 1 truncated (n00000001/1.JPEG)" in page
    assert "shorter sides 32, 48" in page
    runs = [
        row
        for row in csv.DictReader(Path("runs/tiny/results/runs.csv").read_text().splitlines())
        if row["net"] == "resnet-18-A"
    ]
    ten_crop = [float(row["ten_crop_error"]) for row in runs]
    assert by_id["tiny.quick-imagenet-3.resnet-18-A.ten_crop_error"] == pytest.approx(sum(ten_crop) / 2)
    assert commands(["verify", "tiny"]) == 0


def test_a_sweep_without_images_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert sweep_of(SWEEP, tmp_path) == 2

    assert "no ImageNet there" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_published_weights_are_not_tried_on_classes_that_are_none_of_imagenets(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["imagenet_pretrained", "--scale", "quick", "--data", str(data)]) == 2

    said = capsys.readouterr().err
    assert "3 of its 3 classes are none of ImageNet's 1,000 (n00000000, n00000001, n00000002)" in said
    assert said.count("\n") == 1
    assert not Path("runs").exists()


def test_more_classes_than_there_are_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert sweep_of(SWEEP, data, "--classes", "5") == 2

    assert "5 classes are asked of" in capsys.readouterr().err


@pytest.mark.parametrize(("count", "most", "used"), [(10, 3, (0, 3, 6)), (3, 10, (0, 1, 2)), (4, 4, (0, 1, 2, 3))])
def test_images_of_a_test_are_spread_over_all_classes(count: int, most: int, used: tuple[int, ...]) -> None:
    assert spread(count, most) == used


def test_the_weights_of_a_run_have_its_errors_by_every_protocol(
    straight: RunFolder, data: Path, tmp_path: Path
) -> None:
    net = replace(RUN.net, weights=f"run:trained/{RUN.id}")
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / RUN.id).symlink_to(straight.path)
    recipe = replace(RECIPE, steps=0, drops=())
    run = Run("quick", net, "imagenet-3", recipe, 0, "evaluate", RUN.resources)

    mine, its = numbers(done(tmp_path, run, data)), numbers(straight)

    names = {"weights_sha256", "correct", "correct_by", *(name for name in its if name.endswith("_error"))}
    same = names - {"train_error", "best_test_error", "val_error"}
    assert {name: mine[name] for name in same} == {name: its[name] for name in same}
    assert mine["source_differs"] == 0
    assert "classes" not in mine
