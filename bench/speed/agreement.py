"""Whether the fast path trains to the numbers of a plain one: the same batches through both, seed by seed.

The plain path is written out here: contiguous tensors, two batch-norm groups a batch, torch's SGD. The fast path is the
suite's own: channels last, and bf16 or torch.compile where asked. The two are one algorithm, but training multiplies
each rounding, some thirty times a step at the start, so that after ten steps even fp64 may be anywhere: how far that
alone carries the plain path from itself is measured with one thread against all. What tells one algorithm from another
is a single step of both from the same weights, at the start and all along the training.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import mean, stdev

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.nets.resnet import cifar
from bench.report.stats import contrast, sample
from bench.report.tables import low_to_high, signed
from bench.spec import Net, Recipe, Way, counted
from bench.tasks.classification.cifar import Batches, Images, Prepare
from bench.tasks.training import trainer_of
from bench.train.metrics import evaluate
from bench.train.schedule import rate_at
from bench.train.turns import finish

STEPS, EARLY = 200, 20
CHECKED = (*range(EARLY), *range(EARLY, STEPS, 20))  # steps that both paths make from the same weights
RECIPE = Recipe(steps=STEPS, lr=0.02, drops=(100, 150), batch=32, bn_group=16, test_images=2_000)


@dataclass(frozen=True, slots=True)
class Agreement:
    """One seed of one net: largest differences of a step's loss, and both paths' test errors in percent.

    loss, update, statistics: of single steps from the plain path's weights: the largest difference of the loss, and of
    the changes of all weights and of batch norm's running statistics, relative to their length (2-norm).
    exact: in the first 20 steps in fp64. early, all: in the first 20 and in all steps at the precision asked for.
    itself: in the first 20 steps of the plain path in fp32, with one thread against all.
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
            doubles = (
                _fast(net, images, seed, "fp32", EARLY, torch.double)[0],
                _plain(net, images, seed, EARLY, torch.double)[0],
            )
            fast, fast_error = _fast(net, images, seed, precision, STEPS, compiled=compiled)
            shadow = _Shadow(net, images, seed, precision, compiled=compiled)
            plain, plain_error = _plain(net, images, seed, STEPS, shadow=shadow)
            with _one_thread():
                alone, _ = _plain(net, images, seed, EARLY)
            yield Agreement(
                net=net.name,
                precision=precision + " compiled" * compiled,
                seed=seed,
                loss=shadow.loss,
                update=shadow.update,
                statistics=shadow.statistics,
                exact=_apart(*doubles),
                early=_apart(fast[:EARLY], plain[:EARLY]),
                itself=_apart(alone, plain[:EARLY]),
                all=_apart(fast, plain),
                fast_error=fast_error,
                plain_error=plain_error,
            )


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def summary(found: list[Agreement]) -> str:
    """A line a net: differences of single steps and of losses, and the errors of both paths over the seeds."""
    lines = []
    for net in dict.fromkeys(one.net for one in found):
        part = [one for one in found if one.net == net]
        errors = [[one.fast_error for one in part], [one.plain_error for one in part]]
        fast, plain = (f"{mean(e):.2f} ± {stdev(e) if len(e) > 1 else 0:.2f} %" for e in errors)
        apart = contrast([sample(e) for e in errors], [1, -1])
        names = ("loss", "update", "statistics", "exact", "early", "itself", "all")
        most = {name: max(getattr(o, name) for o in part) for name in names}
        lines += [
            f"{net}, {part[0].precision}, {counted(len(part), 'seed')}:",
            f"  one step from the same weights, {len(CHECKED)} times in {STEPS} steps: losses apart by at most "
            f"{most['loss']:.1e}, updates by {most['update']:.1e} of their length, those of batch norm's statistics by "
            f"{most['statistics']:.1e}",
            f"  {EARLY} steps one after the other: losses apart by at most {most['exact']:.1e} in fp64, "
            f"{most['early']:.1e} as asked (the plain path from itself, with one thread: {most['itself']:.1e}); "
            f"{STEPS} steps: {most['all']:.1e}",
            f"  test error {fast} fast, {plain} plain: {signed(apart.effect)} points ({low_to_high(apart.interval())})",
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


def _test(net: torch.nn.Module, images: Images) -> float:
    used, net = RECIPE.test_images, net.float()
    return finish(evaluate(net, Prepare.of(images.train_x), images.test_x[:used], images.test_y[:used])).error


class _Shadow:
    """The fast path, put on the plain path's weights before a step and held against it after."""

    def __init__(self, net: Net, images: Images, seed: int, precision: str, *, compiled: bool) -> None:
        built = cifar(net.depth, net.shortcut)
        self.stream = _Stream(images, seed, torch.float)
        self.trainer = trainer_of(built, self.stream, replace(RECIPE, precision=precision), Way(compile=compiled))
        self.loss = self.update = self.statistics = 0.0

    def step(self, plain: torch.nn.Module, optimizer: torch.optim.Optimizer, stream: _Stream, step: int) -> None:
        """The update that the plain path is about to make."""
        self.before = [_flat(values) for values in _parts(plain)]
        self.trainer.net.load_state_dict(plain.state_dict())
        self.trainer.optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        self.stream.load_state_dict(stream.state_dict())
        self.trainer.step = step
        self.trainer.update()

    def compare(self, plain: torch.nn.Module, loss: float) -> None:
        """After the plain path has made it, too."""
        apart = []
        for before, own, other in zip(self.before, _parts(self.trainer.net), _parts(plain), strict=True):
            ours, theirs = _flat(own) - before, _flat(other) - before
            apart.append(float((ours - theirs).norm() / theirs.norm()))
        self.loss = max(self.loss, abs(self.trainer.window()["loss"] - loss))
        self.update, self.statistics = max(self.update, apart[0]), max(self.statistics, apart[1])


def _parts(net: torch.nn.Module) -> tuple[Iterable[Tensor], Iterable[Tensor]]:
    """Weights, and running statistics."""
    return net.parameters(), (value for name, value in net.named_buffers() if "running" in name)


def _flat(values: Iterable[Tensor]) -> Tensor:
    return torch.cat([value.detach().double().reshape(-1) for value in values])


def _fast(
    net: Net,
    images: Images,
    seed: int,
    precision: str,
    steps: int,
    dtype: torch.dtype = torch.float,
    *,
    compiled: bool = False,
) -> tuple[Tensor, float]:
    torch.manual_seed(seed)
    recipe = replace(RECIPE, precision=precision)
    built = cifar(net.depth, net.shortcut).to(dtype)
    trainer = trainer_of(built, _Stream(images, seed, dtype), recipe, Way(compile=compiled))
    losses = []
    for _ in range(steps):
        trainer.update()
        losses.append(trainer.window()["loss"])
    return torch.tensor(losses, dtype=torch.float64), _test(trainer.net, images)


def _plain(
    net: Net,
    images: Images,
    seed: int,
    steps: int,
    dtype: torch.dtype = torch.float,
    shadow: _Shadow | None = None,
) -> tuple[Tensor, float]:
    torch.manual_seed(seed)
    built, stream = cifar(net.depth, net.shortcut).to(dtype), _Stream(images, seed, dtype)
    optimizer = torch.optim.SGD(built.parameters(), RECIPE.lr, RECIPE.momentum, weight_decay=RECIPE.weight_decay)
    losses = []
    for step in range(steps):
        if shadow and step in CHECKED:
            shadow.step(built, optimizer, stream, step)
        optimizer.param_groups[0]["lr"] = rate_at(step, lr=RECIPE.lr, drops=RECIPE.drops)
        x, y = stream.draw()
        halves = zip(x.contiguous().chunk(2), y.chunk(2), strict=True)
        loss = sum((F.cross_entropy(built(part), label) / 2 for part, label in halves), torch.zeros(()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if shadow and step in CHECKED:
            shadow.compare(built, losses[-1])
    return torch.tensor(losses, dtype=torch.float64), _test(built, images)
