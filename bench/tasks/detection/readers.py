"""The detection sets by their names: each reads the training and the test images from its folder. Raise DataError."""

from __future__ import annotations

from pathlib import Path

from bench.tasks.detection.annotations import DetectionSet
from bench.tasks.detection.coco import coco
from bench.tasks.detection.voc import voc_layout, voc_test, voc_train

Sets = tuple[DetectionSet, DetectionSet]


def bccd(folder: Path) -> Sets:
    """Blood cells: VOC's layout with lists of its own."""
    return voc_layout(folder, "train"), voc_layout(folder, "test")


def voc07(folder: Path) -> Sets:
    """VOC 2007: trainval, test."""
    return voc_train(folder.parent, "07"), voc_test(folder.parent, "07")


def voc0712(folder: Path) -> Sets:
    """trainval of VOC 2007 and 2012 together, and the test of 2007."""
    return voc_train(folder.parent, "07+12"), voc_test(folder.parent, "07+12")


def coco14(folder: Path) -> Sets:
    """COCO 2014: train, val."""
    lists = (folder / f"instances_{part}2014.json" for part in ("train", "val"))
    training, tested = (coco(path, folder.parent / path.stem.removeprefix("instances_")) for path in lists)
    return training, tested
