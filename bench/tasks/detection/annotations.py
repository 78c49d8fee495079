"""Detection sets in one form, whatever their layout: images with boxes, and an account of what was left out.

A box is (x1, y1, x2, y2) in pixels, continuous: x runs from 0 at the image's left edge to its width at the right one,
so that a width is x2 - x1. Labels count from 1; 0 is the background. Images stay on disk until they are drawn.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL.Image import Transpose
from torch import Tensor
from torchvision.ops import box_area, clip_boxes_to_image
from torchvision.transforms.functional import pil_to_tensor

from bench.data.images import opened, orientation, rgb
from bench.data.locate import DataError
from bench.spec import counted

ZERO, OUTSIDE, UNKNOWN = "of zero width or height", "outside the image", "of an unknown class"
NO_IMAGE = "annotated without an image"
SHOWN = 5
LARGEST = 1e10  # pixels^2: COCO's API looks for no object that is larger
TURNS = {5: Transpose.TRANSPOSE, 6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90}  # by EXIF


@dataclass(frozen=True, slots=True)
class RawBox:
    """A box as an annotation has it, in this module's pixels; label None where its class is not one of the set's.

    name: the class as the annotation spells it. difficult: VOC's flag; crowd: COCO's. area: pixels^2, of the object
    where the annotation knows it, else of the box. Raises ValueError for a box that no evaluation counts.
    """

    corners: tuple[float, float, float, float]
    name: str
    label: int | None
    difficult: bool = False
    crowd: bool = False
    area: float | None = None

    def __post_init__(self) -> None:
        x1, y1, x2, y2 = self.corners
        if not all(map(math.isfinite, self.corners)):
            raise ValueError("a corner of the box is not finite")
        area = max(x2 - x1, 0) * max(y2 - y1, 0) if self.area is None else self.area
        if area > LARGEST or (self.area or 0) < 0:
            raise ValueError(f"the object is of {area:,.0f} pixels, where 0 to {LARGEST:,.0f} belong")

    def fault(self, width: int, height: int) -> str | None:
        """Why this box cannot be an object of an image of this size; None if it can."""
        x1, y1, x2, y2 = self.corners
        if x2 <= x1 or y2 <= y1:
            return ZERO
        if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
            return OUTSIDE
        return f"{UNKNOWN}: {self.name}" if self.label is None else None


@dataclass(frozen=True, slots=True)
class Dropped:
    """A box or an image that was left out: the reason, and the image's name."""

    reason: str
    image: str


@dataclass(frozen=True, slots=True, eq=False)
class Annotated:
    """An image on disk and its N boxes.

    boxes (N, 4) and area (N,) float64, as an IoU decides by its last bit; labels (N,) int64, flags (N,) bool.
    turn: by which EXIF turns the image to the annotated size, None where it has that as it is stored; width, height and
    boxes are of the turned one. untold: it has an EXIF orientation, and its annotation does not tell whether to follow.
    """

    id: str
    path: Path
    width: int
    height: int
    boxes: Tensor
    labels: Tensor
    difficult: Tensor
    crowd: Tensor
    area: Tensor
    turn: Transpose | None = None
    untold: bool = False

    def pixels(self) -> Tensor:
        """(3, height, width) uint8 RGB, a grey-scale image with three equal channels. Raises DataError."""
        with opened(self.path, str(self.path)) as file:
            upright = rgb(file) if self.turn is None else rgb(file).transpose(self.turn)
        image: Tensor = pil_to_tensor(upright)
        if image.shape[1:] != (self.height, self.width):
            got = f"{image.shape[2]}x{image.shape[1]}"
            raise DataError(f"{self.path} is {got} pixels now, was {self.width}x{self.height} when the set was read")
        return image

    @property
    def to_find(self) -> Tensor:
        """(N,) bool: neither difficult nor a crowd."""
        return ~(self.difficult | self.crowd)

    def target(self) -> dict[str, Tensor]:
        """What a detector is trained with: the boxes to find, cut at the image's edge."""
        boxes = clip_boxes_to_image(self.boxes[self.to_find], (self.height, self.width))
        return {"boxes": boxes.float(), "labels": self.labels[self.to_find]}

    def truth(self) -> dict[str, Tensor]:
        """What predictions are measured against: every box as it was annotated, with its flags and area."""
        names = ("boxes", "labels", "difficult", "crowd", "area")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class DetectionSet:
    """Images with boxes: `classes[k]` is the name of label k + 1. `dropped`: all that was left out, never silently.

    categories: COCO's ids of the classes, () for 1, 2, …
    """

    name: str
    classes: tuple[str, ...]
    images: tuple[Annotated, ...]
    dropped: tuple[Dropped, ...] = ()
    categories: tuple[int, ...] = ()

    def trainable(self) -> tuple[Annotated, ...]:
        """The images with a box to train on; an evaluation takes all of `images`."""
        return tuple(image for image in self.images if image.to_find.any())

    @property
    def digest(self) -> str:
        """SHA-256 of all that is annotated, and of the images' names and lengths in bytes."""
        sha = hashlib.sha256("\n".join(self.classes).encode())
        for i in self.images:
            sha.update(f"{i.id} {i.path.name} {i.path.stat().st_size} {i.width}x{i.height}\n".encode())
            for part in i.truth().values():
                sha.update(part.numpy().tobytes())
        return sha.hexdigest()

    def summary(self) -> str:
        """What the set is and what was left out of it: text for a report."""
        return " ".join(_sentences(self))


