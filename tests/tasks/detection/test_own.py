"""A user's own boxes in COCO's and VOC's layouts: the same boxes whatever the layout, and one line where it is none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench.data.locate import AbsentError, DataError
from bench.spec import SpecError
from bench.spec.datasets import dataset_of
from bench.tasks.detection.annotations import DetectionSet
from bench.tasks.detection.own import refuse_shared
from bench.tasks.detection.voc import bccd
from tests.tasks.detection.builders import write_list, write_voc
from tests.tasks.detection.layouts import (
    Parts,
    as_coco,
    as_roboflow,
    as_voc,
    as_yolo,
    coco_of,
    image_of,
    read,
)


@pytest.fixture
def voc_sets(tmp_path: Path) -> Parts:
    as_voc(tmp_path / "reference")
    return read("voc:reference", tmp_path)


@pytest.mark.parametrize(
    ("data", "write", "pixels"),
    [
        ("coco:pets", as_coco, 0),
        ("coco:pets", lambda folder: as_coco(folder, "images/{part}"), 0),
        ("coco:pets", lambda folder: as_coco(folder, "images", tested="test2020"), 0),
        ("coco:pets", lambda folder: as_coco(folder, "."), 0),
        ("coco:pets", as_roboflow, 0),
        ("yolo:pets", as_yolo, 1e-4),
    ],
)
def test_every_layout_has_the_same_boxes(
    voc_sets: Parts, tmp_path: Path, data: str, write: Callable[[Path], None], pixels: float
) -> None:
    write(tmp_path / "pets")

    for expected, found in zip(voc_sets, read(data, tmp_path), strict=True):
        assert found.classes == expected.classes == ("cat", "dog")
        assert found.name.startswith("pets ")
        assert not found.dropped
        for one, other in zip(expected.images, found.images, strict=True):
            assert other.path.stem == one.id
            assert (one.boxes - other.boxes).abs().max().item() <= pixels if len(one.boxes) else not len(other.boxes)
            assert torch.equal(one.labels, other.labels)
        assert found.digest != expected.digest


def test_of_voc_the_larger_training_list_and_the_test_list_are_taken(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    as_voc(folder)
    write_list(folder, "val", ["b"])
    write_list(folder, "trainval", ["a", "b", "c"])
    write_list(folder, "cat_train", ["a"])
    assert [data.name for data in read("voc:pets", tmp_path)] == ["pets trainval", "pets test"]

    (folder / "ImageSets" / "Main" / "test.txt").unlink()
    assert [data.name for data in read("voc:pets", tmp_path)] == ["pets train", "pets val"]


def test_the_blood_cells_are_read_as_any_folder_by_their_own_lists(tmp_path: Path) -> None:
    as_voc(tmp_path / "bccd")

    for one, other in zip(bccd(tmp_path / "bccd"), read("voc:bccd", tmp_path), strict=True):
        assert one.digest == other.digest
        assert one.summary() == other.summary()


def test_lists_are_asked_for_with_a_way_to_write_them(tmp_path: Path) -> None:
    write_voc(tmp_path / "pets", "a", [("dog", 1, 1, 9, 9)])
    write_list(tmp_path / "pets", "val", ["a"])

    with pytest.raises(DataError, match=r"no list of images to train on .* \(there are: val\)\. Write train.txt and"):
        read("voc:pets", tmp_path)


@pytest.mark.parametrize(
    ("data", "write", "words"),
    [
        ("voc:pets", as_coco, r"pets: no JPEGImages/ and no Annotations/\. .* found: annotations/ "
         r"\(instances_train.json, instances_val.json\), train/ \(a.jpg, b.jpg and 1 more\), .* That looks like data "
         "'coco:pets'$"),
        ("voc:pets", as_yolo, "That looks like data 'yolo:pets'$"),
        ("yolo:pets", as_voc, r"no data.yaml, and not the tree .* That looks like data 'voc:pets'$"),
        ("coco:pets", as_voc, "no annotations to train on.*ImageSets/.*That looks like data 'voc:pets'$"),
        ("coco:pets", as_yolo, "no annotations to train on"),
        ("yolo:pets", lambda folder: as_yolo(folder, None), "no data.yaml, and not the tree that needs none"),
        ("coco:pets", Path.mkdir, "found: nothing$"),
    ],
)  # fmt: skip
def test_another_layout_is_refused_with_the_tree_that_belongs_there_and_what_is_there(
    tmp_path: Path, data: str, write: Callable[[Path], None], words: str
) -> None:
    write(tmp_path / "pets")

    with pytest.raises(DataError, match=words) as error:
        read(data, tmp_path)

    assert "'s layout is" in str(error.value)
    assert "\n" not in str(error.value)


def test_of_coco_a_part_must_be_one_file_and_the_test_must_be_there(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    as_coco(folder)
    content = json.dumps(coco_of("train"))
    (folder / "annotations" / "instances_train2017.json").write_text(content)
    with pytest.raises(DataError, match=r"instances_train.json and instances_train2017.json are both to train"):
        read("coco:pets", tmp_path)

    (folder / "annotations" / "instances_train2017.json").unlink()
    (folder / "annotations" / "instances_val.json").unlink()
    with pytest.raises(DataError, match="no annotations to test on"):
        read("coco:pets", tmp_path)


def test_missing_images_are_named_where_most_of_them_are(tmp_path: Path) -> None:
    as_coco(tmp_path / "pets", "images/{part}")
    (tmp_path / "pets" / "images" / "train" / "b.jpg").unlink()

    words = r"images/train: 1 of 3 images of instances_train.json are missing \(b.jpg\), and no fewer in "
    with pytest.raises(DataError, match=rf"{words}.*/pets/images, .*/pets\. Get the whole set again"):
        read("coco:pets", tmp_path)


def test_a_group_that_an_annotation_has_is_a_class(tmp_path: Path) -> None:
    as_roboflow(tmp_path / "pets")
    for part in ("train", "valid"):
        path = tmp_path / "pets" / part / "_annotations.coco.json"
        content = json.loads(path.read_text())
        content["annotations"][0]["category_id"] = "0"
        path.write_text(json.dumps(content))

    training, _ = read("coco:pets", tmp_path)

    assert training.classes == ("animal", "cat", "dog")
    assert training.categories == (0, 1, 2)


def shared(sets: Parts) -> str:
    with pytest.raises(DataError) as error:
        refuse_shared(*sets, copies=True)
    return str(error.value)


def test_an_image_in_both_parts_is_refused_by_its_path_and_by_its_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    as_voc(folder)
    refuse_shared(*read("voc:pets", tmp_path), copies=True)

    image_of(folder / "JPEGImages" / "e.jpg", "b")
    assert "1 image in both pets train and pets test, byte for byte (e.jpg): what" in shared(read("voc:pets", tmp_path))
    refuse_shared(*read("voc:pets", tmp_path), copies=False)

    write_list(folder, "test", ["d", "a"])
    assert "1 image in both pets train and pets test (a.jpg): what" in shared(read("voc:pets", tmp_path))


def test_a_folder_that_is_not_there_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "racoon").mkdir()

    with pytest.raises(AbsentError, match=r"racoons .*'voc:racoons' .*: racoon\. Name the folder above it"):
        read("voc:racoons", tmp_path)


@pytest.mark.parametrize("name", ["voc:", "voc:../bccd", "voc:a/b", "coco:.hidden"])
def test_a_name_is_of_one_folder(name: str) -> None:
    with pytest.raises(SpecError, match=re.escape(f"{name!r} must be")):
        dataset_of(name)


@pytest.mark.data
def test_the_real_blood_cells_are_the_same_by_every_layout(bench_data: Path) -> None:
    if not (bench_data / "bccd").is_dir():
        pytest.skip("no bccd below BENCH_DATA")

    training, tested = read("voc:bccd", bench_data)
    by_name: tuple[DetectionSet, DetectionSet] = bccd(bench_data / "bccd")

    assert training.name == "bccd trainval"
    assert len(training.images) == 292
    assert tested.digest == by_name[1].digest
    refuse_shared(training, tested, copies=True)
