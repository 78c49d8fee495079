"""Whether the fast path trains to the numbers of a plain one: the same batches through both, seed by seed.

The plain path is written out here: contiguous tensors, two batch-norm groups a batch, torch's SGD. The fast path is the
suite's own: channels last, and bf16 or torch.compile where asked. Both are one algorithm, but training multiplies each
rounding, some thirty times a step at the start, so that even fp64 losses differ after ten steps: how far rounding alone
takes the plain path is measured with one thread against all. A single step of both from the same weights, at the start
and throughout the training, does tell one algorithm from another.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.nets.resnet import cifar
from bench.report.numbers import mean_std, signed
from bench.report.stats import sample
from bench.spec import Net, Recipe, Way, counted
from bench.spec.schedule import rate_at
from bench.tasks.classification.cifar import Batches, Images, Prepare
from bench.tasks.training import trainer_of
from bench.train.metrics import evaluate
from bench.train.trainer import Trainer
from bench.train.turns import finish

STEPS, EARLY = 200, 20
CHECKED = (*range(EARLY), *range(EARLY, STEPS, 20))  # steps that both paths make from the same weights
RECIPE = Recipe(steps=STEPS, lr=0.02, drops=(100, 150), batch=32, bn_group=16, test_images=2_000)


@dataclass(frozen=True, slots=True)
class Agreement:
    """One seed of one net: largest differences between the paths, and both test errors in percent.

    loss, update, statistics: in single steps from the plain path's weights, of the loss, and of the changes of all
    weights and of batch norm's running statistics relative to their length (2-norm).
    exact: of the losses of the first 20 steps in fp64. early, all: of the first 20 and of all steps at the precision
    asked for. itself: of the first 20 steps of the plain path in fp32, with one thread against all.
    """

    net: str
    precision: str
    seed: int
    loss: float
    update: float
    statistics: float
    exact: float
    early: float
    itself: float
    all: float
    fast_error: float
    plain_error: float


def agreements(images: Images, precision: str, compiled: bool, seeds: int = 3) -> Iterator[Agreement]:
    """ResNet-20 and plain-20, seed by seed."""
    for net in (Net("cifar", 20, "A"), Net("cifar", 20, "none")):
        for seed in range(seeds):
            exact = _fast(net, images, seed, "fp32", torch.double), _Plain(net, images, seed, torch.double)
            fast, plain = _fast(net, images, seed, precision, compiled=compiled), _Plain(net, images, seed)
            fast_losses = [_step(fast) for _ in range(STEPS)]
            plain_losses, apart = _train_beside(plain, _fast(net, images, seed, precision, compiled=compiled))
            loss, update, statistics = torch.tensor(apart, dtype=torch.float64).amax(0).tolist()
            yield Agreement(
                net=net.name,
                precision=precision + " compiled" * compiled,
                seed=seed,
                loss=loss,
                update=update,
                statistics=statistics,
                exact=_apart([_step(exact[0]) for _ in range(EARLY)], [exact[1].step() for _ in range(EARLY)]),
                early=_apart(fast_losses[:EARLY], plain_losses),
                itself=_apart(_early_losses_of_one_thread(net, images, seed), plain_losses),
                all=_apart(fast_losses, plain_losses),
                fast_error=_test(fast.net, images),
                plain_error=_test(plain.net, images),
            )


def _apart(losses: Sequence[float], others: Sequence[float]) -> float:
    differences = [a - b for a, b in zip(losses, others, strict=False)]
    return float(torch.tensor(differences, dtype=torch.float64).abs().max())


def summary(found: list[Agreement]) -> str:
    """Four lines a net: differences of single steps and of losses, and the errors of both paths over the seeds."""
    lines = []
    for net in dict.fromkeys(one.net for one in found):
        part = [one for one in found if one.net == net]
        paths = sample([one.fast_error for one in part]), sample([one.plain_error for one in part])
        fast, plain = (mean_std(path.mean, path.std, path.n) for path in paths)
        apart = sample([one.fast_error - one.plain_error for one in part])  # from the same seeds
        interval = f" (95 % {signed(of.low)} to {signed(of.high)})" if (of := apart.interval) else ""
        names = ("loss", "update", "statistics", "exact", "early", "itself", "all")
        most = {name: f"{max(getattr(one, name) for one in part):.1e}" for name in names}
        lines += [
            f"{net}, {part[0].precision}, {counted(len(part), 'seed')}:",
            f"  one step from the same weights, {len(CHECKED)} times in {STEPS} steps: losses apart by at most "
            f"{most['loss']}, updates by {most['update']} of their length, those of batch norm's statistics by "
            f"{most['statistics']}",
            f"  {EARLY} steps one after the other: losses apart by at most {most['exact']} in fp64, {most['early']} as "
            f"asked (the plain path from itself, with one thread: {most['itself']}); {STEPS} steps: {most['all']}",
            f"  test error in % (n): {fast} fast, {plain} plain: {signed(apart.mean)} points{interval}",
        ]
    return "\n".join(lines)


class _Stream(Batches):
    """The suite's own, its inputs in another type."""

    def __init__(self, images: Images, seed: int, dtype: torch.dtype) -> None:
        super().__init__(images, Prepare.of(images.train_x), RECIPE.batch, torch.Generator().manual_seed(seed))
        self.dtype = dtype

    def draw(self, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """See Batches."""
        x, y = super().draw(part)
        return x.to(self.dtype), y


def _fast(
    net: Net, images: Images, seed: int, precision: str, dtype: torch.dtype = torch.float, *, compiled: bool = False
) -> Trainer:
    torch.manual_seed(seed)
    built, stream = cifar(net.depth, net.shortcut).to(dtype), _Stream(images, seed, dtype)
    return trainer_of(built, stream, replace(RECIPE, precision=precision), Way(compile=compiled))


def _step(fast: Trainer) -> float:
    """One update; its loss."""
    fast.update()
    return fast.window()["loss"]


class _Plain:
    """The plain path."""

    def __init__(self, net: Net, images: Images, seed: int, dtype: torch.dtype = torch.float) -> None:
        torch.manual_seed(seed)
        self.net, self.stream, self.steps = cifar(net.depth, net.shortcut).to(dtype), _Stream(images, seed, dtype), 0
        decay = RECIPE.weight_decay
        self.optimizer = torch.optim.SGD(self.net.parameters(), RECIPE.lr, RECIPE.momentum, weight_decay=decay)

    def step(self) -> float:
        """One update; its loss."""
        self.optimizer.param_groups[0]["lr"] = rate_at(self.steps, lr=RECIPE.lr, drops=RECIPE.drops)
        x, y = self.stream.draw()
        halves = zip(x.contiguous().chunk(2), y.chunk(2), strict=True)
        loss = sum((F.cross_entropy(self.net(part), label) / 2 for part, label in halves), torch.zeros(()))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        return loss.item()


def _early_losses_of_one_thread(net: Net, images: Images, seed: int) -> list[float]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    plain = _Plain(net, images, seed)
    losses = [plain.step() for _ in range(EARLY)]
    torch.set_num_threads(threads)
    return losses


def _train_beside(plain: _Plain, fast: Trainer) -> tuple[list[float], list[tuple[float, float, float]]]:
    """Trains the plain path, and makes its CHECKED steps by the fast one, too, from the same weights.

    Returns the plain losses and how far each of those steps is apart: loss, update, statistics.
    """
    losses, apart = [], []
    for step in range(STEPS):
        if step not in CHECKED:
            losses.append(plain.step())
            continue
        before = [_flat(values) for values in _parts(plain.net)]
        fast.net.load_state_dict(plain.net.state_dict())
        fast.optimizer.load_state_dict(copy.deepcopy(plain.optimizer.state_dict()))
        fast.batches.load_state_dict(plain.stream.state_dict())
        fast.step = step
        fast_loss = _step(fast)
        losses.append(plain.step())
        ours, theirs = (
            [_flat(values) - old for values, old in zip(_parts(net), before, strict=True)]
            for net in (fast.net, plain.net)
        )
        update, statistics = (float((a - b).norm() / b.norm()) for a, b in zip(ours, theirs, strict=True))
        apart.append((abs(fast_loss - losses[-1]), update, statistics))
    return losses, apart


def _parts(net: nn.Module) -> tuple[Iterable[Tensor], Iterable[Tensor]]:
    """Weights, and running statistics."""
    return net.parameters(), (value for name, value in net.named_buffers() if "running" in name)


def _flat(values: Iterable[Tensor]) -> Tensor:
    return torch.cat([value.detach().double().reshape(-1) for value in values])


def _test(net: nn.Module, images: Images) -> float:
    used, net = RECIPE.test_images, net.float()
    return finish(evaluate(net, Prepare.of(images.train_x), images.test_x[:used], images.test_y[:used])).error
