"""timm's nets take weights in the layout of their publisher; nets without maps (N, C, H, W) are refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from bench.nets import timm_nets
from bench.nets.backbone import LOST, Backbone, Stage, Whole, require_maps
from bench.nets.weights import WeightsError
from tests.builders import timm_net
from tests.nets.builders import random_timm

State = Mapping[str, Tensor]


def as_first_released(tensors: State) -> dict[str, Tensor]:
    """DenseNets as torchvision released them: norm.1 for norm1."""
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name): v for name, v in tensors.items()}


def as_facebook(tensors: State) -> dict[str, Tensor]:
    """ConvNeXts as their authors released them."""
    found = {}
    for name, value in tensors.items():
        new = re.sub(r"^stem\.", "downsample_layers.0.", name)
        new = re.sub(r"stages\.(\d)\.downsample\.", r"downsample_layers.\1.", new).replace(".blocks.", ".")
        new = new.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv").replace("head.fc.", "head.")
        found[new.replace("head.norm.", "norm.")] = value
    return found


def wrapped(tensors: State) -> Any:
    return {"model": {f"module.{name}": value for name, value in as_facebook(tensors).items()}, "epoch": 300}


@pytest.fixture(scope="module")
def densenet() -> Any:
    torch.manual_seed(1)
    return timm.create_model("densenet121").eval()


def test_a_densenet_of_torchvisions_release_is_read(tmp_path: Path, densenet: Any) -> None:
    published = as_first_released(densenet.state_dict())
    assert published.keys() != densenet.state_dict().keys()
    torch.save(published, tmp_path / "densenet121.pth")
    x = torch.rand(1, 3, 64, 64)

    ours = timm_nets.backbone(timm_net("densenet121"), tmp_path / "densenet121.pth").eval()

    with torch.no_grad():
        assert torch.allclose([*ours(x).values()][-1], densenet.forward_features(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("publish", [as_facebook, wrapped])
@pytest.mark.parametrize("make", [timm_nets.build, timm_nets.features])
def test_a_convnext_of_its_authors_is_read(
    tmp_path: Path, publish: Callable[[State], Any], make: Callable[..., Any]
) -> None:
    torch.manual_seed(1)
    theirs: Any = timm.create_model("test_convnext")
    published = publish(theirs.state_dict())
    torch.save(published, tmp_path / "weights.pth")
    path = tmp_path / "weights.pth"

    ours = (
        make(timm_net("test_convnext"), 0, path)
        if make is timm_nets.build
        else make(timm_net("test_convnext"), path).net
    )

    whole = theirs.state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in ours.state_dict().items())
    assert len(whole) - len(ours.state_dict()) == (0 if make is timm_nets.build else 2)


def test_a_file_that_lacks_something_in_either_layout_is_refused(tmp_path: Path) -> None:
    """timm would take what fits of it, and leave the rest random."""
    published = as_facebook(timm.create_model("test_convnext").state_dict())
    del published["downsample_layers.0.0.weight"]
    torch.save(published, tmp_path / "weights.pth")

    with pytest.raises(WeightsError, match=r"another net than test_convnext \(.*weights.pth\): .* missing"):
        timm_nets.build(timm_net("test_convnext"), 0, tmp_path / "weights.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=r"1 left over \(a …\)"):
        timm_nets.build(timm_net("test_convnext"), 0, tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param(
            *(
                "test_coatnet",
                "timm's test_coatnet cannot take images of 128x192 in stages",
            ),
            marks=pytest.mark.skipif(not timm.is_model("test_coatnet"), reason="this timm has no test_coatnet"),
        ),
        (
            "test_vit",
            "timm's test_vit is no row of stages: all of its maps have the stride 16, as a transformer's have",
        ),
        ("mixer_s32_224", "timm's mixer_s32_224 cannot take images of 128x192 in stages, .* doesn't match model"),
        ("bat_resnext26ts", "timm's bat_resnext26ts cannot take images of 128x192 in stages"),
    ],
)
def test_a_net_without_maps_in_stages_is_refused(name: str, words: str) -> None:
    with random_timm(), pytest.raises(WeightsError, match=words) as error:
        timm_nets.backbone(timm_net(name))

    assert "\n" not in str(error.value)
    assert str(error.value).endswith("Give a convolutional net such as resnet50")


# small ones of many kinds, which timm cuts in its different ways; first those that are rows of stages
ROWS = """
test_resnet test_byobnet test_convnext test_efficientnet test_mambaout efficientnet_lite0 mobilenetv3_small_050
hardcorenas_a ghostnet_050 lcnet_035 cspnext_tiny regnety_002 resnetv2_18 dla46_c ese_vovnet19b_slim
repghostnet_050 starnet_s050 skresnet18 nf_regnet_b0 fasternet_t0 hgnetv2_b0 mobilenetv4_conv_small_035
"""
WHOLES = ("hrnet_w18_small", "selecsls42", "legacy_xception")


@pytest.mark.parametrize("name", [name for name in (*ROWS.split(), *WHOLES) if timm.is_model(name)])
def test_convolutional_nets_are_backbones(name: str) -> None:
    """Each map is there with its channels and its stride, and each parameter learns."""
    with random_timm():
        backbone = timm_nets.backbone(timm_net(name))

    maps = backbone(torch.rand(2, 3, 64, 96)).values()

    assert isinstance(backbone, Whole) == (name in WHOLES)
    assert len(backbone.stages) == (0 if name in WHOLES else len(maps))
    for y, channels, reduction in zip(maps, backbone.channels, backbone.reductions, strict=True):
        assert y.shape[:2] == (2, channels)
        assert all(abs(side - size / reduction) <= LOST for side, size in zip(y.shape[2:], (64, 96), strict=True))
    sum((y**2).mean() for y in maps).backward()
    assert [n for n, parameter in backbone.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", ["test_efficientnet", "test_mambaout", "hrnet_w18_small", "legacy_xception"])
def test_each_way_of_making_maps_takes_timms_weights(tmp_path: Path, name: str) -> None:
    torch.manual_seed(1)
    whole: Any = timm.create_model(name).eval()
    torch.save(whole.state_dict(), tmp_path / "weights.pth")

    ours = timm_nets.backbone(timm_net(name), tmp_path / "weights.pth")

    theirs = {value.numpy().tobytes() for value in whole.state_dict().values()}
    assert [n for n, value in ours.state_dict().items() if value.numpy().tobytes() not in theirs] == []


def test_no_random_number_is_drawn_for_the_cut() -> None:
    """The detector's own layers are made from the seed behind it: they would be others."""
    with random_timm():
        torch.manual_seed(1)
        timm_nets.backbone(timm_net("test_resnet"))
        after = torch.rand(1)
        torch.manual_seed(1)
        timm.create_model("test_resnet", features_only=True)

    assert torch.equal(torch.rand(1), after)


