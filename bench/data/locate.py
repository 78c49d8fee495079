"""Where the data are: `--data DIR`, else $BENCH_DATA, else a cache folder; downloaded where the network allows.

Looking needs the standard library only, so that plans can ask.
"""

from __future__ import annotations

import difflib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from bench.machine import cache_folder

if TYPE_CHECKING:
    from bench.spec import Dataset

TRAIN_TAR, VAL_TAR, DEVKIT_TAR = (
    f"ILSVRC2012_{part}" for part in ("img_train.tar", "img_val.tar", "devkit_t12.tar.gz")
)
IMAGENET_FOLDERS = ("imagenet", "ILSVRC2012", ".", "tiny_imagenet_100", "tiny-imagenet-200")
IMAGENET_ADDRESS = "https://image-net.org/challenges/LSVRC/2012/"


class DataError(RuntimeError):
    """Data that are missing, incomplete or damaged; says what was found, what belongs there, what to do."""


class AbsentError(DataError):
    """There are no such data. places: the folders below the data folder of which one would be theirs."""

    def __init__(self, words: str, places: tuple[str, ...] = ()) -> None:
        super().__init__(words)
        self.places = places


def data_folder(given: Path | None) -> Path:
    """The folder that holds the data sets. Raises DataError where one was named that does not exist."""
    named = given or (Path(os.environ["BENCH_DATA"]) if os.environ.get("BENCH_DATA") else None)
    if named is None:
        return cache_folder()
    if not named.is_dir():
        source = "--data" if given else "BENCH_DATA"
        what = "that is no folder" if named.exists() else "no such folder"
        raise DataError(
            f"{source} {named}: {what}. Name the one that holds the data sets, such as cifar-10-batches-py/"
        )
    return named.resolve()


def home(row: Dataset, folder: Path) -> Path:
    """The data folder: `folder`, or the one above it that holds the data set of which `folder` is a part, said so.

    Raises DataError where the data in `folder` are incomplete.
    """
    try:
        row.resolve("locate")(folder, row.name)
    except AbsentError as absent:
        above = _above(folder, absent.places)
        if above is None or _is_absent(row, above):
            return folder
        print(f"data: {folder} is a part of {row.title}; the folder that holds the data sets is {above}")
        return above
    return folder


def _is_absent(row: Dataset, folder: Path) -> bool:
    try:
        row.resolve("locate")(folder, row.name)
    except AbsentError:
        return True
    except DataError:  # it is there, and not whole
        return False
    return False


def _above(folder: Path, places: tuple[str, ...]) -> Path | None:
    """The folder above one of the places, if `folder` is called as the place or a part of its way."""
    for place in places:
        parts = Path(place).parts
        for count in range(len(parts), 0, -1):
            if folder.parts[-count:] == parts[:count]:
                return folder.parents[count - 1]
    return None


# what a row of bench.spec.datasets names as `locate`: the folder of a data set below the data folder, by its name


def nowhere(folder: Path, _: str) -> Path:
    """Of data that are made, not found: any folder will do."""
    return folder


def imagenet(folder: Path, _: str = "imagenet") -> Path:
    """The folder of ImageNet in or below `folder`, else that of a part of Tiny ImageNet. Raises AbsentError.

    A folder of ImageNet's name counts where it has train/ or val/, `folder` itself where it has both, each where it
    has one of the official tar files. bench.tasks.classification.imagenet.files says what is missing in it.
    """
    for name in IMAGENET_FOLDERS:
        found = folder / name
        parts = [(found / part).is_dir() for part in ("train", "val")]
        if (all(parts) if name == "." else any(parts)) or any((found / tar).is_file() for tar in (TRAIN_TAR, VAL_TAR)):
            return found
    looked = ", ".join(name for name in IMAGENET_FOLDERS if name != ".")
    raise AbsentError(
        f"{folder}: no ImageNet there ({looked}, each with train/<wnid>/ and val/, or {TRAIN_TAR} and {VAL_TAR}). "
        f"Get it from {IMAGENET_ADDRESS} and name the folder above it with --data or BENCH_DATA",
        tuple(f"{name}/{part}" for name in IMAGENET_FOLDERS if name != "." for part in ("train", "val")),
    )


