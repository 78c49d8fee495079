"""Sets of faces: people to train on, pairs to verify, that they share nobody, and batches (uint8, on the device).

Read by `folders` (identities, LFW) and `packed` (insightface).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bench.data.locate import DataError
from bench.data.shuffle import Shuffle
from bench.spec import counted
from bench.tasks.verification.images import OnDisk, Pictures, grey


@dataclass(frozen=True, slots=True)
class People:
    """A training set: pictures `x` (N, 3, H, W) uint8 and whose they are, `y` (N,) int64, an index into `names`.

    digest: SHA-256 of pictures (as encoded, where they stay on disk), labels and names.
    grey: pictures that are grey-scale, made RGB; None where they stay on disk.
    few: people left out for too few pictures. absent: people asked for of whom there is no picture.
    """

    x: Pictures
    y: Tensor
    names: tuple[str, ...]
    digest: str
    grey: int | None
    few: int = 0
    absent: int = 0
    notice: str = ""

    def to(self, device: torch.device) -> People:
        """The same set on `device`; pictures on disk stay there."""
        x = self.x.to(device) if isinstance(self.x, Tensor) else self.x
        return replace(self, x=x, y=self.y.to(device))


@dataclass(frozen=True, slots=True)
class Pairs:
    """A verification set: pictures `x` (M, 3, H, W) uint8, each once, and P pairs of them.

    left, right: (P,) int64 indices into `x`. same: (P,) bool, whether both show one person. fold: (P,) int64, the
    number of the pair's fold from 0. names: the people, () where the format does not tell.
    digest: SHA-256 of all arrays. grey: pictures that are grey-scale, made RGB.
    """

    x: Tensor
    left: Tensor
    right: Tensor
    same: Tensor
    fold: Tensor
    names: tuple[str, ...]
    digest: str
    grey: int
    notice: str = ""


def make_people(
    x: Pictures, y: Tensor, names: Iterable[str], *, few: int = 0, absent: int = 0, notice: str = ""
) -> People:
    """People with their digest and what is grey among them."""
    names = tuple(names)
    sha = hashlib.sha256("\n".join(names).encode())
    sha.update(y.long().contiguous().numpy().data)
    if isinstance(x, OnDisk):
        for number in range(len(x)):
            sha.update(x.source.read(number))
    else:
        sha.update(x.contiguous().numpy().data)
    greys = grey(x) if isinstance(x, Tensor) else None
    return People(x, y.long(), names, sha.hexdigest(), greys, few, absent, notice)


def make_pairs(
    x: Tensor, left: Tensor, right: Tensor, same: Tensor, fold: Tensor, names: Iterable[str] = (), notice: str = ""
) -> Pairs:
    """Pairs with their digest and what is grey among their pictures."""
    sha = hashlib.sha256()
    for part in (x, left.long(), right.long(), same.bool(), fold.long()):
        sha.update(part.contiguous().numpy().data)
    names = tuple(sorted(set(names)))
    return Pairs(x, left.long(), right.long(), same.bool(), fold.long(), names, sha.hexdigest(), grey(x), notice)


def require_disjoint(people: People, pairs: Pairs) -> str:
    """Refuses a training set that shares a person, or a picture to the byte, with the pairs that test it.

    Names are compared by their letters (`Maria_Callas`, `MariaCallas`). Returns what could not be checked, as a
    sentence for the report, or "". Raises DataError naming the people.
    """
    training, testing = _by_letters(people.names), _by_letters(pairs.names)
    if shared := sorted(training[who] for who in training.keys() & testing.keys()):
        more = f" and {len(shared) - 5:,} more" if len(shared) > 5 else ""
        raise DataError(
            f"of the people in the test pairs, {len(shared):,} in training, too: {', '.join(shared[:5])}{more}. "
            "Train on others: the numbers would be of known faces"
        )
    if isinstance(people.x, Tensor) and (twice := _digests(people.x) & _digests(pairs.x)):
        raise DataError(f"{counted(len(twice), 'picture')} of the test pairs also in training, under another name")
    if training and testing:
        return ""
    return "These formats do not name their people: that training and test share nobody is their owners' word."


def _by_letters(names: Iterable[str]) -> dict[str, str]:
    """Names by their letters alone; one without letters is a number, which means something in its own set only."""
    keyed = {"".join(filter(str.isalpha, name)).casefold(): name for name in names}
    return {letters: name for letters, name in keyed.items() if letters}


def _digests(x: Tensor) -> set[bytes]:
    return {hashlib.sha256(picture.cpu().numpy().tobytes()).digest() for picture in x}


@dataclass(frozen=True, slots=True)
class Prepare:
    """Pictures to inputs: pixels in [0, 1], minus `mean`, over `std` (R, G, B), channels last.

    The default is the field's for faces, which spreads them over [-1, 1]; a backbone trained before wants its own.
    """

    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def __call__(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 to float32."""
        mean, std = (torch.tensor(v, device=x.device).view(3, 1, 1) for v in (self.mean, self.std))
        return ((x.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def mirror(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture or, at even odds, its mirror image. x: (N, 3, H, W). Draws N numbers from `generator`."""
    mirrored = torch.randint(0, 2, (len(x), 1, 1, 1), generator=generator, device=x.device).bool()
    return torch.where(mirrored, x.flip(3), x)


class Batches:
    """An endless stream of batches, mirrored at random; every picture once an epoch, resumable to the bit.

    All randomness is `generator`'s, which lives on the labels' device.
    """

    def __init__(self, people: People, prepare: Prepare, batch: int, generator: torch.Generator) -> None:
        self.people, self.prepare, self.batch, self.generator = people, prepare, batch, generator
        self._order = Shuffle(len(people.y), generator)

    def draw(self, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """The next inputs (batch, 3, H, W) float32, channels last, and labels (batch,), or `part` of them."""
        index = self._order.draw(self.batch)
        x = self.prepare(self.people.x[index].to(index.device))
        return mirror(x, self.generator)[part], self.people.y[index][part]

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is."""
        return self._order.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken."""
        self._order.load_state_dict(state)
