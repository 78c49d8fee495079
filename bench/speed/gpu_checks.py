"""Checks that this device computes what it should in the ways that runs may train on it; see bench.speed.gpu.

Bits must agree where the same kernels run (a graph and its eager step, two nets side by side and each alone, a training
that was stopped and one that was not); elsewhere tolerances against fp64 are those of one rounding to the type used.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.nets.batch_norm import BatchNorm2d
from bench.nets.resnet import cifar
from bench.spec import Net, Recipe, Way
from bench.speed.timing import wait
from bench.tasks.classification.cifar import Batches, Images, Prefetched, Prepare
from bench.tasks.training import trainer_of
from bench.train.checkpoint import weights_digest
from bench.train.copied_weights import CopiedWeights
from bench.train.grouped_bn import group_batch_norm, grouped
from bench.train.metrics import autocast
from bench.train.trainer import DivergedError, Trainer
from bench.train.turns import Slot, Work

TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 5e-3}  # of fused batch norm against fp64 of the same inputs
SGD_TOLERANCE = 1e-6
MAPS = ((16, 32), (32, 16), (64, 8))  # channels and side of the CIFAR nets' maps
DROP = 6  # the step at which the learning rate falls in the check of resuming


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of a check; `words` say how far apart things are, or what went wrong."""

    name: str
    passed: bool
    words: str


@dataclass(frozen=True, slots=True)
class Bench:
    """What all measurements share: the images on the device, the recipe, and the steps that checks train."""

    images: Images
    recipe: Recipe
    nets: tuple[Net, Net]
    steps: int

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self.images.train_x.device

    @property
    def on_gpu(self) -> bool:
        """Whether that is a CUDA device."""
        return self.device.type == "cuda"

    @property
    def groups(self) -> int:
        """Batch-norm groups of a batch."""
        return self.recipe.batch // self.recipe.bn_group

    def trainer(self, net: Net, way: Way, seed: int = 0, **recipe: Any) -> Trainer:
        """A trainer as a run has it."""
        torch.manual_seed(seed)
        built = cifar(net.depth, net.shortcut).to(self.device)
        batches = Batches(self.images, Prepare.of(self.images.train_x), self.recipe.batch, _seeded(seed))
        return trainer_of(built, Prefetched(batches), replace(self.recipe, **recipe), way)


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def updates(trainer: Trainer, count: int) -> Work[None]:
    """So many updates, with a turn for others after each."""
    for _ in range(count):
        trainer.update()
        yield None


def begun(slot: Slot, make: Callable[[], Trainer], steps: int) -> Trainer:
    """A trainer made in the slot, after so many steps there."""
    with slot.here():
        trainer = make()
    slot.finish(updates(trainer, steps))
    return trainer


