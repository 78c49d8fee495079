"""COCO's layout: one JSON of images, annotations and categories, and a folder of images."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.data.locate import DataError
from bench.tasks.detection.annotations import (
    NO_IMAGE,
    DetectionSet,
    Dropped,
    RawBox,
    annotated,
    detection_set,
    named,
)

ADDRESS = "https://cocodataset.org/#download"


def coco14(folder: Path) -> tuple[DetectionSet, DetectionSet]:
    """COCO 2014: train, val. Raises DataError."""
    training, tested = (coco(folder / f"instances_{p}2014.json", folder.parent / f"{p}2014") for p in ("train", "val"))
    return training, tested


def coco(annotations: Path, images: Path) -> DetectionSet:
    """The set of a file such as instances_train2014.json with its folder of images.

    Labels are the categories in the order of their ids, from 1. As the official evaluation has it, an annotation whose
    image or category the file does not list is left out (and counted). Raises DataError naming what is missing,
    damaged or inconsistent, before any image is decoded.
    """
    content = _content(annotations)
    labels, names = _categories(content, annotations)
    by_image: dict[int, list[RawBox]] = defaultdict(list)
    for annotation in content["annotations"]:
        key, box = _raw_box(annotation, labels, names, annotations)
        by_image[key].append(box)
    listed = _images(content, annotations)
    on_disk = {p.name for p in images.iterdir()} if images.is_dir() else set()
    missing = [i["file_name"] for i in listed.values() if i["file_name"] not in on_disk]
    if missing:
        raise DataError(
            f"{images}: {len(missing):,} of {len(listed):,} images of {annotations.name} are missing "
            f"({named(missing)}). Get the whole set from {ADDRESS}: a number of a part of it is another number"
        )
    read = [
        annotated(str(key), images / image["file_name"], _size(image), by_image[key]) for key, image in listed.items()
    ]
    orphans = [Dropped(NO_IMAGE, str(key)) for key in by_image if key not in listed]
    return detection_set(f"COCO {annotations.stem}", names, read, orphans)


def _content(path: Path) -> dict[str, Any]:
    """The file's JSON, with the three lists that it must have."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as COCO's JSON ({error}). Get it from {ADDRESS}") from None
    missing = [name for name in ("images", "annotations", "categories") if name not in content]
    if missing:
        raise DataError(f"{path} has no {', '.join(missing)}: not a file of COCO's instances. Get it from {ADDRESS}")
    return content


def _categories(content: Mapping[str, Any], path: Path) -> tuple[dict[int, int], tuple[str, ...]]:
    """The labels by category id, and their names in order."""
    try:
        ordered = sorted((int(c["id"]), str(c["name"])) for c in content["categories"])
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{path}: a category without id and name") from None
    return {key: k for k, (key, _) in enumerate(ordered, start=1)}, tuple(name for _, name in ordered)


def _images(content: Mapping[str, Any], path: Path) -> dict[int, dict[str, Any]]:
    """The listed images by their ids, in the official evaluation's order: it decides among equal scores."""
    try:
        return {
            int(i["id"]): {**i, "file_name": str(i["file_name"])}
            for i in sorted(content["images"], key=lambda i: int(i["id"]))
        }
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{path}: an image without id and file_name") from None


def _size(image: Mapping[str, Any]) -> tuple[int, int]:
    return int(image.get("width", 0)), int(image.get("height", 0))


def _raw_box(
    annotation: Mapping[str, Any], labels: Mapping[int, int], names: tuple[str, ...], path: Path
) -> tuple[int, RawBox]:
    """The annotation's image and box. COCO's [x, y, width, height] counts from 0 and is continuous."""
    try:
        x, y, width, height = map(float, annotation["bbox"])
        category, image = int(annotation["category_id"]), int(annotation["image_id"])
    except (KeyError, TypeError, ValueError):
        raise DataError(
            f"{path}: annotation {annotation.get('id')} has no bbox of four numbers, category_id and image_id"
        ) from None
    label = labels.get(category)
    area = float(annotation["area"]) if "area" in annotation else None
    name = str(category) if label is None else names[label - 1]
    return image, RawBox(
        (x, y, x + width, y + height), name, label, crowd=bool(annotation.get("iscrowd", 0)), area=area
    )
