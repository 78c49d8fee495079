"""Training views of ImageNet's images: the paper's (Section 3.4) and the field's, each from a generator's draws.

Hardly more of an image is resized than the view shows, and the view is Pillow's of the whole image within a grey
level. Pixels lie channels last, as a decoder leaves them: torch resizes them three times as fast so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.data.decode import decode
from bench.nets.weights import IMAGENET, Pixels
from bench.tasks.classification.imagenet.files import ImageFiles

AREA = (0.08, 1.0)  # of the Inception crop: its share of the image
ASPECT = (3 / 4, 4 / 3)  # and its width to its height
EXACT = 1 + 1e-12  # the new length is length x factor cut to whole pixels: 480 must not come out as 479.99
COLOUR_STD = 0.1  # Krizhevsky et al. 2012, Section 4.1
CHUNK = 16  # images whose floats stay in a core's cache


def keyed(seed: int, position: int) -> np.random.Generator:
    """The generator of the image at `position` of a stream: nobody else's draws change what it gives."""
    return np.random.Generator(np.random.Philox(key=np.array((seed, position), np.uint64)))


def resized_size(height: int, width: int, shorter: int) -> tuple[int, int]:
    """Height and width of an image whose shorter side becomes `shorter`, the longer one cut to whole pixels."""
    if height <= width:
        return shorter, max(shorter, int(shorter * width / height))
    return max(shorter, int(shorter * height / width)), shorter


def resized(image: Tensor, shorter: int) -> Tensor:
    """`image` (3, H, W) uint8 with the shorter side of `shorter` pixels: bilinear, antialiased, uint8."""
    return _resize(image, resized_size(image.shape[1], image.shape[2], shorter))


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    x = image[None].contiguous(memory_format=torch.channels_last)  # else it is gathered, and scattered, by planes
    return F.interpolate(x, size, mode="bilinear", antialias=True)[0]


def resized_part(image: Tensor, size: tuple[int, int], top: int, left: int, side: int) -> Tensor:
    """The square (3, side, side) at `top`, `left` of `image` resized to `size` (height, width), and little more.

    What lies below and right of the square is left out, but for the filter's reach; what lies above and left is not:
    from there the filter's steps, fractions of a pixel, are counted.
    """
    ends = []
    for length, resized_length, start in zip(image.shape[1:], size, (top, left), strict=True):
        step = length / resized_length  # pixels of the image for one of the view
        ends.append(min(length, math.ceil((start + side) * step + max(step, 1)) + 1))
    factors = [EXACT * new / old for new, old in zip(size, image.shape[1:], strict=True)]
    slab = image[None, :, : ends[0], : ends[1]].contiguous(memory_format=torch.channels_last)
    whole = F.interpolate(slab, scale_factor=factors, mode="bilinear", antialias=True, recompute_scale_factor=False)
    return whole[0, :, top : top + side, left : left + side]


def _flipped(view: Tensor, mirrored: bool) -> Tensor:
    return view.flip(2) if mirrored else view


@dataclass(frozen=True, slots=True)
class ScaleCrop:
    """Section 3.4: the shorter side drawn from `shorter`, a random crop of `side` x `side` of it or of its mirror."""

    side: int = 224
    shorter: tuple[int, int] = (256, 480)

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """A view (3, side, side) uint8 of `image` (3, H, W) uint8."""
        size = resized_size(image.shape[1], image.shape[2], int(rng.integers(*self.shorter, endpoint=True)))
        top, left = (int(rng.integers(length - self.side, endpoint=True)) for length in size)
        return _flipped(resized_part(image, size, top, left, self.side), bool(rng.integers(2)))


