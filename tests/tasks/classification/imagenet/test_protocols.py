"""The paper's test protocols on ImageNet against plain, slow computations of the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from timm.models.vgg import VGG
from torch import Tensor, nn

from bench.nets.resnet import imagenet
from bench.tasks.classification.imagenet.protocols import (
    centre_crop,
    dense_logits,
    evaluated,
    judge,
    scores,
    ten_crops,
    with_mirror,
)
from bench.train.process_group import ProcessGroup

SIDE = 64
SIZES = ((70, 90), (70, 90), (64, 64), (101, 64))


def images() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, *size, generator=generator) for size in SIZES]


@pytest.fixture(scope="module")
def net() -> nn.Module:
    """With running statistics that are not those of the start, and in training mode."""
    torch.manual_seed(0)
    built = imagenet(18, "B", classes=20)
    for layer in built.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean = torch.randn_like(layer.weight) / 10
            layer.running_var = torch.rand_like(layer.weight) + 0.5
    return built


def plainly(net: nn.Module, crops: list[Tensor]) -> Tensor:
    """Softmax of one crop after the other, averaged."""
    return torch.stack([net(crop[None])[0].double().softmax(0) for crop in crops]).mean(0)


def ten_by_hand(x: Tensor) -> list[Tensor]:
    h, w = x.shape[1:]
    places = [(0, 0), (0, w - SIDE), (h - SIDE, 0), (h - SIDE, w - SIDE), ((h - SIDE) // 2, (w - SIDE) // 2)]
    crops = [x[:, top : top + SIDE, left : left + SIDE] for top, left in places]
    return [*crops, *(torch.flip(crop, [2]) for crop in crops)]


@torch.no_grad()
@pytest.mark.parametrize("batch", [1, 25, 100])
def test_ten_crops_are_ten_single_crops_whatever_the_batch(net: nn.Module, batch: int) -> None:
    found = scores(net, (ten_crops(x, SIDE) for x in images()), batch=batch)

    assert net.training
    net.eval()
    expected = torch.stack([plainly(net, ten_by_hand(x)) for x in images()])
    net.train()
    assert found.shape == (len(SIZES), 20)
    assert torch.allclose(found, expected, atol=1e-6, rtol=0)
    assert torch.allclose(found.sum(1), torch.ones(len(SIZES), dtype=torch.float64))


@torch.no_grad()
def dense_by_hand(net: nn.Module, x: Tensor) -> Tensor:
    """The classifier as a 1x1 convolution over every window of 2x2 places of the last map; logits averaged."""
    maps: Tensor = net.forward_features(x[None])  # type: ignore[operator]  # our net's
    fc = net.fc
    assert isinstance(fc, nn.Linear)
    found = []
    for top in range(maps.shape[2] - 1):
        for left in range(maps.shape[3] - 1):
            pooled = maps[:, :, top : top + 2, left : left + 2].mean((2, 3))
            found.append(F.linear(pooled, fc.weight, fc.bias)[0])
    return torch.stack(found).mean(0)


@torch.no_grad()
@pytest.mark.parametrize("batch", [1, 4, 100])
def test_a_fully_convolutional_net_averages_all_windows_and_the_mirror_image(net: nn.Module, batch: int) -> None:
    logits = partial(dense_logits, net, window=2)

    found = scores(net, map(with_mirror, images()), logits, batch=batch)

    net.eval()
    expected = [
        torch.stack([dense_by_hand(net, x.flip(2) if mirrored else x).double().softmax(0) for mirrored in (0, 1)])
        for x in images()
    ]
    net.train()
    assert torch.allclose(found, torch.stack(expected).mean(1), atol=1e-6, rtol=0)


@torch.no_grad()
def test_at_the_trainings_side_the_dense_net_is_the_net(net: nn.Module) -> None:
    x = torch.randn(2, 3, SIDE, SIDE)
    net.eval()

    assert torch.allclose(dense_logits(net, x, 2), net(x), atol=1e-5)
    net.train()


@torch.no_grad()
def test_the_fully_connected_layers_of_vgg_see_every_window_of_their_size() -> None:
    torch.manual_seed(0)
    vgg = VGG([8, "M"] * 5, num_classes=5, mlp_ratio=0.01).eval()
    x = torch.randn(1, 3, 224, 256)
    last = vgg.forward_features(x)  # 7 x 8: two windows of 7 x 7

    by_hand = torch.stack([vgg.forward_head(last[..., k : k + 7]) for k in (0, 1)]).mean(0)

    assert torch.allclose(dense_logits(vgg, x, 7), by_hand, atol=1e-5)
    assert torch.allclose(dense_logits(vgg, x[..., :224], 7), vgg(x[..., :224]), atol=1e-5)


def test_the_centre_is_the_middle_and_an_odd_pixel_lies_at_the_end() -> None:
    x = torch.arange(5 * 6).view(1, 5, 6).expand(3, 5, 6)

    assert centre_crop(x, 3)[0, 0].tolist() == [[7, 8, 9], [13, 14, 15], [19, 20, 21]]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_any_number_of_processes_scores_every_image_once(size: int) -> None:
    seen: list[int] = []
    labels = torch.arange(7) % 5
    table = torch.rand(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64).softmax(1)

    def score(part: slice) -> Tensor:
        seen.extend(range(7)[part])
        return table[part]

    class Several(ProcessGroup):
        def slice_of(self, count: int) -> slice:
            return slice(count * self.rank // size, count * (self.rank + 1) // size)

        def each(self, value: Tensor) -> list[Tensor]:  # type: ignore[override]
            parts = []
            for rank in range(size):
                self.rank = rank
                parts.append(value if rank == 0 else score(self.slice_of(7)))
            self.rank = 0
            return parts

    found, every = evaluated(score, labels, Several())

    assert sorted(seen) == list(range(7))
    assert torch.equal(every, table)
    assert found.error == judge(table, labels, 0).error


@pytest.mark.parametrize(
    ("make", "top1", "top5"),
    [
        (lambda best: best, 0.0, 0.0),
        (lambda best: (best + 1) % 10, 100.0, 0.0),
        (lambda best: (best + 5) % 10, 100.0, 100.0),
    ],
)
def test_top_1_and_top_5_of_scores_with_known_order(make: Callable[[int], int], top1: float, top5: float) -> None:
    """Each row falls by one from its best class on."""
    ordered = torch.stack([10 - (torch.arange(10) - best) % 10 for best in range(10)]).double()
    labels = torch.tensor([make(best) for best in range(10)])

    found = judge(ordered.softmax(1), labels, 1.5)

    assert found.error == top1
    assert found.correct5 is not None
    assert 100 * float((~found.correct5).double().mean()) == top5
    assert found.seconds == 1.5
    assert found.loss == pytest.approx(float(F.cross_entropy(ordered, labels)))
