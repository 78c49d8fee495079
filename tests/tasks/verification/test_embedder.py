"""Embedders take any backbone and every checkpoint of the suite; margins are the papers' and their gradients finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.nets import resnet, timm_nets
from bench.nets.backbone import Features
from bench.spec import Net
from bench.tasks.verification.embedder import Embedder, Recogniser, map_of
from bench.tasks.verification.margin import MarginSoftmax
from tests.builders import needs, timm_net

PLACES = torch.arange(8)


def of_cifar() -> Features:
    return resnet.features(Net("cifar", 8, "A"))


def of_timm(name: str, side: int, folder: Path) -> Features:
    sized = {"img_size": side} if "resnet" not in name and "convnext" not in name else {}
    torch.save(timm.create_model(name, **sized).state_dict(), folder / "weights.pth")
    return timm_nets.features(timm_net(name), folder / "weights.pth", side)


def random_embeddings(seed: int = 0) -> Tensor:
    return torch.randn(8, 16, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["arcface", "cosface", "softmax"])
def test_margin_zero_is_the_normalised_softmax(kind: str) -> None:
    head = MarginSoftmax(kind, 16, 10, margin=0.0, scale=30)
    x = random_embeddings()

    expected = 30 * F.normalize(x) @ F.normalize(head.weight).t()

    assert (head(x, PLACES) - expected).abs().max() <= 30 * 1e-6
    assert torch.equal(head(x, PLACES), head(x))


@needs("pytorch_metric_learning")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("kind", "name", "margin"),
    [("arcface", "ArcFaceLoss", math.degrees(0.5)), ("cosface", "CosFaceLoss", 0.35)],
)
def test_loss_and_gradient_are_those_of_an_independent_library(kind: str, name: str, margin: float, seed: int) -> None:
    from pytorch_metric_learning import losses

    theirs = getattr(losses, name)(10, 16, margin=margin, scale=30)
    head = MarginSoftmax(kind, 16, 10, scale=30)
    with torch.no_grad():
        theirs.W.copy_(head.weight.t())
    ours, other = (random_embeddings(seed).requires_grad_() for _ in range(2))

    loss, reference = F.cross_entropy(head(ours, PLACES), PLACES), theirs(other, PLACES)
    loss.backward()
    reference.backward()

    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    assert ours.grad is not None
    assert other.grad is not None
    assert torch.allclose(ours.grad, other.grad, atol=1e-5, rtol=1e-4)


def test_arcface_adds_the_margin_to_the_angle_and_falls_on_beyond_pi() -> None:
    head = MarginSoftmax("arcface", 2, 2, margin=0.5, scale=1)
    with torch.no_grad():
        head.weight.copy_(torch.eye(2))
    angles = torch.linspace(0.01, math.pi, 200)
    x = torch.stack((angles.cos(), angles.sin()), 1)

    found = head(x, torch.zeros(200, dtype=torch.long))[:, 0].detach()

    inside = angles < math.pi - 0.5
    assert torch.allclose(found[inside], (angles + 0.5).cos()[inside], atol=1e-5)
    assert torch.allclose(found[~inside], angles.cos()[~inside] - 0.5 * math.sin(0.5), atol=1e-6)
    assert (found.diff() < 0).all()


@pytest.mark.parametrize("kind", ["arcface", "cosface", "softmax"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("off", [0.0, 1e-8, 1e-4])
def test_gradients_are_finite_at_an_angle_of_0_and_180_degrees(kind: str, sign: int, off: float) -> None:
    head = MarginSoftmax(kind, 16, 8)
    with torch.no_grad():
        head.weight.copy_(torch.eye(8, 16) + off * random_embeddings())
    x = (sign * torch.eye(8, 16)).requires_grad_()

    F.cross_entropy(head(x, PLACES), PLACES).backward()

    assert x.grad is not None
    assert head.weight.grad is not None
    assert x.grad.isfinite().all()
    assert head.weight.grad.isfinite().all()
    assert x.grad.abs().max() < 64 * 4


def test_cosines_stay_in_fp32_under_autocast() -> None:
    head, x = MarginSoftmax("arcface", 16, 10), random_embeddings()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(head(x, PLACES), head(x.clone(), PLACES))
        assert head(x, PLACES).dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "triplet"}, "'triplet' is not one of: softmax, arcface, cosface"),
        ({"kind": "arcface", "margin": 2.0}, r"margin 2.0 of arcface must lie in \[0, 1.571\]"),
        ({"kind": "cosface", "margin": -0.1}, r"margin -0.1 of cosface must lie in \[0, 1\]"),
        ({"kind": "softmax", "margin": 0.1}, r"margin 0.1 of softmax must lie in \[0, 0\]"),
        ({"kind": "softmax", "scale": 0.0}, "scale 0.0 must be positive"),
    ],
)
def test_a_margin_that_cannot_be_meant_is_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MarginSoftmax(size=16, classes=10, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("build", "side", "shape"),
    [
        (lambda _: of_cifar(), 64, (64, 16, 16)),
        (lambda _: resnet.features(Net("imagenet", 18, "B")), 112, (512, 4, 4)),
        (lambda folder: of_timm("resnet18", 112, folder), 112, (512, 4, 4)),
        (lambda folder: of_timm("test_convnext", 64, folder), 64, (64, 2, 2)),
        (lambda folder: of_timm("test_vit", 64, folder), 64, (64, 16, 1)),
        (lambda folder: of_timm("swin_tiny_patch4_window7_224", 64, folder), 64, (768, 2, 2)),
    ],
    ids=["cifar", "imagenet", "timm cnn", "timm convnext", "timm tokens", "timm channels last"],
)
def test_any_backbone_ends_in_an_embedding(
    build: Callable[[Path], nn.Module], side: int, shape: tuple[int, int, int], tmp_path: Path
) -> None:
    net = Embedder(build(tmp_path), side=side, size=24)

    out = net(torch.randn(2, 3, side, side))

    assert map_of(net.backbone, side) == shape
    assert out.shape == (2, 24)
    assert torch.allclose(out.mean(0), torch.zeros(24), atol=1e-4)  # the last BN's doing


def test_a_large_map_is_averaged_down_to_seven_and_a_small_one_left() -> None:
    large, small = (Embedder(of_cifar(), side=side, size=8) for side in (112, 24))

    assert large.fc.in_features == 64 * 7 * 7
    assert small.fc.in_features == 64 * 6 * 6


def test_images_of_another_side_are_refused_in_words(tmp_path: Path) -> None:
    net = Embedder(of_cifar(), side=32)

    with pytest.raises(ValueError, match=r"images \(3, 48, 48\) where \(3, 32, 32\) belong"):
        net(torch.zeros(2, 3, 48, 48))
    with pytest.raises(ValueError, match="Features cannot take images of 50x50"):
        Embedder(of_timm("test_vit", 64, tmp_path), side=50)


def test_a_head_learns_to_tell_people_apart_through_the_embedder() -> None:
    """Twelve steps on eight images of four people: the loss falls, and every trainable parameter has a part in it."""
    torch.manual_seed(0)
    embedder = Embedder(of_cifar(), side=16, size=16, dropout=0)
    net = Recogniser(embedder, MarginSoftmax("cosface", 16, 4))
    x, y = torch.randn(8, 3, 16, 16), torch.arange(8) % 4
    parameters = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x, y), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))

    assert losses[-1] < losses[0] / 2
    assert all(p.grad is not None for p in parameters)
    assert torch.equal(embedder.bn2.weight, torch.ones(16))
    assert (net(x).argmax(1) == y).float().mean() > 0.5


def test_what_makes_no_map_is_no_backbone() -> None:
    with pytest.raises(ValueError, match=r"Flatten makes \(1, 768\) of an image of 16x16, no map of features"):
        Embedder(nn.Flatten(), side=16)
    with pytest.raises(ValueError, match="dropout 1.0 must lie in"):
        Embedder(nn.Identity(), side=16, dropout=1.0)
