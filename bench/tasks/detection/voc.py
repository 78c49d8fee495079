"""Pascal VOC's layout: JPEGImages, Annotations (XML) and ImageSets/Main; VOC 2007 and 2012, and other sets in it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers.expat import ExpatError, ParserCreate

from bench.data.images import ENDINGS
from bench.data.listing import files_in, read_list, same_form
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
from bench.tasks.detection.values import class_name, flag, number, optional, required, told_apart, whole

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
ADDRESS = "http://host.robots.ox.ac.uk/pascal/VOC/"
SECOND_COLUMN = re.compile(r"\s+(-1|0|1)$")
DECLARED = re.compile(rb"""<\?xml[^>]*encoding=["']([\w.-]+)""")
# encodings of several bytes a character, which expat has not, and what reads them and what is often called so
ASIAN = {
    **dict.fromkeys(("gb2312", "gbk", "gb18030"), "gb18030"),
    **{name: name for name in ("big5", "shift_jis", "euc-jp", "euc-kr")},
}
Value = TypeVar("Value")
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
    texts = _by_id(folder / "Annotations", (".xml",))
    listed = _listed(folder, images)
    gaps = {
        "JPEGImages/": [name for name, photo in listed if photo is None],
        "Annotations/": [name for name, _ in listed if same_form(name) not in texts],
    }
    words = [
        f"{len(lost):,} of {len(listed):,} are not in {where} ({named(lost)})" for where, lost in gaps.items() if lost
    ]
    if words:
        raise DataError(
            f"{folder}, list {images}: {'; '.join(words)}. Get the whole set: a number of a part of it is another "
            "number"
        )
    names = _class_names(folder) if classes is None else tuple(classes)
    read = [_read(name, photo, _one(texts[same_form(name)], name), names) for name, photo in listed if photo]
    return detection_set(f"{folder.name} {images}", names, read)


def _listed(folder: Path, images: str) -> list[tuple[str, Path | None]]:
    """The id and the image, if it is there, of each line of ImageSets/Main/<images>.txt."""
    path = folder / "ImageSets" / "Main" / f"{images}.txt"
    if not path.is_file():
        there = [p.stem for p in files_in(path.parent, (".txt",))] if path.parent.is_dir() else []
        raise DataError(f"{path}: no such image list; there are: {named(there) if there else 'none'}")
    photos = _by_id(folder / "JPEGImages", ENDINGS)
    listed: list[tuple[str, Path | None]] = []
    for where, line in read_list(path):
        found = _matching(line, photos)
        photo = _one(found, where) if found else None
        listed.append((photo.stem if photo else line, photo))
    ids = Counter(same_form(name) for name, _ in listed)
    if len(ids) < len(listed):
        twice = named(name for name, times in ids.items() if times > 1)
        raise DataError(f"{path} lists images twice ({twice}): they would count twice in every number")
    return listed


def _by_id(folder: Path, endings: Sequence[str]) -> dict[str, list[Path]]:
    """The files by their ids, and by their whole names with the ending in small letters."""
    found = defaultdict(list)
    for path in files_in(folder, endings):
        stem = same_form(path.stem)
        for name in (stem, stem + path.suffix.lower()):
            found[name].append(path)
    return dict(found)


def _matching(line: str, files: Mapping[str, list[Path]]) -> list[Path]:
    """The files that a line names: all of it is the id, or the name, and may have blanks in it.

    Where there is no such file, a last word -1, 0 or 1 is the VOC's second column.
    """
    for text in (same_form(line), SECOND_COLUMN.sub("", same_form(line))):
        stem, _, ending = text.rpartition(".")
        if found := files.get(text) or files.get(f"{stem}.{ending.lower()}"):
            return found
    return []


def _one(files: Sequence[Path], where: str) -> Path:
    if len(files) > 1:
        raise DataError(f"{where} may be {named(path.name for path in files)} in {files[0].parent}: keep one of them")
    return files[0]


def _class_names(folder: Path) -> tuple[str, ...]:
    """The names in all annotations of the folder."""
    found = set[str]()
    for path in files_in(folder / "Annotations", (".xml",)):
        found.update(_each(_parsed(path).iter("object"), path, lambda obj: required(_texts(obj), "name", class_name)))
    try:
        return told_apart(sorted(found))
    except ValueError as error:
        raise DataError(f"{folder / 'Annotations'}: {error}") from None


def _read(image: str, photo: Path, path: Path, classes: tuple[str, ...]) -> tuple[Annotated, list[Dropped]]:
    root = _parsed(path)
    sizes = _each(root.iterfind("size"), path, _size)
    boxes = _each(root.iter("object"), path, lambda obj: _raw_box(obj, classes))
    return annotated(image, photo, sizes[0] if sizes else (0, 0), boxes)


def _each(elements: Iterable[Element], path: Path, read: Callable[[Element], Value]) -> list[Value]:
    """`read(element)` of each. Raises DataError naming the one at which that raises ValueError."""
    found = []
    for place, element in enumerate(elements, 1):
        try:
            found.append(read(element))
        except ValueError as error:
            raise DataError(f"{path}, {element.tag} {place}: {error}. Fix the annotation, or get it again") from None
    return found


def _texts(element: Element) -> dict[str, str]:
    """What the element's parts say, the empty ones left out; of two of one name the first."""
    return {part.tag: text for part in reversed(element) if (text := (part.text or "").strip())}


def _size(size: Element) -> tuple[int, int]:
    width, height = (optional(_texts(size), side, whole) or 0 for side in ("width", "height"))
    return width, height


def _raw_box(obj: Element, classes: tuple[str, ...]) -> RawBox:
    """VOC counts pixels from 1 and both ends belong to the box: continuous, a box starts one before `xmin`.

    A box whose two ends are one pixel would be one pixel wide; it is an annotator's slip, so it has no width.
    """
    texts, corners = _texts(obj), {} if (box := obj.find("bndbox")) is None else _texts(box)
    name = required(texts, "name", class_name)
    x1, y1, x2, y2 = (required(corners, corner, number) for corner in ("xmin", "ymin", "xmax", "ymax"))
    return RawBox(
        (x1 - (x2 > x1), y1 - (y2 > y1), x2, y2),
        name,
        classes.index(name) + 1 if name in classes else None,
        difficult=optional(texts, "difficult", flag) or False,
    )


def _parsed(path: Path) -> Element:
    """The annotation's tree. Entities are refused: no annotation needs one, and a few lines of them fill the memory."""
    try:
        data = path.read_bytes()
        declared = DECLARED.match(data)
        encoding = ASIAN.get(declared[1].decode().lower()) if declared else None
        if encoding:
            data = data.decode(encoding).encode()
        root = _tree(data, "utf-8" if encoding else None)
    except (OSError, ExpatError, ValueError, LookupError) as error:
        raise DataError(f"{path} is not XML ({error}): get the annotation again, or save it as UTF-8") from None
    if root.tag != "annotation":
        raise DataError(f"{path}: its root is <{root.tag[:40]}>, where VOC has <annotation>: take the file out")
    return root


def _tree(data: bytes, encoding: str | None) -> Element:
    def refuse(name: str, *_: object) -> None:
        raise ValueError(f"it has an entity, {name}")

    tree, parser = TreeBuilder(), ParserCreate(encoding)
    parser.StartElementHandler, parser.EndElementHandler = tree.start, tree.end
    parser.CharacterDataHandler = tree.data
    parser.EntityDeclHandler = parser.SkippedEntityHandler = refuse
    parser.Parse(data, True)
    return tree.close()
