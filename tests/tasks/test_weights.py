"""Each source's weights are found where they are said to be, with the pixels they expect; errors say what to do."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn

from bench.nets.weights import IMAGENET, Pixels, WeightsError
from bench.spec import Net, Recipe, Run, Views
from bench.store import RunFolder
from bench.tasks.job import Job
from bench.tasks.weights import pixels_of, source_error, weights_file
from bench.train.checkpoint import weights_digest
from tests.builders import make, needs, timm_net, tiny_run
from tests.tasks.builders import failed

MINE = Net("imagenet", 18, "B", "3x3", weights="file:mine.pth")
TORCHVISION = Net("imagenet", 50, "B", "3x3", weights="torchvision:IMAGENET1K_V1")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Beside it a folder of weights: torchvision's ResNet-18 and one of timm's nets, both from a seed."""
    root = tmp_path_factory.mktemp("data")
    (root / "weights").mkdir()
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18().state_dict(), root / "weights" / "mine.pth")
    torch.save({"state_dict": timm.create_model("resnet10t").state_dict()}, root / "weights" / "resnet10t.pth")
    return job_at(root)


def job_at(root: Path) -> Job:
    return Job(RunFolder(root / "runs" / "tiny" / "run"), root, lambda: False)


def whole(net: Net, job: Job) -> nn.Module:
    built: nn.Module = net.row.resolve("build")(net, 1000, weights_file(net, job))
    return built


