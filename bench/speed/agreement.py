"""Whether the fast path trains to the numbers of a plain one: the same batches through both, seed by seed.

The plain path is written out here: contiguous tensors, fp32, two batch-norm groups a batch, torch's SGD. The fast path
is the suite's own: channels last, and bf16 or torch.compile where asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import mean, stdev

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.data.cifar import Batches, Images, Prepare
from bench.nets.resnet import cifar
from bench.spec import Net, Recipe
from bench.tasks.classify import trainer_of
from bench.train.metrics import evaluate
from bench.train.schedule import rate_at

STEPS, EARLY = 200, 20
RECIPE = Recipe(steps=STEPS, lr=0.02, drops=(100, 150), batch=32, bn_group=16, test_images=2_000)


@dataclass(frozen=True, slots=True)
class Agreement:
    """One seed of one net. early, all: the largest difference of a step's loss in the first 20 and in all steps."""

    net: str
    precision: str
    seed: int
    early: float
    all: float
    fast_error: float
    plain_error: float


def agreements(images: Images, precision: str, compiled: bool, seeds: int = 3) -> Iterator[Agreement]:
    """ResNet-20 and plain-20, seed by seed."""
    for net in (Net("cifar", 20, "A"), Net("cifar", 20, "none")):
        for seed in range(seeds):
            fast, fast_error = _fast(net, images, seed, precision, compiled)
            plain, plain_error = _plain(net, images, seed)
            apart = (fast - plain).abs()
            about = (net.name, precision + " compiled" * compiled, seed)
            yield Agreement(*about, float(apart[:EARLY].max()), float(apart.max()), fast_error, plain_error)


def summary(found: list[Agreement]) -> str:
    """A line a net: differences of losses, and the errors of both paths over the seeds."""
    lines = []
    for net in dict.fromkeys(one.net for one in found):
        part = [one for one in found if one.net == net]
        errors = [[one.fast_error for one in part], [one.plain_error for one in part]]
        fast, plain = (f"{mean(e):.2f} ± {stdev(e) if len(e) > 1 else 0:.2f} %" for e in errors)
        lines.append(
            f"{net}, {part[0].precision}, {len(part)} seeds: losses apart by at most "
            f"{max(o.early for o in part):.1e} in {EARLY} steps and {max(o.all for o in part):.1e} in {STEPS}; "
            f"test error {fast} fast, {plain} plain"
        )
    return "\n".join(lines)


def _stream(images: Images, seed: int) -> Batches:
    return Batches(images, Prepare.of(images.train_x), RECIPE.batch, torch.Generator().manual_seed(seed))


def _test(net: torch.nn.Module, images: Images) -> float:
    used = RECIPE.test_images
    return evaluate(net, Prepare.of(images.train_x), images.test_x[:used], images.test_y[:used]).error


def _fast(net: Net, images: Images, seed: int, precision: str, compiled: bool) -> tuple[Tensor, float]:
    torch.manual_seed(seed)
    recipe = replace(RECIPE, precision=precision)
    trainer = trainer_of(cifar(net.depth, net.shortcut), _stream(images, seed), recipe, compiled=compiled)
    losses = []
    for _ in range(STEPS):
        trainer.update()
        losses.append(trainer.window()["loss"])
    return torch.tensor(losses, dtype=torch.float64), _test(trainer.net, images)


def _plain(net: Net, images: Images, seed: int) -> tuple[Tensor, float]:
    torch.manual_seed(seed)
    built, stream = cifar(net.depth, net.shortcut), _stream(images, seed)
    optimizer = torch.optim.SGD(built.parameters(), RECIPE.lr, RECIPE.momentum, weight_decay=RECIPE.weight_decay)
    losses = []
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = rate_at(step, lr=RECIPE.lr, drops=RECIPE.drops)
        x, y = stream.draw()
        halves = zip(x.contiguous().chunk(2), y.chunk(2), strict=True)
        loss = sum((F.cross_entropy(built(part), label) / 2 for part, label in halves), torch.zeros(()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses, dtype=torch.float64), _test(built, images)
