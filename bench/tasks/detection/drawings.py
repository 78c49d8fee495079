"""What is shown of a detector's test: sure detections of the first images, as arrays for pages and on the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad
from torchvision.transforms.functional import resize
from torchvision.utils import draw_bounding_boxes, make_grid

from bench.tasks.detection.annotations import Annotated
from bench.tasks.detection.inference import Detections
from bench.tasks.detection.matching import matched, missed

SHOWN, SURE = 4, 0.5  # test images whose detections are shown, and the score from which they are
WIDTH, COLUMNS = 640, 2
OBJECT = "white"
COLOURS = ("#e8740c", "#0c7fe8", "#12a150", "#c21bd1", "#d1b01b", "#d11b4f")  # of the classes, in turn


def shown(
    images: Sequence[Annotated], predictions: Sequence[Detections], classes: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """The sure detections as arrays: which image, class, score, box, and whether it is a hit.

    With each image's (width, height), its number of objects, and those that are missed: which image, class and box.
    """
    rows, sizes, objects, lost = [], [], [], []
    for number, (image, found) in enumerate(zip(images[:SHOWN], predictions, strict=False)):
        sure = _sure(found)
        order = np.lexsort((-sure["scores"].numpy(), sure["labels"].numpy()))
        table = matched([image.truth()], [sure], classes)
        counted = ~table.ignored[0, 0]  # what lies on a crowd or a difficult object is neither hit nor false
        columns = [sure[name].numpy()[order][counted] for name in ("labels", "scores", "boxes")]
        columns.append(table.hit[0, 0][counted])
        rows += [(number, label, score, *box, hit) for label, score, box, hit in zip(*columns, strict=True)]
        sizes.append((image.width, image.height))
        objects.append(int(image.to_find.sum()))
        lost += [(number, image.labels[k], *image.boxes[k]) for k in missed(image.truth(), sure, classes)]
    return {
        "shown": np.array(rows, np.float32).reshape(-1, 8),
        "shown_size": np.array(sizes),
        "shown_objects": np.array(objects),
        "shown_missed": np.array(lost, np.float32).reshape(-1, 6),
    }


def _sure(found: Detections) -> Detections:
    kept = found["scores"] >= SURE
    return {name: value[kept] for name, value in found.items()}


def draw(images: Sequence[Annotated], predictions: Sequence[Detections], classes: Sequence[str], path: Path) -> None:
    """Writes the images with their objects in white and the sure detections over them, with class and score, as PNG."""
    pairs = zip(images[:SHOWN], predictions, strict=False)
    drawn = [_drawn(image, _sure(found), classes) for image, found in pairs]
    scaled = [resize(image, [round(image.shape[1] * WIDTH / image.shape[2]), WIDTH]) for image in drawn]
    highest = max(image.shape[1] for image in scaled)
    sheet = make_grid([pad(x, (0, 0, 0, highest - x.shape[1]), value=255) for x in scaled], COLUMNS, 8, pad_value=255)
    Image.fromarray(sheet.permute(1, 2, 0).numpy()).save(path, format="PNG")


def _drawn(image: Annotated, found: Mapping[str, Tensor], classes: Sequence[str]) -> Tensor:
    pixels, objects = image.pixels(), image.target()["boxes"]
    if len(objects):
        pixels = draw_bounding_boxes(pixels, objects, colors=OBJECT, width=3)
    if len(found["boxes"]):
        kinds = [int(label) - 1 for label in found["labels"]]
        words = [f"{classes[k]} {score:.2f}" for k, score in zip(kinds, found["scores"].tolist(), strict=True)]
        colours: list[str | tuple[int, int, int]] = [COLOURS[k % len(COLOURS)] for k in kinds]
        pixels = draw_bounding_boxes(pixels, found["boxes"], labels=words, colors=colours, width=2)
    return pixels
