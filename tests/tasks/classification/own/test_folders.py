"""A user's own folder of classes: read into memory and from disk, refused in a line where it is not one."""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.locate import AbsentError, DataError, home, own
from bench.spec import dataset_of
from bench.tasks.classification.own.folders import in_memory, listed, on_disk
from tests.tasks.classification.own.builders import pixels, write_folder


def test_pixels_labels_and_names_are_those_of_the_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)

    images = in_memory(folder, 32)

    assert images.names == ("a cat", "dog", "été")
    assert torch.bincount(images.train_y).tolist() == [8, 8, 8]
    assert images.test_y.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert torch.equal(images.train_x[8], torch.from_numpy(pixels(9)).permute(2, 0, 1))  # the first dog
    assert (images.notice, images.account) == ("", "24 training and 9 test images of 3 classes; all usual")


def test_the_digest_covers_pixels_labels_and_the_names_of_the_classes(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    digests = [in_memory(folder, size).digest for size in (32, 32, 24)]
    Image.fromarray(pixels(99)).save(folder / "test/dog/0.png")
    digests.append(in_memory(folder, 32).digest)
    for part in ("train", "test"):
        (folder / part / "dog").rename(folder / part / "dogs")
    digests.append(in_memory(folder, 32).digest)

    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


@pytest.mark.parametrize("test", ["val", "valid"])
def test_the_images_to_test_on_may_be_in_val_or_valid_and_test_comes_first(tmp_path: Path, test: str) -> None:
    folder = write_folder(tmp_path, test=test)
    alone = in_memory(folder, 32)
    shutil.copytree(folder / test, folder / "test")
    Image.fromarray(pixels(99)).save(folder / "test/dog/3.png")

    both = in_memory(folder, 32)

    assert (len(alone.test_y), alone.notice) == (9, "")
    assert (len(both.test_y), both.notice) == (10, f"{test}/ is not used.")


def test_images_of_any_size_format_and_colours_are_made_square_and_counted(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200  # the central square alone
    Image.fromarray(wide).save(folder / "test/dog/0.png")
    Image.fromarray(pixels(107)[:, :, 0]).save(folder / "test/dog/1.png")
    (folder / "test/dog/2.png").unlink()
    Image.fromarray(pixels(108)).save(folder / "test/dog/2.GIF")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels(109)).save(folder / "test/été/0.png", exif=turned)
    for name in ("train/dog/notes.txt", "train/list.csv", "train/.DS_Store"):
        (folder / name).touch()

    images = in_memory(folder, 32)

    assert (images.test_x[3, :, :, 1:-1] == 200).all()  # at its edges the filter reaches beyond, as before a crop
    assert torch.equal(images.test_x[4, 0], images.test_x[4, 2])
    assert images.notice == "1 of 33 images was resized to 32 x 32."
    assert images.account == (
        "24 training and 9 test images of 3 classes; 1 grey, 1 with an EXIF orientation that is not followed; left "
        "out: 2 files that no image is by name (train/list.csv, train/dog/notes.txt)"
    )


def test_larger_images_are_resized_with_antialias(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(folder / "test/dog/0.png")

    assert (in_memory(folder, 32).test_x[3].int() - 128).abs().max() <= 8


def test_a_name_is_one_class_in_either_unicode_form(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "test" / "été").rename(folder / "test" / unicodedata.normalize("NFD", "été"))

    assert listed(folder).classes == ("a cat", "dog", "été")


def drop(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in names:
            shutil.rmtree(folder / name)

    return change


def put(name: str, content: bytes = b"x") -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return change


def empty(folder: Path) -> None:
    drop("train/dog")(folder)
    (folder / "train/dog").mkdir()


def truncated(folder: Path) -> None:
    whole = (folder / "train/dog/3.png").read_bytes()
    put("train/dog/3.png", whole[: len(whole) // 2])(folder)


def copied(folder: Path) -> None:
    shutil.copy(folder / "train/dog/3.png", folder / "test/dog/1.png")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop("train"), "mine: no train/ there; there is: test. Expected: .*mine/train/<class>/"),
        (drop("test"), r"mine: no test/ there; there is: train\. Expected: .* \(or val/, valid/; any of \.jpg"),
        (drop("test/dog"), r"train has 3 classes and test 2, 1 of them in one part only \(dog\)"),
        (drop("train/a cat", "train/dog", "train/été"), "train: no folders of classes, where .*<class>"),
        (drop(*(f"{part}/{name}" for part in ("train", "test") for name in ("a cat", "dog"))), r"one class \(été\)"),
        (empty, "train/dog: no image in this class"),
        (put("train/dog/more/1.png"), "train/dog/more is a folder in a class: put its images into train/dog/"),
        (put("test/loose.JPG"), "test/loose.JPG is an image in no class: put it into test/<class>/, or take it out"),
        (put("train/dog/3.png"), "mine: training image dog/3.png is damaged or no image"),
        (truncated, "mine: training image dog/3.png is damaged or no image"),
        (copied, r"1 of 9 test images \(11.1 %\) is a training image, too, such as test dog/1.png is training dog/3"),
        (copied, "; up to 1 % would be said"),
    ],
)
def test_what_is_no_such_folder_is_refused_in_a_line(
    tmp_path: Path, change: Callable[[Path], None], words: str
) -> None:
    folder = write_folder(tmp_path)
    change(folder)

    with pytest.raises(DataError, match=words) as refused:
        in_memory(folder, 32)
    assert "\n" not in str(refused.value)


def test_a_class_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    for part in ("train", "test"):
        (folder / part / "dog").rename(folder / part / os.fsdecode(b"dog\xff"))

    with pytest.raises(DataError, match="is not UTF-8"):
        listed(folder)


def test_more_images_than_memory_holds_are_refused_before_one_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_MEMORY_GIB", "0.0001")

    with pytest.raises(
        DataError, match="33 images of 32 x 32 take 0.0 GiB while they are read.*or a recipe with views"
    ):
        in_memory(write_folder(tmp_path), 32)


def test_from_disk_repeats_are_those_of_the_same_bytes(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    found = on_disk(folder)

    assert (len(found.train), len(found.val), found.notice) == (24, 9, "")
    copied(folder)
    with pytest.raises(DataError, match=r"is a training image, too, such as test dog/1.png is training dog/3.png"):
        on_disk(folder)


def test_without_training_only_the_images_to_test_on_are_needed(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    shutil.rmtree(folder / "train")

    found = on_disk(folder, trained=False)

    assert (len(found.train), len(found.val)) == (0, 9)


def test_a_folder_is_found_by_its_name_and_an_absent_one_says_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path)

    assert own(tmp_path, "folder:mine") == folder
    assert home(dataset_of("folder:mine"), folder) == tmp_path  # it was given for the one above it, which is said
    assert "is a part of mine" in capsys.readouterr().out
    absent = re.escape("there, which data 'folder:yours' is read from; there are: mine. Name the folder above it")
    with pytest.raises(AbsentError, match=absent):
        own(tmp_path, "folder:yours")


@pytest.mark.data
def test_a_part_of_cifar100_as_a_folder() -> None:
    folder = Path(os.environ.get("BENCH_DATA", "")) / "cifar100_part"
    if not folder.is_dir():
        pytest.skip("no cifar100_part below BENCH_DATA")

    images = in_memory(folder, 32)

    assert (len(images.names), images.train_x.shape[0], images.test_x.shape[0]) == (100, 10_000, 5_000)
    assert images.account == "10,000 training and 5,000 test images of 100 classes; all usual"
    assert images.notice.startswith("1 of 5,000 test images is a training image, too (test baby/baby_s_000354.png is")
