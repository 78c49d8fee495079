"""The fused batch norm against fp64; as a program, in Triton's interpreter: it prints what test_fused_bn.py judges.

The interpreter has to be chosen before Triton is imported, hence a process of its own.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.nets.batch_norm import BatchNorm2d
from bench.nets.resnet import cifar
from bench.train.grouped_bn import group_batch_norm, grouped


@dataclass(frozen=True)
class Case:
    """A map and how it is normalised; groups of `images`."""

    channels: int
    side: int
    groups: int
    shortcut: bool = True
    relu: bool = True
    precision: str = "fp32"
    images: int = 2

    def map(self) -> Tensor:
        """Made-up values, channels last, whose mean is not 0."""
        shape = (self.groups * self.images, self.side, self.side, self.channels)
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        return (torch.randn(shape) * 2 + 0.7).to(dtype).permute(0, 3, 1, 2)


CASES = (
    *(Case(16, 16, groups, shortcut=groups != 2) for groups in (1, 2, 4)),
    *(Case(32, 8, groups, shortcut=groups == 2) for groups in (1, 2, 4)),
    *(Case(64, 8, groups, shortcut=groups != 2) for groups in (1, 2, 4)),
    Case(32, 8, 2, relu=False),
    Case(64, 8, 2, shortcut=False, relu=False),
    Case(20, 5, 2, images=7),
    Case(3, 5, 8),
    Case(80, 5, 2),
    Case(512, 7, 2, images=1),
    Case(1024, 14, 1, images=1),
    Case(2048, 7, 1, images=1),
    Case(16, 16, 2, precision="bf16"),
    Case(64, 8, 2, shortcut=False, precision="bf16"),
    Case(512, 7, 1, precision="bf16", images=1),
)


def layer_of(channels: int) -> BatchNorm2d:
    """A layer whose parameters and statistics are not the ones that it starts from."""
    layer = BatchNorm2d(channels)
    with torch.no_grad():
        layer.weight.uniform_(0.5, 1.5)
        layer.bias.normal_(0, 0.3)
    assert layer.running_mean is not None
    layer.running_mean.normal_()
    return layer


def outcome(layer: BatchNorm2d, case: Case, x: Tensor, shortcut: Tensor | None, dy: Tensor) -> dict[str, Tensor]:
    """What a pass forward and backward makes of the maps with the layer's kernel."""
    assert layer.kernel is not None
    x = x.clone().requires_grad_()
    shortcut = None if shortcut is None else shortcut.clone().requires_grad_()
    y = layer.kernel(layer, x, shortcut, case.relu)
    y.backward(dy)
    made = {"y": y.detach(), "dx": x.grad, "dweight": layer.weight.grad, "dbias": layer.bias.grad}
    made |= {"running mean": layer.running_mean, "running variance": layer.running_var}
    made |= {"dshortcut": shortcut.grad} if shortcut is not None else {}
    return {name: value for name, value in made.items() if value is not None}


def both(case: Case, x: Tensor, shortcut: Tensor | None, dtype: torch.dtype) -> list[dict[str, Tensor]]:
    """The outcome of the fused kernel, then of the plain one in `dtype`."""
    plain = layer_of(case.channels).to(x.device)
    fused, dy = copy.deepcopy(plain), case.map().to(x.device)
    group_batch_norm(fused, case.groups, fused=True)
    plain = plain.to(dtype)
    plain.kernel = lambda layer, x, shortcut, relu: grouped(layer, x, shortcut, relu, groups=case.groups)
    wide = None if shortcut is None else shortcut.to(dtype)
    return [outcome(fused, case, x, shortcut, dy), outcome(plain, case, x.to(dtype), wide, dy.to(dtype))]


def distance(a: Tensor, b: Tensor) -> float:
    """Relative, by the Euclidean norm."""
    return float((a.double() - b.double()).norm() / b.double().norm())


def errors(case: Case, device: str = "cpu") -> dict[str, float]:
    """The distance of everything that the fused kernel makes from fp64 on the same inputs."""
    torch.manual_seed(0)
    x, shortcut = case.map().to(device), case.map().to(device)
    fused, exact = both(case, x, shortcut if case.shortcut else None, torch.float64)
    assert fused["y"].is_contiguous(memory_format=torch.channels_last)
    assert all(fused[name].dtype == x.dtype for name in ("y", "dx"))
    return {name: distance(fused[name], exact[name]) for name in exact}


def spoilt(which: str) -> dict[str, bool]:
    """One NaN in the map or its shortcut: whether each outcome is as the plain one's, and what is NaN in y."""
    torch.manual_seed(0)
    case = Case(16, 5, 2)
    maps = {"x": case.map(), "shortcut": case.map()}
    maps[which][1, 3, 2, 1] = float("nan")
    fused, plain = both(case, maps["x"], maps["shortcut"], torch.float32)
    like = {name: torch.allclose(fused[name], plain[name], 1e-4, 1e-5, equal_nan=True) for name in plain}
    expected = torch.zeros_like(fused["y"], dtype=torch.bool)
    place = (slice(0, 2), 3) if which == "x" else (1, 3, 2, 1)
    expected[place] = True
    return {**like, "NaN where it should be": bool((fused["y"].isnan() == expected).all())}


def trained(*, fused: bool, steps: int = 3) -> Tensor:
    """The parameters and statistics of a little net after some steps of two groups."""
    torch.manual_seed(0)
    net = cifar(8, "B").to(memory_format=torch.channels_last)
    group_batch_norm(net, 2, fused=fused)
    optimizer = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(torch.randn(4, 3, 8, 8)), torch.arange(4)).backward()
        optimizer.step()
    return torch.cat([value.flatten().double() for value in net.state_dict().values()]).detach()


def main() -> None:
    from bench.train import bn_kernels, fused_bn

    assert bn_kernels.INTERPRETED
    torch.set_num_threads(1)
    fused_bn.FEW = 32  # few programs with several chunks each, as large maps have
    wide = [case for case in CASES if case.channels > 64]
    found = {repr(case): errors(case) for case in wide}
    fused_bn.FEW = 2
    found |= {repr(case): errors(case) for case in CASES if case not in wide}
    nan = {which: spoilt(which) for which in ("x", "shortcut")}
    away = distance(trained(fused=True), trained(fused=False))
    print(json.dumps({"errors": found, "nan": nan, "trained": away}))


if __name__ == "__main__":
    main()
