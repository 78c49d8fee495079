"""From a file's bytes to pixels, and the odd ones among ImageNet's pictures: kept, counted and named.

The pixels are those of Pillow's `convert("RGB")` without the EXIF rotation, which is what the field trains on
(torchvision's ImageFolder): grey pictures three times, CMYK by Pillow's own conversion, a PNG named .JPEG as the PNG
it is. Only a truncated picture, at which the field's loader stops, is used as far as it goes; the rest is grey.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch import Tensor

from bench.data.locate import DataError

ODD = ("grey", "cmyk", "exif", "truncated", "not jpeg")
NAMED = ("cmyk", "truncated", "not jpeg")  # two dozen in ImageNet; grey ones are one in fifty
COLOUR = ("YCbCr", "RGB")
ORIENTATION = 0x0112
END = b"\xff\xd9"


def decode(data: bytes, name: str = "a picture") -> tuple[Tensor, tuple[str, ...]]:
    """The picture (3, H, W) uint8 RGB in `data`, and which of ODD it is. Raises DataError calling it `name`.

    A plain colour JPEG goes through simplejpeg, which is a quarter faster than Pillow with its copy and, like it,
    libjpeg-turbo: the bits are the same. All others, and what simplejpeg refuses, go through Pillow.
    """
    odd = ("exif",) if _is_turned(data) else ()
    try:
        if simplejpeg.decode_jpeg_header(data)[2] in COLOUR:
            return torch.from_numpy(simplejpeg.decode_jpeg(data, "RGB")).permute(2, 0, 1), odd
    except ValueError:
        pass  # truncated, or no JPEG: Pillow tells the two apart
    return _by_pillow(data, odd, name)


def _by_pillow(data: bytes, odd: tuple[str, ...], name: str) -> tuple[Tensor, tuple[str, ...]]:
    try:
        image = Image.open(io.BytesIO(data))
        if image.format != "JPEG":
            odd += ("not jpeg",)
        odd += {"L": ("grey",), "CMYK": ("cmyk",)}.get(image.mode, ())
        try:
            image.load()
        except OSError:
            image = Image.open(io.BytesIO(data + END))  # an early end is forgiven, no end is not
            odd += ("truncated",)
        pixels = np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{name}: {len(data):,} bytes that are no picture ({error}). Get the file again") from None
    return torch.from_numpy(pixels).permute(2, 0, 1), odd


def _is_turned(data: bytes) -> bool:
    """Whether a camera said that the picture is to be turned or mirrored, which nobody does here."""
    if b"Exif\0\0" not in data[:1024]:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # EXIF data that are wrong are no EXIF data
            return int(Image.open(io.BytesIO(data)).getexif().get(ORIENTATION, 1)) != 1
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error):
        return False


class Oddities:
    """The odd pictures met so far, each counted once however often it comes."""

    def __init__(self) -> None:
        self.met: dict[str, set[int]] = {kind: set() for kind in ODD}

    def add(self, number: int, odd: Sequence[str]) -> None:
        """Picture `number` is `odd`."""
        for kind in odd:
            self.met[kind].add(number)

    def summary(self, names: Sequence[str]) -> dict[str, Any]:
        """`{"grey": n, …, "names of truncated": […]}`; `names` are those of all pictures, by number."""
        counts: dict[str, Any] = {kind: len(numbers) for kind, numbers in self.met.items()}
        named = {f"names of {kind}": [names[i] for i in sorted(self.met[kind])] for kind in NAMED if self.met[kind]}
        return counts | named

    def state_dict(self) -> dict[str, list[int]]:
        """Plain numbers; `load_state_dict` takes them back."""
        return {kind: sorted(numbers) for kind, numbers in self.met.items()}

    def load_state_dict(self, state: dict[str, list[int]]) -> None:
        """Goes on counting where `state` was taken."""
        self.met = {kind: set(numbers) for kind, numbers in state.items()}