def digest(trainer: Trainer) -> str:
    """Of weights and statistics, once the device has done all steps: torch's streams do not wait for each other."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return weights_digest(trainer.net.state_dict())


def checked(name: str, work: Callable[[], str]) -> Check:
    """`work` returns in words what it found; whatever it raises is a check that failed."""
    try:
        return Check(name, True, work())
    except Exception as error:  # whatever a device or a library does wrong: the other ways are still measured
        return Check(name, False, f"{type(error).__name__}: {error}".splitlines()[0])


def fused_batch_norm(bench: Bench) -> str:
    """Against the plain one in fp64, from the same inputs."""
    seconds = _compile_ahead(bench)
    worst = []
    for dtype in TOLERANCES:
        apart = max(_apart(bench, dtype, shape, added) for shape in _shapes(dtype) for added in (False, True))
        worst.append(f"{str(dtype).removeprefix('torch.')} {_within(apart, TOLERANCES[dtype], f'{dtype} is ')}")
    return f"from fp64 at most {', '.join(worst)}; compiled in {seconds:.1f} s"


def _within(apart: float, tolerance: float, what: str = "") -> str:
    """`1.2e-06`. Raises AssertionError above the tolerance."""
    _require(apart <= tolerance, f"{what}{apart:.1e} from fp64, more than {tolerance:g}")
    return f"{apart:.1e}"


def _shapes(dtype: torch.dtype) -> tuple[tuple[int, int], ...]:
    return MAPS if dtype == torch.bfloat16 else MAPS[:1]  # each is compiled anew


def _compile_ahead(bench: Bench) -> float:
    """All kernels that are to be checked; bf16 runs of the CIFAR nets will find theirs compiled."""
    from bench.train.fused_bn import compile_ahead  # here: only CUDA builds of torch bring Triton

    def maps(dtype: torch.dtype) -> list[tuple[int, ...]]:
        return [(bench.recipe.batch, channels, side, side) for channels, side in _shapes(dtype)]

    return sum(compile_ahead(maps(dtype), bench.groups, dtype) for dtype in TOLERANCES)


def _apart(bench: Bench, dtype: torch.dtype, shape: tuple[int, int], with_shortcut: bool) -> float:
    """The largest relative distance of outputs, gradients and running statistics from fp64."""
    channels, side = shape
    torch.manual_seed(0)
    size = (bench.recipe.batch, channels, side, side)
    x, shortcut, dy = (torch.randn(size).to(bench.device, dtype) for _ in range(3))
    found = []
    for kind in (dtype, torch.float64):
        layer = BatchNorm2d(channels).to(bench.device, torch.float32 if kind is dtype else kind)
        if kind is dtype:
            group_batch_norm(layer, bench.groups, fused=True)
        else:
            layer.kernel = partial(grouped, groups=bench.groups)
        inputs = [_channels_last(each.to(kind)).requires_grad_() for each in (x, shortcut)]
        y = layer.kernel(layer, inputs[0], inputs[1] if with_shortcut else None, True)  # type: ignore[misc]
        y.backward(dy.to(kind))
        grads = [each.grad for each in (*inputs, layer.weight, layer.bias) if each.grad is not None]
        found.append([y.detach(), *grads, layer.running_mean, layer.running_var])
    return max(_relative(ours, exact) for ours, exact in zip(*found, strict=True))


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _relative(ours: Tensor | None, exact: Tensor | None) -> float:
    assert ours is not None
    assert exact is not None
    return float((ours.double() - exact).norm() / exact.norm())


def padded_stem(bench: Bench) -> str:
    """Its outputs and the gradient of its weights against fp64, from the same inputs."""
    torch.manual_seed(0)
    n = bench.recipe.batch
    x, dy, w = (torch.randn(size).bfloat16() for size in ((n, 3, 32, 32), (n, 16, 32, 32), (16, 3, 3, 3)))
    stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
    stem.weight = nn.Parameter(_channels_last(w.to(bench.device).float()))
    net = CopiedWeights(stem, padded_stem=True)
    with autocast(bench.device, "bf16"):
        ours = net(_channels_last(x.to(bench.device)))
    ours.backward(dy.to(bench.device))
    exact_w = w.double().requires_grad_()
    exact = F.conv2d(x.double(), exact_w, padding=1)
    exact.backward(dy.double())
    assert stem.weight.grad is not None
    apart = max(_relative(ours.detach().cpu(), exact.detach()), _relative(stem.weight.grad.cpu(), exact_w.grad))
    return f"from fp64 {_within(apart, TOLERANCES[torch.bfloat16])}"


def fused_sgd(bench: Bench) -> str:
    """Three steps of the optimiser against fp64."""
    weights, gradients = torch.randn(1000, generator=_seeded(0)), torch.randn(3, 1000, generator=_seeded(1))
    found = []
    for dtype, fused in ((torch.float32, True), (torch.float64, False)):
        parameter = nn.Parameter(weights.to(bench.device, dtype, copy=True))
        rate = torch.tensor(0.1, device=bench.device) if fused else 0.1
        sgd = torch.optim.SGD([parameter], rate, momentum=0.9, weight_decay=1e-4, fused=fused or None)
        for gradient in gradients:
            parameter.grad = gradient.to(bench.device, dtype)
            sgd.step()
        found.append(parameter.detach())
    return f"from fp64 {_within(_relative(*found), SGD_TOLERANCE)}"


def graph_is_eager(bench: Bench, way: Way) -> str:
    """The same bits step by step and replayed."""
    eager = replace(way, graph=False)
    return _same_bits(bench, bench.steps // 4, *(partial(bench.trainer, way=each) for each in (eager, way)))


def copied_is_autocast(bench: Bench, way: Way) -> str:
    """The same bits from weights copied to bf16 all at once and from those that autocast casts."""

    def trainer(net: Net, *, copied: bool) -> Trainer:
        return replace(bench.trainer(net, way), copied_weights=copied)

    return _same_bits(bench, max(bench.steps // 20, 2), *(partial(trainer, copied=each) for each in (True, False)))


def _same_bits(bench: Bench, steps: int, *kinds: Callable[[Net], Trainer]) -> str:
    """Of both nets, trained in two kinds from the same seed."""
    for net in bench.nets:
        one, other = (digest(begun(Slot(), partial(kind, net), steps)) for kind in kinds)
        _require(one == other, f"{net.name} has other weights after {steps} steps")
    return f"the same bits after {steps} steps of {bench.nets[0].name} and {bench.nets[1].name}"


def together_is_alone(bench: Bench, way: Way) -> str:
    """Two nets, a step of each in turn, and each by itself."""
    steps = bench.steps if way.graph else bench.steps // 4  # eager steps are slow
    makes = [partial(bench.trainer, net, way) for net in bench.nets]
    alone = [digest(begun(Slot(), make, steps)) for make in makes]
    slots = [Slot(), Slot(urgent=True)]
    trainers = [begun(slot, make, 0) for slot, make in zip(slots, makes, strict=True)]
    take_turns([(slot, updates(trainer, steps)) for slot, trainer in zip(slots, trainers, strict=True)])
    for net, trainer, other in zip(bench.nets, trainers, alone, strict=True):
        _require(digest(trainer) == other, f"{net.name} has other weights beside another net, after {steps} steps")
    return f"the same bits after {steps} steps of {bench.nets[0].name} and {bench.nets[1].name}"


def take_turns(work: Sequence[tuple[Slot, Work[None]]]) -> None:
    """Does all of it, a turn of each slot whose device is not too far behind."""
    left = list(work)
    while left:
        for slot, one in [each for each in left if each[0].can_run()]:
            try:
                slot.turn(one)
            except StopIteration:
                left = [each for each in left if each[0] is not slot]


def nan_shows(bench: Bench, way: Way) -> str:
    """NaN weights end the training when the loss is next read."""
    slot = Slot()
    with slot.here():
        trainer = bench.trainer(bench.nets[0], way)
        for _ in range(5):
            trainer.update()
        with torch.no_grad():
            next(iter(trainer.net.parameters())).fill_(float("nan"))
        trainer.update()
        try:
            trainer.window()
        except DivergedError:
            return "NaN weights end the training"
    raise AssertionError("the loss is finite although weights are NaN")


def resumes(bench: Bench, way: Way) -> str:
    """Stopped before a drop of the learning rate and resumed, or not stopped: the same bits."""
    slot, make = Slot(), partial(bench.trainer, bench.nets[0], way, drops=(DROP, 2 * DROP), steps=3 * DROP)
    straight, stopped, resumed = (begun(slot, make, steps) for steps in (3 * DROP, DROP - 1, 0))
    with slot.here():
        wait(bench.device)
        resumed.load_state_dict(_on_cpu(copy.deepcopy(stopped.state_dict())))
    slot.finish(updates(resumed, 2 * DROP + 1))
    _require(digest(straight) == digest(resumed), "a resumed training has other weights than one that was not stopped")
    return f"the same bits across drops of the rate at steps {DROP} and {2 * DROP}"


def _on_cpu(value: Any) -> Any:
    """As a checkpoint is read from disk."""
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {name: _on_cpu(each) for name, each in value.items()}
    return [_on_cpu(each) for each in value] if isinstance(value, list) else value


def _require(fine: bool, words: str) -> None:
    if not fine:
        raise AssertionError(words)