def imagenet_name(found: Path, classes: int) -> str:
    """The data set in a folder that `imagenet` found, of its first `classes` classes (0: all of them).

    `imagenet` is all 1,000; a part of it `imagenet-100`, a part of Tiny-ImageNet `tiny-imagenet-100`.
    Raises DataError where it has not so many.
    """
    from bench.data.listing import folders_in  # which has its errors from here

    kind, whole = ("tiny-imagenet", 200) if found.name.startswith("tiny") else ("imagenet", 1000)
    parts = [found / part for part in ("train", "val") if (found / part).is_dir()]
    there = len(folders_in(parts[0])) if parts else whole
    there = there or whole  # a flat validation folder
    if not 0 <= classes <= there:
        raise DataError(f"{classes:,} classes are asked of {found}, which has {there:,}; ask for 1 to {there:,}")
    used = classes or there
    return kind if used == whole else f"{kind}-{used}"


HOMES = {  # by data set: folders of which one must be there, a file that must be in it, and where it comes from
    "lfw-view1": (("lfw",), "pairsDevTest.txt", "http://vis-www.cs.umass.edu/lfw/ (deep-funneled, with its lists)"),
    "insightface": (
        ("insightface",),
        "train.rec",
        "https://github.com/deepinsight/insightface (a training set, lfw.bin)",
    ),
    "bccd": (("bccd", "BCCD_Dataset/BCCD"), "", "https://github.com/Shenggan/BCCD_Dataset"),
    "voc07": (("VOCdevkit/VOC2007", "VOC2007"), "", "http://host.robots.ox.ac.uk/pascal/VOC/"),
    "voc07+12": (("VOCdevkit/VOC2012", "VOC2012"), "", "http://host.robots.ox.ac.uk/pascal/VOC/"),
    "coco14": (("coco/annotations",), "", "https://cocodataset.org/#download (2014 train, val and their annotations)"),
}


def listed(folder: Path, name: str) -> Path:
    """The folder of a set of HOMES below the data folder. Raises AbsentError."""
    homes, file, source = HOMES[name]
    for home in homes:
        if (folder / home / file).is_file() if file else (folder / home).is_dir():
            return folder / home
    raise AbsentError(
        f"{folder}: no {' or '.join(f'{home}/{file}' for home in homes)} there. Get it from {source}, and name the "
        f"folder above {homes[0]}/ with --data or BENCH_DATA",
        homes,
    )


def own(folder: Path, name: str) -> Path:
    """The folder NAME of the user's own data "WORD:NAME" below the data folder. Raises AbsentError."""
    home = name.partition(":")[2]
    return _own(folder, name, home, [path.name for path in _in(folder) if path.is_dir()], "folder")


def own_arrays(folder: Path, name: str) -> Path:
    """The file NAME.npz of a user's own arrays in the data folder, of "npz:NAME". Raises AbsentError."""
    file = f"{name.partition(':')[2]}.npz"
    return _own(folder, name, file, [path.name for path in _in(folder) if path.suffix == ".npz"], "file")


def _in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _own(folder: Path, name: str, wanted: str, there: list[str], what: str) -> Path:
    if wanted in there:
        return folder / wanted
    like = difflib.get_close_matches(wanted, there)
    there = [*like, *(other for other in there if other not in like)]  # of many, the first are named
    raise AbsentError(
        f"{folder}: no {what} {wanted} there, which data {name!r} is read from; there are: "
        f"{', '.join(there[:8]) or 'none'}{', …' * (len(there) > 8)}. Name the folder above it with --data "
        "or BENCH_DATA",
        (wanted, f"{wanted}/train"),
    )


def own_beside_lfw(folder: Path, name: str) -> Path:
    """The folder NAME of "WORD:NAME", where LFW with its View 2 is there, too. Raises AbsentError."""
    if not (folder / "lfw" / "pairs.txt").is_file():
        raise AbsentError(
            f"{folder}: no lfw/pairs.txt there, the list of View 2. Get it and LFW's images (deep-funneled) from "
            "http://vis-www.cs.umass.edu/lfw/, and name the folder above lfw/ with --data or BENCH_DATA",
            ("lfw",),
        )
    return own(folder, name)


def notice(folder: Path) -> str:
    """The text of NOTICE.json beside the data: what a reader of the numbers must know of them; "" without one."""
    path = folder / "NOTICE.json"
    if not path.exists():
        return ""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))["notice"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        found = None
    if not isinstance(found, str):
        raise DataError(f"{path} cannot be read as JSON with a text 'notice': fix it, or the reports would omit it")
    return found
