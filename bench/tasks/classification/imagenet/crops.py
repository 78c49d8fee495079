"""The views of a test picture (Section 3.4): its centre, and the 10 crops of the paper's [21]."""

from __future__ import annotations

import torch
from torch import Tensor


def centre_crop(picture: Tensor, side: int) -> Tensor:
    """The central (1, 3, side, side) of a picture (3, h, w); where the margin is odd, the pixel more is at the end."""
    top, left = ((size - side) // 2 for size in picture.shape[1:])
    return picture[None, :, top : top + side, left : left + side]


def ten_crops(picture: Tensor, side: int) -> Tensor:
    """The four corners and the centre of a picture (3, h, w), then their mirror images: (10, 3, side, side)."""
    corners = [
        picture[:, rows, columns]
        for rows in (slice(0, side), slice(-side, None))
        for columns in (slice(0, side), slice(-side, None))
    ]
    five = torch.stack([*corners, centre_crop(picture, side)[0]])
    return torch.cat((five, five.flip(3)))


def with_mirror(picture: Tensor) -> Tensor:
    """A picture (3, h, w) and its mirror image: (2, 3, h, w)."""
    return torch.stack((picture, picture.flip(2)))
