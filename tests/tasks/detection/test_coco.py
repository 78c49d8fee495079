"""Detection sets in COCO's layout: what is read, left out and counted, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.data.locate import DataError
from bench.tasks.detection.coco import coco
from tests.tasks.detection.builders import write_coco


def test_coco_labels_are_categories_by_id_and_areas_are_the_objects(tmp_path: Path) -> None:
    data = coco(*write_coco(tmp_path))

    first, second = data.images
    assert data.classes == ("car", "dog")
    assert (first.id, second.id) == ("7", "9")
    assert first.boxes.tolist() == [[2, 3, 12, 8], [0, 0, 40, 30]]
    assert first.labels.tolist() == [2, 1]
    assert first.area.tolist() == [31.5, 1200]
    assert first.crowd.tolist() == [False, True]
    assert first.target()["labels"].tolist() == [2]
    assert "Crowds: 1," in data.summary()


def test_coco_annotations_of_unlisted_images_and_categories_are_left_out_and_counted(tmp_path: Path) -> None:
    box = {"bbox": [2, 3, 10, 5], "area": 50}
    annotations = [
        {"id": 1, "image_id": 7, "category_id": 3, **box},
        {"id": 2, "image_id": 7, "category_id": 99, **box},
        {"id": 3, "image_id": 1000, "category_id": 3, **box},
        {"id": 4, "image_id": 9, "category_id": 3, "bbox": [5, 5, 0, 4], "area": 0},
    ]

    words = coco(*write_coco(tmp_path, annotations=annotations)).summary()

    assert "2 of 3 boxes dropped: 1 of zero width or height (9); 1 of an unknown class (7)." in words
    assert "1 of 3 images dropped: 1 annotated without an image (1000)." in words


def test_coco_with_a_missing_image_is_refused(tmp_path: Path) -> None:
    annotations, images = write_coco(tmp_path)
    (images / "9.jpg").unlink()

    with pytest.raises(DataError, match=r"1 of 2 images of instances.json are missing \(9.jpg\)"):
        coco(annotations, images)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read as COCO's JSON"),
        ("[]", "has no images, annotations, categories"),
        ('{"images": [], "annotations": []}', "has no categories"),
        (
            '{"images": [], "categories": [], "annotations": [{"id": 5, "image_id": 1}]}',
            r"annotations\[0\]: bbox is missing",
        ),
        (
            '{"images": [], "categories": [], "annotations": [{"id": 5, "bbox": [1, 2, 3, 4]}]}',
            "category_id is missing",
        ),
        ('{"images": [{"id": 1}], "categories": [], "annotations": []}', "images\\[0\\]: file_name is missing"),
        ('{"images": [], "categories": [{"id": 1}], "annotations": []}', "categories\\[0\\]: name is missing"),
    ],
)
def test_a_file_that_is_not_cocos_is_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "instances.json"
    path.write_text(content)

    with pytest.raises(DataError, match=words):
        coco(path, tmp_path)