def _sentences(data: DetectionSet) -> Iterator[str]:
    boxes = sum(len(image.boxes) for image in data.images)
    images, classes = counted(len(data.images), "image"), counted(len(data.classes), "class")
    yield f"{data.name}: {images}, {counted(boxes, 'box')} of {classes}."
    for flag, meaning in (("difficult", "Difficult boxes"), ("crowd", "Crowds")):
        flagged = sum(int(getattr(image, flag).sum()) for image in data.images)
        if flagged:
            yield f"{meaning}: {flagged:,}, neither trained on nor counted as missed."
    empty = len(data.images) - len(data.trainable())
    if empty:
        yield f"Images without a box to train on: {empty:,}, evaluated all the same."
    turned = sum(image.turn is not None for image in data.images)
    if turned:
        yield f"Photographs turned by their EXIF orientation to the annotated size: {turned:,}."
    untold = [image.id for image in data.images if image.untold]
    if untold:
        yield (
            f"Photographs with an EXIF orientation that were taken as stored, as their annotated size does not tell: "
            f"{len(untold):,} ({named(untold)})."
        )
    over = sum(_over_the_edge(image) for image in data.images)
    if over:
        yield f"Boxes over the image's edge: {over:,}, evaluated whole, cut for training."
    yield from _losses(data.dropped, (ZERO, OUTSIDE, UNKNOWN), boxes, "boxes")
    yield from _losses(data.dropped, (NO_IMAGE,), len(data.images), "images")


def _over_the_edge(image: Annotated) -> int:
    """Boxes that a pixel or more of lies outside: less is rounding."""
    cut = clip_boxes_to_image(image.boxes, (image.height, image.width))
    return int(((cut - image.boxes).abs() >= 1).any(1).sum())


def _losses(dropped: Sequence[Dropped], reasons: Iterable[str], kept: int, what: str) -> Iterator[str]:
    lost = {r: [d.image for d in dropped if d.reason.startswith(r)] for r in reasons}
    parts = [f"{len(where):,} {reason} ({named(where)})" for reason, where in lost.items() if where]
    if parts:
        total = sum(map(len, lost.values()))
        yield f"{total:,} of {kept + total:,} {what} dropped: {'; '.join(parts)}."


def named(names: Iterable[str]) -> str:
    """The first few of `names`, each once with its number of times, and how many more there are, in one line."""
    counts = Counter(name if name.isprintable() else ascii(name) for name in names)
    shown = [name if n == 1 else f"{name} x{n}" for name, n in list(counts.items())[:SHOWN]]
    return ", ".join(shown) + (f" and {len(counts) - SHOWN:,} more" if len(counts) > SHOWN else "")


def annotated(image: str, path: Path, given: tuple[int, int], raw: Sequence[RawBox]) -> tuple[Annotated, list[Dropped]]:
    """The image with those of its boxes that can be objects, and the others with the reason.

    given: (width, height) by the annotation, 0 where it does not tell. Raises DataError where the image cannot be read
    or has another size, stored and turned by EXIF: its boxes would be off.
    """
    size, tag = header(path)
    turn = TURNS.get(tag)
    stored, turned = (_fits(given, (w, h)) for w, h in (size, size[::-1] if turn else size))
    if not stored and not turned:
        there, here = (f"{w}x{h}" for w, h in (given, size))
        raise DataError(
            f"{path} is {here} pixels, its annotation is of {there}: they do not belong together. "
            "Correct the size in the annotation, or get the image again"
        )
    if stored:
        turn = None
    else:
        size = size[::-1]
    faults = [box.fault(*size) for box in raw]
    kept = [box for box, fault in zip(raw, faults, strict=True) if fault is None]
    boxes = torch.tensor([box.corners for box in kept], dtype=torch.float64).reshape(-1, 4)
    area = torch.tensor([math.nan if b.area is None else b.area for b in kept], dtype=torch.float64)
    whole = Annotated(
        image,
        path,
        *size,
        boxes,
        labels=torch.tensor([box.label for box in kept], dtype=torch.int64),
        difficult=torch.tensor([box.difficult for box in kept], dtype=torch.bool),
        crowd=torch.tensor([box.crowd for box in kept], dtype=torch.bool),
        area=torch.where(area.isnan(), box_area(boxes), area),
        turn=turn,
        untold=stored and turned and tag in range(2, 9),
    )
    return whole, [Dropped(fault, image) for fault in faults if fault is not None]


def header(path: Path) -> tuple[tuple[int, int], int]:
    """(width, height) as stored, and EXIF's orientation."""
    with opened(path, str(path)) as image:
        return image.size, orientation(image)


def _fits(given: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether a size may be the annotated one."""
    return all(wanted in (0, side) for wanted, side in zip(given, size, strict=True))


def detection_set(
    name: str,
    classes: tuple[str, ...],
    read: Sequence[tuple[Annotated, list[Dropped]]],
    dropped: Sequence[Dropped] = (),
    categories: tuple[int, ...] = (),
) -> DetectionSet:
    """The set of what `annotated` returned for each image. Raises DataError where no box is left, with the reasons."""
    images = tuple(image for image, _ in read)
    data = DetectionSet(name, classes, images, (*dropped, *(box for _, boxes in read for box in boxes)), categories)
    if any(len(image.boxes) for image in images):
        return data
    unknown = {d.reason.partition(": ")[2] for d in data.dropped if d.reason.startswith(UNKNOWN)}
    seen = f" Classes seen: {named(sorted(unknown))}; wanted: {named(classes)}." if unknown else ""
    raise DataError(f"{name} has no box to work with.{seen} {data.summary()} Annotate an object there")
