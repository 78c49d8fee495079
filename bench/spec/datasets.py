"""The data sets, a row each: what the suite has to know of one, it asks here.

To add one, add a row, and the functions that it names: how the data are found, and how they are read. Functions are
named as "module:function" and imported when they are needed, so that a plan imports neither torch nor a decoder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from bench.spec.words import Row, SpecError


@dataclass(frozen=True, slots=True)
class Dataset(Row):
    """A data set under the name that Sweep.data gives.

    title: its name on pages. tasks: what may be run on it. part: the field of Recipe without which it cannot be used,
    "" for none. classes: of its classifier, 0 where there is none or the data tell. side: of its images in pixels, 0
    where the recipe's part says.
    locate: finds the data below the data folder, see bench.data.locate. named: the name of what was found, where it may
    be a part. fetch: downloads the data, check: holds them against the official sums; "" where nothing does.
    reader: reads what `experiment` wants. experiment: the class that opens it for a run, see bench.tasks.experiment.
    sections: what a page says of a classifier's errors on it, see bench.report.page.
    of_paper: whether the paper has numbers on it.
    replaces: the data set in whose place it comes, as a part of it or made up; "" for one in its own right.
    stand_in: what takes its place at scale quick where it cannot be had. made_up: its numbers say nothing of real data.
    test_images: how many it has, 0 where the data tell.
    sha256: of all its pixels and labels as its reader takes them, where the official data are known by that.
    """

    name: str
    title: str
    tasks: tuple[str, ...]
    locate: str
    reader: str
    experiment: str
    sections: str = ""
    part: str = ""
    classes: int = 0
    side: int = 0
    of_paper: bool = False
    named: str = ""
    fetch: str = ""
    check: str = ""
    replaces: str = ""
    stand_in: str = ""
    made_up: bool = False
    test_images: int = 0
    sha256: str = ""


TRAINED = ("classify", "diagnose")
CIFAR = "bench.tasks.classification.experiment:InMemory"
IMAGENET = "bench.tasks.classification.imagenet.experiment:ImageNet"
FACES = "bench.tasks.verification.experiment:FacePairs"
BOXES = "bench.tasks.detection.experiment:AnnotatedImages"

ROWS = (
    Dataset(
        "cifar10",
        "CIFAR-10",
        TRAINED,
        locate="bench.data.cifar_files:cifar",
        fetch="bench.data.cifar_files:fetch",
        check="bench.data.cifar_files:verify",
        reader="bench.tasks.classification.cifar:load",
        experiment=CIFAR,
        sections="bench.tasks.classification.sections:of_cifar",
        classes=10,
        side=32,
        of_paper=True,
        stand_in="stand-in",
        test_images=10_000,
        sha256="32e5966899bde482c0ef7d076bf69809b4b1488c806f657a814cfca4646ec493",
    ),
    Dataset(
        "cifar100",
        "CIFAR-100",
        TRAINED,
        locate="bench.data.cifar_files:cifar",
        fetch="bench.data.cifar_files:fetch",
        check="bench.data.cifar_files:verify",
        reader="bench.tasks.classification.cifar:load",
        experiment=CIFAR,
        sections="bench.tasks.classification.sections:of_cifar",
        classes=100,
        side=32,
        test_images=10_000,
    ),
    Dataset(
        "stand-in",
        "a procedural stand-in for CIFAR-10",
        TRAINED,
        locate="bench.data.locate:nowhere",
        reader="bench.tasks.classification.synthetic:load",
        experiment=CIFAR,
        sections="bench.tasks.classification.sections:of_cifar",
        classes=10,
        side=32,
        replaces="cifar10",
        test_images=2_000,
        made_up=True,
    ),
    Dataset(
        "imagenet",
        "ImageNet",
        ("classify", "evaluate"),
        locate="bench.data.locate:imagenet",
        named="bench.data.locate:imagenet_name",
        reader="bench.tasks.classification.imagenet.files:load",
        experiment=IMAGENET,
        sections="bench.tasks.classification.imagenet.sections:of_imagenet",
        part="views",
        classes=1000,
        of_paper=True,
    ),
    Dataset(
        "tiny-imagenet",
        "Tiny ImageNet",
        ("classify", "evaluate"),
        locate="bench.data.locate:imagenet",
        named="bench.data.locate:imagenet_name",
        reader="bench.tasks.classification.imagenet.files:load",
        experiment=IMAGENET,
        sections="bench.tasks.classification.imagenet.sections:of_imagenet",
        part="views",
        classes=200,
        replaces="imagenet",
    ),
    Dataset(
        "lfw-view1",
        "LFW, View 1",
        ("verify",),
        locate="bench.data.locate:listed",
        reader="bench.tasks.verification.lfw:lfw_view1",
        experiment=FACES,
        part="faces",
    ),
    Dataset(
        "insightface",
        "a training set of insightface",
        ("verify",),
        locate="bench.data.locate:listed",
        reader="bench.tasks.verification.packed:insightface",
        experiment=FACES,
        part="faces",
    ),
    Dataset(
        "bccd",
        "BCCD",
        ("detect",),
        locate="bench.data.locate:listed",
        reader="bench.tasks.detection.voc:bccd",
        experiment=BOXES,
        part="detection",
    ),
    Dataset(
        "voc07",
        "PASCAL VOC 2007",
        ("detect",),
        locate="bench.data.locate:listed",
        reader="bench.tasks.detection.voc:voc07",
        experiment=BOXES,
        part="detection",
    ),
    Dataset(
        "voc07+12",
        "PASCAL VOC 07+12",
        ("detect",),
        locate="bench.data.locate:listed",
        reader="bench.tasks.detection.voc:voc0712",
        experiment=BOXES,
        part="detection",
        of_paper=True,
    ),
    Dataset(
        "coco14",
        "COCO 2014",
        ("detect",),
        locate="bench.data.locate:listed",
        reader="bench.tasks.detection.coco:coco14",
        experiment=BOXES,
        part="detection",
        of_paper=True,
    ),
)
DATASETS: Mapping[str, Dataset] = MappingProxyType({row.name: row for row in ROWS})
PARTS = tuple(dict.fromkeys(row.part for row in ROWS if row.part))  # fields of Recipe
FIRST_CLASSES = re.compile(r"(.*imagenet)-([1-9]\d*)")  # the first N classes of a set


def dataset_of(name: str) -> Dataset:
    """The row of the data set, or of the first N classes of one as in "imagenet-100". Raises SpecError."""
    if name in DATASETS:
        return DATASETS[name]
    match = FIRST_CLASSES.fullmatch(name) if isinstance(name, str) else None
    whole = DATASETS.get(match[1]) if match else None
    if match is None or whole is None:
        raise SpecError(f"data {name!r} is not one of: {', '.join(DATASETS)}, imagenet-N, tiny-imagenet-N")
    count = int(match[2])
    return replace(whole, name=name, classes=count, replaces=whole.replaces or whole.name, of_paper=False)
