"""Sets of faces: people to train on, pairs to verify, that they share nobody, and batches (uint8, on the device)."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.data.listing import same_form
from bench.data.locate import DataError
from bench.data.shuffle import Shuffle
from bench.spec import counted
from bench.tasks.verification.images import OnDisk, Region, of_files

Images = Tensor | OnDisk


@dataclass(frozen=True)
class People:
    """A training set: images `x` (N, 3, H, W) uint8 and whose they are, `y` (N,) int64, an index into `names`.

    few: people left out for too few images.
    """

    x: Images
    y: Tensor
    names: tuple[str, ...]
    few: int = 0
    notice: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names, labels and images (as encoded, where they stay on disk)."""
        sha = hashlib.sha256("\n".join(self.names).encode())
        sha.update(_bytes(self.y))
        for part in [_bytes(self.x)] if isinstance(self.x, Tensor) else self.x.encoded():
            sha.update(part)
        return sha.hexdigest()

    def to(self, device: torch.device) -> People:
        """The same set on `device`; images on disk stay there."""
        x = self.x.to(device) if isinstance(self.x, Tensor) else self.x
        return replace(self, x=x, y=self.y.to(device))


@dataclass(frozen=True)
class Pairs:
    """A verification set: images `x` (M, 3, H, W) uint8, each once, and P pairs of them.

    left, right: (P,) int64 indices into `x`. same: (P,) bool, whether both show one person. fold: (P,) int64, the
    number of the pair's fold from 0. names: the people, () where the format does not tell.
    """

    x: Tensor
    left: Tensor
    right: Tensor
    same: Tensor
    fold: Tensor
    names: tuple[str, ...] = ()
    notice: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all arrays."""
        sha = hashlib.sha256()
        for part in (self.x, self.left, self.right, self.same, self.fold):
            sha.update(_bytes(part))
        return sha.hexdigest()


def pairs_of_files(
    files: Sequence[tuple[Path, Path]],
    same: Sequence[bool],
    fold: Sequence[int],
    names: Iterable[str],
    side: int,
    region: Region | None,
    notice: str = "",
) -> Pairs:
    """Pairs of image files, each image in memory once. side, region: see bench.tasks.verification.images.decode."""
    number = {path: k for k, path in enumerate(dict.fromkeys(chain.from_iterable(files)))}
    x = of_files(list(number), side, region).in_memory()
    left, right = torch.tensor([[number[path] for path in ends] for ends in files]).unbind(1)
    return Pairs(x, left, right, torch.tensor(same), torch.tensor(fold), tuple(names), notice)


def _bytes(x: Tensor) -> memoryview:
    return x.cpu().contiguous().numpy().data


def grey(x: Images) -> int:
    """How many of the images (N, 3, H, W) in memory have three equal planes; 0 of those on disk."""
    parts = x.split(1_000) if isinstance(x, Tensor) else ()
    return sum(int((p[:, :1] == p[:, 1:]).flatten(1).all(1).sum()) for p in parts)


def require_disjoint(people: People, pairs: Pairs) -> str:
    """Refuses a training set that shares a person, or an image to the byte, with the pairs that test it.

    Names are compared by letters and digits (`Maria_Callas`, `MariaCallas`), in one Unicode form. Returns what could
    not be checked, as a sentence for the report, or "". Raises DataError naming the people.
    """
    training, testing = _by_letters_and_digits(people.names), _by_letters_and_digits(pairs.names)
    if shared := sorted(training[who] for who in training.keys() & testing.keys()):
        more = f" and {len(shared) - 5:,} more" if len(shared) > 5 else ""
        raise DataError(
            f"of the people in the test pairs, {len(shared):,} in training, too: {', '.join(shared[:5])}{more}. "
            "Train on others: the numbers would be of known faces"
        )
    if isinstance(people.x, Tensor) and (twice := _digests(people.x) & _digests(pairs.x)):
        raise DataError(
            f"{counted(len(twice), 'image')} of the test pairs also in training, under another name: take them out"
        )
    if training and testing:
        return ""
    return "These formats do not name their people: whether training and test share one cannot be checked."


def _by_letters_and_digits(names: Iterable[str]) -> dict[str, str]:
    """Names by letters (with what is written on or under them) and digits, without blanks and punctuation.

    One without letters is a number, which means something in its own set only.
    """
    keyed = {
        same_form("".join(c for c in name if unicodedata.category(c)[0] in "LMN").casefold()): name
        for name in map(same_form, names)
    }
    return {key: name for key, name in keyed.items() if any(map(str.isalpha, key))}


def _digests(x: Tensor) -> set[bytes]:
    return {hashlib.sha256(image.cpu().numpy().tobytes()).digest() for image in x}


@dataclass(frozen=True, slots=True)
class Prepare:
    """Images to inputs: pixels in [0, 1], minus `mean`, over `std` (R, G, B), channels last.

    The default is the field's for faces, which spreads them over [-1, 1]; a backbone trained before wants its own.
    """

    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def __call__(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 to float32."""
        mean, std = (torch.tensor(v, device=x.device).view(3, 1, 1) for v in (self.mean, self.std))
        return ((x.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def mirror(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each image or, at even odds, its mirror image. x: (N, 3, H, W). Draws N numbers from `generator`."""
    mirrored = torch.randint(0, 2, (len(x), 1, 1, 1), generator=generator, device=x.device).bool()
    return torch.where(mirrored, x.flip(3), x)


class FaceBatches:
    """An endless stream of batches, mirrored at random; every image once an epoch, resumable to the bit.

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
        """Resumes where `state` was taken."""
        self._order.load_state_dict(state)
