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
from bench.nets.backbone import Backbone, Stage, require_maps
from bench.nets.weights import WeightsError
from tests.builders import timm_net

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
        (
            "test_mambaout",
            r"stage 0 of timm's test_mambaout gives \(1, 32, 48, 16\) where \(N, C, H, W\) is \(1, 16, 32, 48",
        ),
        pytest.param(
            *("test_coatnet", "timm's test_coatnet cannot take images of 128x192 in stages"),
            marks=pytest.mark.skipif(not timm.is_model("test_coatnet"), reason="this timm has no test_coatnet"),
        ),
        ("test_vit", "timm's test_vit is no row of stages"),
    ],
)
def test_a_net_without_maps_in_stages_is_refused(tmp_path: Path, name: str, words: str) -> None:
    torch.save(timm.create_model(name).state_dict(), tmp_path / "weights.pth")

    with pytest.raises(WeightsError, match=words) as error:
        timm_nets.backbone(timm_net(name), tmp_path / "weights.pth")

    assert "\n" not in str(error.value)


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
        (lambda y: y.view(3), "cannot take images of 128x192 in stages: shape '.3.' is invalid"),
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
