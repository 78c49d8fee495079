"""Pascal VOC's layout: JPEGImages, Annotations (XML) and ImageSets/Main; VOC 2007 and 2012, and others' sets in it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import Element

from bench.data.locate import DataError
from bench.tasks.detection.annotations import (
    NO_ANNOTATION,
    NO_IMAGE,
    Annotated,
    DetectionSet,
    Dropped,
    RawBox,
    annotated,
    check_size,
    finished,
    named,
)

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
# the paper's trainings and tests (Appendix A): parts of (year, image list)
SPLITS = {
    "07": ((("2007", "trainval"),), ("2007", "test")),
    "07+12": ((("2007", "trainval"), ("2012", "trainval")), ("2007", "test")),
    "07++12": ((("2007", "trainval"), ("2007", "test"), ("2012", "trainval")), ("2012", "test")),
}
ADDRESS = "http://host.robots.ox.ac.uk/pascal/VOC/"
ENDINGS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")


def voc_train(folder: Path, split: str) -> DetectionSet:
    """The training images of the split "07", "07+12" or "07++12" below `folder`/VOCdevkit (or `folder` itself).

    Raises ValueError naming the splits, DataError where a part is missing or damaged.
    """
    parts = [_year(folder, *part) for part in _known(split)[0]]
    images = tuple(image for part in parts for image in part.images)
    dropped = tuple(d for part in parts for d in part.dropped)
    return DetectionSet(f"VOC {split} train", VOC_CLASSES, images, dropped)


def voc_test(folder: Path, split: str) -> DetectionSet:
    """The test images of the split: VOC 2007 test, or VOC 2012 test, whose annotations the organisers keep."""
    return replace(_year(folder, *_known(split)[1]), name=f"VOC {split} test")


def _known(split: str) -> tuple[tuple[tuple[str, str], ...], tuple[str, str]]:
    if split not in SPLITS:
        raise ValueError(f"VOC split {split!r} is not one of: {', '.join(SPLITS)}")
    return SPLITS[split]


def _year(folder: Path, year: str, images: str) -> DetectionSet:
    kit = folder / "VOCdevkit" if (folder / "VOCdevkit").is_dir() else folder
    found = kit / f"VOC{year}"
    if not found.is_dir():
        raise DataError(f"{folder}: no VOCdevkit/VOC{year}/. Get VOC {year} from {ADDRESS} and unpack it there")
    return voc_layout(found, images, VOC_CLASSES)


@dataclass(frozen=True, slots=True)
class _Pair:
    """An image's id and its two files, None where one is missing."""

    id: str
    image: Path | None
    annotation: Path | None


def voc_layout(
    folder: Path, images: str | None = None, classes: Sequence[str] | None = None, *, partial: bool = False
) -> DetectionSet:
    """A set in VOC's layout.

    images: the list ImageSets/Main/<images>.txt; None takes every annotated image, as a folder without lists has to.
    classes: the names of labels 1, 2, …; None takes every name that any annotation of the folder has, in
    alphabetical order, so that all lists of a folder number them alike. partial: goes on where listed images or
    annotations are missing, and counts them.
    Raises DataError naming what is missing, damaged or inconsistent, before any image is decoded.
    """
    if not (folder / "Annotations").is_dir() or not (folder / "JPEGImages").is_dir():
        raise DataError(f"{folder}: VOC's layout needs Annotations/ and JPEGImages/ in it; name the folder above them")
    pairs = _pairs(folder, images)
    if images is not None and not partial:
        _refuse_gaps(folder, images, pairs)
    names = tuple(_class_names(folder) if classes is None else classes)
    read = [_read(p.id, p.image, p.annotation, names) for p in pairs if p.image and p.annotation]
    gaps = [Dropped(NO_ANNOTATION if p.image else NO_IMAGE, p.id) for p in pairs if not (p.image and p.annotation)]
    name = folder.name if images is None else f"{folder.name} {images}"
    dropped = (*gaps, *(d for _, of_image in read for d in of_image))
    return finished(DetectionSet(name, names, tuple(image for image, _ in read), dropped))


