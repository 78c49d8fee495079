"""Pre-activation nets are those of He et al. 2016: counts to the unit, the formula by hand, responses, stages."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.nets.backbone import fix_batch_norm
from bench.nets.counts import multiply_adds, parameters
from bench.nets.preactivation import PreActivationNet, Unit
from bench.nets.resnet import backbone, build, features
from bench.report.frame import display_name
from bench.spec import Net, SpecError
from bench.train.grouped_bn import group_batch_norm
from bench.train.probes import backward, layers_of, response_stds
from tests.nets.builders import counted_multiply_adds

PUBLISHED = {  # in millions, as printed; 1001's own layout has 10.33
    ("preactivation", 110, "A"): (1_727_962, 1.7),
    ("preactivation", 164, "B"): (1_703_258, 1.7),
    ("preactivation", 1001, "B"): (10_327_706, 10.2),
    ("bottleneck", 164, "B"): (1_704_154, 1.7),
    ("bottleneck", 1001, "B"): (10_328_602, 10.2),
}


def small(depth: int = 8, shortcut: str = "A") -> PreActivationNet:
    """With running statistics and affine terms that are not the identity's."""
    torch.manual_seed(0)
    net = build(Net("preactivation", depth, shortcut), 10)
    assert isinstance(net, PreActivationNet)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                assert tensor is not None
                nn.init.uniform_(tensor, 0.5, 1.5)
    return net


@pytest.mark.parametrize(("family", "depth", "shortcut"), list(PUBLISHED))
def test_parameters_are_the_published_ones_and_counts_those_of_the_module(
    family: str, depth: int, shortcut: str
) -> None:
    net, (exact, printed) = Net(family, depth, shortcut), PUBLISHED[family, depth, shortcut]
    with torch.device("meta"):
        built = build(net, 10)

    assert parameters(net) == sum(p.numel() for p in built.parameters()) == exact
    assert exact / 1e6 == pytest.approx(printed, rel=0.02)
    if depth < 1001:
        assert multiply_adds(net) == counted_multiply_adds(built, 32)
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in built.modules()) == depth + 3 * (shortcut == "B")


@pytest.mark.parametrize("stride_in", ["1x1", "3x3"])
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_counts_hold_for_every_choice(shortcut: str, stride_in: str) -> None:
    net = Net("preactivation", 164, shortcut, stride_in)
    with torch.device("meta"):
        built = build(net, 100)

    assert parameters(net, 100) == sum(p.numel() for p in built.parameters())
    assert multiply_adds(net, classes=100) == counted_multiply_adds(built, 32)


def by_hand(unit: Unit, x: Tensor, kernels: int) -> Tensor:
    """x + F(x), F = convolution(ReLU(BN)) as often as there are kernels, in evaluation mode."""
    y = x
    for k in range(1, kernels + 1):
        bn, conv = unit.get_submodule(f"bn{k}"), unit.get_submodule(f"conv{k}")
        assert isinstance(bn, nn.BatchNorm2d)
        assert isinstance(conv, nn.Conv2d)
        assert bn.running_mean is not None
        assert bn.running_var is not None
        mean, var, weight, bias = (t.view(1, -1, 1, 1) for t in (bn.running_mean, bn.running_var, bn.weight, bn.bias))
        y = ((y - mean) / (var + bn.eps).sqrt() * weight + bias).clamp_min(0)
        if k == 1 and unit.shared:
            x = y
        y = F.conv2d(y, conv.weight, stride=conv.stride, padding=conv.padding)
    if isinstance(unit.downsample, nn.Conv2d):
        x = F.conv2d(x, unit.downsample.weight, stride=unit.downsample.stride)
    elif not isinstance(unit.downsample, nn.Identity):
        x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
    return x + y


@pytest.mark.parametrize(("depth", "shortcut", "kernels"), [(14, "A", 2), (14, "B", 2), (164, "B", 3)])
def test_a_net_is_the_papers_formula(depth: int, shortcut: str, kernels: int) -> None:
    """Convolution, units, BN, ReLU, average, classifier, each by its formula."""
    net = small(depth, shortcut).eval()
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim == 4:
                p.mul_(0.3)  # so that 54 units stay finite
    images = torch.randn(2, 3, 32, 32)
    units = [m for m in net.modules() if isinstance(m, Unit)]

    with torch.no_grad():
        x = F.conv2d(images, net.conv1.weight, padding=1)
        for unit in units:
            assert torch.allclose(unit(x), by_hand(unit, x, kernels), rtol=1e-4, atol=1e-4)
            x = by_hand(unit, x, kernels)
        logits = net.fc(F.relu(net.bn(x)).mean((2, 3)))
        assert torch.allclose(net(images), logits, rtol=1e-3, atol=1e-3)
    assert net(images).shape == (2, 10)


