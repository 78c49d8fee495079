"""A user's own boxes: a folder in COCO's or Pascal VOC's layout with its own lists and class names; yolo.py has YOLO's.

The test list is tested on where there is one, else the validation list.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path

from bench.data.images import ENDINGS
from bench.data.listing import files_in, folders_in
from bench.data.locate import DataError
from bench.spec import counted
from bench.tasks.detection.annotations import Annotated, DetectionSet, named
from bench.tasks.detection.coco import coco as coco_set
from bench.tasks.detection.voc import Sets, voc_layout

AGAIN = "again from where it was made"  # the source of a user's own files, in a sentence
TREES = {  # by layout: what is expected
    "coco": (
        "annotations/instances_train*.json and annotations/instances_val*.json (or instances_test*.json) with the "
        "images in folders of the same names (train*/, val*/), in images/, or where file_name says; or, as Roboflow "
        "exports it, _annotations.coco.json beside the images in train/ and in valid/ (or test/)"
    ),
    "voc": (
        "JPEGImages/ with the images, Annotations/ with an XML file for each, and in ImageSets/Main/ the lists "
        "train.txt (or trainval.txt) and test.txt (or val.txt)"
    ),
    "yolo": (
        "data.yaml with names, train and val (or test), each a folder of images or a list of them in a text file; or "
        "classes.txt, images/train/ and images/val/ (or images/test/); and for images/…/a.jpg its boxes in "
        "labels/…/a.txt"
    ),
}
SIGNS = {  # by layout: a pattern of files that only such a folder has
    "coco": ("annotations/*.json", "*/_annotations.coco.json"),
    "voc": ("Annotations/*.xml",),
    "yolo": ("data.yaml", "labels"),
}


def wrong_layout(folder: Path, layout: str, lacks: str) -> DataError:
    """An error that says what is missing, what the layout is, what is there, and what that looks like."""
    there = [f"{path.name}/{_inside(path)}" for path in folders_in(folder)] + [path.name for path in files_in(folder)]
    likely = [other for other, signs in SIGNS.items() if other != layout and any(map(any, map(folder.glob, signs)))]
    meant = f". That looks like data {f'{likely[0]}:{folder.name}'!r}" if likely else ""
    return DataError(
        f"{folder}: {lacks}. {layout.upper()}'s layout is {TREES[layout]}; found: {named(there) or 'nothing'}{meant}"
    )


def _inside(folder: Path) -> str:
    """` (a.jpg, b.jpg and 20 more)`."""
    names = [f"{path.name}/" for path in folders_in(folder)] + [path.name for path in files_in(folder)]
    more = f" and {len(names) - 2:,} more" if len(names) > 2 else ""
    return f" ({', '.join(names[:2])}{more})" if names else " (empty)"


def voc(folder: Path) -> Sets:
    """Pascal VOC's layout; the class names are those of its annotations. Raises DataError."""
    if lacking := [f"{part}/" for part in ("JPEGImages", "Annotations") if not (folder / part).is_dir()]:
        raise wrong_layout(folder, "voc", f"no {' and no '.join(lacking)}")
    lists = folder / "ImageSets" / "Main"
    there = {path.stem for path in files_in(lists, (".txt",))} if lists.is_dir() else set()
    tested = next((name for name in ("test", "val") if name in there), None)
    larger = ("trainval",) if tested == "test" else ()  # which has the images of val
    training = next((name for name in (*larger, "train") if name in there), None)
    if training is None or tested is None:
        images = len(files_in(folder / "JPEGImages", ENDINGS))
        part = images - images // 5
        raise DataError(
            f"{folder}: no list of images to {'train' if training is None else 'test'} on in ImageSets/Main/ (there "
            f"are: {named(sorted(there)) or 'none'}). Write train.txt and test.txt, the name of an image without its "
            f"ending a line; drawn of its {counted(images, 'image')} for instance by: cd {folder}; mkdir -p "
            "ImageSets/Main; ls JPEGImages | sed 's/[.][^.]*$//' | shuf > all; "
            f"head -n {part} all > ImageSets/Main/train.txt; tail -n +{part + 1} all > ImageSets/Main/test.txt"
        )
    return voc_layout(folder, training), voc_layout(folder, tested)


def coco(folder: Path) -> Sets:
    """COCO's layout, or Roboflow's export in it. Raises DataError."""
    beside = {part: folder / part / "_annotations.coco.json" for part in ("train", "valid", "test")}
    files = _official(folder) or {part: path for part, path in beside.items() if path.is_file()}
    if "train" not in files:
        raise wrong_layout(folder, "coco", "no annotations to train on")
    tested = next((part for part in ("test", "val", "valid") if part in files), None)
    if tested is None:
        raise wrong_layout(folder, "coco", "no annotations to test on")
    training, test = (
        coco_set(files[part], *_homes(folder, files[part]), name=f"{folder.name} {part}", source=AGAIN)
        for part in ("train", tested)
    )
    return training, test


def _official(folder: Path) -> dict[str, Path]:
    """The files annotations/instances_*.json by their part, train, val or test. Raises DataError for two of one."""
    found: dict[str, Path] = {}
    place = folder / "annotations"
    for path in files_in(place, (".json",)) if place.is_dir() else ():
        for part in ("train", "val", "test"):
            if path.name.startswith(f"instances_{part}") and found.setdefault(part, path) != path:
                raise DataError(
                    f"{place}: {found[part].name} and {path.name} are both to {part}: keep one of them, the other in "
                    "another folder"
                )
    return found


def _homes(folder: Path, annotations: Path) -> list[Path]:
    """Where the images of a file may be."""
    if annotations.parent.parent == folder and annotations.name == "_annotations.coco.json":
        return [annotations.parent]
    part = annotations.stem.removeprefix("instances_")
    homes = (folder / part, folder / "images" / part, folder / "images", folder)
    return [home for home in homes if home.is_dir()]


def refuse_shared(training: DetectionSet, tested: DetectionSet, *, copies: bool) -> None:
    """Raises DataError where an image is in both sets. copies: also where a file of each has the same bytes."""
    learnt = {image.path for image in training.images}
    both, how = [image for image in tested.images if image.path in learnt], ""
    if copies and not both:
        both, how = _copied(training, tested), ", byte for byte"
    if both:
        names = named(sorted(image.path.name for image in both))
        raise DataError(
            f"{counted(len(both), 'image')} in both {training.name} and {tested.name}{how} ({names}): what was trained "
            "on tests nothing; take them out of one of the lists"
        )


def _copied(training: DetectionSet, tested: DetectionSet) -> list[Annotated]:
    """The tested images whose file has the same bytes as one that is trained on."""
    by_size = defaultdict(list)
    for image in training.images:
        by_size[image.path.stat().st_size].append(image)
    alike = [(image, size) for image in tested.images if (size := image.path.stat().st_size) in by_size]
    learnt = {_bytes_of(image) for size in {size for _, size in alike} for image in by_size[size]}
    return [image for image, _ in alike if _bytes_of(image) in learnt]


def _bytes_of(image: Annotated) -> bytes:
    with image.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
