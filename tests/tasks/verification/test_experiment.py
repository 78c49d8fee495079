"""Runs that verify faces: from folders to a report whose digits can be checked; what is refused before training."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.cli.commands import main as commands
from bench.launch.retest import evaluated_with
from bench.report.frame import display_name
from bench.report.stored import read_arrays
from bench.spec import Faces, Net, Recipe, Resources, Run, SpecError
from bench.store import RunFolder
from bench.tasks.job import Job
from bench.tasks.verification import experiment
from bench.tasks.verification.embedder import Pixels
from bench.tasks.verification.experiment import FacePairs
from bench.tasks.verification.roc import across_folds
from bench.train import checkpoint
from bench.train.turns import finish
from tests.builders import numbers, tiny_run
from tests.tasks.builders import done, failed, report_of, resumed, sweep_of

FACES = Faces(side=32, embedding_size=8, loss="arcface", margin=0.2, scale=16.0)
RECIPE = Recipe(steps=6, drops=(4,), batch=8, bn_group=8, curve_every=2, test_every=4, faces=FACES)
RESOURCES = Resources(cpus=1, gpus=0, memory_gib=1)
RUN = Run("quick", Net("cifar", 8, "A"), "lfw-view1", RECIPE, 0, "verify", RESOURCES)


def write_face(rng: np.random.Generator, colour: np.ndarray[tuple[int], np.dtype[np.int64]], path: Path) -> None:
    """A face of sorts: its person's colour under noise."""
    pixels = (colour + rng.normal(0, 30, (25, 25, 3))).clip(0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).resize((250, 250)).save(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LFW's layout: three people to train on, ten images each; ten same and ten different pairs of five others."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    lfw = root / "lfw"
    people = [("Train", who, 10) for who in "ABC"] + [("Test", who, 4) for who in "ABCDE"]
    for kind, who, count in people:
        colour = rng.integers(0, 256, 3)
        for number in range(1, count + 1):
            write_face(rng, colour, lfw / f"{kind}_{who}" / f"{kind}_{who}_{number:04}.jpg")
    (lfw / "peopleDevTrain.txt").write_text("3\n" + "".join(f"Train_{who}\t10\n" for who in "ABC"))
    same = [f"Test_{who}\t{k}\t{k + 1}\n" for who in "ABCDE" for k in (1, 3)]
    other = [f"Test_{a}\t1\tTest_{b}\t{k}\n" for a, b in ("AB", "BC", "CD", "DE", "EA") for k in (2, 3)]
    (lfw / "pairsDevTest.txt").write_text("10\n" + "".join(same + other))
    return root


@pytest.fixture(scope="module")
def straight(data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return done(tmp_path_factory.mktemp("straight"), RUN, data)


def test_a_run_has_its_errors_and_what_it_is_held_against(straight: RunFolder) -> None:
    result = numbers(straight)

    assert result["test_images"] == 20
    assert {"fixed_threshold_error", "pixels_error", "untrained_error", "auc", "eer", "tar_at_far_0.1"} <= set(result)
    assert "tar_at_far_0.01" not in result, "ten different pairs cannot tell"
    scores, same = np.array(result["pair_scores"]), np.array(result["pair_same"], bool)
    correct = across_folds(scores, same, result["pair_fold"])
    assert result["test_error"] == pytest.approx(100 * (1 - correct.mean()))
    assert sorted(set(result["pair_fold"])) == list(range(10)), "one list is dealt out in turn"
    assert Image.open(straight.hardest).size[0] > 200


@pytest.mark.parametrize("questions", [2, 5])
def test_stopped_and_started_again_a_run_ends_in_the_same_bits(
    straight: RunFolder, data: Path, tmp_path: Path, questions: int
) -> None:
    assert numbers(resumed(tmp_path, RUN, data, questions)) == numbers(straight)


def test_the_pixels_mean_is_of_so_many_images_that_a_large_set_fits_into_memory(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = FacePairs.of(RUN, Job(RunFolder(tmp_path), data, lambda: False), torch.device("cpu"))
    seen: list[int] = []

    class Seen(Pixels):
        def __init__(self, inputs: torch.Tensor) -> None:
            seen.append(len(inputs))
            super().__init__(inputs)

    monkeypatch.setattr(experiment, "MEAN_OF", 10)
    monkeypatch.setattr(experiment, "Pixels", Seen)

    opened.extras(opened.net(), finish(opened.test(opened.net())))

    assert seen == [10], "of 30, every third"


def test_weights_alone_judge_every_pair_as_the_run_did(straight: RunFolder, data: Path) -> None:
    net = checkpoint.loads(straight.checkpoint.read_bytes())["net"]

    found = evaluated_with(RUN, dict(checkpoint.raw(net)), data)

    assert found.correct is not None
    assert np.packbits(found.correct).tobytes().hex() == numbers(straight)["correct"]
    assert found.margins is None


def with_other_list(data: Path, place: Path, name: str, old: str, new: str) -> Path:
    """The data set in `place` with `new` in place of `old` in one of its lists."""
    (place / "lfw").mkdir()
    for path in (data / "lfw").iterdir():
        (place / "lfw" / path.name).symlink_to(path)
    (place / "lfw" / name).unlink()
    (place / "lfw" / name).write_text((data / "lfw" / name).read_text().replace(old, new))
    return place


def test_a_training_person_in_the_test_pairs_is_refused_before_training(data: Path, tmp_path: Path) -> None:
    with_other_list(data, tmp_path, "pairsDevTest.txt", "Test_A\t1\t2", "Train_A\t1\t2")

    said = failed(tmp_path / "runs", RUN, tmp_path)["message"]

    assert "of the people in the test pairs, 1 in training, too: Train_A" in said


def test_without_lfw_a_run_says_where_to_get_it(tmp_path: Path) -> None:
    assert "no lfw/pairsDevTest.txt there. Get it from http" in failed(tmp_path / "runs", RUN, tmp_path)["message"]


def test_a_net_starts_from_the_last_checkpoint_of_another_sweeps_run(data: Path, tmp_path: Path) -> None:
    source = tiny_run(steps=2, drops=(), curve_every=1, test_every=1)
    trained = done(tmp_path / "runs", source, tmp_path, "other")
    run = replace(RUN, net=Net("cifar", 8, "A", weights=f"run:other/{source.id}"))
    folder = RunFolder(tmp_path / "runs" / "faces" / run.id)

    start = FacePairs.of(run, Job(folder, data, lambda: False), torch.device("cpu")).net()

    saved = checkpoint.load(trained.checkpoint)
    assert saved is not None
    assert torch.equal(start.embedder.backbone.get_parameter("net.conv1.weight"), saved["net"]["conv1.weight"])
    assert display_name(run.net.name) == "ResNet-8, transferred from other"
    assert display_name("gated-8-nobn-run.other.0f") == "gated-8 without BN, transferred from other"


def test_a_run_to_start_from_that_is_not_there_is_named_with_the_command_that_trains_it(
    data: Path, tmp_path: Path
) -> None:
    run = replace(RUN, net=Net("cifar", 8, "A", weights="run:plain_vs_residual/resnet-8-A-quick-s0-12345678"))

    said = failed(tmp_path / "runs", run, data)["message"]

    assert "python -m bench.sweep plain_vs_residual --scale quick --only resnet-8-A-quick-s0-12345678 --out" in said


SWEEP = """
from bench.spec import Faces, Net, Recipe, Resources, Scale, Sweep

recipe = Recipe(steps=4, drops=(2,), batch=8, bn_group=8, curve_every=2, test_every=4,
                faces=Faces(side=32, embedding_size=8, loss="softmax", margin=0.0, scale=16.0))
cells = ((Net("cifar", 8, "none"), recipe), (Net("cifar", 8, "A"), recipe))
SWEEP = Sweep("Tiny", "Who?", "None.", {"quick": Scale(cells, (0, 1))}, task="verify", data="lfw-view1",
              resources=Resources(cpus=1, gpus=0, memory_gib=1))
"""


def test_a_sweep_on_faces_ends_with_a_report_whose_digits_can_be_checked(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with_other_list(data, tmp_path, "peopleDevTrain.txt", "\t10", "\t12")

    page, headings, by_id = report_of(SWEEP, tmp_path)

    assert headings[:5] == [
        "## Verification accuracy", "## Further findings", "## The claim", "## Differences in accuracy",
        "## The hardest pairs",
    ]  # fmt: skip
    assert "of 20 pairs right" in page
    assert "30 of 36 images of the listed people with 10 or more are here: an incomplete set." in page
    assert "ResNet-8 over plain-8" in page
    assert Path("runs/tiny/report/roc-quick.svg").stat().st_size > 1_000
    assert {"tiny.quick.resnet-8-A.auc", "tiny.quick.plain-8.pixels_accuracy"} <= by_id.keys()
    assert commands(["verify", "tiny"]) == 0
    capsys.readouterr()

    arrays = read_arrays(Path("runs/tiny/results/pairs.npz"))
    name = next(one for one in arrays if ":" not in one)
    arrays[name] = arrays[name][::-1]
    np.savez(Path("runs/tiny/results/pairs.npz"), allow_pickle=False, **arrays)

    assert commands(["verify", "tiny"]) == 1
    assert f"{name}: auc is" in capsys.readouterr().err


def test_a_sweep_without_its_faces_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert sweep_of(SWEEP, tmp_path) == 2

    assert "no lfw/pairsDevTest.txt there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make_it", "words"),
    [
        (lambda: replace(RUN, task="classify"), "do not go together"),
        (lambda: replace(RUN, data="cifar10", task="classify"), "none of views, faces, detection; this one has faces"),
        (lambda: Faces(loss="softmax", margin=0.5), "softmax has no margin"),
        (lambda: Faces(loss="triplet"), "is not one of: softmax, arcface, cosface"),
        (lambda: Faces(side=16), "side must be 32 or more, got 16"),
    ],
)
def test_what_cannot_be_meant_is_refused(make_it: object, words: str) -> None:
    assert callable(make_it)
    with pytest.raises(SpecError, match=words):
        make_it()


def test_a_sweep_on_own_faces_speaks_of_them_and_of_no_other_set(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(data / "lfw", tmp_path / "mine", ignore=shutil.ignore_patterns("*.txt"))
    source = SWEEP.replace("lfw-view1", "faces:mine").replace("(0, 1))},", "(0,))},")

    page, headings, by_id = report_of(source, tmp_path)

    assert "runs done, on mine." in page
    assert re.search(r"Notice of the data: Trained on \d+ images of 6 people\. Tested on 90 same and as many", page)
    assert "LFW" not in page
    assert "## Published results on LFW" not in headings
    assert "tiny.quick.resnet-8-A.auc" in by_id
    assert commands(["verify", "tiny"]) == 0
    assert commands(["cite", "tiny.quick.resnet-8-A.test_accuracy"]) == 0
    assert "scale quick on faces:mine" in capsys.readouterr().out


def test_own_faces_that_are_not_there_are_named_with_what_is(data: Path, tmp_path: Path) -> None:
    run = replace(RUN, data="faces:others")

    said = failed(tmp_path / "runs", run, data)["message"]

    assert "no folder others there, which data 'faces:others' is read from; there are: lfw. Name the folder" in said
    said = failed(tmp_path / "more", replace(RUN, data="lfw-view2:lfw"), data)["message"]
    assert "no lfw/pairs.txt there, the list of View 2. Get it and LFW's images" in said
