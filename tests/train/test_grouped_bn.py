"""Batch norm in groups of the batch: one pass is as good as one for each group."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.nets.batch_norm import BatchNorm2d
from bench.nets.resnet import cifar, features
from bench.spec import Net
from bench.tasks.verification.embedder import Embedder
from bench.train.checkpoint import weights_digest
from bench.train.grouped_bn import group_batch_norm, grouped


def images(count: int = 8) -> Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def little_net(shortcut: str = "B", norm: str = "bn") -> nn.Module:
    torch.manual_seed(0)
    return cifar(8, shortcut, norm)


@pytest.mark.parametrize("groups", [2, 4])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("shortcut", ["none", "A", "B"])
def test_one_pass_has_the_gradients_and_statistics_of_a_pass_for_each_group(
    shortcut: str, dtype: torch.dtype, tolerance: float, groups: int
) -> None:
    several, x, labels = little_net(shortcut).to(dtype), images().to(dtype), torch.arange(8)
    once = copy.deepcopy(several)
    group_batch_norm(once, groups, fused=False)

    for part, their in zip(x.chunk(groups), labels.chunk(groups), strict=True):
        (F.cross_entropy(several(part), their) / groups).backward()
    F.cross_entropy(once(x), labels).backward()

    ours, theirs = (dict(net.named_parameters()) for net in (once, several))
    for name, parameter in ours.items():
        assert parameter.grad is not None
        expected = theirs[name].grad
        assert expected is not None
        assert (parameter.grad - expected).norm() <= tolerance * expected.norm(), name
    for name, expected in several.named_buffers():
        assert (once.get_buffer(name) - expected).double().norm() <= tolerance * expected.double().norm(), name


def test_a_group_knows_nothing_of_the_others() -> None:
    layer, x = BatchNorm2d(3), images()
    other = x.clone()
    other[4:] *= 7

    assert torch.equal(*(grouped(layer, some, None, False, groups=2)[:4] for some in (x, other)))


def test_the_layer_alone_neither_adds_nor_clips() -> None:
    layer, x = BatchNorm2d(3), images()
    group_batch_norm(layer, 2, fused=False)

    assert torch.equal(layer(x), torch.cat([F.batch_norm(part, None, None, training=True) for part in x.chunk(2)]))


def test_a_test_is_the_same_bits_with_and_without_groups() -> None:
    net, x = little_net().eval(), images()
    before = net(x)
    group_batch_norm(net, 2, fused=False)

    assert torch.equal(net(x), before)
    layer = net.get_submodule("bn1")
    assert isinstance(layer, BatchNorm2d)
    y = torch.randn(4, 16, 5, 5)
    assert torch.equal(grouped(layer, y, None, False, groups=2), layer(y))
    assert layer.num_batches_tracked == 0


@pytest.mark.parametrize("groups", [1, 2])
def test_hooks_see_responses_before_the_addition_and_the_relu(groups: int) -> None:
    net = little_net().eval()
    group_batch_norm(net, groups, fused=False)
    seen = dict[str, tuple[Tensor, Tensor]]()
    for name, layer in net.named_modules():
        if isinstance(layer, BatchNorm2d):
            layer.register_forward_hook(lambda _, given, made, name=name: seen.update({name: (given[0], made)}))

    net(images())

    assert len(seen) == 9  # seven layers and two projections
    for name, (x, y) in seen.items():
        layer = net.get_submodule(name)
        assert torch.equal(y, F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias))  # type: ignore[arg-type]
        assert y.min() < 0


def test_one_group_that_is_not_fused_is_torchs_batch_norm_again() -> None:
    net, x = little_net(), images()
    untouched = copy.deepcopy(net)
    group_batch_norm(net, 2, fused=False)
    group_batch_norm(net, 1, fused=False)

    assert torch.equal(net(x), untouched(x))
    assert weights_digest(net.state_dict()) == weights_digest(untouched.state_dict())


def test_a_net_without_batch_norm_is_left_as_it_is() -> None:
    net, x = little_net("A", norm="none"), images()
    before = net(x)
    group_batch_norm(net, 2, fused=False)

    assert torch.equal(net(x), before)


def test_unequal_groups_are_refused() -> None:
    net = little_net()
    group_batch_norm(net, 3, fused=False)

    with pytest.raises(ValueError, match="8 images cannot be normalised in 3 groups of equal size"):
        net(images())


def test_what_cannot_go_by_groups_is_refused_before_anything_is_set() -> None:
    net = nn.Sequential(BatchNorm2d(3), nn.BatchNorm2d(3))
    with pytest.raises(ValueError, match="1 is a BatchNorm2d of torch: only the batch norm of the suite's own nets"):
        group_batch_norm(net, 2, fused=False)
    assert isinstance(net[0], BatchNorm2d)
    assert net[0].kernel is None
    with pytest.raises(ValueError, match="bn1 is a BatchNorm2d of torch"):
        group_batch_norm(Embedder(features(Net("cifar", 8, "A")), size=4, side=32), 2, fused=False)
    for refused in (
        BatchNorm2d(3, momentum=None),
        BatchNorm2d(3, affine=False),
        BatchNorm2d(3, track_running_stats=False),
    ):
        with pytest.raises(ValueError, match="0 cannot go by groups"):
            group_batch_norm(nn.Sequential(refused), 2, fused=False)
    with pytest.raises(ValueError, match="1 or more groups, not 0"):
        group_batch_norm(nn.Sequential(BatchNorm2d(3)), 0, fused=False)


def test_where_triton_is_missing_the_fused_kernels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "bench.train.fused_bn", raising=False)
    monkeypatch.setitem(sys.modules, "triton", None)

    with pytest.raises(ValueError, match="needs Triton, which comes with torch's CUDA builds"):
        group_batch_norm(little_net(), 2, fused=True)
