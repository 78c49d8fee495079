"""CIFAR-100 in the two layouts of its authors, with made-up pixels: a hundred classes from file to report."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.data.cifar_files import cifar
from bench.data.locate import AbsentError, DataError
from bench.nets.counts import parameters_of
from bench.spec import Net, Recipe, Run, dataset_of
from bench.store import RunFolder
from bench.tasks.classification.cifar import load
from bench.tasks.classification.experiment import InMemory
from bench.tasks.job import Job

PARTS = {"train": 50_000, "test": 10_000}
RUN = Run("quick", Net("cifar", 8, "A"), "cifar100", Recipe(steps=2, drops=(), batch=8, bn_group=8), 0)
Labelled = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def made_up(part: str) -> Labelled:
    """Pixels (N, 3072) that are cheap to make, and classes (N,)."""
    count = PARTS[part]
    x = np.resize(np.random.default_rng(count).integers(0, 256, 1_000_003, dtype=np.uint8), (count, 3072))
    return x, (np.arange(count) * 7 % 100).astype(np.uint8)


def write_binary(folder: Path) -> Path:
    out = folder / "cifar-100-binary"
    out.mkdir()
    for part in PARTS:
        x, y = made_up(part)
        np.concatenate([(y // 5)[:, None], y[:, None], x], axis=1).tofile(out / f"{part}.bin")
    return out


def write_python(folder: Path) -> Path:
    out = folder / "cifar-100-python"
    out.mkdir()
    for part in PARTS:
        x, y = made_up(part)
        content = {"data": x, "fine_labels": y.tolist(), "coarse_labels": (y // 5).tolist()}
        (out / part).write_bytes(pickle.dumps(content))
    (out / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"class {k}" for k in range(100)]}))
    return out


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the binary layout."""
    folder = tmp_path_factory.mktemp("data")
    write_binary(folder)
    return folder


def test_both_layouts_give_the_same_images_of_a_hundred_classes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchvision.datasets.utils.check_integrity", lambda *_: True)  # the pixels are made up
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    x, y = made_up("test")
    for folder, layout in ((data, data / "cifar-100-binary"), (tmp_path, write_python(tmp_path))):
        found = cifar(folder, "cifar100")
        images = load(found)

        assert found == layout
        assert torch.equal(images.test_x, torch.from_numpy(x).reshape(-1, 3, 32, 32))
        assert torch.equal(images.test_y, torch.from_numpy(y).long())
        assert torch.bincount(images.train_y).tolist() == [500] * 100


def test_what_is_not_the_official_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AbsentError, match="CIFAR-100 is not in"):
        cifar(tmp_path, "cifar100")
    for folder, names in (("python", ("train", "test", "meta")), ("binary", ("train.bin",))):
        (tmp_path / f"cifar-100-{folder}").mkdir()
        for name in names:
            (tmp_path / f"cifar-100-{folder}" / name).write_bytes(b"short")
    with pytest.raises(DataError, match=r"train, test, meta truncated or changed \(MD5\).*get CIFAR-100 from"):
        load(tmp_path / "cifar-100-python")
    (tmp_path / "cifar-100-python").rename(tmp_path / "aside")
    with pytest.raises(DataError, match="train.bin has 5 bytes, not 153,700,000"):
        cifar(tmp_path, "cifar100")


def test_nets_counts_and_guesses_have_a_hundred_classes(data: Path, tmp_path: Path) -> None:
    job = Job(RunFolder(tmp_path / "run"), data, lambda: False)

    net = InMemory.of(RUN, job, torch.device("cpu")).net()

    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 100)
    assert sum(p.numel() for p in net.parameters()) == parameters_of(RUN)
    assert not dataset_of("cifar100").of_paper
