"""The stream of training batches of pictures: read, decoded and cropped by workers, normalised on the device.

What is at a place of the stream follows from the seed and the place alone: each epoch is a permutation of its own,
each picture's view comes from a generator of its own. So the number of workers changes nothing, and the state is one
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
from bench.tasks.classification.imagenet.colour import keyed
from bench.tasks.classification.imagenet.files import Pictures
from bench.tasks.classification.imagenet.transforms import View

Drawn = tuple[Tensor, Tensor, Tensor, list[tuple[int, tuple[str, ...]]]]  # views, labels, shifts, odd pictures


class _Stream(Dataset[Drawn | DataError]):
    """The batches by the place of their first picture; what a worker holds."""

    def __init__(self, pictures: Pictures, view: View, batch: int, seed: int, own: slice) -> None:
        self.pictures, self.view, self.batch, self.seed, self.own = pictures, view, batch, seed, own

    def numbers(self, first: int) -> list[int]:
        """The pictures of the batch at place `first`."""
        n = len(self.pictures)
        return [int(_order(self.seed, n, place // n)[place % n]) for place in range(first, first + self.batch)]

    def __getitem__(self, first: int) -> Drawn | DataError:
        try:
            return self._make(first)
        except DataError as error:
            return error  # raised in a worker it would arrive as a page of traceback

    def _make(self, first: int) -> Drawn:
        numbers, side = self.numbers(first), self.view.crop.side
        views = torch.zeros((self.batch, side, side, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
        shifts, odd = torch.zeros(self.batch, 3), []
        for k in range(self.batch)[self.own]:
            picture, kinds = decode(self.pictures.read(numbers[k]), self.pictures.name(numbers[k]))
            views[k], shifts[k] = self.view.draw(picture, keyed(self.seed, first + k))
            if kinds:
                odd.append((numbers[k], kinds))
        return views, torch.from_numpy(self.pictures.labels[numbers]), shifts, odd


@lru_cache(maxsize=2)  # a batch can run over an epoch's end
def _order(seed: int, n: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(n)


class PictureBatches:
    """An endless stream of augmented batches of `pictures`, as bench.train.trainer.Batches wants it.

    Every picture comes once an epoch, batches running over its end. workers: processes that prepare batches ahead,
    0 for none; they end with this object, with `close()`, and with the process that made them.
    device: where the inputs are to be; they travel there as uint8. own: the pictures of each batch that are wanted
    here; the others are not even read and stay blank, their labels are right.
    """

    def __init__(
        self,
        pictures: Pictures,
        view: View,
        batch: int,
        seed: int,
        workers: int = 0,
        *,
        device: torch.device | None = None,
        own: slice = slice(None),
    ) -> None:
        if batch < 1 or workers < 0 or not len(pictures) or not 0 <= seed < 2**64:
            raise ValueError(
                f"batches of {batch} from {len(pictures):,} pictures with {workers} workers and seed {seed}: need at "
                "least one picture a batch and in the set, no negative number of workers, a seed of 64 bits"
            )
        self.position, self.batch = 0, batch
        self.oddities = Oddities()
        self.pictures, self.view, self.workers = pictures, view, workers
        self.device = device or torch.device("cpu")
        self._stream = _Stream(pictures, view, batch, seed, own)
        self._ahead: Iterator[Drawn | DataError] | None = None

    def draw(self, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """The next inputs (batch, 3, S, S) float32, channels last, and labels (batch,) int64, on the device.

        Or `part` of them, which has to lie in `own`.
        Raises DataError naming a picture that cannot be read or decoded.
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
            self.oddities.add(number, kinds)
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
            collate_fn=_as_it_is,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # the loader draws a seed, which must not be one of the run's
        )
        with warnings.catch_warnings():  # Python 3.12 warns of forks beside threads: the workers use none of ours
            warnings.simplefilter("ignore", DeprecationWarning)
            return iter(loader)

    def odd(self) -> dict[str, Any]:
        """The odd pictures drawn so far: `{"grey": n, "cmyk": n, …, "names of truncated": […]}`."""
        return self.oddities.summary(self.pictures.names)

    def close(self) -> None:
        """Ends the workers; the next draw starts new ones at the same place."""
        self._ahead = None

    def state_dict(self) -> dict[str, Any]:
        """The place in the stream, in pictures, and the odd ones met."""
        return {"position": self.position, "of": self._identity(), "odd": self.oddities.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken, within an epoch too. Raises ValueError for the state of another stream."""
        if state["of"] != self._identity():
            raise ValueError(f"the state of the stream {state['of']} does not fit {self._identity()}")
        self.close()
        self.position = state["position"]
        self.oddities.load_state_dict(state["odd"])

    def _identity(self) -> dict[str, int]:
        return {"pictures": len(self.pictures), "batch": self.batch, "seed": self._stream.seed}


def _as_it_is(drawn: Any) -> Any:
    return drawn
