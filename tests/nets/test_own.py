"""A net of the user's: what its check refuses, what is counted of it, and how it is cut into stages."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.nets import own
from bench.nets.counts import multiply_adds, parameters
from bench.nets.measured import counts
from bench.nets.resnet import build
from bench.nets.weights import WeightsError
from bench.spec import Net
from bench.spec.own import OwnCodeError

HEAD = """
import random
import numpy as np
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self, classes, norm=True):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 16, 3, 2, 1)
        self.bn = nn.BatchNorm2d(16) if norm else nn.Identity()
        self.fc = nn.Linear(16, classes)

    def features(self, x):
        return self.bn(self.conv2(self.conv1(x).relu())).relu()

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))


def build(depth, classes):
    return Small(classes)
"""
DROPS = """
class Drops(Small):
    def forward(self, x): return super().forward(torch.dropout(x, 0.5, self.training))
def build(depth, classes): return Drops(classes)
"""
NO_BN = "def build(depth, classes): return Small(classes, norm=False)"
BAD = {
    "ignores classes": ("def build(depth, classes): return Small(10)", "build must honour classes=7"),
    "no module": ("def build(depth, classes): return [1]", r"returned [1], where an nn.Module belongs"),
    "other arguments": ("def build(layers): return Small(10)", "TypeError: build() got an unexpected keyword"),
    "wrong shape": (
        "class Flat(Small):\n    def forward(self, x): return self.features(x)\n"
        "def build(depth, classes): return Flat(classes)",
        "makes a tensor of (4, 16, 16, 16), torch.float32 of 4 images (3, 32, 32), where (4, 10) logits belong",
    ),
    "no norm": (NO_BN, "has no batch norm: write Net.own(…, norm='none')"),
    "numpy's weights": (
        "def build(depth, classes):\n    net = Small(classes)\n"
        "    net.fc.weight.data += float(np.random.rand())\n    return net",
        "makes other weights from the same torch.manual_seed",
    ),
    "numpy in forward": (
        "class Draws(Small):\n    def forward(self, x): return super().forward(x * float(np.random.rand()))\n"
        "def build(depth, classes): return Draws(classes)",
        "draws numpy's or Python's random numbers in forward",
    ),
    "random in a test": (
        "class Draws(Small):\n    def forward(self, x): return super().forward(x + torch.rand(1))\n"
        "def build(depth, classes): return Draws(classes)",
        "draws random numbers in forward after eval()",
    ),
    "a counter": (
        "class Counts(Small):\n    count = 0\n    def forward(self, x):\n        self.count += 1\n"
        "        return super().forward(x / self.count)\ndef build(depth, classes): return Counts(classes)",
        "does something else in training once its state_dict() was loaded",
    ),
    "a seed of its own": (
        "def build(depth, classes):\n    torch.manual_seed(5)\n    return Small(classes)",
        "sets torch's seed itself, so that all seeds would be one",
    ),
    "statistics of the test": (
        "def build(depth, classes):\n    net = Small(classes)\n"
        "    net.bn = nn.BatchNorm2d(16, track_running_stats=False)\n    return net",
        "gives an image other logits after eval() when other images are beside it",
    ),
    "images in place": (
        "class Halves(Small):\n    def forward(self, x): return super().forward(x.mul_(0.5))\n"
        "def build(depth, classes): return Halves(classes)",
        "changes the images that it is given, in place",
    ),
    "an exit": ("def build(depth, classes): raise SystemExit(0)", "line 24: SystemExit: 0"),
    "double": ("def build(depth, classes): return Small(classes).double()", "is torch.float64, where float32 belongs"),
    "lazy": (
        "def build(depth, classes): return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))",
        "1.weight has no shape yet: give lazy layers their sizes",
    ),
    "frozen": (
        "def build(depth, classes): return Small(classes).requires_grad_(False)",
        "has no parameters to train",
    ),
    "an error": ("def build(depth, classes): return Small(classes).nothing", "line 24: AttributeError: 'Small' object"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def net_of(code: str = "", norm: str = "bn", weights: str = "") -> Net:
    Path("mine.py").write_text(HEAD + code + "\n")
    return Net.own("mine.py:build", depth=3, name="small", norm=norm, weights=weights)


def test_a_net_that_can_be_trusted_passes_and_leaves_all_random_numbers_as_they_were() -> None:
    before = torch.get_rng_state()

    own.check(net_of(), 32)
    own.check(net_of(NO_BN, norm="none"), 40)
    own.check(net_of(DROPS), 32)

    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("code", "words"), BAD.values(), ids=BAD.keys())
def test_a_net_whose_number_would_mean_nothing_is_refused(code: str, words: str) -> None:
    net = net_of(code)

    with pytest.raises(OwnCodeError) as refused:
        own.check(net, 32)

    assert words in str(refused.value)
    assert str(refused.value).startswith("mine.py")
    assert "\n" not in str(refused.value)


def test_batch_norm_that_is_not_declared_is_refused() -> None:
    with pytest.raises(OwnCodeError, match="has batch norm, and norm='none' says that it has none"):
        own.check(net_of(norm="none"), 32)


@pytest.mark.parametrize(
    ("net", "side"),
    [
        (Net("cifar", 20, "A"), 32), (Net("cifar", 8, "C", norm="none"), 32), (Net("cifar", 14, "none"), 32),
        (Net("bottleneck", 11, "B"), 32), (Net("preactivation", 20, "A"), 32), (Net("imagenet", 18, "B"), 224),
        (Net("imagenet", 50, "C"), 64),
    ],
)  # fmt: skip
def test_torchs_counter_agrees_with_our_arithmetic(net: Net, side: int) -> None:
    assert counts(build(net, 0), side) == (parameters(net), multiply_adds(net, side))


def test_it_is_cut_into_stages_where_its_maps_become_smaller() -> None:
    whole = own.build(net_of(), 10).eval()
    stages = own.backbone(net_of()).eval()
    x = torch.randn(2, 3, 32, 32)

    assert (stages.channels, stages.reductions) == ((8, 16), (1, 2))
    stages.load_state_dict({f"stages.{0 if n.startswith('conv1') else 1}.{n}": v for n, v in whole.state_dict().items()
                            if not n.startswith("fc")})  # fmt: skip
    assert torch.equal(stages(x)["1"], whole.features(x))  # type: ignore[operator]


def test_its_own_stages_are_taken() -> None:
    code = "class Staged(Small):\n    def stages(self): return [self.conv1, nn.Sequential(nn.ReLU(), self.conv2)]\n"
    net = net_of(code + "def build(depth, classes): return Staged(classes)")

    assert own.backbone(net).channels == (8, 16)
    features = own.features(net)
    assert features(torch.zeros(1, 3, 32, 32)).shape == (1, 16, 16, 16)
    assert not [name for name, _ in features.named_parameters() if "fc" in name]


def test_a_net_whose_pass_fails_prints_nothing_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    code = "class Small32(Small):\n    def forward(self, x): return super().forward(x.view(-1, 3, 31, 33))\n"

    with pytest.raises(WeightsError, match=r"cannot be cut into stages \(torch.fx: "):
        own.backbone(net_of(code + "def build(depth, classes): return Small32(classes)"))

    assert capfd.readouterr() == ("", "")


def test_a_net_that_cannot_be_traced_says_what_to_write() -> None:
    code = "class Asks(Small):\n    def forward(self, x): return super().forward(x if x.sum() > 0 else -x)\n"

    with pytest.raises(WeightsError, match=r"cannot be cut into stages .*: give it a method stages\(\)"):
        own.backbone(net_of(code + "def build(depth, classes): return Asks(classes)"))


def test_weights_are_loaded_without_the_classifier_whatever_it_is_called(tmp_path: Path) -> None:
    state = {name: torch.full_like(value, 0.5) for name, value in own.build(net_of(), 100).state_dict().items()}
    torch.save(state, tmp_path / "mine.pth")

    loaded = own.backbone(net_of(), tmp_path / "mine.pth")

    assert own.classifier(net_of()) == ("fc.weight", "fc.bias")
    assert all((value == 0.5).all() for value in loaded.parameters())
