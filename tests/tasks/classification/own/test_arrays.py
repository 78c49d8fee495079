"""A user's own arrays of a .npz file: two layouts, grey and colour, and what is refused before anything is trained."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.data.locate import AbsentError, DataError, own_arrays
from bench.tasks.classification.own.arrays import KEYS, in_memory
from tests.tasks.classification.own.builders import arrays, write_arrays

ARRAYS = arrays()
X, Y, TEST = ARRAYS["train_images"], ARRAYS["train_labels"], ARRAYS["test_images"]


def test_both_layouts_give_the_same_images(tmp_path: Path) -> None:
    keras = dict(zip(KEYS[1], (v.reshape(-1) if v.ndim == 2 else v for v in ARRAYS.values()), strict=True))
    more = {"val_images": X, "val_labels": Y}
    first = in_memory(write_arrays(tmp_path, {**ARRAYS, **more}, "med"), 32)
    second = in_memory(write_arrays(tmp_path, keras, "keras"), 32)

    assert torch.equal(first.train_x, torch.from_numpy(X).permute(0, 3, 1, 2))
    assert first.train_y.tolist() == Y[:, 0].tolist()
    assert first.digest == second.digest
    assert first.names == ("0", "1", "2")
    assert first.account == "24 training and 6 test images of 3 classes; unused arrays: val_images, val_labels"
    assert second.account == "24 training and 6 test images of 3 classes"


@pytest.mark.parametrize("last", [(), (1,)])
def test_grey_images_are_repeated_three_times(tmp_path: Path, last: tuple[int, ...]) -> None:
    grey = {name: ARRAYS[name][:, :28, :28, 0].reshape(-1, 28, 28, *last) for name in ("train_images", "test_images")}

    images = in_memory(write_arrays(tmp_path, arrays(**grey)), 28)

    assert images.train_x.shape == (24, 3, 28, 28)
    assert all(torch.equal(images.train_x[:, k], torch.from_numpy(X[:, :28, :28, 0])) for k in range(3))
    assert images.account.endswith("; grey, repeated three times")


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"train_images": X / 255}, "train_images are float64 (24, 32, 32, 3), and uint8 (N, 32, 32, 3) or grey"),
    ({"train_images": X / 255}, "write (images * 255).round().astype(numpy.uint8) where they lie in 0 to 1"),
    ({"test_images": TEST.astype(np.int64)}, "test_images are int64"),
    ({"train_images": X.transpose(0, 3, 1, 2)}, "write images.transpose(0, 2, 3, 1)"),
    ({"train_images": np.zeros((24, 32, 32, 4), np.uint8)}, "write images[..., :3]"),
    ({"train_images": np.zeros((24, 32, 32, 2), np.uint8)}, "write them as (N, height, width, 3), or grey as"),
    ({"train_images": np.zeros((24, 3072), np.uint8)}, "write them as (N, height, width, 3), or grey as"),
    ({"train_images": X[:, :28]}, "cut or resize them to squares"),
    ({"train_images": X[:, :28, :28]}, "write Recipe(size=28), or resize them"),
    ({"test_images": TEST[:, :28, :28]}, "write Recipe(size=28), or resize them"),
    ({"train_labels": Y[:-1]}, "24 train_images and 23 train_labels: give each image its label"),
    ({"test_images": TEST[:0], "test_labels": Y[:0]}, "0 test_images and 0 test_labels"),
    ({"train_labels": Y.astype(np.float32)}, "train_labels are float32 (24, 1), and whole numbers (N,) are read"),
    ({"train_labels": np.eye(3)[Y[:, 0]]}, "of one column a class write labels.argmax(1)"),
    ({"train_labels": Y + 0.5}, "write labels.astype(numpy.int64) where they are whole; what is measured is no class"),
    ({"train_labels": Y[:, 0].astype(object)}, "train_labels are object (24,)"),
    (
        {"test_labels": np.array(list("abcabc"))},
        "test_labels are <U1 (6,), and whole numbers (N,) are read: write numpy.un",
    ),
    ({"train_labels": Y.astype(np.int64) - 1}, "train_labels[0] is -1: labels are whole numbers from 0 on"),
    ({"train_labels": np.where(Y == 1, 2**40, Y.astype(np.int64))}, "train_labels[1] is 1099511627776"),
    ({"train_labels": Y + 1}, "train_labels go up to 3, and no training image has 0: number the classes 0 to 2"),
    ({"train_labels": np.where(Y == 1, 7, Y)}, "train_labels go up to 7, and no training image has 1"),
    ({"train_labels": 0 * Y}, "train_labels are all 0, one class, where two or more belong"),
    ({"test_labels": Y[:6] + 2}, "test_labels have 3, 4, of which there is no training image: train_labels go from 0"),
    ({"test_images": X[:6]}, "6 of 6 test images (100 %) are training images, too, such as test_images[0] is train_im"),
]


@pytest.mark.parametrize(("changes", "words"), CHANGES)
def test_arrays_that_cannot_be_meant_are_refused_with_what_to_write(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = write_arrays(tmp_path, arrays(**changes))

    with pytest.raises(DataError, match=re.escape(words)) as refused:
        in_memory(path, 32)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


def test_a_file_with_other_arrays_or_two_layouts_is_refused(tmp_path: Path) -> None:
    both = {**ARRAYS, **dict(zip(KEYS[1], ARRAYS.values(), strict=True))}
    for held in ({"a": X, "b": Y}, both, {name: ARRAYS[name] for name in KEYS[0][:3]}):
        with pytest.raises(DataError, match="where the arrays train_images, .* or x_train, .* belong, of one layout"):
            in_memory(write_arrays(tmp_path, held), 32)


def test_a_damaged_file_is_refused_and_nothing_in_it_is_run(tmp_path: Path) -> None:
    path = write_arrays(tmp_path, ARRAYS)
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[2_000] ^= 255
    for content in (b"", b"PK\x03\x04", whole[: len(whole) // 2], bytes(changed)):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is damaged or no .npz file"):
            in_memory(path, 32)


def test_what_an_array_claims_to_be_is_held_against_memory_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w") as file:
        for key, array in ARRAYS.items():
            about, shape = io.BytesIO(), (10**9, *array.shape[1:]) if key.startswith("train") else array.shape
            said = {"descr": array.dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(about, said)
            file.writestr(f"{key}.npy", about.getvalue())

    with pytest.raises(DataError, match=r"1,000,000,006 images of 32 x 32 take 5,722.0 GiB while they are read"):
        in_memory(path, 32)


def test_a_file_is_found_by_its_name(tmp_path: Path) -> None:
    path = write_arrays(tmp_path, ARRAYS)

    assert own_arrays(tmp_path, "npz:mine") == path
    with pytest.raises(AbsentError, match="no file mine.npz.npz there, .*; there are: mine.npz"):
        own_arrays(tmp_path, "npz:mine.npz")
