"""CIFAR-10.1 and CIFAR-10-C in the files of their authors, in small: what is read, and what is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.data.cifar_further import locate_cifar10c, locate_cifar101, read_cifar10c, read_cifar101
from bench.data.locate import AbsentError, DataError
from bench.spec.further import FURTHER

V6 = replace(FURTHER["cifar10.1-v6"], images=20)
FOG = replace(FURTHER["cifar10-c:fog"], images=4)
CHANCE = np.random.default_rng(0)
Array = NDArray[np.generic]
Change = Callable[[Array], Array]


def pixels(count: int) -> NDArray[np.uint8]:
    return CHANCE.integers(0, 256, (count, 32, 32, 3), np.uint8)


def lay_v6(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    folder.mkdir(parents=True)
    images, labels = pixels(20), (np.arange(20) % 10).astype(np.int32)
    np.save(folder / "cifar10.1_v6_data.npy", images)
    np.save(folder / "cifar10.1_v6_labels.npy", labels)
    return images, labels


def lay_fog(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    folder.mkdir(parents=True)
    images, labels = pixels(20), np.tile(np.array([3, 8, 8, 0], np.uint8), 5)
    np.save(folder / "fog.npy", images)
    np.save(folder / "labels.npy", labels)
    return images, labels


@pytest.mark.parametrize("home", ["cifar10.1", "CIFAR-10.1/datasets", "CIFAR-10.1", "."])
def test_cifar101_is_found_in_its_folders_and_read_as_it_is(tmp_path: Path, home: str) -> None:
    data = tmp_path / "data"
    images, labels = lay_v6(data / home)

    found = read_cifar101(locate_cifar101(data, V6), V6)

    ((part, (x, y)),) = found.parts.items()
    assert part == ""
    assert np.array_equal(x, images)
    assert np.array_equal(y, labels)
    assert y.dtype == np.int64


def test_a_corruption_is_read_by_severity(tmp_path: Path) -> None:
    images, labels = lay_fog(tmp_path / "CIFAR-10-C")

    found = read_cifar10c(locate_cifar10c(tmp_path, FOG), FOG)

    assert list(found.parts) == ["1", "2", "3", "4", "5"]
    for k, (x, y) in enumerate(found.parts.values()):
        assert np.array_equal(x, images[4 * k : 4 * k + 4])
        assert y.tolist() == labels[:4].tolist()


def test_the_digest_is_of_pixels_and_labels_in_their_order(tmp_path: Path) -> None:
    images, labels = lay_v6(tmp_path / "cifar10.1")
    place, before = tmp_path / "cifar10.1", read_cifar101(tmp_path / "cifar10.1", V6).digest
    digests = {before}

    np.save(place / "cifar10.1_v6_labels.npy", labels.astype(np.int64))
    assert read_cifar101(place, V6).digest == before, "whichever whole numbers the labels are"
    np.save(place / "cifar10.1_v6_labels.npy", labels[::-1])
    digests.add(read_cifar101(place, V6).digest)
    np.save(place / "cifar10.1_v6_data.npy", images[::-1])
    digests.add(read_cifar101(place, V6).digest)

    assert len(digests) == 3


def test_what_is_not_there_is_said_with_its_folder_and_its_source(tmp_path: Path) -> None:
    with pytest.raises(AbsentError, match="v6 is not in .*: no cifar10.1/cifar10.1_v6_data.npy there. Get it from"):
        locate_cifar101(tmp_path, V6)
    with pytest.raises(AbsentError, match="fog is not in .*: no CIFAR-10-C/fog.npy there. Get it from https://zenodo"):
        locate_cifar10c(tmp_path, FOG)
    lay_fog(tmp_path / "CIFAR-10-C")
    (tmp_path / "CIFAR-10-C" / "labels.npy").unlink()
    with pytest.raises(AbsentError, match="CIFAR-10-C has fog.npy and no labels.npy: get it from https://zenodo"):
        locate_cifar10c(tmp_path, FOG)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("fog", lambda x: x[:19], "has uint8 of shape (19, 32, 32, 3), not uint8 of shape (20, 32, 32, 3)"),
        ("fog", lambda x: x.transpose(0, 3, 1, 2), "of shape (20, 3, 32, 32), not uint8 of shape (20, 32, 32, 3)"),
        ("fog", lambda x: x.astype(np.float32) / 255, "has float32 of shape"),
        ("fog", lambda x: x.astype(object), "cannot be read as a NumPy array (Array can't be memory-mapped"),
        ("labels", lambda y: y[:4], "has uint8 of shape (4,), not whole numbers of shape (20,)"),
        ("labels", lambda y: y + 0.5, "not whole numbers of shape (20,)"),
        ("labels", lambda y: np.where(np.arange(20) == 7, 10, y), "has the label 10 for image 8, and CIFAR-10 has 0"),
        ("labels", lambda y: y.astype(int) - 1, "has the label -1 for image 4, and CIFAR-10 has 0 to 9"),
        ("labels", np.sort, "image 2 of severity 2 has the label 3, that of severity 1 has 0: the severities must fol"),
    ],
)
def test_a_bad_array_is_one_line_that_names_its_file(tmp_path: Path, file: str, change: Change, words: str) -> None:
    arrays = dict(zip(("fog", "labels"), lay_fog(tmp_path / "c"), strict=True))
    np.save(tmp_path / "c" / f"{file}.npy", change(arrays[file]))

    with pytest.raises(DataError) as refused:
        read_cifar10c(tmp_path / "c", FOG)

    assert f"{tmp_path / 'c' / file}.npy" in str(refused.value)
    assert words in str(refused.value)
    assert "et it again from https://zenodo.org" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00v\x00{'descr'", b"\x80\x04K\x01."])
def test_a_file_that_is_no_array_is_one_line(tmp_path: Path, content: bytes) -> None:
    lay_fog(tmp_path / "c")
    (tmp_path / "c" / "fog.npy").write_bytes(content)

    with pytest.raises(DataError, match="fog.npy cannot be read as a NumPy array .*: get it again from"):
        read_cifar10c(tmp_path / "c", FOG)


def test_an_archive_of_arrays_and_a_truncated_one_are_refused(tmp_path: Path) -> None:
    images, _ = lay_fog(tmp_path / "c")
    path = tmp_path / "c" / "fog.npy"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="fog.npy cannot be read as a NumPy array"):
        read_cifar10c(tmp_path / "c", FOG)
    with path.open("wb") as file:
        np.savez(file, images=images)
    with pytest.raises(DataError, match="fog.npy is an archive of arrays, not one array"):
        read_cifar10c(tmp_path / "c", FOG)
