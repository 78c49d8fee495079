"""Where the data are: `--data DIR`, else $BENCH_DATA, else a cache folder; downloaded where the network allows.

Looking needs the standard library only, so that plans can ask.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from bench.machine import cache_folder

TRAIN_TAR, VAL_TAR, DEVKIT_TAR = (
    f"ILSVRC2012_{part}" for part in ("img_train.tar", "img_val.tar", "devkit_t12.tar.gz")
)
PICTURE_FOLDERS = ("imagenet", "ILSVRC2012", ".", "tiny_imagenet_100", "tiny-imagenet-200")
PICTURE_ADDRESS = "https://image-net.org/challenges/LSVRC/2012/"


class DataError(RuntimeError):
    """Data that are missing, incomplete or damaged; says what was found, what belongs there, what to do."""


class AbsentError(DataError):
    """There are no such data."""


def data_folder(given: Path | None) -> Path:
    """The folder that holds the data sets. Raises DataError where one was named that does not exist."""
    named = given or (Path(os.environ["BENCH_DATA"]) if os.environ.get("BENCH_DATA") else None)
    if named is None:
        return cache_folder()
    if not named.is_dir():
        source = "--data" if given else "BENCH_DATA"
        raise DataError(
            f"{source} {named}: no such folder. Name the one that holds the data sets: cifar-10-batches-py/, …"
        )
    return named.resolve()


# what a row of bench.spec.datasets names as `locate`: the folder of a data set below the data folder, and its name;
# AbsentError where it is not there


def nowhere(folder: Path, _: str) -> Path:
    """Of data that are made, not found: any folder will do."""
    return folder


def imagenet(folder: Path, _: str = "imagenet") -> Path:
    """The folder of ImageNet, or of a part of Tiny ImageNet."""
    found = find_pictures(folder)
    if found is None:
        raise no_pictures(folder)
    return found


def find_pictures(folder: Path) -> Path | None:
    """The folder with ImageNet in or below `folder`, else with a part of Tiny-ImageNet; None where there is none.

    A folder of ImageNet's name counts where it has train/ or val/, `folder` itself where it has both, each where it
    has one of the official tar files. What is in them, and what is not, says `load_pictures` of
    bench.tasks.classification.imagenet.files.
    """
    for name in PICTURE_FOLDERS:
        found = folder / name
        parts = [(found / part).is_dir() for part in ("train", "val")]
        if (all(parts) if name == "." else any(parts)) or any((found / tar).is_file() for tar in (TRAIN_TAR, VAL_TAR)):
            return found
    return None


def no_pictures(folder: Path) -> AbsentError:
    """What to say where `find_pictures` finds nothing."""
    looked = ", ".join(name for name in PICTURE_FOLDERS if name != ".")
    return AbsentError(
        f"{folder}: no ImageNet there ({looked}, each with train/<wnid>/ and val/, or {TRAIN_TAR} and {VAL_TAR}). "
        f"Get it from {PICTURE_ADDRESS} and name the folder above it with --data or BENCH_DATA"
    )


FACE_FILES = {  # by data set: its folder, and a file that must be in it
    "lfw-view1": ("lfw", "pairsDevTest.txt", "http://vis-www.cs.umass.edu/lfw/ (deep-funneled, with its lists)"),
    "insightface": ("insightface", "train.rec", "https://github.com/deepinsight/insightface (a training set, lfw.bin)"),
}


def faces(folder: Path, name: str) -> Path:
    """The folder of a set of faces below the data folder. Raises DataError where it is not there."""
    inner, file, source = FACE_FILES[name]
    if not (folder / inner / file).is_file():
        raise AbsentError(
            f"{folder}: no {inner}/{file} there. Get it from {source}, and name the folder above {inner}/ with --data "
            "or BENCH_DATA"
        )
    return folder / inner


OBJECT_FOLDERS = {  # by data set: folders of which one must be there, and where it comes from
    "bccd": (("bccd", "BCCD_Dataset/BCCD"), "https://github.com/Shenggan/BCCD_Dataset"),
    "voc07": (("VOCdevkit/VOC2007", "VOC2007"), "http://host.robots.ox.ac.uk/pascal/VOC/"),
    "voc07+12": (("VOCdevkit/VOC2012", "VOC2012"), "http://host.robots.ox.ac.uk/pascal/VOC/"),
    "coco14": (("coco/annotations",), "https://cocodataset.org/#download (2014 train, val and their annotations)"),
}


def objects(folder: Path, name: str) -> Path:
    """The folder of a detection set in the data folder. Raises DataError where it is not there."""
    inner, source = OBJECT_FOLDERS[name]
    found = next((folder / one for one in inner if (folder / one).is_dir()), None)
    if found is None:
        raise AbsentError(
            f"{folder}: no {' or '.join(f'{one}/' for one in inner)} there. Get it from {source}, and name the folder "
            "above it with --data or BENCH_DATA"
        )
    return found


def pictures_name(found: Path, classes: int) -> str:
    """The data set in a folder that `find_pictures` found, of its first `classes` classes (0: all of them).

    `imagenet` is all 1,000; a part of it `imagenet-100`, a part of Tiny-ImageNet `tiny-imagenet-100`.
    Raises DataError where it has not so many.
    """
    kind, whole = ("tiny-imagenet", 200) if found.name.startswith("tiny") else ("imagenet", 1000)
    parts = [found / part for part in ("train", "val") if (found / part).is_dir()]
    there = sum(entry.is_dir() for entry in os.scandir(parts[0])) if parts else whole
    there = there or whole  # a flat validation folder
    if not 0 <= classes <= there:
        raise DataError(f"{classes:,} classes are asked of {found}, which has {there:,}; ask for 1 to {there:,}")
    used = classes or there
    return kind if used == whole else f"{kind}-{used}"


def notice(folder: Path) -> str:
    """The text of NOTICE.json beside the data: what a reader of the numbers must know of them; "" without one."""
    path = folder / "NOTICE.json"
    if not path.exists():
        return ""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["notice"])
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"{path} cannot be read as JSON with a text 'notice': mend it, or the reports would omit it"
        ) from None