@dataclass(frozen=True, slots=True)
class InceptionCrop:
    """The field's crop (Szegedy et al. 2015): a part of random area and aspect ratio, or its mirror, resized.

    The area is uniform, the aspect ratio uniform in its logarithm. After ten parts that do not fit the image the
    largest centred one within ASPECT is taken, all as torchvision's RandomResizedCrop does.
    """

    side: int = 224

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """A view (3, side, side) uint8 of `image` (3, H, W) uint8."""
        top, left, height, width = self._part(image.shape[1], image.shape[2], rng)
        part = image[:, top : top + height, left : left + width]
        return _flipped(_resize(part, (self.side, self.side)), bool(rng.integers(2)))

    def _part(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        low, high = map(math.log, ASPECT)
        for _ in range(10):
            area, aspect = height * width * rng.uniform(*AREA), math.exp(rng.uniform(low, high))
            h, w = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
            if 0 < h <= height and 0 < w <= width:
                top, left = (int(rng.integers(spare, endpoint=True)) for spare in (height - h, width - w))
                return top, left, h, w
        h = min(height, round(width / ASPECT[0]))
        w = min(width, round(height * ASPECT[1]))
        return (height - h) // 2, (width - w) // 2, h, w


Crop: TypeAlias = ScaleCrop | InceptionCrop


class Normalise:
    """Pixels in [0, 1] minus `mean`, over `std`: (3, 1, 1) each, or an image (3, S, S) of its own size only.

    From images of another size, as some tests have them, the mean image's mean over its pixels is subtracted.
    """

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        self.mean, self.std = mean, std
        self._made: dict[tuple[object, ...], tuple[Tensor, Tensor]] = {}

    @classmethod
    def of(cls, pixels: Pixels) -> Normalise:
        """By one mean and one standard deviation a channel."""
        return cls(torch.tensor(pixels.mean).view(3, 1, 1), torch.tensor(pixels.std).view(3, 1, 1))

    def __call__(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """(N, 3, H, W) uint8 to float32, channels last, on its device; `shift` (N, 3) is added before the division."""
        scale, offset = self._of(x)
        out = torch.empty(x.shape, device=x.device, memory_format=torch.channels_last)
        for part, target in zip(x.split(CHUNK), out.split(CHUNK), strict=True):
            torch.addcmul(offset, part.float(), scale, out=target)
        if shift is not None:
            lines = out.permute(0, 2, 3, 1).flatten(2)  # (N, H, 3W): long rows, three at a time is slow
            lines += (shift / self.std.to(x.device).view(1, 3)).repeat(1, x.shape[3])[:, None]
        return out

    def _of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and offset as images of the size of `x`, channels last, which one pass over the pixels can use."""
        key, size = (x.device, *x.shape[2:]), x.shape[2:]
        if key not in self._made:
            mean = self.mean if self.mean.shape[1:] == size else self.mean.mean((1, 2), keepdim=True)
            scale, offset = (
                image.expand(1, 3, *size).to(x.device).contiguous(memory_format=torch.channels_last)
                for image in (1 / (255 * self.std), -mean / self.std)
            )
            self._made = {key: (scale, offset)}
        return self._made[key]


def measure(images: ImageFiles, crop: Crop, sample: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """The mean image (3, S, S), pixels in [0, 1], and the axes of the colours (3, 3).

    Of `sample` different images (or all, if there are fewer), a view of each and its mirror; the same every time.
    axes: an eigenvector of the covariance of the RGB values a column, times the square root of its eigenvalue.
    Krizhevsky et al. 2012 write the eigenvalue itself; the author's program (cuda-convnet) takes the standard
    deviation, which alone does not depend on the unit of a pixel.
    Raises DataError naming an image that cannot be decoded.
    """
    total, products = torch.zeros(()), torch.zeros(3, 3, dtype=torch.float64)
    chosen = np.random.default_rng(seed).permutation(len(images))[:sample]
    for place, number in enumerate(chosen.tolist()):
        image, _ = decode(images.read(number), images.name(number))
        view = crop(image, keyed(seed, place)).double()
        total = total + view  # whole numbers: no order of addition matters
        products += view.flatten(1) @ view.flatten(1).T
    mean = (total + total.flip(2)) / (2 * 255 * len(chosen))
    pixels = len(chosen) * mean[0].numel()
    centre = mean.mean((1, 2))
    values, vectors = torch.linalg.eigh(products / (255**2 * pixels) - torch.outer(centre, centre))
    return mean.float(), (vectors * values.clamp(min=0).sqrt()).float()


@dataclass(frozen=True, slots=True)
class View:
    """How an image becomes an input in training: a crop, a shift of its colours, and the normalisation.

    colours: (3, 3), a column an axis of the colours times its spread, or None for no shift.
    """

    crop: Crop
    normalise: Normalise
    colours: Tensor | None = None

    def draw(self, image: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """The view (3, side, side) uint8 and the shift (3,) of its colours, pixels being in [0, 1]."""
        view = self.crop(image, rng)
        if self.colours is None:
            return view, torch.zeros(3)
        return view, self.colours @ torch.from_numpy(rng.normal(0, COLOUR_STD, 3)).float()


def paper_view(images: ImageFiles, crop: ScaleCrop, *, colours: bool = True, sample: int = 2_000) -> View:
    """Section 3.4's: ScaleCrop, minus the per-pixel mean, with `colours` shifted as in Krizhevsky et al. 2012.

    The mean and the axes are those of `sample` training views: the paper does not say of what its per-pixel mean is
    one, where each crop comes from another place.
    """
    mean_image, axes = measure(images, crop, sample)
    return View(crop, Normalise(mean_image, torch.ones(3, 1, 1)), axes if colours else None)


def inception_view(side: int = 224) -> View:
    """That of the field's recipes of 90 epochs: InceptionCrop, ImageNet's mean and standard deviation of a channel."""
    return View(InceptionCrop(side), Normalise.of(IMAGENET))
