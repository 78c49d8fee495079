"""COCO's layout: one JSON of images, annotations and categories, and a folder of images."""

from __future__ import annotations

import json
import reprlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from bench.data.listing import located
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
from bench.tasks.detection.values import class_name, flag, number, optional, required, text, told_apart, whole

OFFICIAL = "from https://cocodataset.org/#download"
PARTS = ("images", "annotations", "categories")
Value = TypeVar("Value")


class _Image(NamedTuple):
    file: str
    size: tuple[int, int]


def coco14(folder: Path) -> tuple[DetectionSet, DetectionSet]:
    """COCO 2014: train, val. Raises DataError."""
    training, tested = (coco(folder / f"instances_{p}2014.json", folder.parent / f"{p}2014") for p in ("train", "val"))
    return training, tested


def coco(annotations: Path, *folders: Path, name: str = "", source: str = OFFICIAL) -> DetectionSet:
    """The set of a file such as instances_train2014.json with its images, in the first of `folders` that has all.

    Labels are the categories in the order of their ids, from 1. As the official evaluation has it, an annotation whose
    image or category the file does not list is left out (and counted). A category that only groups others, as
    Roboflow's first, is no class. name: the set's, by default that of the file. source: where to get it, in words.
    Raises DataError naming what is missing, damaged or inconsistent, before any image is decoded.
    """
    content = _content(annotations, source)
    labels, names = _categories(content, annotations)
    by_image: dict[int, list[RawBox]] = defaultdict(list)
    for key, box in _entries(content, "annotations", annotations, lambda a: _box(a, labels, names)).values():
        by_image[key].append(box)
    # in the official evaluation's order: it decides among equal scores
    listed = dict(sorted(_entries(content, "images", annotations, _image).items()))
    places = _located(listed, annotations, folders, source)
    read = [annotated(str(key), places[key], image.size, by_image[key]) for key, image in listed.items()]
    orphans = [Dropped(NO_IMAGE, str(key)) for key in by_image if key not in listed]
    return detection_set(name or f"COCO {annotations.stem}", names, read, orphans, tuple(labels))


def _content(path: Path, source: str) -> dict[str, Any]:
    """The file's JSON, with the three lists that it must have."""
    try:
        content = json.loads(path.read_bytes())  # of bytes it finds out which UTF they are
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as COCO's JSON ({error}). Get it {source}") from None
    missing = [name for name in PARTS if not isinstance(content, dict) or name not in content]
    if missing:
        raise DataError(f"{path} has no {', '.join(missing)}: not a file of COCO's instances. Get it {source}")
    return dict(content)


def _entries(content: Mapping[str, Any], part: str, path: Path, read: Callable[[Any], Value]) -> dict[int, Value]:
    """What `read` makes of each entry of a part, by its id.

    Raises DataError naming the entry where a value is not of its type, or its id is another's, too.
    """
    if not isinstance(content[part], list):
        raise DataError(f"{path}: {part} is {reprlib.repr(content[part])}, where a list belongs: fix the file")
    found: dict[int, Value] = {}
    for place, entry in enumerate(content[part]):
        try:
            key = required(entry, "id", whole)
            if key in found:
                raise ValueError(f"id {key} is that of an entry before it: each needs its own")
            found[key] = read(entry)
        except ValueError as error:
            raise DataError(f"{path}, {part}[{place}]: {error}. Fix the file, or get it again") from None
    return found


def _categories(content: Mapping[str, Any], path: Path) -> tuple[dict[int, int], tuple[str, ...]]:
    """The labels by category id, and their names in order."""
    found = _entries(content, "categories", path, _category)
    groups = _groups(found, content["annotations"])
    ordered = sorted((key, name) for key, (name, _) in found.items() if key not in groups)
    try:
        names = told_apart([name for _, name in ordered])
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    return {key: k for k, (key, _) in enumerate(ordered, start=1)}, names


def _category(entry: Any) -> tuple[str, str | None]:
    return required(entry, "name", class_name), optional(entry, "supercategory", str)


def _groups(categories: Mapping[int, tuple[str, str | None]], annotations: Any) -> set[int]:
    """The ids of categories that are the supercategory of others and that no annotation has."""
    above = {group for name, group in categories.values() if group != name}
    groups = {key for key, (name, _) in categories.items() if name in above}
    for entry in annotations if groups and isinstance(annotations, list) else ():
        with suppress(ValueError):
            groups.discard(required(entry, "category_id", whole))
    return groups


def _image(entry: Any) -> _Image:
    width, height = (optional(entry, side, whole) or 0 for side in ("width", "height"))
    return _Image(required(entry, "file_name", text), (width, height))


def _located(listed: Mapping[int, _Image], path: Path, folders: Sequence[Path], source: str) -> dict[int, Path]:
    """The file of each image, all in one folder. Raises DataError where one is missing, or is the file of two."""
    names = [image.file for image in listed.values()]
    by_folder = ((folder, located(folder, names)) for folder in folders)
    images, found = max(by_folder, key=lambda one: len(one[1]))  # the first of those with most
    missing = [name for name in names if name not in found]
    if missing:
        others = ", ".join(str(folder) for folder in folders if folder != images)
        raise DataError(
            f"{images}: {len(missing):,} of {len(listed):,} images of {path.name} are missing ({named(missing)})"
            f"{f', and no fewer in {others}' if others else ''}. Get the whole set {source}: a number of a part of it "
            "is another number"
        )
    places = {key: found[image.file] for key, image in listed.items()}
    files = Counter(places.values())
    if len(files) < len(places):
        twice = named(file.name for file, times in files.items() if times > 1)
        raise DataError(f"{path} lists images twice ({twice}): they would count twice in every number")
    return places


def _box(annotation: Any, labels: Mapping[int, int], names: tuple[str, ...]) -> tuple[int, RawBox]:
    """The annotation's image and box. COCO's [x, y, width, height] counts from 0 and is continuous."""
    x, y, width, height = required(annotation, "bbox", _four)
    category, image = (required(annotation, name, whole) for name in ("category_id", "image_id"))
    label = labels.get(category)
    return image, RawBox(
        (x, y, x + width, y + height),
        str(category) if label is None else names[label - 1],
        label,
        crowd=optional(annotation, "iscrowd", flag) or False,
        area=optional(annotation, "area", number),
    )


def _four(value: Any) -> list[float]:
    try:
        if isinstance(value, list) and len(value) == 4:
            return [number(one) for one in value]
    except ValueError:
        pass
    raise ValueError("a list of four finite numbers")
