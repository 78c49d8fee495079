"""Small data sets of boxes, in the layouts of VOC and COCO, and a run of seconds that detects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from bench.spec import Detection, Net, Recipe, Resources, Run
from bench.tasks.detection.annotations import DetectionSet
from bench.tasks.detection.voc import voc_layout

SMALL = Detection(
    form="fpn", min_size=48, max_size=64, width=8, hidden=8, pre_nms_top_n=(50, 50), post_nms_top_n=(20, 20),
    regions_per_image=16, max_grad_norm=10.0, recalibration_images=4, refine=True,
)  # fmt: skip
RECIPE = Recipe(
    steps=5, drops=(4,), lr=0.01, batch=2, bn_group=1, curve_every=2, test_every=4, detection=SMALL, test_images=3
)
RESOURCES = Resources(cpus=1, gpus=0, memory_gib=1)
NET = Net("cifar", 8, "A")
RUN = Run("quick", NET, "bccd", RECIPE, 0, "detect", RESOURCES)
Box = tuple[str, float, float, float, float]
DOG: Box = ("dog", 5, 5, 20, 20)
BOX = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>20</xmax><ymax>20</ymax></bndbox>"
OBJECT = f"<object><name>dog</name>{BOX}</object>"


def write_image(path: Path, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 90 if mode == "L" else (200, 100, 50)).save(path)


def write_voc(
    folder: Path,
    image: str,
    boxes: Sequence[Box],
    difficult: Sequence[int] = (),
    size: tuple[int, int] = (40, 30),
    with_image: bool = True,
    mode: str = "RGB",
) -> None:
    """One image of 40x30 pixels with boxes in VOC's own pixels, which count from 1."""
    objects = "".join(
        f"<object><name>{name}</name><difficult>{int(k in difficult)}</difficult><bndbox><xmin>{x1}</xmin>"
        f"<ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for k, (name, x1, y1, x2, y2) in enumerate(boxes)
    )
    text = folder / "Annotations" / f"{image}.xml"
    text.parent.mkdir(parents=True, exist_ok=True)
    (folder / "JPEGImages").mkdir(exist_ok=True)
    width, height = size
    head = f"<size><width>{width}</width><height>{height}</height></size>"
    text.write_text(f"<annotation>{head}{objects}</annotation>")
    if with_image:
        write_image(folder / "JPEGImages" / f"{image}.jpg", mode=mode)


def write_list(folder: Path, name: str, images: Sequence[str]) -> None:
    path = folder / "ImageSets" / "Main" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{i}\n" for i in images))


def annotation(name: str = "dog", rest: str = "") -> str:
    """VOC's, of one object."""
    return f"<annotation>{rest}{OBJECT.replace('dog', name)}</annotation>"


def write_xml(folder: Path, content: str | bytes, image: str = "a") -> None:
    """An image and what stands as its annotation."""
    write_voc(folder, image, [DOG])
    data = content if isinstance(content, bytes) else content.encode()
    (folder / "Annotations" / f"{image}.xml").write_bytes(data)


def read_list(folder: Path, *lines: str, encoding: str = "utf-8", ends: str = "\n") -> DetectionSet:
    """The set of a list of these lines, which it writes."""
    write_list(folder, "train", [])
    (folder / "ImageSets" / "Main" / "train.txt").write_bytes(ends.join((*lines, "")).encode(encoding))
    return voc_layout(folder, "train")


def read_voc(folder: Path, classes: Sequence[str] | None = None) -> DetectionSet:
    """The set of a list of all annotated images, which it writes."""
    write_list(folder, "all", sorted(path.stem for path in (folder / "Annotations").iterdir()))
    return voc_layout(folder, "all", classes)


def write_coco(folder: Path, **changes: object) -> tuple[Path, Path]:
    """Two images, two categories with gaps in their ids, a crowd, and what `changes` says."""
    content: dict[str, object] = {
        "images": [{"id": k, "file_name": f"{k}.jpg", "width": 40, "height": 30} for k in (7, 9)],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 18, "bbox": [2, 3, 10, 5], "area": 31.5, "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [0, 0, 40, 30], "area": 1200, "iscrowd": 1},
        ],
        **changes,
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    for k in (7, 9):
        write_image(folder / "images" / f"{k}.jpg")
    return path, folder / "images"


def set_of(tmp_path: Path, n: int = 5) -> DetectionSet:
    for k in range(n):
        write_voc(tmp_path, f"i{k}", [("dog", 3 + k, 5, 20, 20)])
    return read_voc(tmp_path)
