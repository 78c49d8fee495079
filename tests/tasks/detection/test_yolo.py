"""YOLO's layout as Ultralytics reads it: lists, folders, polygons; every fault by its file and line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from bench.data.locate import DataError
from tests.fuzzing import tried
from tests.tasks.detection.layouts import HEIGHT, WIDTH, YAML, Parts, as_yolo, image_of, read

HEAD = "names: [cat, dog]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    as_yolo(tmp_path / "pets")
    return tmp_path / "pets"


def sets(folder: Path, yaml: str | None = None) -> Parts:
    if yaml is not None:
        (folder / "data.yaml").write_text(yaml)
    return read("yolo:pets", folder.parent)


def refused(folder: Path, yaml: str | None = None) -> str:
    with pytest.raises(DataError) as error:
        sets(folder, yaml)
    assert "\n" not in str(error.value)
    return str(error.value)


def ids(found: Parts) -> list[list[str]]:
    return [[image.id for image in part.images] for part in found]


TRAIN, VAL = [f"images/train/{name}" for name in "abc"], [f"images/val/{name}" for name in "de"]


@pytest.mark.parametrize(
    "yaml",
    [
        YAML,
        f"{HEAD}train: images/train\nval: images/val\n",
        f"{HEAD}train: ../images/train\nval: ../images/val\n",
        f"{HEAD}path: .\ntrain: [images/train]\nval: images/val/\nnc: 2\n",
        f"{HEAD}path: /nowhere/pets\ntrain: ./images/train\nval: images/val\ntest:\n",
        f"{HEAD}path: images\ntrain: train\nval: val\n",
        f"{HEAD}train: train.txt\nval: images\\val\n",
        f"{HEAD}train: images/train\nval: images/train\ntest: images/val\n",
    ],
)
def test_parts_are_folders_or_lists_relative_to_path_or_to_the_file(folder: Path, yaml: str) -> None:
    (folder / "train.txt").write_text("./images/train/a.jpg\nimages/train/b.jpg\r\n\nimages/train/c.jpg\n")

    assert ids(sets(folder, yaml)) == [TRAIN, VAL]


def test_a_part_may_be_several_folders_and_a_folder_has_folders(folder: Path) -> None:
    (folder / "images" / "more").mkdir()
    (folder / "images" / "train" / "c.jpg").rename(folder / "images" / "more" / "c.jpg")

    assert ids(sets(folder, f"{HEAD}train: [images/train, images/more]\nval: images/val\n"))[0] == [
        *TRAIN[:2], "images/more/c",
    ]  # fmt: skip
    assert ids(sets(folder, f"{HEAD}train: images\nval: images\n"))[0] == ["images/more/c", *TRAIN[:2], *VAL]


def test_another_name_of_the_only_yaml_and_a_tree_without_one_are_read(folder: Path) -> None:
    (folder / "data.yaml").rename(folder / "pets.yml")
    assert ids(sets(folder)) == [TRAIN, VAL]

    (folder / "pets.yml").unlink()
    (folder / "classes.txt").write_text("cat\ndog\n")
    training, _ = found = sets(folder)
    assert ids(found) == [TRAIN, VAL]
    assert training.classes == ("cat", "dog")


def test_labels_may_lie_beside_the_images(folder: Path) -> None:
    (folder / "images").rename(folder / "photos")
    for part in ("train", "val"):
        shutil.copytree(folder / "labels" / part, folder / "photos" / part, dirs_exist_ok=True)
    (folder / "photos" / "train" / "README.txt").write_text("no labels")

    training, _ = sets(folder, f"{HEAD}train: photos/train\nval: photos/val\n")

    assert [len(image.boxes) for image in training.images] == [2, 1, 0]
    assert not training.dropped


def test_an_image_without_labels_has_no_objects_and_labels_without_an_image_are_counted(folder: Path) -> None:
    (folder / "labels" / "train" / "lost.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (folder / "labels" / "train" / "classes.txt").write_text("cat\n")

    words = sets(folder)[0].summary()

    assert "Images without a box to train on: 1, evaluated all the same." in words
    assert words.endswith("1 of 4 images dropped: 1 annotated without an image (lost).")


def test_a_polygon_becomes_its_box_and_a_box_without_width_is_counted(folder: Path) -> None:
    text = "1 0.25 0.5 0.75 0.25 0.5 1\n\n0 0.5 0.5 0 0.5\n1.0 0.5 0.5 1 1.0000002\n"
    (folder / "labels" / "train" / "a.txt").write_text(text)

    training, _ = sets(folder)

    first, second = training.images[0].boxes.tolist()
    assert first == [0.25 * WIDTH, 0.25 * HEIGHT, 0.75 * WIDTH, HEIGHT]
    assert second == pytest.approx([0, 0, WIDTH, HEIGHT], abs=1e-4)
    assert training.images[0].labels.tolist() == [2, 2]
    assert "1 of zero width or height (images/train/a)" in training.summary()


def test_shares_are_of_the_image_as_its_exif_turns_it(folder: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "images" / "train" / "a.jpg", exif=exif)
    (folder / "labels" / "train" / "a.txt").write_text("0 0.5 0.25 1 0.5\n")

    image = sets(folder)[0].images[0]

    assert image.pixels().shape == (3, WIDTH, HEIGHT)
    assert image.boxes.tolist() == [[0, 0, HEIGHT, WIDTH / 2]]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.1", "4 values, where class cx cy width height belong, or the class and three or more points"),
        ("0 0.5 0.5 0.1 0.1 0.9", "6 values, where"),
        ("2 0.5 0.5 0.1 0.1", r"class 2, where 0 to 1 belong (cat, dog)"),
        ("-1 0.5 0.5 0.1 0.1", "class -1, where 0 to 1 belong"),
        ("0.5 0.5 0.5 0.1 0.1", "class is '0.5', where a whole number belongs"),
        ("cat 0.5 0.5 0.1 0.1", "class is 'cat', where a whole number belongs"),
        ("0 0.5 x 0.1 0.1", "a share is 'x', where a finite number belongs"),
        ("0 0.5 nan 0.1 0.1", "a share is 'nan', where a finite number belongs"),
        ("0 320 0.5 0.1 0.1", "320 is outside the image, where shares of it from 0 to 1 belong, not pixels"),
        ("0 0.5 0.5 -0.1 0.1", "-0.1 is outside the image"),
        ("0 0.1 0.1 0.2 1.2 0.3 0.3", "1.2 is outside the image"),
    ],
)
def test_a_wrong_line_is_refused_by_its_file_and_number(folder: Path, line: str, words: str) -> None:
    path = folder / "labels" / "val" / "e.txt"
    path.write_text(f"0 0.5 0.5 0.1 0.1\n\n{line}\n")

    assert refused(folder).startswith(f"{path} line 3: {words}")


def test_a_file_of_labels_that_is_no_text_is_named(folder: Path) -> None:
    (folder / "labels" / "train" / "a.txt").write_bytes(b"\xff\xfe0")

    assert "a.txt is not UTF-8" in refused(folder)


REST = "train: images/train\nval: images/val\n"


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("names: [cat\n", "data.yaml is not YAML (while parsing"),
        ("- cat\n", "data.yaml: ['cat'] stands where names, train and val belong"),
        (REST, "data.yaml: names is missing. Write the name of each class, such as names: [racoon, fox]"),
        (f"names: pets.names\n{REST}", "names is 'pets.names', where a list of names, or a mapping"),
        (f"names: {{1: cat, 2: dog}}\n{REST}", "where a list of names, or a mapping of 0, 1, … to names belongs"),
        (f"names: [cat, no]\n{REST}", "name 1 is False, where a name of characters that can be seen belongs"),
        (f"names: [cat, cat]\n{REST}", "classes cat, cat have one name"),
        (f"names: [cat]\n{REST}", "class 1, where 0 to 0 belong (cat)"),
        (f"{HEAD}nc: 3\n{REST}", "nc is 3 and there are 2 names"),
        (f"{HEAD}train: images/train\n", "val is None, where a folder of images belongs"),
        (f"{HEAD}train: {{a: b}}\nval: images/val\n", "train is {'a': 'b'}, where a folder"),
        (f"{HEAD}train: images/training\nval: images/val\n", "train: 'images/training' is not there, neither as /"),
        (f"{HEAD}train: labels/train\nval: images/val\n", "no image in train, labels/train; of .jpg, .jpeg"),
        (
            f"{HEAD}train: [images/train, images/train]\nval: images/val\n",
            "train has images twice (a.jpg, b.jpg, c.jpg)",
        ),
        (f"{HEAD}train: list.txt\nval: images/val\n", "list.txt line 2: 'images/train/z.jpg' is not there, neither as"),
    ],
)
def test_a_yaml_that_does_not_fit_is_one_line(folder: Path, yaml: str, words: str) -> None:
    (folder / "list.txt").write_text("images/train/a.jpg\nimages/train/z.jpg\n")

    assert words in refused(folder, yaml)


def test_a_part_without_any_labels_says_where_they_were_looked_for(folder: Path) -> None:
    shutil.rmtree(folder / "labels" / "val")

    assert "none of the 2 images to val has a file of labels; that of d.jpg is " in refused(folder)
    assert refused(folder).endswith("/pets/labels/val/d.txt. Put them there")
    assert refused(folder, f"{YAML}test: images/val").endswith("Put them there, or name no test: val is tested on then")


def test_two_images_of_one_file_of_labels_are_refused(folder: Path) -> None:
    image_of(folder / "images" / "train" / "a.png", "z")

    assert "several images have the one file of labels a.txt" in refused(folder)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", ["data.yaml", "labels/train/a.txt", "train.txt"])
def test_a_damaged_file_is_read_or_one_line(folder: Path, name: str) -> None:
    (folder / "data.yaml").write_text(YAML.replace("images/train", "train.txt"))
    (folder / "train.txt").write_text("images/train/a.jpg\nimages/train/b.jpg\n")
    path = folder / name

    for training, tested in tried(path, path.read_bytes(), lambda: sets(folder), DataError):
        assert training.digest + tested.digest
        (training.summary() + tested.summary()).encode()
