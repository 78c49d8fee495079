"""COCO files as exporters write them: every identity is checked, every value is of its type or refused by its entry."""

from __future__ import annotations

import copy
import json
import math
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.data.locate import DataError
from bench.tasks.detection.annotations import DetectionSet
from bench.tasks.detection.coco import coco
from tests.fuzzing import FILES, mutated, mutated_json
from tests.tasks.detection.builders import write_image

VALID: Mapping[str, Any] = {
    "images": [{"id": k, "file_name": f"im{k}.jpg", "width": 64, "height": 48} for k in (1, 2)],
    "annotations": [
        {"id": k, "image_id": k, "category_id": 1, "bbox": [4, 5, 20, 10], "area": 200, "iscrowd": 0} for k in (1, 2)
    ],
    "categories": [{"id": 1, "name": "cell"}, {"id": 2, "name": "nucleus"}],
}
GONE = object()
NESTED: list[object] = []
for _ in range(500):
    NESTED = [NESTED]


def changed(*places: tuple[str, object]) -> dict[str, Any]:
    """VALID with other values at places such as `images.0.id`."""
    content = copy.deepcopy(dict(VALID))
    for place, value in places:
        *way, last = [int(part) if part.isdigit() else part for part in place.split(".")]
        at: Any = content
        for part in way:
            at = at[part]
        if value is GONE:
            del at[last]
        else:
            at[last] = value
    return content


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for k in (1, 2):
        write_image(tmp_path / "images" / f"im{k}.jpg", (64, 48))
    return tmp_path / "images"