class Gives(nn.Module):
    """A stage that makes of its input what it is told."""

    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.make = nn.Conv2d(3, 8, 3, 2, 1), make

    def forward(self, x: Tensor) -> Any:
        return self.make(self.conv(x))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda y: y, ""),
        (lambda y: y[:, :, 2:, 1:], ""),  # a convolution without padding
        (lambda y: y.permute(0, 2, 3, 1), r"gives \(1, 64, 96, 8\) where"),
        (lambda y: y.flatten(2), r"gives \(1, 8, 6144\) where"),
        (lambda y: y.transpose(2, 3), r"gives \(1, 8, 96, 64\) where"),
        (lambda y: y[:, :, ::2, ::2], r"gives \(1, 8, 32, 48\) where"),
        (lambda y: y[:, :4], r"gives \(1, 4, 64, 96\) where"),
        (lambda y: [y], "cannot take images of 128x192 in stages"),
        (lambda y: y.view(3), "cannot take images of 128x192 in stages, .*: shape '.3.' is invalid"),
    ],
)
def test_a_stage_gives_the_map_that_it_says(make: Callable[[Tensor], Any], words: str) -> None:
    backbone = Backbone([Stage(Gives(make), 8, 2)])
    if not words:
        require_maps(backbone, "mine")
    else:
        with pytest.raises(WeightsError, match=words):
            require_maps(backbone, "mine")
    assert backbone.training