def _pairs(folder: Path, images: str | None) -> list[_Pair]:
    pictures = {p.stem: p for p in sorted((folder / "JPEGImages").iterdir()) if p.suffix in ENDINGS}
    texts = {p.stem: p for p in sorted((folder / "Annotations").glob("*.xml"))}
    ids = sorted(pictures.keys() | texts.keys()) if images is None else _list(folder, images)
    return [_Pair(i, pictures.get(i), texts.get(i)) for i in ids]


def _list(folder: Path, images: str) -> list[str]:
    """The ids of ImageSets/Main/<images>.txt: the first word of each line."""
    path = folder / "ImageSets" / "Main" / f"{images}.txt"
    if not path.is_file():
        there = sorted(p.stem for p in path.parent.glob("*.txt"))
        raise DataError(f"{path}: no such image list; there are: {named(there) if there else 'none'}")
    try:
        ids = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a list of images ({error}): get it again") from None
    twice = [i for i in dict.fromkeys(ids) if ids.count(i) > 1] if len(set(ids)) < len(ids) else []
    if twice:
        raise DataError(f"{path} lists images twice ({named(twice)}): they would count twice in every number")
    return ids


def _refuse_gaps(folder: Path, images: str, pairs: Sequence[_Pair]) -> None:
    gaps = {
        "JPEGImages/": [p.id for p in pairs if p.image is None],
        "Annotations/": [p.id for p in pairs if p.annotation is None],
    }
    words = [f"{len(ids):,} of {len(pairs):,} are not in {where} ({named(ids)})" for where, ids in gaps.items() if ids]
    if words:
        raise DataError(
            f"{folder}, list {images}: {'; '.join(words)}. Get the whole set: a number of a part of it is another "
            f"number. (VOC 2012 test has no public annotations: its AP is the server's, {ADDRESS})"
        )


def _class_names(folder: Path) -> list[str]:
    texts = sorted((folder / "Annotations").glob("*.xml"))
    return sorted({_text(obj, "name", path) for path in texts for obj in _parsed(path).iter("object")})


def _read(image: str, picture: Path, text: Path, classes: tuple[str, ...]) -> tuple[Annotated, list[Dropped]]:
    root = _parsed(text)
    width, height = (
        _number(root, f"size/{side}", text) if root.findtext(f"size/{side}") else 0 for side in ("width", "height")
    )
    raw = [_raw_box(obj, classes, text) for obj in root.iter("object")]
    return annotated(image, picture, check_size(picture, (int(width), int(height))), raw)


def _parsed(path: Path) -> Element:
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise DataError(f"{path} is no XML ({error}): get the annotation again") from None


def _raw_box(obj: Element, classes: tuple[str, ...], path: Path) -> RawBox:
    """VOC counts pixels from 1 and both ends belong to the box: continuous, a box starts one before `xmin`.

    A box whose two ends are one pixel would be one pixel wide; annotators mean a slip of the mouse, so it has no width.
    """
    name = _text(obj, "name", path)
    x1, y1, x2, y2 = (_number(obj, f"bndbox/{corner}", path) for corner in ("xmin", "ymin", "xmax", "ymax"))
    corners = (x1 - (x2 > x1), y1 - (y2 > y1), x2, y2)
    label = classes.index(name) + 1 if name in classes else None
    return RawBox(corners, name, label, difficult=(obj.findtext("difficult") or "0").strip() == "1")


def _text(obj: Element, tag: str, path: Path) -> str:
    found = (obj.findtext(tag) or "").strip()
    if not found:
        raise DataError(f"{path}: an object without <{tag}>: mend the annotation")
    return found


def _number(obj: Element, tag: str, path: Path) -> float:
    text = _text(obj, tag, path)
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{path}: <{tag}> is {text!r}, not a number of pixels: mend the annotation") from None