def test_the_first_unit_and_those_that_change_the_dimensions_share_their_first_activation() -> None:
    """Section 5 of the paper, and the authors' code: everywhere else the shortcut is the identity of x."""
    units = [m for m in small(14).modules() if isinstance(m, Unit)]

    assert [unit.shared for unit in units] == [True, False, True, False, True, False]
    for unit in units[1::2]:
        conv = unit.get_submodule("conv2")
        assert isinstance(conv, nn.Conv2d)
        nn.init.zeros_(conv.weight)
        x = torch.randn(2, conv.in_channels, 8, 8)
        assert torch.equal(unit(x), x)


def test_a_layers_response_is_its_convolutions_own_output() -> None:
    net, images = small().eval(), torch.randn(4, 3, 32, 32)
    layers = layers_of(net)
    seen: dict[str, Tensor] = {}
    for layer in layers:
        layer.conv.register_forward_hook(lambda _, __, out, name=layer.name: seen.update({name: out}))

    stds = response_stds(net, images)

    assert [layer.name for layer in layers][:3] == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]
    assert len(layers) == 7
    assert all(layer.out is layer.conv for layer in layers)
    assert stds == pytest.approx([float(seen[layer.name].std(correction=0)) for layer in layers], rel=1e-5)


def test_gradients_are_those_with_respect_to_the_convolutions_outputs() -> None:
    net, x, y = small().train(), torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])
    outputs: list[Tensor] = []
    hooks = [layer.conv.register_forward_hook(lambda _, __, out: outputs.append(out)) for layer in layers_of(net)]
    expected = torch.autograd.grad(F.cross_entropy(net(x), y), outputs)
    for hook in hooks:
        hook.remove()

    found = backward(net, x, y, bn_group=4)

    assert [one.response for one in found] == pytest.approx([float(g.norm()) for g in expected], rel=1e-4)


def test_of_a_net_that_does_not_say_whose_outputs_are_its_responses_all_convolutions_are_layers() -> None:
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1))

    assert [(layer.name, layer.conv, layer.out) for layer in layers_of(net)] == [
        ("0", net[0], net[0]),
        ("2", net[2], net[2]),
    ]


@pytest.mark.parametrize(("depth", "channels"), [(8, (16, 32, 64)), (164, (64, 128, 256))])
def test_a_backbone_ends_in_the_last_bn_and_relu(depth: int, channels: tuple[int, ...]) -> None:
    net = Net("preactivation", depth, "B")
    torch.manual_seed(0)
    stages = backbone(net).eval()
    torch.manual_seed(0)
    whole = features(net).eval()
    x = torch.randn(1, 3, 64, 64)

    with torch.no_grad():
        maps = stages(x)
        assert torch.equal(maps["2"], whole(x))
        assert torch.allclose(fix_batch_norm(stages)(x)["2"], maps["2"], rtol=1e-3, atol=1e-3)

    assert (stages.channels, stages.reductions) == (channels, (1, 2, 4))
    assert tuple(m.shape[1] for m in maps.values()) == channels
    assert tuple(64 // m.shape[2] for m in maps.values()) == (1, 2, 4)
    assert maps["2"].min() >= 0


def test_batch_norm_goes_by_groups() -> None:
    """One pass over two groups is two passes over one each."""
    one, two = small().train(), small().train()
    x = torch.randn(8, 3, 32, 32)
    group_batch_norm(two, 2, fused=False)

    assert torch.allclose(two(x), torch.cat([one(part) for part in x.chunk(2)]), atol=1e-4)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(one.buffers(), two.buffers(), strict=True))


def test_names_tell_the_units_apart() -> None:
    nets = (Net("cifar", 110, "A"), Net("preactivation", 110, "A"), Net("preactivation", 164, "B"))

    assert [net.name for net in nets] == ["resnet-110-A", "preactivation-110-A", "preactivation-164-B"]
    assert [display_name(net.name) for net in nets] == [
        "ResNet-110",
        "pre-activation ResNet-110",
        "pre-activation ResNet-164 (B)",
    ]


@pytest.mark.parametrize(
    ("net", "words"),
    [
        ({"depth": 110, "shortcut": "none"}, "shortcut 'none' is not one of: A, B"),
        ({"depth": 110, "shortcut": "A", "norm": "none"}, "norm 'none' is not one of: bn"),
        ({"depth": 170, "shortcut": "B"}, "depth 170 is not one of"),
        ({"depth": 1001.0, "shortcut": "B"}, "depth must be a whole number, got 1001.0"),
    ],
)
def test_what_there_is_not_is_refused(net: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        Net("preactivation", **net)  # type: ignore[arg-type]
