"""Weights are tested as they are: those of runs as at their end, all only on classes that their outputs are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

pytest.importorskip("simplejpeg", reason="needs simplejpeg")

from bench.cli.commands import main as commands
from bench.cli.sweep import main
from bench.data.locate import DataError
from bench.nets.timm_nets import imagenet_wnids
from bench.nets.weights import WeightsError
from bench.spec import Net, Recipe, Run, Views
from bench.store import RunFolder
from bench.tasks.classification import experiment
from bench.tasks.classification.cifar import Prepare, make_images
from bench.tasks.classification.evaluation import given
from bench.tasks.job import Job
from bench.train.checkpoint import weights_digest
from bench.transfer.export import weights_file
from tests.builders import numbers, timm_net, tiny_run
from tests.tasks.builders import done, failed, resumed

TEST = Recipe(steps=0, drops=(), batch=8, bn_group=4, test_images=40)
MINE = Net("imagenet", 18, "B", "3x3", weights="file:mine.pth")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs, which is one of data, too."""
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module", params=["50k", "45k/5k"])
def source(place: Path, request: pytest.FixtureRequest) -> RunFolder:
    """A run that is done, on all training images or on some."""
    return done(place, tiny_run(split=request.param), place, "trained")


def again(source: RunFolder, **changes: Any) -> Run:
    run = source.run()
    net = replace(run.net, weights=f"run:trained/{run.id}")
    return Run(**{**vars_of(run), "net": net, "recipe": TEST, "task": "evaluate", **changes})


def vars_of(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in ("scale", "data", "seed", "resources")}


def test_a_runs_weights_are_judged_as_at_its_end(place: Path, source: RunFolder) -> None:
    ours, its = numbers(done(place, again(source), place)), numbers(source)

    for name in ("test_error", "test_loss", "test_images", "correct", "weights_sha256"):
        assert ours[name] == its[name]
    assert (ours["source_error"], ours["source_differs"]) == (its["test_error"], 0)


def test_on_other_images_its_error_stands_beside_and_nothing_is_compared(place: Path, source: RunFolder) -> None:
    ours = numbers(done(place, again(source, recipe=replace(TEST, test_images=30)), place))

    assert ours["test_images"] == 30
    assert ours["source_error"] == numbers(source)["test_error"]
    assert "source_differs" not in ours


@pytest.mark.parametrize("questions", [1, 3])
def test_stopped_it_goes_on_to_the_same_bits(
    place: Path, source: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, questions: int
) -> None:
    monkeypatch.setattr(experiment, "BATCH", {"cpu": 12})
    (tmp_path / "trained").symlink_to(place / "trained")
    straight = numbers(done(tmp_path, again(source), place, "straight"))

    folder = resumed(tmp_path, again(source), place, questions)

    assert numbers(folder) == straight
    assert not list(folder.path.glob("scores-*"))


def job_at(place: Path) -> Job:
    return Job(RunFolder(place / "runs" / "a" / "b"), place, lambda: False)


def test_a_run_on_other_data_or_that_is_not_there_is_refused(place: Path, source: RunFolder) -> None:
    run, job = again(source), Job(RunFolder(place / "a" / "b"), place, lambda: False)
    other = replace(run, data="cifar10")

    with pytest.raises(WeightsError, match="learned the classes of stand-in and are to be tested on cifar10: give"):
        given.trained(other, job)
    with pytest.raises(WeightsError, match=r"learned other data than are in .*\(SHA-256 [0-9a-f]{12}, here 0000\)"):
        given.require_its_data(run, job, "0000")
    with pytest.raises(WeightsError, match="is not there: the net starts from that run. Train it first"):
        given.trained(replace(run, net=replace(run.net, weights=f"run:elsewhere/{source.path.name}")), job)


def test_weights_for_other_classes_than_the_data_have_are_refused(tmp_path: Path) -> None:
    save(tmp_path, "hundred.pth", classes=100, net=Net("cifar", 8, "B"))
    run = replace(tiny_run(), net=Net("cifar", 8, "B", weights="file:hundred.pth"), recipe=TEST, task="evaluate")

    error = failed(tmp_path, run, tmp_path)

    assert "file:hundred.pth tell 100 classes apart and stand-in has 10: give weights of a net" in error["message"]


