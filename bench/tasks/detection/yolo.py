"""YOLO's layout, as Ultralytics reads it: a data.yaml, folders or lists of images, and a text file of boxes for each.

For an image below a folder images/ its boxes are in the folder labels/ beside that, else beside the image; an image
without such a file has no objects. A line is `class cx cy width height`, in shares of the image, or the class and the
points of a polygon, whose box is taken.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.data.images import ENDINGS
from bench.data.listing import files_in, folders_in, read_list, read_text, same_form
from bench.data.locate import DataError
from bench.tasks.detection.annotations import (
    NO_IMAGE,
    TURNS,
    DetectionSet,
    Dropped,
    RawBox,
    annotated,
    detection_set,
    header,
    named,
)
from bench.tasks.detection.own import wrong_layout
from bench.tasks.detection.values import class_name, number, required, told_apart, whole
from bench.tasks.detection.voc import Sets

DIGITS = 6  # of a share, as they are usually written: what is rounded may lie a millionth outside
CLASSES = "classes.txt"


def yolo(folder: Path) -> Sets:
    """The sets to train on and to test on. Raises DataError naming what is missing, damaged or inconsistent."""
    path, about = _about(folder)
    names = _names(about, path)
    training, tested = (_set(folder, part, path, about, names) for part in ("train", _tested(about)))
    return training, tested


def _tested(about: Mapping[Any, Any]) -> str:
    return "test" if about.get("test") else "val"


def _about(folder: Path) -> tuple[Path, Mapping[Any, Any]]:
    """The file that says names and parts, and what it says; of the tree that needs no data.yaml, the file of names."""
    there = {path.name: path for path in files_in(folder, (".yaml", ".yml"))}
    path = there.get("data.yaml") or (next(iter(there.values())) if len(there) == 1 else None)
    if path is not None:
        return path, _parsed(path)
    parts = {part: f"images/{part}" for part in ("train", "val", "test") if (folder / "images" / part).is_dir()}
    if not (folder / CLASSES).is_file() or "train" not in parts or len(parts) == 1:
        raise wrong_layout(folder, "yolo", "no data.yaml, and not the tree that needs none")
    return folder / CLASSES, {"names": [line for _, line in read_list(folder / CLASSES)], **parts}


def _parsed(path: Path) -> Mapping[Any, Any]:
    try:
        about = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not YAML ({' '.join(str(error).split())[:200]}): fix the file") from None
    if not isinstance(about, dict):
        raise DataError(f"{path}: {about!r:.40} stands where names, train and val belong, such as names: [racoon]")
    return about


def _names(about: Mapping[Any, Any], path: Path) -> tuple[str, ...]:
    """The names of classes 0, 1, …, of a list or of a mapping from their numbers."""
    try:
        listed = required(about, "names", _listed)
        names = told_apart([required({f"name {k}": name}, f"name {k}", class_name) for k, name in enumerate(listed)])
        if about.get("nc") not in (None, len(names)):
            raise ValueError(f"nc is {about['nc']!r:.40} and there are {len(names)} names")
    except ValueError as error:
        raise DataError(f"{path}: {error}. Write the name of each class, such as names: [racoon, fox]") from None
    return names


def _listed(value: Any) -> list[Any]:
    numbered = dict(enumerate(value)) if isinstance(value, list) else value
    if not isinstance(numbered, dict) or not numbered or set(numbered) != set(range(len(numbered))):
        raise ValueError("a list of names, or a mapping of 0, 1, … to names")
    return [numbered[k] for k in range(len(numbered))]


def _set(folder: Path, part: str, path: Path, about: Mapping[Any, Any], names: tuple[str, ...]) -> DetectionSet:
    images, whole_folders = _images(folder, part, path, about)
    labels = {home: _labels(_label_folder(home, folder)) for home in dict.fromkeys(image.parent for image in images)}
    of_image = {image: label for image in images if (label := labels[image.parent].get(same_form(image.stem)))}
    if not of_image:
        raise DataError(
            f"{folder}: none of the {len(images):,} images to {part} has a file of labels; that of {images[0].name} is "
            f"{_label_folder(images[0].parent, folder) / images[0].stem}.txt. Put them there"
            f"{', or name no test: val is tested on then' if part == 'test' else ''}"
        )
    if twice := [label.name for label, times in Counter(of_image.values()).items() if times > 1]:
        raise DataError(f"{folder}, {part}: several images have the one file of labels {named(twice)}: rename them")
    read = []
    for image in images:
        size, tag = header(image)
        size = size[::-1] if tag in TURNS else size  # as the field's decoders turn it
        boxes = list(_boxes(of_image[image], names, size)) if image in of_image else []
        read.append(annotated(_id(image, folder), image, size, boxes))
    used = set(of_image.values())
    orphans = [
        Dropped(NO_IMAGE, label.stem)
        for home in whole_folders
        for label in labels[home].values()
        if label not in used and label.parent != home and label.name != CLASSES
    ]
    return detection_set(f"{folder.name} {part}", names, read, orphans)


def _id(image: Path, folder: Path) -> str:
    """Its path below the folder, without the ending."""
    return os.path.relpath(image.with_suffix(""), folder)


def _images(folder: Path, part: str, path: Path, about: Mapping[Any, Any]) -> tuple[list[Path], list[Path]]:
    """The images of a part, and the folders that were taken whole. Raises DataError."""
    value = about.get(part)
    entries: list[Any] = value if isinstance(value, list) else [value]
    if not value or not all(isinstance(entry, str) and entry for entry in entries):
        wanted = "train" if part == "train" else "val (or test)"
        raise DataError(
            f"{path}: {part} is {value!r:.60}, where a folder of images belongs, or a text file that lists them: write "
            f"{wanted}, such as {part}: images/{part}"
        )
    root = about.get("path")
    roots = [*([folder / root] if isinstance(root, str) else []), folder]
    images: list[Path] = []
    folders: list[Path] = []
    for entry in entries:
        place = _place(entry, roots, f"{path}: {part}")
        if place.is_dir():
            below = list(_below(place))
            images += below
            folders += dict.fromkeys(image.parent for image in below)
        else:
            images += (_place(line, [place.parent, *roots], where) for where, line in read_list(place))
    if not images:
        raise DataError(f"{path}: no image in {part}, {', '.join(entries)}; of {', '.join(ENDINGS)} are read")
    if twice := [image.name for image, times in Counter(images).items() if times > 1]:
        raise DataError(f"{path}: {part} has images twice ({named(twice)}): they would count twice in every number")
    return images, folders


def _place(entry: str, roots: Sequence[Path], where: str) -> Path:
    """The file or folder of an entry, below the first root that has it. Raises DataError.

    Roboflow's `../train/images` is a folder of the root itself, as Ultralytics takes it, too.
    """
    entry = entry.replace("\\", "/")  # as Windows writes it
    tried = [root / name for name in dict.fromkeys((entry.removeprefix("../"), entry)) for root in roots]
    for place in tried:
        if place.exists():
            return Path(os.path.normpath(place))
    raise DataError(
        f"{where}: {entry!r:.100} is not there, neither as {' nor as '.join(dict.fromkeys(map(str, tried)))}: give it "
        "relative to path, or to the file that names it"
    )


def _below(folder: Path) -> Iterator[Path]:
    """All images in the folder and in those below it."""
    yield from files_in(folder, ENDINGS)
    for inner in folders_in(folder):
        yield from _below(inner)


def _label_folder(images: Path, folder: Path) -> Path:
    """Where the labels of the images in a folder are: labels/ stands for the last images/ on its way.

    That from the data set's folder on; of images elsewhere the whole.
    """
    parts, start = images.parts, len(folder.parts) if images.is_relative_to(folder) else 0
    last = max((place for place, part in enumerate(parts) if part == "images" and place >= start), default=None)
    return images if last is None else Path(*parts[:last], "labels", *parts[last + 1 :])


def _labels(folder: Path) -> Mapping[str, Path]:
    """The files of labels in a folder, by the image's name without its ending."""
    return {same_form(path.stem): path for path in files_in(folder, (".txt",))} if folder.is_dir() else {}


