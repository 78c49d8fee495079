"""The same images and boxes in the layouts of VOC, COCO, Roboflow's COCO and YOLO, as a user's own folders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from bench.spec.datasets import dataset_of
from bench.tasks.detection.annotations import DetectionSet
from tests.tasks.detection.builders import Box, write_list, write_voc

WIDTH, HEIGHT = 64, 48
NAMES = ("cat", "dog")
# by part and image: boxes in VOC's pixels, which count from 1
BOXES: Mapping[str, Mapping[str, Sequence[Box]]] = {
    "train": {"a": [("dog", 1, 1, 64, 48), ("cat", 5, 7, 20, 31)], "b": [("cat", 33, 9, 40, 10)], "c": []},
    "test": {"d": [("dog", 2, 3, 11, 40)], "e": [("dog", 50, 1, 64, 9), ("cat", 1, 20, 30, 48)]},
}
Parts = tuple[DetectionSet, DetectionSet]


def read(data: str, root: Path) -> Parts:
    """The user's own data of that name."""
    row = dataset_of(data)
    sets: Parts = row.resolve("reader")(row.resolve("locate")(root, data))
    return sets


def image_of(path: Path, name: str) -> None:
    """One that no other has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (ord(name[0]), 40, 90)).save(path)


def as_voc(folder: Path) -> None:
    for part, images in BOXES.items():
        write_list(folder, part, list(images))
        for name, boxes in images.items():
            write_voc(folder, name, boxes, size=(WIDTH, HEIGHT), with_image=False)
            image_of(folder / "JPEGImages" / f"{name}.jpg", name)


def coco_of(part: str, first: int = 5, step: int = 10) -> dict[str, Any]:
    """COCO's JSON, categories 10 and 20 (or first, then step more), images from 100 on."""
    ids = {name: first + step * k for k, name in enumerate(NAMES)}
    images = [
        {"id": 100 + k, "file_name": f"{name}.jpg", "width": WIDTH, "height": HEIGHT}
        for k, name in enumerate(BOXES[part])
    ]
    of_each = [(100 + k, box) for k, boxes in enumerate(BOXES[part].values()) for box in boxes]
    return {
        "images": images,
        "categories": [{"id": ids[name], "name": name, "supercategory": "animal"} for name in NAMES],
        "annotations": [
            {"id": k, "image_id": image, "category_id": ids[name], "bbox": [x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1]}
            for k, (image, (name, x1, y1, x2, y2)) in enumerate(of_each, start=1)
        ],
    }


def as_coco(folder: Path, images: str = "{part}", tested: str = "val") -> None:
    """images: the folder of a part's images."""
    (folder / "annotations").mkdir(parents=True)
    for part, called in (("train", "train"), ("test", tested)):
        path = folder / "annotations" / f"instances_{called}.json"
        path.write_text(json.dumps(coco_of(part)))
        for name in BOXES[part]:
            image_of(folder / images.format(part=called) / f"{name}.jpg", name)


def as_roboflow(folder: Path) -> None:
    for part, called in (("train", "train"), ("test", "valid")):
        content = coco_of(part, first=1, step=1)
        content["categories"].insert(0, {"id": 0, "name": "animal", "supercategory": "none"})
        for name in BOXES[part]:
            image_of(folder / called / f"{name}.jpg", name)
        (folder / called / "_annotations.coco.json").write_text(json.dumps(content))


YAML = "path: ../datasets/pets\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n"


def as_yolo(folder: Path, yaml: str | None = YAML) -> None:
    for part, called in (("train", "train"), ("test", "val")):
        for name, boxes in BOXES[part].items():
            image_of(folder / "images" / called / f"{name}.jpg", name)
            lines = [yolo_line(box) for box in boxes]
            path = folder / "labels" / called / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            if lines:
                path.write_text("\n".join(lines))
    if yaml is not None:
        (folder / "data.yaml").write_text(yaml)


def yolo_line(box: Box) -> str:
    name, x1, y1, x2, y2 = box
    width, height = x2 - x1 + 1, y2 - y1 + 1
    shares = ((x1 - 1 + width / 2) / WIDTH, (y1 - 1 + height / 2) / HEIGHT, width / WIDTH, height / HEIGHT)
    return f"{NAMES.index(name)} " + " ".join(f"{share:.6f}" for share in shares)
