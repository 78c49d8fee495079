"""Layer responses and gradients: against plain hooks and autograd, without a trace in the training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.launch.worker import work
from bench.nets.resnet import cifar, imagenet
from bench.spec import Net, Run
from bench.store import RunFolder
from bench.train.probes import backward, layer_rows, layers_of, response_stds
from tests.builders import tiny_run

DRAW = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (12, 3, 32, 32), generator=DRAW, dtype=torch.uint8)
X, Y = torch.randn(8, 3, 32, 32, generator=DRAW), torch.arange(8)


def centred(images: Tensor) -> Tensor:
    return images.float() / 255 - 0.5


def trained_net(shortcut: str, norm: str, depth: int = 8) -> nn.Module:
    """A net whose BN has seen something and whose scales and shifts are not where they started."""
    torch.manual_seed(1)
    net = cifar(depth, shortcut, norm)
    for name, parameter in net.named_parameters():
        if "bn" in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
    net.train()
    net(X)
    return net


def by_hand(net: nn.Module, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Kernel and response of each layer of a CIFAR net without projections, written out block by block."""
    children: Any = net
    response = children.bn1(children.conv1(x))
    yield children.conv1.weight, response
    x = F.relu(response)
    for block in (*children.layer1, *children.layer2, *children.layer3):
        inner = block.bn1(block.conv1(x))
        yield block.conv1.weight, inner
        outer = block.bn2(block.conv2(F.relu(inner)))
        yield block.conv2.weight, outer
        x = F.relu(outer if block.downsample is None else outer + block.downsample(x))
    yield children.fc.weight, children.fc(x.mean((2, 3)))


CASES = [(shortcut, norm) for shortcut in ("none", "A") for norm in ("bn", "none")]


@pytest.mark.parametrize(("shortcut", "norm"), CASES)
@pytest.mark.parametrize("batch", [5, 500])
def test_the_std_of_a_response_is_that_of_all_its_values(shortcut: str, norm: str, batch: int) -> None:
    net = trained_net(shortcut, norm)

    ours = response_stds(net, centred(IMAGES), batch=batch)

    assert net.training
    with torch.no_grad():
        theirs = [out.double().std(correction=0).item() for _, out in by_hand(net.eval(), centred(IMAGES))][:-1]
    assert len(ours) == 7
    assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("shortcut", ["none", "A", "B"])
@pytest.mark.parametrize("norm", ["bn", "none"])
def test_hooks_written_plainly_see_the_same_responses(shortcut: str, norm: str) -> None:
    net, seen = trained_net(shortcut, norm).eval(), dict[str, float]()
    for name, layer in net.named_modules():
        if name.rpartition(".")[2] in ("bn1", "bn2"):
            layer.register_forward_hook(lambda _, __, out, name=name: seen.update({name: float(out.double().std())}))
    with torch.no_grad():
        net(centred(IMAGES))

    assert response_stds(net, centred(IMAGES)) == pytest.approx(list(seen.values()), rel=1e-3)


@pytest.mark.parametrize(("shortcut", "norm"), CASES)
@pytest.mark.parametrize("bn_group", [8, 4])
def test_gradient_norms_are_autograds(shortcut: str, norm: str, bn_group: int) -> None:
    net = trained_net(shortcut, norm)

    ours = backward(net, X, Y, bn_group=bn_group)

    squares, values = torch.zeros(7, dtype=torch.float64), list[list[Tensor]]()
    kernels = [torch.zeros(())] * 7
    for x, y in zip(X.split(bn_group), Y.split(bn_group), strict=True):
        weights, outs = zip(*by_hand(net, x), strict=True)
        loss = F.cross_entropy(outs[-1], y) * len(y) / len(Y)
        gradients = torch.autograd.grad(loss, [*weights[:-1], *outs[:-1]])
        squares += torch.stack([g.double().square().sum() for g in gradients[7:]])
        kernels = [a + b for a, b in zip(kernels, gradients[:7], strict=True)]
        values.append([out.detach().double() for out in outs[:-1]])
    assert [one.response for one in ours] == pytest.approx(squares.sqrt().tolist(), rel=1e-4)
    assert [one.weight for one in ours] == pytest.approx([float(k.norm()) for k in kernels], rel=1e-4)
    stds = [float(torch.cat(parts).std(correction=0)) for parts in zip(*values, strict=True)]
    assert [one.std for one in ours] == pytest.approx(stds, rel=1e-5)


def test_a_look_leaves_no_trace() -> None:
    net = trained_net("A", "bn").eval()
    F.cross_entropy(net(X), Y).backward()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    gradients = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    random = torch.get_rng_state()

    backward(net, X, Y, bn_group=4)
    response_stds(net, centred(IMAGES))

    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), gradients, strict=True) if p.grad is not None)
    assert torch.equal(torch.get_rng_state(), random)
    assert not net.training
    assert not any(layer._forward_hooks for layer in net.modules())


@pytest.mark.parametrize(("depth", "shortcut", "layers"), [(20, "none", 19), (56, "A", 55), (20, "B", 19)])
def test_the_layers_of_a_cifar_net_are_its_3x3_convolutions_in_order(depth: int, shortcut: str, layers: int) -> None:
    with torch.device("meta"):
        found = layers_of(cifar(depth, shortcut))

    assert len(found) == layers
    assert all(layer.conv.kernel_size == (3, 3) for layer in found)
    assert [layer.name for layer in found][:3] == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]
    assert found[-1].name == f"layer3.{(depth - 2) // 6 - 1}.conv2"