def save(place: Path, name: str, classes: int, net: Net) -> None:
    (place / "weights").mkdir(exist_ok=True)
    torch.save(net.row.resolve("build")(net, classes).state_dict(), place / "weights" / name)


@pytest.mark.parametrize(
    ("net", "expects"),
    [
        (Net("cifar", 8, "B", weights="file:mine.pth"), "mean image"),
        (Net("cifar", 8, "A", weights="pytorch-cifar:mine.pth"), "mean and deviation"),
        (MINE, "mean and deviation"),
    ],
)
def test_images_in_memory_are_prepared_as_the_weights_source_expects(tmp_path: Path, net: Net, expects: str) -> None:
    x, y = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8), torch.arange(20) % 10
    images = make_images(x, y, x, y)
    run = replace(tiny_run(), net=net, recipe=TEST, task="evaluate")

    made = given.prepared(run, job_at(tmp_path), lambda: Prepare.of(images.train_x))(x)

    mean, std = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1), torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)
    by_source = {"mean image": Prepare.of(x)(x), "mean and deviation": (x.float() / 255 - mean) / std}
    assert torch.allclose(made, by_source[expects])


def test_a_file_is_tested_on_data_in_memory(tmp_path: Path) -> None:
    net = Net("cifar", 8, "B")
    save(tmp_path, "mine.pth", classes=10, net=net)
    run = replace(tiny_run(), net=replace(net, weights="file:mine.pth"), recipe=TEST, task="evaluate")

    result = numbers(done(tmp_path, run, tmp_path))

    assert result["weights_sha256"] == weights_digest(torch.load(tmp_path / "weights" / "mine.pth"))
    assert "source_error" not in result


def test_a_file_that_the_suite_exported_is_known_as_its_runs(source: RunFolder, tmp_path: Path) -> None:
    """Where option A puts its zeros only the run says."""
    its = numbers(source)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "mine.safetensors").write_bytes(weights_file(source, its))
    run = again(source, net=replace(source.run().net, weights="file:mine.safetensors"))

    result = numbers(done(tmp_path, run, tmp_path))
    assert result["test_error"] == its["test_error"] or source.run().recipe.split != "50k"  # with another mean image
    other = replace(run.net, depth=14)
    with pytest.raises(WeightsError, match=f"is of the run {source.path.name}, which trained another net than resn"):
        given.net_of(replace(run, net=other), job_at(tmp_path))


