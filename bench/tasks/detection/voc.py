"""Pascal VOC's layout: JPEGImages, Annotations (XML) and ImageSets/Main; VOC 2007 and 2012, and other sets in it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

from bench.data.locate import DataError
from bench.tasks.detection.annotations import (
    Annotated,
    DetectionSet,
    Dropped,
    RawBox,
    annotated,
    detection_set,
    named,
)

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
ADDRESS = "http://host.robots.ox.ac.uk/pascal/VOC/"
ENDINGS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
Sets = tuple[DetectionSet, DetectionSet]  # to train on, to test on


def bccd(folder: Path) -> Sets:
    """Blood cells: VOC's layout with lists of its own. Raises DataError, as the other readers do."""
    return voc_layout(folder, "train"), voc_layout(folder, "test")


def voc07(folder: Path) -> Sets:
    """VOC 2007: trainval, test."""
    return _voc(folder.parent, "07", ("2007",))


def voc0712(folder: Path) -> Sets:
    """Trainval of VOC 2007 and 2012 together, and the test of 2007 (Appendix A)."""
    return _voc(folder.parent, "07+12", ("2007", "2012"))


def _voc(kit: Path, name: str, years: Sequence[str]) -> Sets:
    parts = [_year(kit, year, "trainval") for year in years]
    images = tuple(image for part in parts for image in part.images)
    dropped = tuple(one for part in parts for one in part.dropped)
    tested = _year(kit, "2007", "test")
    return DetectionSet(f"VOC {name} train", VOC_CLASSES, images, dropped), replace(tested, name=f"VOC {name} test")


def _year(kit: Path, year: str, images: str) -> DetectionSet:
    if not (kit / f"VOC{year}").is_dir():
        raise DataError(f"{kit}: no VOC{year}/. Get VOC {year} from {ADDRESS} and unpack it there")
    return voc_layout(kit / f"VOC{year}", images, VOC_CLASSES)


def voc_layout(folder: Path, images: str, classes: Sequence[str] | None = None) -> DetectionSet:
    """The images of the list ImageSets/Main/<images>.txt.

    classes: the names of labels 1, 2, …; None takes every name that any annotation of the folder has, in
    alphabetical order, so that all lists of a folder number them alike.
    Raises DataError naming what is missing, damaged or inconsistent, before any image is decoded.
    """
    if not (folder / "Annotations").is_dir() or not (folder / "JPEGImages").is_dir():
        raise DataError(f"{folder}: VOC's layout needs Annotations/ and JPEGImages/ in it; name the folder above them")
    photos = {p.stem: p for p in sorted((folder / "JPEGImages").iterdir()) if p.suffix in ENDINGS}
    texts = {p.stem: p for p in sorted((folder / "Annotations").glob("*.xml"))}
    ids = _list(folder, images)
    gaps = {"JPEGImages/": [i for i in ids if i not in photos], "Annotations/": [i for i in ids if i not in texts]}
    words = [
        f"{len(lost):,} of {len(ids):,} are not in {where} ({named(lost)})" for where, lost in gaps.items() if lost
    ]
    if words:
        raise DataError(
            f"{folder}, list {images}: {'; '.join(words)}. Get the whole set: a number of a part of it is another "
            "number"
        )
    names = tuple(_class_names(texts.values()) if classes is None else classes)
    return detection_set(f"{folder.name} {images}", names, [_read(i, photos[i], texts[i], names) for i in ids])


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


def _class_names(texts: Iterable[Path]) -> list[str]:
    return sorted({_text(obj, "name", path) for path in texts for obj in _parsed(path).iter("object")})


def _read(image: str, photo: Path, text: Path, classes: tuple[str, ...]) -> tuple[Annotated, list[Dropped]]:
    root = _parsed(text)
    sides = (f"size/{side}" for side in ("width", "height"))
    width, height = (int(_number(root, side, text)) if root.findtext(side) else 0 for side in sides)
    return annotated(image, photo, (width, height), [_raw_box(obj, classes, text) for obj in root.iter("object")])


def _parsed(path: Path) -> Element:
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise DataError(f"{path} is not XML ({error}): get the annotation again") from None


def _raw_box(obj: Element, classes: tuple[str, ...], path: Path) -> RawBox:
    """VOC counts pixels from 1 and both ends belong to the box: continuous, a box starts one before `xmin`.

    A box whose two ends are one pixel would be one pixel wide; it is an annotator's slip, so it has no width.
    """
    name = _text(obj, "name", path)
    x1, y1, x2, y2 = (_number(obj, f"bndbox/{corner}", path) for corner in ("xmin", "ymin", "xmax", "ymax"))
    corners = (x1 - (x2 > x1), y1 - (y2 > y1), x2, y2)
    label = classes.index(name) + 1 if name in classes else None
    return RawBox(corners, name, label, difficult=(obj.findtext("difficult") or "0").strip() == "1")


def _text(obj: Element, tag: str, path: Path) -> str:
    found = (obj.findtext(tag) or "").strip()
    if not found:
        raise DataError(f"{path}: an object without <{tag}>: fix the annotation")
    return found


def _number(obj: Element, tag: str, path: Path) -> float:
    text = _text(obj, tag, path)
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{path}: <{tag}> is {text!r}, not a number of pixels: fix the annotation") from None
