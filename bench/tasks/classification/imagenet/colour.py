"""The mean of a set of images, the axes of their colours, and the normalisation of inputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from bench.data.decode import decode
from bench.nets.weights import Pixels
from bench.tasks.classification.imagenet.files import ImageFiles

CHUNK = 16  # images whose floats stay in a core's cache


def keyed(seed: int, position: int) -> np.random.Generator:
    """The generator of the image at `position` of a stream: nobody else's draws change what it gives."""
    return np.random.Generator(np.random.Philox(key=np.array((seed, position), np.uint64)))


def measure(
    images: ImageFiles, crop: Callable[[Tensor, np.random.Generator], Tensor], sample: int, seed: int = 0
) -> tuple[Tensor, Tensor]:
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
