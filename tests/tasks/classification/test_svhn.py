"""SVHN's two files with made-up pixels, in the layout of their authors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from bench.data.locate import AbsentError, DataError
from bench.data.svhn_files import FILES, check, fetch, locate
from bench.tasks.classification.svhn import load


def write(folder: Path) -> Path:
    """20 images to train on and 10 to test on; the digit 0 has the label 10."""
    folder.mkdir()
    for seed, (file, count) in enumerate(zip(FILES, (20, 10), strict=True)):
        x = np.random.default_rng(seed).integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        savemat(
            folder / file,
            {"X": x, "y": np.arange(1, count + 1)[:, None] % 10 + 10 * (np.arange(1, count + 1)[:, None] % 10 == 0)},
        )
    return folder


def test_images_are_read_with_0_as_the_label_of_the_digit_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "svhn")
    monkeypatch.setattr("torchvision.datasets.utils.check_integrity", lambda *_: True)  # the pixels are made up
    monkeypatch.setattr("torchvision.datasets.svhn.check_integrity", lambda *_: True)

    images = load(folder)

    assert (images.train_x.shape, images.test_x.shape) == ((20, 3, 32, 32), (10, 3, 32, 32))
    assert images.test_y.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    first = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 20), dtype=np.uint8)[..., 0]
    assert torch.equal(images.train_x[0], torch.from_numpy(first).permute(2, 0, 1))


def test_the_files_are_found_in_either_place_and_nothing_but_both(tmp_path: Path) -> None:
    with pytest.raises(AbsentError, match=r"SVHN \(train_32x32.mat, test_32x32.mat\) is not in .*svhn"):
        locate(tmp_path, "svhn")
    folder = write(tmp_path / "svhn")

    assert locate(tmp_path, "svhn") == locate(folder, "svhn") == folder
    (folder / FILES[1]).unlink()
    with pytest.raises(DataError, match=r"svhn: test_32x32.mat is missing. Get it from http://ufldl"):
        locate(tmp_path, "svhn")


def test_other_files_than_the_official_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train_32x32.mat, test_32x32.mat truncated or changed \(MD5\)"):
        check(write(tmp_path / "svhn"))


def test_what_cannot_be_downloaded_is_said_with_what_to_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(
        DataError, match=r"SVHN is not in .* cannot be downloaded \(no network\). Get train_32x32.mat and"
    ):
        fetch(tmp_path, "svhn")
