"""From a file's bytes to pixels, and the odd ones among ImageNet's images: kept, counted and named.

The pixels are those of bench.data.images, which are Pillow's, without the EXIF rotation: what the field trains on
(torchvision's ImageFolder), a PNG named .JPEG as the PNG it is. Only a truncated image, at which the field's loader
stops, is used as far as it goes; the rest is grey.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import simplejpeg
import torch
from torch import Tensor

from bench.data.images import PIXELS, UPRIGHT, opened, orientation, rgb
from bench.data.locate import DataError

ODD = ("grey", "cmyk", "exif", "truncated", "not jpeg")
NAMED = ("cmyk", "truncated", "not jpeg")  # two dozen in ImageNet; grey ones are one in fifty
END = b"\xff\xd9"


def decode(data: bytes, name: str = "an image") -> tuple[Tensor, tuple[str, ...]]:
    """The image (3, H, W) uint8 RGB in `data`, and which of ODD it is. Raises DataError calling it `name`.

    A plain colour JPEG goes through simplejpeg, which is a quarter faster than Pillow with its copy and, like it,
    libjpeg-turbo: the bits are the same. All others, and what simplejpeg refuses, go through Pillow.
    """
    odd = ("exif",) if _is_turned(data) else ()
    with suppress(ValueError):  # truncated, or no JPEG: Pillow tells them apart
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours in ("YCbCr", "RGB") and width * height <= PIXELS:
            return torch.from_numpy(simplejpeg.decode_jpeg(data, "RGB")).permute(2, 0, 1), odd
    return _by_pillow(data, odd, name)


def _by_pillow(data: bytes, odd: tuple[str, ...], name: str) -> tuple[Tensor, tuple[str, ...]]:
    with opened(data, name) as image:
        if image.format != "JPEG":
            odd += ("not jpeg",)
        odd += {"L": ("grey",), "CMYK": ("cmyk",)}.get(image.mode, ())
        try:
            pixels = np.array(rgb(image))
        except OSError:
            with opened(data + END, name) as ended:  # an early end is forgiven, no end is not
                pixels = np.array(rgb(ended))
            odd += ("truncated",)
    return torch.from_numpy(pixels).permute(2, 0, 1), odd


def _is_turned(data: bytes) -> bool:
    """Whether the EXIF orientation, which nobody follows here, is another than upright."""
    if b"Exif\0\0" not in data[:1024]:
        return False
    try:
        with opened(data, "") as image:
            return orientation(image) != UPRIGHT
    except DataError:
        return False


class Oddities:
    """The odd images met so far, each counted once however often it comes."""

    def __init__(self) -> None:
        self.met: dict[str, set[int]] = {kind: set() for kind in ODD}

    def add(self, number: int, odd: Sequence[str]) -> None:
        """Image `number` is `odd`."""
        for kind in odd:
            self.met[kind].add(number)

    def summary(self, name: Callable[[int], str]) -> str:
        """`3 grey, 1 truncated (n01440764/a.JPEG)`, or `all usual`. name: of an image by its number."""
        parts = []
        for kind, numbers in self.met.items():
            named = f" ({', '.join(map(name, sorted(numbers)))})" if kind in NAMED else ""
            parts += [f"{len(numbers)} {kind}{named}"] if numbers else []
        return ", ".join(parts) or "all usual"

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers; `load_state_dict` takes them back."""
        return {kind: sorted(numbers) for kind, numbers in self.met.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes the count where `state` was taken."""
        self.met = {kind: set(numbers) for kind, numbers in state.items()}
