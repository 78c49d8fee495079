"""Photographs with an EXIF orientation: turned where that gives the annotated size, everywhere alike, and said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

pytest.importorskip("pycocotools", reason="needs pycocotools")

from bench.data.locate import DataError
from bench.tasks.detection.batches import DetectionBatches
from bench.tasks.detection.drawings import draw, shown
from tests.tasks.detection.builders import BOX, annotation, read_list, write_xml


def photograph(folder: Path, tag: int, size: str = "") -> None:
    """64 x 48 pixels as stored, its upper left quarter white, with an orientation; a box of 15 x 30 from 5, 30."""
    image = Image.new("RGB", (64, 48))
    image.paste((255, 255, 255), (0, 0, 32, 24))
    exif = Image.Exif()
    exif[274] = tag
    box = "<bndbox><xmin>6</xmin><ymin>31</ymin><xmax>20</xmax><ymax>60</ymax></bndbox>"
    write_xml(folder, annotation(rest=size).replace(BOX, box))
    image.save(folder / "JPEGImages" / "a.jpg", exif=exif, quality=95)


def size(width: int, height: int) -> str:
    return f"<size><width>{width}</width><height>{height}</height></size>"


@pytest.mark.parametrize(("tag", "white"), [(5, (0, 0)), (6, (0, 1)), (7, (1, 1)), (8, (1, 0))])
@pytest.mark.parametrize("given", [(48, 64), (48, 0), (0, 64)])
def test_a_photograph_is_turned_where_exif_gives_the_annotated_size(
    tmp_path: Path, tag: int, white: tuple[int, int], given: tuple[int, int]
) -> None:
    """white: (lower, right) of the quarter that is white."""
    photograph(tmp_path, tag, size(*given))

    data = read_list(tmp_path, "a")
    [image] = data.images
    pixels = image.pixels()

    assert (image.width, image.height) == (48, 64)
    assert pixels.shape == (3, 64, 48)
    quarters = pixels.float().mean(0).unfold(0, 32, 32).unfold(1, 24, 24).mean((2, 3))
    assert divmod(int(quarters.argmax()), 2) == white
    assert image.target()["boxes"].tolist() == [[5, 30, 20, 60]]
    assert "Photographs turned by their EXIF orientation to the annotated size: 1." in data.summary()
    assert "as stored" not in data.summary()
    [drawn], _ = DetectionBatches(data.images, 1, torch.Generator().manual_seed(1)).draw()
    assert drawn.shape == pixels.shape
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "scores": torch.zeros(0)}
    assert shown([image], [nothing], data.classes)["shown_size"].tolist() == [[48, 64]]
    draw([image], [nothing], data.classes, tmp_path / "drawn.png")
    with Image.open(tmp_path / "drawn.png") as sheet:
        assert sheet.size[0] < sheet.size[1]


@pytest.mark.parametrize(
    ("tag", "given", "said"),
    [
        (6, "", True), (6, size(0, 0), True), (3, size(64, 48), True), (2, "", True),
        (6, size(64, 48), False), (1, "", False), (1, size(64, 48), False), (9, "", False), (0, size(0, 0), False),
    ],
)  # fmt: skip
def test_else_it_is_taken_as_stored_and_the_report_says_where_that_is_open(
    tmp_path: Path, tag: int, given: str, said: bool
) -> None:
    photograph(tmp_path, tag, given)

    data = read_list(tmp_path, "a")

    assert data.images[0].pixels()[:, :20, :28].float().mean() > 250
    words = (
        "Photographs with an EXIF orientation that were taken as stored, as their annotated size does not tell: 1 (a)."
    )
    assert (words in data.summary()) == said


@pytest.mark.parametrize(("tag", "given"), [(1, (48, 64)), (3, (48, 64)), (6, (48, 48)), (6, (640, 480))])
def test_a_size_that_no_turn_gives_is_refused(tmp_path: Path, tag: int, given: tuple[int, int]) -> None:
    photograph(tmp_path, tag, size(*given))

    with pytest.raises(
        DataError, match=rf"is 64x48 pixels, its annotation is of {given[0]}x{given[1]}: .* Correct the size"
    ):
        read_list(tmp_path, "a")
