"""Detection sets in VOC's layout: nothing dropped without being counted and named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.data.locate import DataError
from bench.tasks.detection.voc import VOC_CLASSES, bccd, voc07, voc0712, voc_layout
from tests.tasks.detection.builders import read_voc, set_of, write_list, write_voc


def test_vocs_pixels_count_from_one_and_include_both_ends(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", [("dog", 1, 1, 40, 30), ("cat", 11, 6, 20, 15)])

    [image] = read_voc(tmp_path).images

    assert image.boxes.tolist() == [[0, 0, 40, 30], [10, 5, 20, 15]]
    assert image.area.tolist() == [1200, 100]
    assert image.labels.tolist() == [2, 1]


def test_a_box_of_zero_width_one_outside_and_one_of_an_unknown_class_are_dropped_and_named(tmp_path: Path) -> None:
    good = ("dog", 5, 5, 20, 20)
    write_voc(tmp_path, "a", [good, ("dog", 9, 5, 9, 20), ("dog", 50, 5, 60, 20)])
    write_voc(tmp_path, "b", [good, ("lamp", 5, 5, 20, 20), ("dog", 20, 20, 5, 5)])

    data = read_voc(tmp_path, classes=("cat", "dog"))

    assert [len(image.boxes) for image in data.images] == [1, 1]
    assert data.summary().endswith(
        "4 of 6 boxes dropped: 2 of zero width or height (a, b); 1 outside the image (a); 1 of an unknown class (b)."
    )


def test_a_set_whose_classes_are_all_unknown_is_refused_with_both_lists(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", [("lamp", 5, 5, 20, 20)])

    with pytest.raises(
        DataError, match=r"no box to work with. Classes seen: lamp; wanted: cat, dog.* Annotate an object there"
    ):
        read_voc(tmp_path, classes=("cat", "dog"))


def test_an_image_without_boxes_is_evaluated_and_not_trained_on(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", [("dog", 5, 5, 20, 20)])
    write_voc(tmp_path, "b", [])

    data = read_voc(tmp_path)

    assert [image.id for image in data.images] == ["a", "b"]
    assert [image.id for image in data.trainable()] == ["a"]
    assert data.images[1].truth()["boxes"].shape == (0, 4)
    assert "Images without a box to train on: 1, evaluated all the same." in data.summary()


def test_a_grey_image_has_three_equal_channels(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", [("dog", 5, 5, 20, 20)], mode="L")

    pixels = read_voc(tmp_path).images[0].pixels()

    assert pixels.shape == (3, 30, 40)
    assert torch.equal(pixels[0], pixels[2])
    assert pixels.dtype == torch.uint8


def test_difficult_boxes_are_measured_with_their_flag_and_not_trained_on(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", [("dog", 5, 5, 20, 20), ("dog", 1, 1, 9, 9)], difficult=[1])

    data = read_voc(tmp_path)

    assert data.images[0].truth()["difficult"].tolist() == [False, True]
    assert len(data.images[0].target()["boxes"]) == 1
    assert "Difficult boxes: 1," in data.summary()


def test_a_box_over_the_edge_is_measured_whole_and_cut_for_training(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", [("dog", 31, 5, 50, 20)])

    data = read_voc(tmp_path)

    assert data.images[0].truth()["boxes"].tolist() == [[30, 4, 50, 20]]
    assert data.images[0].target()["boxes"].tolist() == [[30, 4, 40, 20]]
    assert "Boxes over the image's edge: 1," in data.summary()


def test_a_listed_image_or_annotation_that_is_missing_is_refused(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", [("dog", 5, 5, 20, 20)])
    write_voc(tmp_path, "b", [("dog", 5, 5, 20, 20)], with_image=False)
    write_list(tmp_path, "train", ["a", "b", "c"])

    with pytest.raises(DataError, match=r"train: 2 of 3 .* JPEGImages/ \(b, c\); 1 of 3 .* Annotations/ \(c\)"):
        voc_layout(tmp_path, "train")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<annotation><object>", "a.xml is not XML"),
        ("<annotation><object><bndbox/></object></annotation>", "object 1: name is missing"),
        ("<annotation><object><name>dog</name></object></annotation>", "object 1: xmin is missing"),
        (
            "<annotation><object><name>dog</name><bndbox><xmin>x</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax>"
            "</bndbox></object></annotation>",
            "object 1: xmin is 'x', where a finite number belongs",
        ),
        (
            "<annotation><object><name>dog</name><bndbox><xmin>nan</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax>"
            "</bndbox></object></annotation>",
            "xmin is 'nan', where a finite number",
        ),
        ("<annotation><size><width>30</width><height>40</height></size></annotation>", "its annotation is of 30x40"),
        ("<annotation><size><width>wide</width></size></annotation>", "size 1: width is 'wide', where a whole number"),
    ],
)
def test_a_damaged_annotation_is_refused_with_its_fault(tmp_path: Path, text: str, words: str) -> None:
    write_voc(tmp_path, "a", [])
    (tmp_path / "Annotations" / "a.xml").write_text(text)

    with pytest.raises(DataError, match=words):
        read_voc(tmp_path)


def test_an_image_that_is_none_is_refused_before_training(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", [("dog", 5, 5, 20, 20)])
    (tmp_path / "JPEGImages" / "a.jpg").write_bytes(b"no image")

    with pytest.raises(DataError, match=r"a.jpg is damaged or no image"):
        read_voc(tmp_path)


def test_an_image_that_breaks_off_is_refused_by_its_name(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", [("dog", 5, 5, 20, 20)])
    path = tmp_path / "JPEGImages" / "a.jpg"
    image = read_voc(tmp_path).images[0]
    path.write_bytes(path.read_bytes()[:200])

    with pytest.raises(DataError, match=r"a.jpg is damaged or no image"):
        image.pixels()


def test_a_list_that_is_not_there_or_names_an_image_twice_is_refused(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", [("dog", 5, 5, 20, 20)])
    write_list(tmp_path, "train", ["a", "a"])

    with pytest.raises(DataError, match=r"no such image list; there are: train"):
        voc_layout(tmp_path, "val")
    with pytest.raises(DataError, match=r"lists images twice \(a\)"):
        voc_layout(tmp_path, "train")
    with pytest.raises(DataError, match=r"needs Annotations/ and JPEGImages/"):
        voc_layout(tmp_path / "ImageSets", "train")


def test_07_plus_12_trains_on_both_years_and_tests_on_2007(tmp_path: Path) -> None:
    kit = tmp_path / "VOCdevkit"
    lists = {"2007": {"trainval": ["000001"], "test": ["000002"]}, "2012": {"trainval": ["2008_000001"]}}
    for year, parts in lists.items():
        for name, images in parts.items():
            write_list(kit / f"VOC{year}", name, images)
            write_voc(kit / f"VOC{year}", images[0], [("dog", 5, 5, 20, 20)])

    for reader, located, trained_on in (
        (voc07, kit / "VOC2007", ["000001"]),
        (voc0712, kit / "VOC2012", ["000001", "2008_000001"]),
    ):
        training, tested = reader(located)
        assert [i.id for i in training.images] == trained_on
        assert [i.id for i in tested.images] == ["000002"]
        assert training.classes == tested.classes == VOC_CLASSES
    (kit / "VOC2007").rename(kit / "elsewhere")
    with pytest.raises(DataError, match=r"no VOC2007/"):
        voc0712(kit / "VOC2012")


def test_the_digest_is_of_all_that_is_annotated(tmp_path: Path) -> None:
    data = set_of(tmp_path)
    other = replace(data.images[0], labels=torch.tensor([2]))

    assert data.digest == read_voc(tmp_path).digest
    assert data.digest != replace(data, images=(other, *data.images[1:])).digest


@pytest.mark.data
def test_a_hundred_voc_images_have_all_twenty_classes(bench_data: Path, tmp_path: Path) -> None:
    if not (bench_data / "voc100").is_dir():
        pytest.skip("no voc100 below BENCH_DATA")
    for part in ("Annotations", "JPEGImages"):
        (tmp_path / part).symlink_to(bench_data / "voc100" / part)

    data = read_voc(tmp_path)

    assert data.classes == VOC_CLASSES
    assert len(data.images) == 100
    assert sum(len(image.boxes) for image in data.images) == 273
    assert "Difficult boxes: 38," in data.summary()
    assert {int(k) for image in data.images for k in image.labels} == set(range(1, 21))


@pytest.mark.data
def test_the_blood_cells_lose_their_two_degenerate_boxes_and_say_so(bench_data: Path) -> None:
    if not (bench_data / "bccd").is_dir():
        pytest.skip("no bccd below BENCH_DATA")

    train, test = bccd(bench_data / "bccd")

    assert train.classes == test.classes == ("Platelets", "RBC", "WBC")
    assert (len(train.images), len(test.images)) == (205, 72)
    assert "1 of 2,805 boxes dropped: 1 of zero width or height (BloodImage_00343)." in train.summary()
