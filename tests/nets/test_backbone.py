"""Nets in stages and up to their last map are the nets themselves, with everybody's weights; traps are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.nets import resnet, timm_nets, vgg
from bench.nets.backbone import Backbone, fix_batch_norm
from bench.nets.weights import Stored, WeightsError, read_weights
from bench.spec import Net
from bench.train.checkpoint import save
from tests.builders import timm_net

CIFAR = ((16, 32, 64), (1, 2, 4))


def moved(net: Net) -> resnet.ResNet:
    """With running statistics that are not those of a new net."""
    torch.manual_seed(1)
    built = resnet.build(net, 10)
    built(torch.rand(4, 3, 64, 64))
    return built.eval()


@pytest.mark.parametrize(
    ("net", "channels", "reductions", "names"),
    [
        (Net("cifar", 8, "A"), *CIFAR, "0.0 0.3.0.conv2 1.0.conv1"),
        (Net("cifar", 20, "none", norm="none"), *CIFAR, "0.0 0.3.2.conv2 2.2.conv1"),
        (Net("imagenet", 18, "B"), (64, 64, 128, 256, 512), (2, 4, 8, 16, 32), "0.0 1.1.0.conv2 2.0.downsample.0"),
        (Net("imagenet", 50, "B"), (64, 256, 512, 1024, 2048), (2, 4, 8, 16, 32), "0.0 1.1.2.conv3 4.2.conv1"),
    ],
)
def test_a_nets_stages_are_the_net_with_their_channels_strides_and_names(
    net: Net, channels: tuple[int, ...], reductions: tuple[int, ...], names: str
) -> None:
    built, x = moved(net), torch.rand(1, 3, 64, 64)

    backbone = Backbone(built.stages())

    maps = backbone(x)
    assert (backbone.channels, backbone.reductions) == (channels, reductions)
    assert [tuple(y.shape[1:]) for y in maps.values()] == [
        (c, 64 // r, 64 // r) for c, r in zip(channels, reductions, strict=True)
    ]
    assert torch.equal(built.forward_head([*maps.values()][-1]), built(x))
    assert {f"stages.{name}.weight" for name in names.split()} <= set(backbone.state_dict())


@pytest.mark.parametrize("net", [Net("cifar", 8, "A"), Net("imagenet", 18, "A")])
def test_a_checkpoint_of_the_suite_gives_its_weights_without_its_classifier(tmp_path: Path, net: Net) -> None:
    built, file, x = moved(net), tmp_path / "checkpoint.pt", torch.rand(2, 3, 64, 64)
    save(file, {"run": f"{net.name}-quick-s0-00000000", "step": 1, "net": built.state_dict()})

    backbone, features = resnet.backbone(net, file).eval(), resnet.features(net, file).eval()

    assert torch.equal(built.forward_head(features(x)), built(x))
    assert torch.equal([*backbone(x).values()][-1], features(x))
    assert {f"net.{name}" for name in built.state_dict() if not name.startswith("fc.")} == set(features.state_dict())
    with pytest.raises(
        WeightsError, match=r"checkpoint.pt is of the run resnet-.*, which trained another net than resn"
    ):
        resnet.backbone(Net("imagenet", 34, "B"), file)


def test_torchvisions_weights_give_torchvisions_features(tmp_path: Path) -> None:
    theirs = torchvision.models.resnet50().eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet50.pth")
    x = torch.rand(1, 3, 64, 64)

    ours = resnet.backbone(Net("imagenet", 50, "B", "3x3"), tmp_path / "resnet50.pth")
    fix_batch_norm(ours)

    vector = ours(x)["4"].mean((2, 3))
    expected = theirs(x).detach()
    assert torch.allclose(theirs.fc(vector), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_timms_stages_take_timms_weights(tmp_path: Path, ending: str) -> None:
    theirs = timm.create_model("resnet18", num_classes=5).eval()
    path = tmp_path / f"resnet18{ending}"
    (save_file if ending == ".safetensors" else torch.save)(theirs.state_dict(), path)
    x = torch.rand(1, 3, 64, 64)

    ours = timm_nets.backbone(timm_net("resnet18"), path).eval()

    assert torch.allclose(ours(x)["4"], theirs.forward_features(x), rtol=1e-4, atol=1e-4)
    assert (ours.channels, ours.reductions) == ((64, 64, 128, 256, 512), (2, 4, 8, 16, 32))


def test_timms_features_take_timms_weights(tmp_path: Path) -> None:
    theirs: Any = timm.create_model("test_resnet").eval()  # with its classifier, as published files have it
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    x = torch.randn(2, 3, 64, 64)

    ours = timm_nets.features(timm_net("test_resnet"), tmp_path / "weights.pth", 64).eval()

    assert torch.equal(ours(x), theirs.forward_features(x))
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"another net than test_resnet \(.*other.pth\): .* missing \(bn1_bias"):
        timm_nets.features(timm_net("test_resnet"), tmp_path / "other.pth", 64)


def test_vgg_takes_torchvisions_weights_with_fc6_and_fc7(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device: names and shapes, not 138 million numbers."""
    with torch.device("meta"):
        theirs = torchvision.models.vgg16().state_dict()
        monkeypatch.setattr("bench.nets.weights.read_weights", lambda _: Stored({"": theirs}))

        assert vgg.backbone(Net("vgg", 16, "none"), Path("vgg16.pth")).top_channels == 4096
        del theirs["classifier.3.weight"]
        with pytest.raises(WeightsError, match=r"1 missing \(classifier_3_weight …\)"):
            vgg.backbone(Net("vgg", 16, "none"), Path("vgg16.pth"))


def test_what_timm_cannot_make_is_refused_with_what_is_near() -> None:
    with pytest.raises(WeightsError, match=r"no net 'resnet55'.*did you mean resnet5"):
        timm_nets.features(timm_net("resnet55"))
    with pytest.raises(WeightsError, match="has no weights 'resnet50.mine': Invalid pretrained tag"):
        timm_nets.pixels_of("resnet50.mine")


class Evil:
    """What a file must not be able to do."""

    def __reduce__(self) -> Any:
        return (print, ("code ran",))


def test_a_file_that_is_no_weights_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "weights.pt"

    with pytest.raises(WeightsError, match="cannot be read as weights"):
        read_weights(path)
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="weights.pt"):
        read_weights(path)
    torch.save({"net": Evil()}, path)
    with pytest.raises(WeightsError, match="it holds a print, which is not read"):
        read_weights(path)
    torch.save({"step": 3}, path)
    with pytest.raises(WeightsError, match="holds no state dict"):
        read_weights(path)
    assert "code ran" not in capsys.readouterr().out


def test_statistics_that_are_computed_anew_are_true_averages_over_the_batches() -> None:
    """Not the moving average of training, which forgets the first ones (Appendix A)."""
    net = nn.Sequential(nn.BatchNorm2d(3))
    batches = [torch.rand(4, 3, 8, 8) + k for k in range(3)]

    fixed: Any = fix_batch_norm(net, batches)

    means, variances = (torch.stack([f(b.transpose(0, 1).flatten(1)) for b in batches]).mean(0) for f in (_mean, _var))
    assert not list(fixed.parameters())
    assert torch.allclose(fixed[0].running_mean, means, atol=1e-6)
    assert torch.allclose(fixed[0].running_var, variances, atol=1e-6)


def _mean(x: Tensor) -> Tensor:
    return x.mean(1)


def _var(x: Tensor) -> Tensor:
    return x.var(1)