def test_a_bottleneck_net_has_its_three_layers_a_block() -> None:
    with torch.device("meta"):
        assert len(layers_of(imagenet(50, "B"))) == 49


def test_he_initialisation_keeps_the_gradient_of_a_plain_net_without_bn_and_shortcuts_blow_it_up() -> None:
    """The theory behind the measure, at 56 layers: 1 for the plain net, a factor of sqrt 2 a block for the residual."""
    changes = {}
    for shortcut in ("none", "A"):
        torch.manual_seed(0)
        norms = [one.response for one in backward(cifar(56, shortcut, "none"), X, Y, bn_group=8)]
        changes[shortcut] = norms[0] / norms[-1]

    assert 1 / 10 < changes["none"] < 10
    assert changes["A"] > 1_000


def test_what_is_no_number_is_missing() -> None:
    net = cifar(8, "none")
    with torch.no_grad():
        next(net.parameters()).fill_(math.inf)

    rows = layer_rows(net, 3, stds=[math.nan] * 7, back=backward(net, X, Y, bn_group=8))

    assert (rows[0]["step"], rows[0]["layer"], rows[0]["name"]) == (3, 1, "conv1")
    assert rows[0]["weight_norm"] is rows[0]["response_std"] is rows[0]["grad_norm"] is None
    assert rows[1]["weight_norm"] > 0


def made(tmp_path: Path, run: Run, name: str = "a") -> RunFolder:
    folder = RunFolder(tmp_path / name / run.id)
    folder.create(run)
    return folder


def diagnosis(shortcut: str = "A", norm: str = "bn", **recipe: Any) -> Run:
    return replace(tiny_run(**recipe), net=Net("cifar", 8, shortcut, norm=norm), task="diagnose")


def test_a_classification_ends_with_the_responses_of_its_layers(tmp_path: Path) -> None:
    folder = made(tmp_path, tiny_run())

    assert work(folder.path, tmp_path) == "done"

    rows = folder.layer_rows()
    assert [(row["step"], row["layer"]) for row in rows] == [(12, k) for k in range(1, 8)]
    assert all(row["response_std"] > 0 and row["weight_norm"] > 0 and "grad_norm" not in row for row in rows)


def test_a_diagnosis_trains_to_the_bits_of_a_classification(tmp_path: Path) -> None:
    run = diagnosis(bn_group=4)
    looked, plain = made(tmp_path, run, "looked"), made(tmp_path, replace(run, task="classify"), "plain")

    assert {work(folder.path, tmp_path) for folder in (looked, plain)} == {"done"}

    ours, theirs = looked.result(), plain.result()
    assert ours is not None
    assert theirs is not None
    assert ours["weights_sha256"] == theirs["weights_sha256"]
    assert looked.curve_rows() == plain.curve_rows()
    rows = looked.layer_rows()
    assert [row["step"] for row in rows] == [0] * 7 + [6] * 7 + [12] * 7
    assert all(row["grad_norm"] > 0 and row["response_grad_norm"] > 0 for row in rows)
    assert [row["layer"] for row in rows if "response_std" in row] == [*range(1, 8)] * 2
    ends = [row["response_std"] for row in plain.layer_rows()]
    assert [row["response_std"] for row in rows[-7:]] == ends


def test_a_diagnosis_that_was_stopped_at_every_step_has_the_same_rows(tmp_path: Path) -> None:
    run = diagnosis(steps=4, drops=(), curve_every=1, test_every=2)
    straight, stopped = made(tmp_path, run, "straight"), made(tmp_path, run, "stopped")
    work(straight.path, tmp_path)
    ends = [work(stopped.path, tmp_path, deadline=1.0) for _ in range(4)]

    assert ends == ["stopped"] * 3 + ["done"]
    assert stopped.layers.read_bytes() == straight.layers.read_bytes()


def test_a_diagnosis_that_diverges_keeps_what_was_seen_until_then(tmp_path: Path) -> None:
    folder = made(tmp_path, diagnosis(lr=1e30))

    assert work(folder.path, tmp_path) == "failed"

    rows = folder.layer_rows()
    assert [row["layer"] for row in rows if row["step"] == 0] == list(range(1, 8))
    assert all(row["grad_norm"] > 0 for row in rows if row["step"] == 0)


def test_layers_cut_off_on_the_disk_are_mended_from_the_checkpoint(tmp_path: Path) -> None:
    folder = made(tmp_path, diagnosis())
    work(folder.path, tmp_path)
    whole, result = folder.layers.read_bytes(), folder.result()
    folder.layers.write_bytes(whole[:100])

    assert folder.result() is None
    assert "layers.jsonl is not what the run ended with" in str(folder.damage())
    assert work(folder.path, tmp_path) == "done"

    assert folder.layers.read_bytes() == whole
    again = folder.result()
    assert again is not None
    assert result is not None
    assert {**again, "test_images_per_s": 0} == {**result, "test_images_per_s": 0}  # the one time taken anew
