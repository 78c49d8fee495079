"""A small training on made-up batches, alone or in several processes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.nets.resnet import cifar
from bench.store import Rendezvous
from bench.train.loop import Hooks, train
from bench.train.metrics import evaluate
from bench.train.rendezvous import joined
from bench.train.trainer import Trainer
from bench.train.turns import finish
from tests.builders import SPAWN


class Fixed:
    """A stream of made-up batches that depend on the place in it."""

    batch = 8

    def __init__(self, spoil_at: int = -1) -> None:
        self.place, self.spoil_at = 0, spoil_at

    def draw(self, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(self.place)
        x = torch.randn(8, 3, 32, 32, generator=generator)
        if self.place == self.spoil_at:
            x[0] = float("nan")
        self.place += 1
        return x[part], torch.randint(0, 10, (8,), generator=generator)[part]

    def state_dict(self) -> dict[str, Any]:
        return {"place": self.place}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.place = state["place"]


def trainer(bn_group: int = 8, precision: str = "fp32", spoil_at: int = -1, momentum: float = 0.9) -> Trainer:
    torch.manual_seed(0)
    rate = lambda step: 0.1 if step < 5 else 0.01  # noqa: E731
    return Trainer(cifar(8, "A"), Fixed(spoil_at), rate, momentum, 1e-4, bn_group, precision)


def hooks(stop_after: int = 10**9, saved: list[dict[str, Any]] | None = None) -> Hooks:
    count = iter(range(10**9))
    keep = [] if saved is None else saved
    return Hooks(
        save=lambda t: keep.append(copy.deepcopy(t.state_dict())),
        should_stop=lambda: next(count) + 1 >= stop_after,
        beat=lambda *_, **__: None,
        checkpoint_seconds=1e9,
    )


def run(t: Trainer, steps: int = 9, **options: Any) -> None:
    test: Callable[[], Any] = lambda: evaluate(t.net, lambda x: x.float(), IMAGES, LABELS)  # noqa: E731
    finish(train(t, steps=steps, curve_every=2, test_every=4, test=test, hooks=hooks(**options)))


IMAGES = torch.randint(0, 256, (30, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
LABELS = torch.arange(30) % 10


class Says(nn.Module):
    """Predicts the value of the first pixel."""

    def forward(self, x: Tensor) -> Tensor:
        return F.one_hot(x[:, 0, 0, 0].long(), 10).float() * 50


def member(work: Callable[..., Any], rank: int, size: int, folder: Path, *arguments: Any) -> None:
    """One process of several: what `work` returns goes into the folder."""
    torch.set_num_threads(1)
    with joined(rank, size, Rendezvous(folder / "meeting.json"), lambda: False) as processes:
        torch.save(work(processes, *arguments), folder / f"{rank}.pt")


def in_processes(size: int, work: Callable[..., Any], folder: Path, *arguments: Any) -> list[Any]:
    """What `work(processes, *arguments)` returns in each of `size` processes."""
    folder.mkdir()
    processes = [SPAWN.Process(target=member, args=(work, rank, size, folder, *arguments)) for rank in range(size)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(150)
    assert [process.exitcode for process in processes] == [0] * size
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(size)]
