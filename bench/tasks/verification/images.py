"""Images of faces, from encoded bytes to uint8 tensors: cut, resized, in memory or read when they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import resize
from torchvision.utils import make_grid

from bench.data.images import opened, rgb, upright
from bench.data.locate import DataError

SIDE = 112  # of an aligned face (ArcFace, arXiv:1801.07698, Section 3.1)
THREADS = 4  # Pillow decodes outside Python's lock
MEMORY = 4 * 2**30  # bytes: a larger training set stays on disk


@dataclass(frozen=True, slots=True)
class Region:
    """The square cut out of an image of `of` x `of` pixels: `side` x `side`, its corner at (`top`, `left`)."""

    of: int
    top: int
    left: int
    side: int


WHOLE = Region(of=0, top=0, left=0, side=0)  # in its place: all of an image of any size, upright, stretched to a square


def decode(name: str, data: bytes, *, side: int = SIDE, region: Region | None = None) -> Tensor:
    """An encoded image as (3, side, side) uint8 RGB; grey becomes three equal planes.

    region: what is cut out of it first, None for the whole image, which must be square, or WHOLE. The resizing is
    Pillow's (bilinear over the whole footprint of a pixel, in whole numbers: the same bytes on every machine).
    Raises DataError where it is not an image, or not of the size that `region` is cut from.
    """
    with opened(data, name) as file:
        image = rgb(upright(file) if region == WHOLE else file)
    if region == WHOLE:
        return _resized(image, side)
    width, height = image.size
    if region is None:
        region = Region(of=width, top=0, left=0, side=width)
    if (width, height) != (region.of, region.of):
        wanted = f"{region.of}x{region.of}" if region.of != width else "a square"
        raise DataError(f"{name} is {width}x{height} (width x height), where {wanted} belongs: align or crop it first")
    box = (region.left, region.top, region.left + region.side, region.top + region.side)
    return _resized(image, side, box)


def _resized(image: Image.Image, side: int, box: tuple[int, int, int, int] | None = None) -> Tensor:
    image = image.resize((side, side), Image.Resampling.BILINEAR, box=box)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


@dataclass(frozen=True, slots=True)
class OnDisk:
    """Images that are decoded when they are asked for, as a set too large for memory must be.

    read: an image's encoded bytes by its number below `count`, after how an error names it.
    """

    count: int
    read: Callable[[int], tuple[str, bytes]]
    side: int = SIDE
    region: Region | None = None

    def __getitem__(self, index: Tensor) -> Tensor:
        """The images at `index` (n,) int64, as (n, 3, side, side) uint8 on the CPU."""
        with ThreadPoolExecutor(THREADS) as pool:
            return torch.stack(list(pool.map(self._one, index.tolist())))

    def _one(self, number: int) -> Tensor:
        return decode(*self.read(number), side=self.side, region=self.region)

    def encoded(self) -> Iterator[bytes]:
        """The bytes of each in its turn."""
        return (self.read(number)[1] for number in range(self.count))

    def held(self, memory: int = MEMORY) -> Tensor | OnDisk:
        """All of them, where they take no more than `memory` bytes."""
        return self.in_memory() if self.count * 3 * self.side * self.side <= memory else self

    def in_memory(self) -> Tensor:
        """All of them, (N, 3, side, side) uint8."""
        out = torch.empty((self.count, 3, self.side, self.side), dtype=torch.uint8)
        for part in torch.arange(self.count).split(1_000):  # decoders that run ahead would hold the set twice
            out[part] = self[part]
        return out


def of_files(paths: Sequence[Path], side: int, region: Region | None = None) -> OnDisk:
    """Images of one file each."""
    return OnDisk(len(paths), lambda number: (str(paths[number]), file_bytes(paths[number])), side, region)


def file_bytes(path: Path) -> bytes:
    """What the file holds. Raises DataError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): get the data set again") from None


def contact_sheet(pairs: Sequence[tuple[Tensor, Tensor]], path: Path) -> None:
    """Writes the two images (3, H, W) uint8 of each pair side by side, two pairs a row, as a PNG."""
    sheet = make_grid([resize(torch.cat(pair, 2), [SIDE, 2 * SIDE]) for pair in pairs], 2, 8, pad_value=255)
    Image.fromarray(sheet.permute(1, 2, 0).numpy()).save(path, format="PNG")