def _boxes(path: Path, names: Sequence[str], size: tuple[int, int]) -> Iterator[RawBox]:
    for place, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            try:
                yield _box(line.split(), names, size)
            except ValueError as error:
                raise DataError(f"{path} line {place}: {error}. Fix the line, or take it out") from None


def _box(values: Sequence[str], names: Sequence[str], size: tuple[int, int]) -> RawBox:
    if len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
        raise ValueError(
            f"{len(values)} values, where class cx cy width height belong, or the class and three or more points"
        )
    label = required({"class": values[0]}, "class", whole)
    if not 0 <= label < len(names):
        raise ValueError(f"class {label}, where 0 to {len(names) - 1} belong ({named(names)})")
    shares = [required({"a share": value}, "a share", number) for value in values[1:]]
    if outside := [share for share in shares if not 0 <= round(share, DIGITS) <= 1]:
        raise ValueError(f"{outside[0]:g} is outside the image, where shares of it from 0 to 1 belong, not pixels")
    x, y = shares[0::2], shares[1::2]
    if len(shares) == 4:
        (cx, width), (cy, height) = x, y
        x, y = [cx - width / 2, cx + width / 2], [cy - height / 2, cy + height / 2]
    corners = (min(x) * size[0], min(y) * size[1], max(x) * size[0], max(y) * size[1])
    return RawBox(corners, names[label], label + 1)
