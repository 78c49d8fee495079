"""The stream of training batches of images: read, decoded and cropped by workers, normalised on the device.

What is at a place of the stream follows from the seed and the place alone: each epoch is a permutation of its own,
each image's view comes from a generator of its own. So the number of workers changes nothing, and the state is one
number.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bench.data.decode import Oddities, decode
from bench.data.locate import DataError
from bench.tasks.classification.imagenet.files import ImageFiles
from bench.tasks.classification.imagenet.transforms import View, keyed

Drawn = tuple[Tensor, Tensor, Tensor, list[tuple[int, tuple[str, ...]]]]  # views, labels, shifts, odd images


class _Stream(Dataset[Drawn | DataError]):
    """The batches by the place of their first image; what a worker holds."""

    def __init__(self, images: ImageFiles, view: View, batch: int, seed: int, own: slice) -> None:
        self.images, self.view, self.batch, self.seed, self.own = images, view, batch, seed, own

    def numbers(self, first: int) -> list[int]:
        """The images of the batch at place `first`."""
        n = len(self.images)
        return [int(_order(self.seed, n, place // n)[place % n]) for place in range(first, first + self.batch)]

    def __getitem__(self, first: int) -> Drawn | DataError:
        numbers, side = self.numbers(first), self.view.crop.side
        views = torch.zeros((self.batch, side, side, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
        shifts, odd = torch.zeros(self.batch, 3), []
        for k in range(self.batch)[self.own]:
            try:
                image, kinds = decode(self.images.read(numbers[k]), self.images.name(numbers[k]))
            except DataError as error:
                return error  # raised in a worker it would arrive as a page of traceback
            views[k], shifts[k] = self.view.draw(image, keyed(self.seed, first + k))
            if kinds:
                odd.append((numbers[k], kinds))
        return views, torch.from_numpy(self.images.labels[numbers]), shifts, odd


@lru_cache(maxsize=2)  # a batch can run over an epoch's end
def _order(seed: int, n: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(n)


class ImageBatches:
    """An endless stream of augmented batches of `images`, as bench.train.trainer.Batches wants it.

    Every image comes once an epoch, batches running over its end. workers: processes that prepare batches ahead, 0 for
    none; they end with this object, with `close()`, and with the process that made them.
    device: where the inputs are to be; they travel there as uint8. own: the images of each batch that are wanted here;
    the others are not even read and stay blank, their labels are right.
    """

    def __init__(
        self,
        images: ImageFiles,
        view: View,
        batch: int,
        seed: int,
        workers: int = 0,
        *,
        device: torch.device | None = None,
        own: slice = slice(None),
    ) -> None:
        self.position, self.batch = 0, batch
        self.odd = Oddities()
        self.images, self.view, self.workers = images, view, workers
        self.device = device or torch.device("cpu")
        self._stream = _Stream(images, view, batch, seed, own)
        self._ahead: Iterator[Drawn | DataError] | None = None

    def draw(self, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """The next inputs (batch, 3, S, S) float32, channels last, and labels (batch,) int64, on the device.

        Or `part` of them, which has to lie in `own`. Raises DataError naming an image that cannot be read or decoded.
        """
        if self._ahead is None:
            self._ahead = self._start()
        drawn = next(self._ahead)
        if isinstance(drawn, DataError):
            self.close()
            raise drawn
        views, labels, shifts, odd = drawn
        self.position += self.batch
        for number, kinds in odd:
            self.odd.add(number, kinds)
        views, labels, shifts = (t[part].to(self.device, non_blocking=True) for t in (views, labels, shifts))
        return self.view.normalise(views, None if self.view.colours is None else shifts), labels

    def _start(self) -> Iterator[Drawn | DataError]:
        places = itertools.count(self.position, self.batch)
        if not self.workers:
            return map(self._stream.__getitem__, places)
        loader = DataLoader(
            self._stream,
            batch_size=None,
            sampler=places,
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # the loader draws a seed, which must not be one of the run's
        )
        with warnings.catch_warnings():  # Python 3.12 warns of forks beside threads: the workers use none of ours
            warnings.simplefilter("ignore", DeprecationWarning)
            return iter(loader)

    def close(self) -> None:
        """Ends the workers; the next draw starts new ones at the same place."""
        self._ahead = None

    def state_dict(self) -> dict[str, Any]:
        """The place in the stream, in images, and the odd ones met."""
        return {"position": self.position, "odd": self.odd.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes where `state` was taken, within an epoch too."""
        self.close()
        self.position = state["position"]
        self.odd.load_state_dict(state["odd"])
