"""The order in which training sees a set: every image once an epoch, resumable to the bit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Shuffle:
    """An endless stream of indices below `count`: each epoch in a new order, batches running over its end.

    All randomness is `generator`'s; the indices live on its device. Others may draw from it between two batches.
    """

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self.count, self.generator = count, generator
        self._start_epoch()

    def _start_epoch(self) -> None:
        self._epoch_state = self.generator.get_state()
        self._order = torch.randperm(self.count, generator=self.generator, device=self.generator.device)
        self._next = 0

    def draw(self, batch: int) -> Tensor:
        """The next `batch` indices, int64."""
        parts, missing = [], batch
        while missing:
            part = self._order[self._next : self._next + missing]
            parts.append(part)
            missing -= len(part)
            self._next += len(part)
            if self._next == len(self._order):
                self._start_epoch()
        return torch.cat(parts)

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is: the epoch's order is drawn again from the generator's state at its start."""
        return {"epoch": self._epoch_state.cpu(), "now": self.generator.get_state().cpu(), "next": self._next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes where `state` was taken. Generator states live on the CPU, whatever device they drive."""
        self.generator.set_state(state["epoch"].cpu())
        self._start_epoch()
        self._next = state["next"]
        self.generator.set_state(state["now"].cpu())
