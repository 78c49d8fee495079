"""The data sets, a row each: what the suite has to know of one, it asks here.

To add one, add a row, and the functions that it names: how the data are found, and how they are read. Functions are
named as "module:function" and imported when they are needed, so that a plan imports neither torch nor a decoder.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from bench.spec.advice import shown
from bench.spec.words import Row, SpecError, counted


@dataclass(frozen=True, slots=True)
class Dataset(Row):
    """A data set under the name that Sweep.data gives; of a user's own data, all that are named "WORD:NAME".

    title: its name on pages, of own data with NAME in the place of theirs, or theirs alone where it has no NAME.
    tasks: what may be run on it. part: the field of Recipe without which it cannot be used, "" for none.
    without_part: the row in UNPARTED of runs whose recipe leaves `part` out, "" where none may.
    classes: of its classifier, 0 where there is none or the data tell. side: of its images in pixels, 0 where the
    recipe says, by its part or its `size`, which a reader then gets beside the folder.
    locate: finds the data below the data folder, see bench.data.locate. named: the name of what was found, where it may
    be a part. fetch: downloads the data, check: holds them against the official sums; "" where nothing does.
    reader: reads what `experiment` wants. experiment: the class that opens it for a run, see bench.tasks.experiment.
    findings: what a page says of a classifier's errors on it, see bench.report.sections.
    of_paper: whether the paper has numbers on it.
    replaces: the data set in whose place it comes, as a part of it or made up; "" for one in its own right.
    stand_in: what takes its place at scale quick where it cannot be had. made_up: its numbers say nothing of real data.
    images, test_images: how many it has to train and to test on, 0 where the data tell.
    sha256: of all its pixels and labels as its reader takes them, where the official data are known by that.
    hub: its name on huggingface.co, "" where it is not known there.
    """

    name: str
    title: str
    tasks: tuple[str, ...]
    locate: str
    reader: str
    experiment: str
    findings: str = ""
    part: str = ""
    without_part: str = ""
    classes: int = 0
    side: int = 0
    of_paper: bool = False
    named: str = ""
    fetch: str = ""
    check: str = ""
    replaces: str = ""
    stand_in: str = ""
    made_up: bool = False
    images: int = 0
    test_images: int = 0
    sha256: str = ""
    hub: str = ""


TASKS = "bench.tasks"


def _cifar(name: str, title: str, reader: str = "cifar:load", **more: Any) -> Dataset:
    """Small images that are held in memory."""
    files = {"locate": "cifar", "fetch": "fetch", "check": "verify"}
    return Dataset(
        name,
        title,
        ("classify", "diagnose", "evaluate"),
        reader=f"{TASKS}.classification.{reader}",
        experiment=f"{TASKS}.classification.experiment:InMemory",
        findings=f"{TASKS}.classification.sections:of_cifar",
        **{"side": 32, **{what: f"bench.data.cifar_files:{function}" for what, function in files.items()}, **more},
    )


def _imagenet(name: str, title: str, **more: Any) -> Dataset:
    """Images in folders or archives."""
    files = {"locate": "bench.data.locate:imagenet", "named": "bench.data.locate:imagenet_name"}
    return Dataset(
        name,
        title,
        ("classify", "evaluate"),
        **{"reader": f"{TASKS}.classification.imagenet.files:load", **files, **more},
        experiment=f"{TASKS}.classification.imagenet.experiment:ImageNet",
        findings=f"{TASKS}.classification.imagenet.sections:of_imagenet",
        part="views",
    )


def _faces(name: str, title: str, reader: str, locate: str = "listed") -> Dataset:
    """Identities to be trained on, and pairs of faces."""
    reader, experiment = f"{TASKS}.verification.{reader}", f"{TASKS}.verification.experiment:FacePairs"
    return Dataset(name, title, ("verify",), f"bench.data.locate:{locate}", reader, experiment, part="faces")


def _objects(name: str, title: str, reader: str, *, locate: str = "listed", of_paper: bool = False) -> Dataset:
    """Images with boxes around objects."""
    reader, experiment = f"{TASKS}.detection.{reader}", f"{TASKS}.detection.experiment:AnnotatedImages"
    locate = f"bench.data.locate:{locate}"
    return Dataset(name, title, ("detect",), locate, reader, experiment, part="detection", of_paper=of_paper)


CIFAR10_SHA256 = "32e5966899bde482c0ef7d076bf69809b4b1488c806f657a814cfca4646ec493"
NO_SUMS = {"fetch": "", "check": ""}  # nothing downloads it, no official sums are known
MADE_UP = {"locate": "bench.data.locate:nowhere", **NO_SUMS, "made_up": True}
ROWS = (
    _cifar(
        "cifar10",
        "CIFAR-10",
        classes=10,
        of_paper=True,
        stand_in="stand-in",
        images=50_000,
        test_images=10_000,
        sha256=CIFAR10_SHA256,
        hub="uoft-cs/cifar10",
    ),
    _cifar("cifar100", "CIFAR-100", classes=100, images=50_000, test_images=10_000, hub="uoft-cs/cifar100"),
    _cifar(
        "stand-in",
        "a procedural stand-in for CIFAR-10",
        "synthetic:load",
        classes=10,
        replaces="cifar10",
        images=5_000,
        test_images=2_000,
        **MADE_UP,
    ),
    _cifar(
        "svhn",
        "SVHN",
        "svhn:load",
        **{what: f"bench.data.svhn_files:{what}" for what in ("locate", "fetch", "check")},
        classes=10,
        images=73_257,
        test_images=26_032,
    ),
    _imagenet("imagenet", "ImageNet", classes=1000, of_paper=True, hub="ILSVRC/imagenet-1k"),
    _imagenet("tiny-imagenet", "Tiny ImageNet", classes=200, replaces="imagenet"),
    _faces("lfw-view1", "LFW, View 1", "lfw:lfw_view1"),
    _faces("insightface", "a training set of insightface", "packed:insightface"),
    _objects("bccd", "BCCD", "voc:bccd"),
    _objects("voc07", "PASCAL VOC 2007", "voc:voc07"),
    _objects("voc07+12", "PASCAL VOC 07+12", "voc:voc0712", of_paper=True),
    _objects("coco14", "COCO 2014", "coco:coco14", of_paper=True),
)
DATASETS: Mapping[str, Dataset] = MappingProxyType({row.name: row for row in ROWS})
# of a user's own data: each row's name is the word before the colon of "WORD:NAME", and `locate` gets all of that name
OWN_FOLDER = {"locate": "bench.data.locate:own"}
OWN_ROWS: tuple[Dataset, ...] = (
    _imagenet(
        "folder",
        "NAME",
        **OWN_FOLDER,
        named="",
        reader=f"{TASKS}.classification.own.folders:on_disk",
        without_part="folder",
    ),
    _cifar("npz", "NAME", "own.arrays:in_memory", locate="bench.data.locate:own_arrays", **NO_SUMS, side=0),
    _faces("faces", "NAME", "own:own_faces", "own"),
    _faces("lfw-view2", "LFW, View 2, trained on NAME", "own:own_on_view2", "own_beside_lfw"),
    _objects("coco", "NAME", "own:coco", locate="own"),
    _objects("voc", "NAME", "own:voc", locate="own"),
    _objects("yolo", "NAME", "yolo:yolo", locate="own"),
)
OWN: Mapping[str, Dataset] = MappingProxyType({row.name: row for row in OWN_ROWS})
UNPARTED: Mapping[str, Dataset] = MappingProxyType(
    {row.name: row for row in (_cifar("folder", "NAME", "own.folders:in_memory", **OWN_FOLDER, **NO_SUMS, side=0),)}
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")  # of own data: it becomes a part of names of files and of ids
PARTS = tuple(dict.fromkeys(row.part for row in (*ROWS, *OWN_ROWS) if row.part))  # fields of Recipe
FIRST_CLASSES = re.compile(r"(.*imagenet)-([1-9]\d*)")  # the first N classes of a set


def dataset_of(name: str, *, parted: bool = True) -> Dataset:
    """The row of the data set, of own data as in "folder:NAME", or of the first N classes of one as in "imagenet-100".

    parted: whether the recipe has the row's `part`. Raises SpecError.
    """
    if name in DATASETS:
        return DATASETS[name]
    word, colon, own = name.partition(":") if isinstance(name, str) else ("", "", "")
    if colon and word in OWN:
        if not NAME.fullmatch(own):
            raise SpecError(
                f"data {shown(name)} must be {word}:NAME, NAME being of letters, digits, ., _, + and -: write "
                f"data={f'{word}:mine'!r} for what lies in the folder mine of the data folder"
            )
        row = OWN[word]
        row = row if parted or not row.without_part else UNPARTED[row.without_part]
        return replace(row, name=name, title=row.title.replace("NAME", own) if "NAME" in row.title else own)
    match = FIRST_CLASSES.fullmatch(name) if isinstance(name, str) else None
    whole = DATASETS.get(match[1]) if match else None
    if match is None or whole is None:
        named = ", ".join((*DATASETS, "imagenet-N", "tiny-imagenet-N", *(f"{word}:NAME" for word in OWN)))
        raise SpecError(f"data {shown(name)} is not one of: {named}")
    count = int(match[2])
    return replace(whole, name=name, classes=count, replaces=whole.replaces or whole.name, of_paper=False)


def is_own(name: str) -> bool:
    """Whether it names data of the user's, as "folder:NAME". Raises SpecError where it does so in a wrong way."""
    word, colon, _ = name.partition(":")
    return bool(colon) and word in OWN and bool(dataset_of(name))


def is_official(data: str, sha256: str) -> bool | None:
    """Whether this is the digest of the official data set; None where the suite knows none of it."""
    known = dataset_of(data).sha256
    return sha256 == known if known else None


def data_words(data: str, sha256: str, bold: str = "") -> str:
    """`the official CIFAR-10 (SHA-256 …)`, or `not the …`, that between `bold`; another set by its name alone."""
    name = dataset_of(data).title
    words = {True: f"the official {name}", False: f"{bold}not the official {name}{bold}", None: data}
    return f"{words[is_official(data, sha256)]} ({f'SHA-256 {sha256[:12]}' if sha256 else 'no SHA-256 is known'})"


def data_of_runs(runs: Iterable[tuple[str, str]], bold: str = "") -> str:
    """Of (data set, SHA-256) a run: the words, official data first; where there are several, how many runs each has."""
    counts = Counter(runs)
    ordered = sorted(counts, key=lambda one: (not is_official(*one), one))
    several = len(counts) > 1
    return ", ".join(data_words(*one, bold) + f" in {counted(counts[one], 'run')}" * several for one in ordered)
