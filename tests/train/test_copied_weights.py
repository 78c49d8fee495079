"""bf16 weights copied all at once: the bits of autocast's casts, by fewer kernels."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bench.nets.resnet import cifar
from bench.spec import Recipe, Way
from bench.tasks.training import trainer_of
from bench.train.checkpoint import weights_digest
from bench.train.copied_weights import CopiedWeights
from bench.train.graph import Captured
from bench.train.trainer import Trainer
from tests.recorded import capture
from tests.train.builders import Fixed

GROUPED = Way(batch_norm="grouped")


def trainer(
    depth: int, shortcut: str, *, copied: bool, captured: Captured | None = None, way: Way = GROUPED
) -> Trainer:
    torch.manual_seed(0)
    made = trainer_of(cifar(depth, shortcut), Fixed(), Recipe(batch=8, bn_group=4, precision="bf16"), way)
    assert made.copied_weights
    return replace(made, copied_weights=copied, captured=captured, fused_sgd=True)


def gradients(trained: Trainer) -> list[Tensor]:
    found = [parameter.grad for parameter in trained.net.parameters()]
    assert all(each is not None and each.dtype == torch.float32 for each in found)
    return [each for each in found if each is not None]


@pytest.mark.parametrize(("depth", "shortcut"), [(8, "none"), (8, "A"), (8, "B"), (20, "A")])
def test_losses_gradients_and_weights_are_those_of_autocast_to_the_bit(depth: int, shortcut: str) -> None:
    ours, autocast = (trainer(depth, shortcut, copied=copied) for copied in (True, False))
    for _ in range(4):
        ours.update()
        autocast.update()

        assert all(map(torch.equal, gradients(ours), gradients(autocast)))
    assert ours.window() == autocast.window()
    assert weights_digest(ours.net.state_dict()) == weights_digest(autocast.net.state_dict())


def test_a_captured_step_and_a_checkpoint_know_nothing_of_the_copies() -> None:
    """A training goes on with copies from what one without them saved, and inside a graph."""
    straight = trainer(8, "B", copied=False)
    began, resumed = trainer(8, "B", copied=False), trainer(8, "B", copied=True, captured=Captured(capture))
    for _ in range(3):
        straight.update()
        began.update()
    resumed.load_state_dict(copy.deepcopy(began.state_dict()))
    for _ in range(6):
        straight.update()
        resumed.update()

    assert resumed.window() == straight.window()
    assert weights_digest(resumed.net.state_dict()) == weights_digest(straight.net.state_dict())
    assert resumed.state_dict()["optimizer"].keys() == straight.state_dict()["optimizer"].keys()


class Operators(TorchDispatchMode):
    """Counts what is called inside, and whether copies of many tensors can be one kernel."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls = Counter[str]()
        self.alike: list[bool] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[func.overloadpacket.__name__] += 1
        if func is torch.ops.aten._foreach_copy_.default:
            self.alike.append(all(to.stride() == of.stride() for to, of in zip(*args[:2], strict=True)))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_two_copies_of_many_tensors_stand_for_two_casts_a_weight(shortcut: str) -> None:
    """Equal strides are what CUDA's copy of many tensors wants, and no gradient is cloned on its way to its weight."""
    calls = []
    for copied in (False, True):
        trained = trainer(8, shortcut, copied=copied)
        trained.update()
        with Operators() as operators:
            trained.update()
        calls.append(operators.calls)

    weights = 8 + 1 + (2 if shortcut == "B" else 0)  # the classifier has a bias
    assert calls[1] - calls[0] == Counter(_foreach_copy_=2, empty_like=2 * weights)
    assert calls[0] - calls[1] == Counter(_to_copy=2 * weights)
    assert operators.alike == [True, True]


def test_only_a_pass_through_the_copies_sees_them() -> None:
    net = cifar(8, "B").to(memory_format=torch.channels_last)
    seen: list[torch.dtype] = []
    net.conv1.register_forward_hook(lambda layer, *_: seen.append(layer.weight.dtype))
    norm: list[torch.dtype] = []
    net.bn1.register_forward_hook(lambda layer, *_: norm.append(layer.weight.dtype))
    before, names = list(net.parameters()), list(net.state_dict())
    copies, x = CopiedWeights(net), torch.randn(4, 3, 32, 32)

    with torch.autocast("cpu", torch.bfloat16):
        F.cross_entropy(copies(x).float(), torch.arange(4)).backward()
        net(x)

    assert seen == [torch.bfloat16, torch.float32]
    assert norm == [torch.float32] * 2
    assert all(ours is theirs for ours, theirs in zip(net.parameters(), before, strict=True))
    assert list(net.state_dict()) == names


@pytest.mark.parametrize(
    ("way", "precision", "copied"),
    [
        (GROUPED, "bf16", True),
        (Way(), "bf16", False),
        (GROUPED, "fp32", False),
    ],
)
def test_one_pass_in_bf16_copies_its_weights_and_nothing_else_does(way: Way, precision: str, copied: bool) -> None:
    made = trainer_of(cifar(8, "A"), Fixed(), Recipe(batch=8, bn_group=4, precision=precision), way)

    assert made.copied_weights is copied


def test_a_padded_stem_has_channels_of_zeros_and_gives_the_gradients_up_to_rounding() -> None:
    padded, usual = (trainer(8, "A", copied=True, way=way) for way in (replace(GROUPED, padded_stem=True), GROUPED))
    seen: list[Tensor] = []
    stem = padded.net.get_submodule("conv1")
    stem.register_forward_hook(lambda layer, given, _: seen.extend((given[0].detach(), layer.weight.detach())))
    padded.update()
    usual.update()

    assert [each.shape for each in seen] == [(8, 8, 32, 32), (16, 8, 3, 3)]
    assert seen[1].is_contiguous(memory_format=torch.channels_last), "as the weights are, and the images where they are"
    assert all(each[:, :3].any() and not each[:, 3:].any() for each in seen)
    for ours, theirs in zip(gradients(padded), gradients(usual), strict=True):
        assert (ours - theirs).norm() <= 0.02 * theirs.norm()
    assert padded.window()["loss"] == pytest.approx(usual.window()["loss"], rel=1e-3)
    assert {name: each.shape for name, each in padded.net.state_dict().items()} == {
        name: each.shape for name, each in usual.net.state_dict().items()
    }


def test_a_padded_stem_has_the_same_bits_captured_and_eager() -> None:
    way = replace(GROUPED, padded_stem=True)
    eager, replayed = (trainer(8, "A", copied=True, way=way, captured=c) for c in (None, Captured(capture)))
    for _ in range(6):
        eager.update()
        replayed.update()

    assert weights_digest(replayed.net.state_dict()) == weights_digest(eager.net.state_dict())