def read(images: Path, content: object) -> DetectionSet:
    path = images.parent / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return coco(path, images)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        # not unique
        ("images.1.id", 1, r"images\[1\]: id 1 is that of an entry before it"),
        ("images.1.id", "1", r"images\[1\]: id 1 is that of an entry before it"),
        ("images.1.id", 1.0, r"images\[1\]: id 1 is that of an entry before it"),
        ("categories.1.id", 1, r"categories\[1\]: id 1 is that of an entry before it"),
        ("annotations.1.id", 1, r"annotations\[1\]: id 1 is that of an entry before it"),
        ("images.1.file_name", "im1.jpg", r"a.json lists images twice \(im1.jpg\)"),
        ("images.1.file_name", "./im1.jpg", r"a.json lists images twice \(im1.jpg\)"),
        # not whole
        ("images.0.id", 1.2, r"images\[0\]: id is 1.2, where a whole number belongs"),
        ("images.0.id", "im_a", r"images\[0\]: id is 'im_a', where a whole number belongs"),
        ("images.0.id", True, r"images\[0\]: id is True, where a whole number belongs"),
        ("images.0.id", None, r"images\[0\]: id is None, where a whole number belongs"),
        ("images.0.id", math.nan, r"images\[0\]: id is nan, where a whole number belongs"),
        ("images.0.id", math.inf, r"images\[0\]: id is inf, where a whole number belongs"),
        ("images.0.id", [1], r"images\[0\]: id is \[1\], where a whole number belongs"),
        ("images.0.id", GONE, r"images\[0\]: id is missing"),
        ("categories.0.id", 1.5, r"categories\[0\]: id is 1.5, where a whole number belongs"),
        ("categories.0.id", False, r"categories\[0\]: id is False, where a whole number belongs"),
        ("annotations.0.id", "x", r"annotations\[0\]: id is 'x', where a whole number belongs"),
        ("annotations.0.image_id", 1.2, r"annotations\[0\]: image_id is 1.2, where a whole number belongs"),
        ("annotations.0.image_id", True, r"annotations\[0\]: image_id is True, where a whole number belongs"),
        ("annotations.0.category_id", 1.7, r"annotations\[0\]: category_id is 1.7, where a whole number belongs"),
        ("annotations.0.category_id", None, r"annotations\[0\]: category_id is None, where a whole number belongs"),
        # of another type
        ("annotations", None, r"annotations is None, where a list belongs"),
        ("annotations", {"1": {}}, r"annotations is {'1': {}}, where a list belongs"),
        ("images", None, r"images is None, where a list belongs"),
        ("categories", "cell", r"categories is 'cell', where a list belongs"),
        ("annotations.0", None, r"annotations\[0\]: None stands where an object with id belongs"),
        ("images.0", [1, "im1.jpg"], r"images\[0\]: \[1, 'im1.jpg'\] stands where an object with id belongs"),
        ("images.0.file_name", 7, r"images\[0\]: file_name is 7, where text belongs"),
        ("images.0.width", "wide", r"images\[0\]: width is 'wide', where a whole number belongs"),
        ("images.0.width", 64.5, r"images\[0\]: width is 64.5, where a whole number belongs"),
        ("annotations.0.bbox", None, r"bbox is None, where a list of four finite numbers belongs"),
        ("annotations.0.bbox", "1234", r"bbox is '1234', where a list of four finite numbers belongs"),
        ("annotations.0.bbox", [1, 2, 3], r"bbox is \[1, 2, 3\], where a list of four finite numbers belongs"),
        ("annotations.0.bbox", [1, 2, 3, None], r"where a list of four finite numbers belongs"),
        ("annotations.0.bbox", [1, 2, 3, True], r"where a list of four finite numbers belongs"),
        ("annotations.0.bbox", [1, 2, 3, math.nan], r"where a list of four finite numbers belongs"),
        ("annotations.0.bbox", [1, 2, 3, 10**400], r"where a list of four finite numbers belongs"),
        ("annotations.0.bbox", [1e308, 2, 1e308, 3], r"a corner of the box is not finite"),
        ("annotations.0.area", "big", r"area is 'big', where a finite number belongs"),
        ("annotations.0.area", math.inf, r"area is inf, where a finite number belongs"),
        ("annotations.0.area", -1, r"the object is of -1 pixels"),
        ("annotations.0.area", 1e11, r"the object is of 100,000,000,000 pixels, where 0 to 10,000,000,000 belong"),
        # flags
        ("annotations.0.iscrowd", 2, r"iscrowd is 2, where 0 or 1 belongs"),
        ("annotations.0.iscrowd", -1, r"iscrowd is -1, where 0 or 1 belongs"),
        ("annotations.0.iscrowd", "maybe", r"iscrowd is 'maybe', where 0 or 1 belongs"),
        ("annotations.0.iscrowd", [], r"iscrowd is \[\], where 0 or 1 belongs"),
        ("annotations.0.iscrowd", NESTED, r"iscrowd is \[\[\[\[\[\[\[...\]\]\]\]\]\]\], where 0 or 1 belongs"),
        ("annotations.0.area", NESTED, r"where a finite number belongs"),
        ("images.0.id", NESTED, r"where a whole number belongs"),
        ("categories.0.name", NESTED, r"where a name of characters that can be seen belongs"),
        # names
        ("categories.0.name", None, r"categories\[0\]: name is None, where a name of characters that can be seen"),
        ("categories.0.name", "", r"categories\[0\]: name is '', where a name of characters that can be seen"),
        ("categories.0.name", " \n", r"categories\[0\]: name is ' \\n', where a name of characters that can be seen"),
        ("categories.0.name", "a\u200b", r"where a name of characters that can be seen"),
        ("categories.0.name", "a\x1b[31m", r"where a name of characters that can be seen"),
        ("categories.0.name", "nucleus", r"a.json: classes nucleus, nucleus have one name in tables"),
        ("categories.0.name", "nucleus ", r"a.json: classes nucleus, nucleus have one name in tables"),
        # files outside, or none
        ("images.0.file_name", "../images/im1.jpg", r"'../images/im1.jpg' is no name of a file in this folder"),
        ("images.0.file_name", "/etc/passwd", r"'/etc/passwd' is no name of a file in this folder"),
        ("images.0.file_name", "a\\..\\..\\im1.jpg", r"is no name of a file in this folder"),
        ("images.0.file_name", "", r"'' is no name of a file in this folder"),
        ("images.0.file_name", ".", r"1 of 2 images of a.json are missing \(.\)"),
        ("images.0.file_name", "im1.jpg/im1.jpg", r"1 of 2 images of a.json are missing"),
        ("images.0.file_name", "x" * 5_000, r"1 of 2 images of a.json are missing"),
        ("images.0.file_name", "a\0.jpg\n", r"1 of 2 images of a.json are missing \('a\\x00.jpg\\n'\)"),
        ("images.0.file_name", "\ud800", r"1 of 2 images of a.json are missing \('\\ud800'\)"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_with_its_entry(
    images: Path, place: str, value: object, words: str
) -> None:
    with pytest.raises(DataError, match=words) as error:
        read(images, changed((place, value)))

    assert len(str(error.value).splitlines()) == 1
    str(error.value).encode()


def test_two_blanks_and_an_underscore_are_told_apart_by_nobody(images: Path) -> None:
    content = changed(("categories.0.name", "red  cell"), ("categories.1.name", "red_cell"))

    with pytest.raises(DataError, match="classes red cell, red_cell have one name in tables and results"):
        read(images, content)


@pytest.mark.parametrize(
    "places",
    [
        [],
        [("annotations.0.area", None)],
        [("annotations.0.area", GONE)],
        [("annotations.0.area", "200")],
        [("images.0.width", None), ("images.0.height", None)],
        [("images.0.width", None)],
        [("images.0.width", "64"), ("images.0.height", 48.0)],
        [("images.0.id", "1"), ("annotations.0.image_id", 1.0), ("annotations.0.category_id", "1")],
        [("images.0.id", 2**70), ("annotations.0.image_id", 2**70), ("images.1.id", 0), ("annotations.1.image_id", 0)],
        *([("annotations.0.iscrowd", no)] for no in (None, GONE, False, 0.0, "0", "false", "False", " 0 ")),
        [("annotations.0.bbox", ["4", "5", "20", "10"])],
        [("images.0.file_name", "./im1.jpg")],
    ],
)
def test_what_exporters_write_otherwise_means_the_same(images: Path, places: list[tuple[str, object]]) -> None:
    data = read(images, changed(*places))

    assert [image.path.name for image in sorted(data.images, key=lambda i: i.path.name)] == ["im1.jpg", "im2.jpg"]
    assert [image.boxes.tolist() for image in data.images] == [[[4, 5, 24, 15]]] * 2
    assert [image.area.tolist() for image in data.images] == [[200]] * 2
    assert [image.crowd.tolist() for image in data.images] == [[False]] * 2
    assert [image.labels.tolist() for image in data.images] == [[1]] * 2


def test_a_box_turned_inside_out_is_dropped_and_counted_however_large(images: Path) -> None:
    data = read(images, changed(("annotations.0.bbox", [1e9, 1e9, -2e9, -2e9]), ("annotations.0.area", GONE)))

    assert "1 of 2 boxes dropped: 1 of zero width or height (1)." in data.summary()


@pytest.mark.parametrize("yes", [1, 1.0, True, "1", "true", "True"])
def test_a_crowd_is_one_however_it_is_written(images: Path, yes: object) -> None:
    assert read(images, changed(("annotations.0.iscrowd", yes))).images[0].crowd.tolist() == [True]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_file_is_read_in_any_utf_with_or_without_a_mark(images: Path, encoding: str) -> None:
    content = json.dumps(changed(("categories.0.name", "Zelle 細胞")), ensure_ascii=False, indent=1)

    assert read(images, content.replace("\n", "\r\n").encode(encoding)).classes == ("Zelle 細胞", "nucleus")


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_file", ["NFC", "NFD"])
@pytest.mark.parametrize("name", ["José.jpg", "Straße/Ångström.jpg", "한국.jpg"])
def test_names_are_compared_in_one_unicode_form(images: Path, name: str, in_file: Any, on_disk: Any) -> None:
    write_image(images / unicodedata.normalize(on_disk, name), (64, 48))

    data = read(images, changed(("images.0.file_name", unicodedata.normalize(in_file, name))))

    assert data.images[0].pixels().shape == (3, 48, 64)


def test_two_files_of_one_name_in_two_forms_are_refused(images: Path) -> None:
    for form in ("NFC", "NFD"):
        write_image(images / unicodedata.normalize(form, "José.jpg"), (64, 48))

    with pytest.raises(DataError, match="two entries named José.jpg in two Unicode forms"):
        read(images, changed(("images.0.file_name", "José.jpg")))


@pytest.mark.parametrize("name", ["train/im1.jpg", "./train/im1.jpg", "train\\im1.jpg", "train//im1.jpg"])
def test_a_file_may_lie_in_a_folder_below(images: Path, name: str) -> None:
    write_image(images / "train" / "im1.jpg", (64, 48))

    data = read(images, changed(("images.0.file_name", name)))

    assert data.images[0].path == images / "train" / "im1.jpg"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[" * 100_000, "cannot be read as COCO's JSON"),
        (b'{"images": ' + b"9" * 5_000 + b"}", "cannot be read as COCO's JSON"),
        (b"\xff\xfe\xfd", "cannot be read as COCO's JSON"),
        (b"null", "has no images, annotations, categories"),
        (b'"images annotations categories"', "has no images, annotations, categories"),
    ],
)
def test_what_is_no_json_of_coco_is_one_line(images: Path, content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as error:
        read(images, content)

    assert len(str(error.value).splitlines()) == 1


@pytest.mark.fuzz
def test_a_damaged_file_is_read_or_one_line(images: Path) -> None:
    half = -(-FILES // 2)
    groups = [{"id": 0, "name": "cells"}, *({**category, "supercategory": "cells"} for category in VALID["categories"])]
    grouped = {**VALID, "categories": groups}
    for content in (*mutated(json.dumps(grouped).encode(), half), *mutated_json(grouped, half)):
        try:
            data = read(images, content)
        except DataError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017  # some of the files are read
            str(error).encode()
        else:
            assert data.digest
            data.summary().encode()
