"""Published CIFAR checkpoints of the common PyTorch layout, converted to this suite's option A."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.nets import resnet
from bench.nets.convert import _orders, load_pytorch_cifar
from bench.nets.weights import WeightsError
from bench.spec import Net
from bench.train import checkpoint
from bench.train.checkpoint import weights_digest


class TheirNet(nn.Module):
    """The common PyTorch layout of a CIFAR ResNet: option A pads a quarter of the channels on each side."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        for k, (c_in, width) in enumerate(((16, 16), (16, 32), (32, 64)), 1):
            blocks = [TheirBlock(c_in if i == 0 else width, width) for i in range(n)]
            self.add_module(f"layer{k}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for k in (1, 2, 3):
            x = self.get_submodule(f"layer{k}")(x)
        logits: Tensor = self.linear(F.avg_pool2d(x, 8).flatten(1))
        return logits


class TheirBlock(nn.Module):
    def __init__(self, c_in: int, width: int) -> None:
        super().__init__()
        self.stride, self.side = (2, width // 4) if c_in != width else (1, 0)
        self.conv1, self.bn1 = nn.Conv2d(c_in, width, 3, self.stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        s = self.stride
        return F.relu(y + F.pad(x[:, :, ::s, ::s], (0, 0, 0, 0, self.side, self.side)))


def their_net(n: int) -> TheirNet:
    """With weights and statistics that no permutation leaves alone."""
    torch.manual_seed(1)
    net = TheirNet(n)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                assert tensor is not None
                nn.init.uniform_(tensor, 0.5, 1.5)
    return net.eval()


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def as_named(classifier: str, prefix: str = "") -> dict[str, Tensor]:
    """The net of their layout at 20 layers, under another name of its classifier."""
    tensors = their_net(3).state_dict()
    return {prefix + name.replace("linear.", classifier): value for name, value in tensors.items()}


X = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
PEERS = Net("cifar", 20, "A", weights="pytorch-cifar:resnet20.th")


@pytest.mark.parametrize("classifier", ["linear.", "fc."])
@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod."])
def test_a_published_checkpoint_gives_the_same_outputs_whatever_its_classifier_is_called(
    tmp_path: Path, classifier: str, prefix: str
) -> None:
    path = saved(tmp_path / "resnet20.th", {"state_dict": as_named(classifier, prefix), "best_prec1": 91.0})

    ours = load_pytorch_cifar(path, 20).eval()

    with torch.no_grad():
        theirs = their_net(3)(X)
        assert torch.allclose(ours(X), theirs, rtol=1e-4, atol=1e-4)
        assert theirs.std() > 0.1


@pytest.mark.parametrize("classifier", ["linear.", "fc."])
@pytest.mark.parametrize("make", [resnet.backbone, resnet.features])
def test_a_backbone_of_one_is_permuted_as_well(
    tmp_path: Path, classifier: str, make: Callable[[Net, Path], nn.Module]
) -> None:
    path, theirs = saved(tmp_path / "resnet20.th", as_named(classifier)), their_net(3)

    maps = make(PEERS, path).eval()(X)

    last = maps if isinstance(maps, Tensor) else [*maps.values()][-1]
    order = _orders()["layer3"]
    with torch.no_grad():
        pooled = nn.functional.linear(last.mean((2, 3)), theirs.linear.weight[:, order], theirs.linear.bias)
        assert torch.allclose(pooled, theirs(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("net", "content", "words"),
    [
        (replace(PEERS, weights="file:resnet20.th"), as_named("fc."), "does not say where its option A puts the zeros"),
        (replace(PEERS, weights="file:resnet20.th"), as_named("linear."), "weights='pytorch-cifar:resnet20.th'"),
        (replace(PEERS, weights=""), {"net": as_named("fc."), "acc": 91.0}, "Give a checkpoint of this suite"),
        (replace(PEERS, weights=""), {"net": as_named("fc."), "format": "pt"}, "Give a checkpoint of this suite"),
        (Net("imagenet", 18, "A", weights="file:resnet20.th"), as_named("fc."), "does not say where its option A puts"),
        (replace(PEERS, shortcut="B"), as_named("fc."), "they have no projections .downsample., as option A and plain"),
        (replace(PEERS, depth=32), as_named("linear."), r"missing \(layer1_3_bn1_bias, .*; they have 3, 3, 3 blocks "),
        (PEERS, as_named("fc.") | {"fc.bias": torch.zeros(100), "fc.weight": torch.zeros(100, 64)}, "100 classes"),
        (PEERS, as_named("fc.") | {"layer2.0.conv1.weight": torch.zeros(3)}, "1 of another shape .layer2_0_conv1_w"),
        (PEERS, as_named("fc.") | {"linear.bias": torch.zeros(10)}, "1 left over .linear.bias"),
    ],
)  # fmt: skip
def test_what_may_be_in_the_other_layout_or_is_another_net_is_refused(
    tmp_path: Path, net: Net, content: object, words: str
) -> None:
    path = saved(tmp_path / "resnet20.th", content)

    with pytest.raises(WeightsError, match=words):
        resnet.build(net, 10, path)


def test_a_projection_has_no_zeros_and_nothing_is_permuted(tmp_path: Path) -> None:
    built = resnet.build(Net("cifar", 20, "B"), 10)
    theirs = {
        name.replace("downsample.", "shortcut.").replace("fc.", "linear."): value
        for name, value in built.state_dict().items()
    }

    ours = resnet.build(replace(PEERS, shortcut="B"), 10, saved(tmp_path / "resnet20.th", theirs))

    assert weights_digest(ours.state_dict()) == weights_digest(built.state_dict())


OURS = Net("cifar", 20, "A", weights="file:checkpoint.pt")


@pytest.mark.parametrize(
    ("run", "net", "words"),
    [
        ("resnet-20-A-quick-s0-00000000", OURS, ""),
        ("", OURS, ""),
        (
            "resnet-20-A-quick-s0-00000000",
            PEERS,
            "is a checkpoint of this suite, in its own layout: give it as weights=",
        ),
        (
            "plain-20-quick-s0-00000000",
            OURS,
            "of the run plain-20-quick-s0-00000000, which trained another net than res",
        ),
    ],
)
def test_a_checkpoint_of_this_suite_says_that_it_is_one(tmp_path: Path, run: str, net: Net, words: str) -> None:
    """A plain net has the same names and shapes as one with option A."""
    built, path = resnet.build(Net("cifar", 20, "A"), 10), tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"run": run, "net": built.state_dict()})

    with pytest.raises(WeightsError, match=words) if words else nullcontext():
        assert weights_digest(resnet.build(net, 10, path).state_dict()) == weights_digest(built.state_dict())


@pytest.mark.parametrize("net", [Net("imagenet", 18, "B"), Net("bottleneck", 11, "A"), Net("imagenet", 50, "B", "3x3")])
def test_one_whose_stride_or_pixels_it_does_not_say_is_given_by_its_run(tmp_path: Path, net: Net) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"run": f"{net.name}-paper-s0-00000000", "net": {"conv1.weight": torch.zeros(1)}})

    with (
        torch.device("meta"),
        pytest.raises(WeightsError, match=f"give weights='run:SWEEP/{net.name}-paper-s0-00000000'"),
    ):
        resnet.build(replace(net, weights="file:checkpoint.pt"), 10, path)
