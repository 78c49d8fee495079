"""Detections drawn on their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import draw_bounding_boxes

from bench.tasks.detection.annotations import Annotated

GAP = 8
OBJECT = "white"
COLOURS = ("#e8740c", "#0c7fe8", "#12a150", "#c21bd1", "#d1b01b", "#d11b4f")  # of the classes, in turn


def detection_sheet(
    images: Sequence[Annotated],
    found: Sequence[Mapping[str, Tensor]],
    classes: Sequence[str],
    path: Path,
    columns: int = 2,
    width: int = 640,
) -> None:
    """Writes the images with their objects in white and, over them, what was `found`, with class and score, as a PNG.

    found: boxes (D, 4), labels (D,), scores (D,) of each image.
    """
    drawn = [_drawn(image, one, classes) for image, one in zip(images, found, strict=True)]
    scaled = [image.resize((width, round(image.height * width / image.width))) for image in drawn]
    rows = [scaled[start : start + columns] for start in range(0, len(scaled), columns)]
    heights = [max(image.height for image in row) for row in rows]
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, sum(heights) + GAP * (len(rows) + 1)), "white")
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        for place, image in enumerate(row):
            sheet.paste(image, (GAP + place * (width + GAP), top))
        top += height + GAP
    sheet.save(path, format="PNG")


def _drawn(image: Annotated, found: Mapping[str, Tensor], classes: Sequence[str]) -> Image.Image:
    pixels, objects = image.pixels(), image.target()["boxes"]
    if len(objects):
        pixels = draw_bounding_boxes(pixels, objects, colors=OBJECT, width=3)
    if len(found["boxes"]):
        kinds = [int(label) - 1 for label in found["labels"]]
        words = [f"{classes[k]} {score:.2f}" for k, score in zip(kinds, found["scores"].tolist(), strict=True)]
        colours: list[str | tuple[int, int, int]] = [COLOURS[k % len(COLOURS)] for k in kinds]
        pixels = draw_bounding_boxes(pixels, found["boxes"], labels=words, colors=colours, width=2)
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().to(torch.uint8).numpy())
