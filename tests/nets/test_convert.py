"""Published CIFAR checkpoints of the common PyTorch layout, converted to this suite's option A."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.nets.convert import load_pytorch_cifar
from bench.nets.weights import WeightsError


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


def test_a_published_checkpoint_gives_the_same_outputs_after_conversion(tmp_path: Path) -> None:
    theirs = their_net(3)
    state = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    torch.save({"state_dict": state, "best_prec1": 91.0}, tmp_path / "resnet20.th")
    x = torch.randn(4, 3, 32, 32)

    ours = load_pytorch_cifar(tmp_path / "resnet20.th", 20).eval()

    with torch.no_grad():
        assert torch.allclose(ours(x), theirs(x), rtol=1e-4, atol=1e-4)
        assert ours(x).std() > 0.1


def test_a_checkpoint_of_another_depth_is_refused_with_the_entries_that_are_off(tmp_path: Path) -> None:
    torch.save(their_net(3).state_dict(), tmp_path / "resnet20.th")

    with pytest.raises(
        WeightsError, match=r"another net than ResNet-32 with option A .* missing \(layer1_3_bn1_bias, "
    ):
        load_pytorch_cifar(tmp_path / "resnet20.th", 32)