@pytest.mark.parametrize(("net", "file"), [(MINE, "mine.pth"), (timm_net("resnet10t"), "resnet10t.pth")])
def test_a_local_file_gives_the_net_that_it_is_of(job: Job, net: Net, file: str) -> None:
    saved = torch.load(job.data / "weights" / file)

    assert weights_digest(whole(net, job).state_dict()) == weights_digest(saved.get("state_dict", saved))
    assert source_error(net, job) is None


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (replace(MINE, weights="file:yours.pth"), "no file yours.pth in .*; there are: mine.pth, resnet10t.pth"),
        (replace(MINE, depth=34), "another net than resnet-34-B-file.mine.pth .* missing .layer1_2_bn1_bias"),
        (replace(MINE, depth=50), "of another shape"),
        (replace(TORCHVISION, weights="torchvision:IMAGENET9K"), "has no weights 'IMAGENET9K' of ResNet-50"),
        (timm_net("resnet1"), "has no net 'resnet1': did you mean resnet1"),
        (timm_net("resnet18.mine"), "has no weights 'resnet18.mine'"),
    ],
)
def test_weights_that_are_not_there_or_another_nets_are_refused(job: Job, net: Net, words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        whole(net, job)


def test_a_file_that_is_no_weights_is_refused_and_runs_no_code(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "mine.pth").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")

    with pytest.raises(WeightsError, match="cannot be read as weights .it is no file of torch.save"):
        whole(MINE, job_at(tmp_path))
    assert not Path("owned").exists()


def no_download(*_: Any, **__: Any) -> Any:
    raise OSError("no network")


def test_a_damaged_file_in_torchs_cache_is_refused_by_our_reader(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(job.data))
    (job.data / "hub" / "checkpoints").mkdir(parents=True)
    (job.data / "hub" / "checkpoints" / "resnet50-0676ba61.pth").write_bytes(b"\x80\x02cos\nsystem\n.")

    with pytest.raises(WeightsError, match="resnet50-0676ba61.pth cannot be read as weights .its name says that"):
        whole(TORCHVISION, job)


def test_without_a_network_the_error_says_where_the_file_belongs(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.hub.download_url_to_file", no_download)
    monkeypatch.setattr("timm.create_model", no_download)

    with pytest.raises(WeightsError, match=r"resnet50-0676ba61.pth is not in .* Put it there, from https://"):
        whole(TORCHVISION, job)
    with pytest.raises(WeightsError, match=r"make resnet18 \(no network\).* save them as resnet18.safetensors in"):
        whole(timm_net("resnet18"), job)


def test_torchvision_says_the_error_of_its_weights(job: Job) -> None:
    assert source_error(TORCHVISION, job) == pytest.approx(23.87)
    with pytest.raises(WeightsError, match="classify nothing, and torchvision says so"):
        source_error(Net("vgg", 16, "none", weights="torchvision:IMAGENET1K_FEATURES"), job)


def test_pixels_are_those_that_the_weights_were_trained_on(job: Job) -> None:
    for net in (Net("imagenet", 18, "B"), MINE, TORCHVISION, Net("vgg", 16, "none")):
        assert pixels_of(net, job) == IMAGENET
    assert pixels_of(Net("cifar", 8, "A"), job) == Pixels((0.4914, 0.4822, 0.4465), (1, 1, 1))
    assert pixels_of(timm_net("vit_base_patch16_224"), job) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(("crop", "pixels"), [("scale", Pixels(IMAGENET.mean, (1, 1, 1))), ("inception", IMAGENET)])
def test_a_run_that_is_done_gives_its_checkpoint_its_error_and_the_pixels_of_its_crop(
    tmp_path: Path, crop: str, pixels: Pixels
) -> None:
    recipe = Recipe(steps=1, drops=(), views=Views(crop=crop))
    run = Run("quick", Net("imagenet", 18, "A"), "imagenet-3", recipe, 0)
    folder, job = make(tmp_path / "runs", run, "other"), job_at(tmp_path)
    net = replace(run.net, weights=f"run:other/{run.id}")
    with pytest.raises(WeightsError, match="is not there: the net starts from that run. Train it first"):
        weights_file(net, job)
    folder.checkpoint.touch()
    with pytest.raises(WeightsError, match="is of a run that is not done"):
        weights_file(net, job)

    numbers = {"test_error": 12.5, "images_per_s": 1.0, "seconds": 1.0, "step": 1, "test_images": 8}
    result = {"id": run.id, "weights_sha256": "", **numbers}
    folder.finish(
        result | {"curve_sha256": folder.write_curve([])}, {"hardware": "a chip", "started": 0.0, "ended": 1.0}
    )

    assert (weights_file(net, job), source_error(net, job)) == (folder.checkpoint, 12.5)
    assert pixels_of(net, job) == pixels
    with pytest.raises(WeightsError, match="trained resnet-18-A, not the net that is to start from it"):
        weights_file(replace(net, depth=34), job)


@pytest.mark.parametrize("weights", ["file:mine.pth", "torchvision:IMAGENET1K_V1"])
def test_a_stride_elsewhere_than_the_weights_learned_it_is_refused(job: Job, weights: str) -> None:
    net = Net("imagenet", 50, "B", weights=weights)

    with pytest.raises(WeightsError, match="has the stride in the 3x3 convolution, the net has it in the 1x1"):
        weights_file(net, job)
    assert weights_file(replace(MINE, stride_in="1x1"), job) == weights_file(MINE, job), "it has no bottlenecks"


@pytest.mark.parametrize(
    ("net", "name"),
    [
        (TORCHVISION, "resnet50-0676ba61.pth"),
        (replace(MINE, weights="file:resnet18-f37072fd.pth"), "resnet18-f37072fd.pth"),
        (replace(MINE, weights="file:resnet18_a1_0-d63eafa0.safetensors"), "resnet18_a1_0-d63eafa0.safetensors"),
        (Net("cifar", 20, "A", weights="pytorch-cifar:resnet20-12fca82f.th"), "resnet20-12fca82f.th"),
    ],
)
def test_a_file_is_what_the_hash_in_its_name_says(tmp_path: Path, net: Net, name: str) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / name).write_bytes(b"random")

    said = name.rpartition("-")[2].partition(".")[0]
    with pytest.raises(
        WeightsError, match=rf"{name} cannot be read .*its SHA-256 begins with {said}, it is a441b15fe9a3cf5"
    ):
        net.row.resolve("build")(net, 1000, weights_file(net, job_at(tmp_path)))


def test_a_file_with_its_own_hash_in_its_name_is_taken(job: Job) -> None:
    content = (job.data / "weights" / "mine.pth").read_bytes()
    name = f"mine-{sha256(content).hexdigest()[:8]}.pth"
    (job.data / "weights" / name).write_bytes(content)

    whole(replace(MINE, weights=f"file:{name}"), job)
    (job.data / "weights" / name).unlink()


def test_published_cifar_weights_expect_imagenets_pixels(job: Job) -> None:
    assert pixels_of(Net("cifar", 20, "A", weights="pytorch-cifar:a.th"), job) == IMAGENET
    assert pixels_of(Net("cifar", 20, "A", weights="file:a.pt"), job) == Pixels((0.4914, 0.4822, 0.4465), (1, 1, 1))


@needs("simplejpeg")
@pytest.mark.parametrize(
    "net",
    [
        Net("imagenet", 50, "B", weights="torchvision:IMAGENET1K_V1"),
        Net("imagenet", 101, "B", weights="file:mine.pth"),
        Net("imagenet", 152, "B", weights="torchvision:IMAGENET1K_V2"),
    ],
)
def test_nothing_is_tested_with_the_stride_elsewhere(tmp_path: Path, net: Net) -> None:
    recipe = Recipe(steps=0, drops=(), batch=256, bn_group=256, views=Views())

    error = failed(tmp_path, Run("paper", net, "imagenet", recipe, 0, "evaluate", tiny_run().resources), tmp_path)

    assert error["message"].startswith(
        f"{net.weights} has the stride in the 3x3 convolution, the net has it in the 1x1"
    )
    assert error["message"].endswith("Give the net stride_in='3x3'")
