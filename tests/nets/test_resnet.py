"""The nets are the paper's: counts to the unit, shortcuts, initialisation, exchange of weights with others."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from bench.nets.counts import convolutions, multiply_adds, parameters
from bench.nets.resnet import Block, ZeroPadShortcut, cifar, imagenet
from bench.spec import Net
from bench.train.checkpoint import weights_digest
from tests.nets.builders import counted_multiply_adds

# counted with torch on nets built by hand by others; torchvision and timm agree to the unit
COUNTS = list(csv.DictReader(Path(__file__).with_name("counts.csv").open()))


def of(row: dict[str, str]) -> Net:
    return Net(row["family"], int(row["depth"]), row["shortcut"], row["stride_in"])


def build(net: Net) -> nn.Module:
    if net.family == "cifar":
        return cifar(net.depth, net.shortcut, net.norm)
    return imagenet(net.depth, net.shortcut, net.stride_in, net.norm)


def test_there_are_counts_of_every_net() -> None:
    assert len(COUNTS) == 50


@pytest.mark.parametrize("row", COUNTS, ids=lambda r: "-".join(list(r.values())[:4]))
def test_parameters_and_multiply_adds_by_arithmetic_are_the_published_ones(row: dict[str, str]) -> None:
    net = of(row)

    assert parameters(net) == int(row["params"])
    assert multiply_adds(net) == int(row["multiply_adds"])
    assert len(convolutions(net)[0]) == int(row["convolutions"])


@pytest.mark.parametrize(
    "row", [r for r in COUNTS if r["depth"] != "1202"], ids=lambda r: "-".join(list(r.values())[:4])
)
def test_the_built_net_has_these_parameters_and_multiply_adds(row: dict[str, str]) -> None:
    with torch.device("meta"):
        net = build(of(row))

    assert sum(p.numel() for p in net.parameters()) == int(row["params"])
    assert counted_multiply_adds(net, 32 if row["family"] == "cifar" else 224) == int(row["multiply_adds"])


@pytest.mark.parametrize("shortcut", ["none", "A", "B", "C"])
@pytest.mark.parametrize(("family", "depth"), [("cifar", 20), ("cifar", 110), ("imagenet", 34), ("imagenet", 50)])
def test_a_net_without_bn_has_a_bias_a_channel_in_its_place_and_the_same_multiply_adds(
    family: str, depth: int, shortcut: str
) -> None:
    net, twin = Net(family, depth, shortcut, norm="none"), Net(family, depth, shortcut)
    with torch.device("meta"):
        built, beside = build(net), build(twin)

    assert parameters(net) == sum(p.numel() for p in built.parameters())
    assert multiply_adds(net) == multiply_adds(twin)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in built.modules())
    shifts = {n: p.shape for n, p in built.named_parameters() if n.endswith("bias")}
    assert sorted(shifts.values()) == sorted(p.shape for n, p in beside.named_parameters() if n.endswith("bias"))


def test_1202_layers_build_and_have_19_4_million_parameters() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in cifar(1202, "A").parameters()) == 19_421_274


def test_option_a_takes_every_second_pixel_and_appends_zero_channels() -> None:
    x = torch.arange(32.0).view(1, 2, 4, 4)

    y = ZeroPadShortcut(2, 3, 2)(x)

    assert torch.equal(y[0, :2], x[0, :, ::2, ::2])
    assert torch.equal(y[0, 2], torch.zeros(2, 2))
    assert not list(ZeroPadShortcut(2, 3, 2).parameters())


def test_a_block_whose_branch_is_zero_passes_its_input_and_a_plain_one_passes_nothing() -> None:
    x = torch.rand(2, 4, 8, 8)
    residual, plain = (Block(4, 4, 1, option, "bn", (3, 3), 0) for option in ("A", "none"))
    for block in (residual, plain):
        assert isinstance(block.bn2, nn.BatchNorm2d)
        nn.init.zeros_(block.bn2.weight)

    assert torch.equal(residual(x), x)
    assert torch.equal(plain(x), torch.zeros_like(x))


@pytest.mark.parametrize(("option", "projections"), [("none", 0), ("A", 0), ("B", 3), ("C", 16)])
def test_option_b_projects_where_dimensions_grow_and_c_everywhere(option: str, projections: int) -> None:
    with torch.device("meta"):
        net = imagenet(34, option)

    assert sum("downsample.0.weight" in name for name in net.state_dict()) == projections


def test_convolutions_start_from_he_and_batch_norm_from_identity() -> None:
    torch.manual_seed(0)
    net = cifar(20, "A")

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = layer.weight[0].numel()
            assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.15)
        if isinstance(layer, nn.BatchNorm2d):
            assert torch.equal(layer.weight, torch.ones_like(layer.weight))
            assert torch.equal(layer.bias, torch.zeros_like(layer.bias))
    assert torch.equal(net.fc.bias, torch.zeros(10))


def test_a_plain_net_and_its_residual_net_start_from_the_same_weights() -> None:
    states = []
    for option in ("none", "A"):
        torch.manual_seed(3)
        states.append(cifar(20, option).state_dict())

    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert states[0].keys() == states[1].keys()


def test_a_net_without_bn_starts_from_the_kernels_of_the_net_with_it_and_from_no_bias() -> None:
    states = []
    for norm in ("bn", "none"):
        torch.manual_seed(3)
        states.append(cifar(20, "B", norm).state_dict())
    with_bn, without = states

    assert all(torch.equal(with_bn[name], without[name]) for name in without if name.endswith("weight"))
    assert all(not without[name].any() for name in without if name.endswith("bias"))
    assert sum(name.endswith("conv1.bias") for name in without) == 10


@pytest.mark.parametrize("call", [lambda: cifar(21, "A"), lambda: imagenet(34, "E"), lambda: imagenet(20, "A")])
def test_a_bad_depth_or_shortcut_is_refused_naming_the_allowed_ones(call: object) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=r"is not one of: (6n\+2|none, A, B, C|18, 34, 50, 101, 152)"):
        call()


@pytest.mark.parametrize("depth", [101, 152])
def test_the_deepest_nets_of_option_b_have_the_weights_of_torchvisions(depth: int) -> None:
    """By name and shape; that they load is tried with those below, of the same blocks."""
    with torch.device("meta"):
        theirs, ours = getattr(torchvision.models, f"resnet{depth}")(), imagenet(depth, "B", "3x3")

    shapes = [{name: value.shape for name, value in net.state_dict().items()} for net in (theirs, ours)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_torchvisions_weights_load_into_option_b_with_the_stride_in_the_3x3(depth: int) -> None:
    """And ours into torchvision's net, without change of a value."""
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, f"resnet{depth}")().eval()
    ours = imagenet(depth, "B", "3x3").eval()
    x = torch.randn(2, 3, 64, 64)

    ours.load_state_dict(theirs.state_dict())

    with torch.no_grad():
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)
    assert weights_digest(ours.state_dict()) == weights_digest(theirs.state_dict())
    fresh = imagenet(depth, "B", "3x3").eval()
    theirs.load_state_dict(fresh.state_dict())
    with torch.no_grad():
        assert torch.allclose(fresh(x), theirs(x), atol=1e-5)