WNIDS = imagenet_wnids()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Says how many classes weights tell apart."""
    return lambda count: monkeypatch.setattr(given, "outputs", lambda _net, _job: count)


def of_imagenet(told: Callable[[int], None], place: Path, classes: Sequence[str], outputs: int) -> tuple[int, ...]:
    told(outputs)
    recipe = Recipe(steps=0, drops=(), views=Views())
    return given.places(Run("quick", MINE, "imagenet", recipe, 0, "evaluate"), job_at(place), classes)


def test_of_a_part_of_imagenets_classes_their_own_outputs_compete(told: Callable[[int], None], tmp_path: Path) -> None:
    assert of_imagenet(told, tmp_path, WNIDS, 1000) == ()
    assert of_imagenet(told, tmp_path, [WNIDS[3], WNIDS[7], WNIDS[999]], 1000) == (3, 7, 999)
    assert of_imagenet(told, tmp_path, ["cat", "dog"], 2) == (), "the data's own, in the order of their names"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda wnids: ["tench", *wnids[1:]], r"1 of its 1,000 classes are none of ImageNet's 1,000 \(tench\)"),
        (lambda wnids: [*wnids[:-1], "n99999999"], r"1 of its .* \(n99999999\)"),
        (lambda wnids: [*wnids[:-1], wnids[-1].upper()], r"1 of its .* \(N15075141\)"),
        (lambda wnids: [*wnids, "n99999999"], r"1 of its 1,001 classes are none .* and take the others out"),
        (lambda _: ["cat", "dog", WNIDS[5]], r"2 of its 3 classes are none of ImageNet's 1,000 \(cat, dog\)"),
    ],
)
def test_classes_that_are_none_of_imagenets_are_refused_by_name(
    told: Callable[[int], None], tmp_path: Path, change: Callable[[list[str]], list[str]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        of_imagenet(told, tmp_path, sorted(change(WNIDS)), 1000)


@pytest.mark.parametrize(("outputs", "classes"), [(1001, 1000), (21_841, 1000), (200, 100)])
def test_weights_of_other_classes_than_imagenets_are_refused(
    told: Callable[[int], None], tmp_path: Path, outputs: int, classes: int
) -> None:
    with pytest.raises(WeightsError, match=f"mine.pth tell {outputs:,} classes apart and imagenet has {classes:,}"):
        of_imagenet(told, tmp_path, WNIDS[:classes], outputs)


@pytest.mark.parametrize("classes", [1000, 7])
def test_a_file_says_how_many_classes_its_net_has(tmp_path: Path, classes: int) -> None:
    (tmp_path / "weights").mkdir()
    torch.save(
        {"model": timm.create_model("test_resnet", num_classes=classes).state_dict()},
        tmp_path / "weights/test_resnet.pth",
    )
    net, job = timm_net("test_resnet"), job_at(tmp_path)

    assert given.outputs(net, job) == classes
    run = Run("quick", net, "imagenet", Recipe(steps=0, drops=(), views=Views()), 0, "evaluate")
    assert given.net_of(run, job).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, classes)


def test_without_a_file_timm_says_it_and_torchvisions_have_imagenets(tmp_path: Path) -> None:
    job = job_at(tmp_path)

    assert given.outputs(timm_net("resnet18"), job) == 1000
    assert given.outputs(timm_net("vit_base_patch16_224.augreg_in21k"), job) == 21_843
    assert given.outputs(Net("imagenet", 50, "B", "3x3", weights="torchvision:IMAGENET1K_V1"), job) == 1000


@pytest.mark.usefixtures("tiny_sweep")
def test_the_page_has_the_error_beside_the_runs_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tiny_run()
    done(Path("runs"), run, tmp_path, "trained")
    Path("again.py").write_text(SWEEP.format(run=run.id))

    assert main(["again.py", "--scale", "quick", "--cluster", "inline"]) == 0

    page = Path("runs/again/report/README.md").read_text()
    name = f"ResNet-8 of trained, run {run.digest}"
    error = numbers(RunFolder(Path("runs/trained") / run.id))["test_error"]
    assert f"{name} has a test error of {error:.2f} %, as at the end of its own run, image by image." in page
    assert f"| {name} | 0.08M |" in page
    assert "training images/s" not in page
    assert "1 net, tested as they are" in page
    assert name in capsys.readouterr().out
    assert commands(["verify", "again"]) == 0
    number = f"again.quick-stand-in.resnet-8-A-run.trained.{run.digest}.test_error"
    assert commands(["cite", number]) == 0
    said = capsys.readouterr().out
    assert f"{number}: {name}, test error\n" in said
    assert "recipe: precision fp32, split 50k, test_images 40" in said


@pytest.mark.usefixtures("tiny_sweep")
@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("run:trained/resnet-8-A-quick-s0-01234567", "is not there: the net starts from that run. Train it first"),
        ("file:mine.pth", "no file mine.pth in "),
    ],
)
def test_what_cannot_be_tested_is_refused_before_anything_starts(
    capsys: pytest.CaptureFixture[str], weights: str, words: str
) -> None:
    text = SWEEP.format(run="").replace("run:trained/", weights)
    Path("again.py").write_text(text)

    assert main(["again.py", "--scale", "quick", "--cluster", "inline"]) == 2

    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not Path("runs/again").exists()


SWEEP = """
from bench.spec import Net, Recipe, Resources, Scale, Sweep

net = Net("cifar", 8, "A", weights="run:trained/{run}")
test = Recipe(steps=0, drops=(), batch=8, bn_group=4, test_images=40)
SWEEP = Sweep("Tested again", "Is it the same?", "It is.", {{"quick": Scale(((net, test),), (0,))}},
              resources=Resources(cpus=1, gpus=0, memory_gib=0.5), task="evaluate")
"""
