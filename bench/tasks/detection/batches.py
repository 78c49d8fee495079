"""A stream of detection batches: images from disk, half of them mirrored, as Fast and Faster R-CNN train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench.data.locate import DataError
from bench.tasks.detection.annotations import Annotated

Targets = list[dict[str, Tensor]]


def mirrored(image: Tensor, target: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """(3, H, W) and its target with left and right exchanged."""
    width = image.shape[2]
    x1, y1, x2, y2 = target["boxes"].unbind(1)
    return image.flip(2), {**target, "boxes": torch.stack((width - x2, y1, width - x1, y2), 1)}


class DetectionBatches:
    """An endless stream: each epoch in a new order, batches running over its end; every image once an epoch.

    images: those with a box (`DetectionSet.trainable`). All randomness is the generator's, which lives on the CPU.
    device: where what is drawn lies. Raises DataError where there is nothing to train on.
    """

    def __init__(
        self,
        images: Sequence[Annotated],
        batch: int,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> None:
        if not images:
            raise DataError("no image has a box to train on: look at the set's summary for what was dropped")
        self.images, self.batch, self.generator, self.device = images, batch, generator, device
        self._start_epoch()

    def _start_epoch(self) -> None:
        self._epoch_state = self.generator.get_state()
        n = len(self.images)
        self._order = torch.randperm(n, generator=self.generator).tolist()
        self._mirror = torch.randint(0, 2, (n,), generator=self.generator).tolist()
        self._next = 0

    def draw(self, part: slice = slice(None)) -> tuple[list[Tensor], Targets]:
        """The next images, each (3, H, W) float32 RGB in [0, 1], and their targets, all on the device.

        part: which of the batch are read and returned; the stream moves on by a batch.
        """
        chosen = [self._one() for _ in range(self.batch)][part]
        pairs = [self._read(source, mirror=mirror) for source, mirror in chosen]
        return [image for image, _ in pairs], [target for _, target in pairs]

    def _one(self) -> tuple[Annotated, bool]:
        """The next image, and whether it is mirrored."""
        if self._next == len(self._order):
            self._start_epoch()
        place, self._next = self._next, self._next + 1
        return self.images[self._order[place]], bool(self._mirror[place])

    def _read(self, source: Annotated, *, mirror: bool) -> tuple[Tensor, dict[str, Tensor]]:
        image = source.pixels().to(self.device).float() / 255
        target = {name: value.to(self.device) for name, value in source.target().items()}
        return mirrored(image, target) if mirror else (image, target)

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is: an epoch's order is drawn again from the generator's state at its start."""
        return {"epoch": self._epoch_state, "now": self.generator.get_state(), "next": self._next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes where `state` was taken."""
        self.generator.set_state(state["epoch"].cpu())
        self._start_epoch()
        self._next = state["next"]
        self.generator.set_state(state["now"].cpu())
