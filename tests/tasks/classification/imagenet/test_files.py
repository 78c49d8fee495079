"""ImageNet on disk: every layout is one set, every mistake in one is named."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.data.locate import AbsentError, DataError, imagenet_name
from bench.data.locate import imagenet as locate_imagenet
from bench.tasks.classification.imagenet.files import ImageSet, load
from tests.tasks.classification.imagenet import little
from tests.tasks.classification.imagenet.little import (
    ANNOTATIONS,
    JUNK,
    LISTS,
    VAL,
    WNIDS,
    content,
)

pytestmark = pytest.mark.usefixtures("own_cache")


def test_folders_are_read_by_class_and_file(tmp_path: Path) -> None:
    root = little.folders(tmp_path)
    (root / "train" / WNIDS[0] / "notes.txt").write_text("no image")

    assert locate_imagenet(tmp_path) == root
    found = load(root)

    assert (found.classes, len(found.train), len(found.val)) == (WNIDS, 12, 6)
    assert found.train.labels.dtype == np.int64
    assert found.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert [found.train.name(i) for i in range(12)] == sorted(little.train_files())
    assert (
        content(found).items()
        >= {name: (data, WNIDS.index(name[:9])) for name, data in little.train_files().items()}.items()
    )
    assert [found.val.name(i) for i in range(2)] == [f"{WNIDS[0]}/{VAL[1]}", f"{WNIDS[0]}/{VAL[4]}"]


def test_a_link_that_leads_nowhere_is_refused_as_the_set_would_lack_its_image(tmp_path: Path) -> None:
    root = little.folders(tmp_path)
    (root / "train" / WNIDS[0] / "gone.JPEG").symlink_to(tmp_path / "unmounted" / "gone.JPEG")

    with pytest.raises(DataError, match=r"gone\.JPEG cannot be read \(No such file or directory\)"):
        load(root)


@pytest.mark.parametrize("labels", LISTS)
@pytest.mark.parametrize("layout", [little.flat, little.tars])
def test_every_layout_is_the_same_set(
    tmp_path: Path, expected: ImageSet, layout: Callable[[Path], Path], labels: str
) -> None:
    root = layout(tmp_path / "other")
    little.write(root, LISTS[labels]())

    assert locate_imagenet(tmp_path / "other") == root
    found = load(root)

    assert content(found) == content(expected)
    assert found.digest == expected.digest


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize(
    "name", [".ipynb_checkpoints/a.JPEG", "__MACOSX/._a.JPEG", f"{WNIDS[0]}/._a.JPEG", ".DS_Store"]
)
def test_what_other_systems_leave_in_folders_is_no_class_and_no_image(
    tmp_path: Path, expected: ImageSet, part: str, name: str
) -> None:
    root = little.folders(tmp_path)
    little.write(root / part, {name: JUNK})

    assert load(root).digest == expected.digest
    assert imagenet_name(root, 0) == "imagenet-3"


def test_tiny_imagenet_is_read_with_its_folders_of_images(tmp_path: Path, expected: ImageSet) -> None:
    root = tmp_path / "tiny-imagenet-200"
    little.write(root / "train", {n.replace("/", "/images/"): data for n, data in little.train_files().items()})
    little.write(root / "val" / "images", little.val_files())
    (root / "val" / "val_annotations.txt").write_text(ANNOTATIONS)

    found = locate_imagenet(tmp_path)

    assert found == root
    assert load(root).digest == expected.digest


def test_the_first_classes_are_kept(tmp_path: Path, expected: ImageSet) -> None:
    found = load(little.folders(tmp_path), classes=2)

    assert (found.classes, len(found.train), len(found.val)) == (WNIDS[:2], 8, 4)
    assert found.digest != expected.digest
    for classes in (0, 4):
        with pytest.raises(DataError, match="which has 3: ask for 1 to 3"):
            load(tmp_path / "imagenet", classes)


def test_the_digest_changes_with_a_name_a_size_or_a_label(tmp_path: Path, expected: ImageSet) -> None:
    root = little.folders(tmp_path)
    (root / "NOTICE.json").write_text('{"notice": "three classes"}')
    assert load(root).notice == "three classes"
    image = root / "val" / WNIDS[0] / VAL[1]
    digests = {expected.digest}
    image.write_bytes(image.read_bytes() + b"\0")
    digests.add(load(root).digest)
    image = image.rename(image.with_name("other.JPEG"))
    digests.add(load(root).digest)
    image.rename(root / "val" / WNIDS[1] / "other.JPEG")
    digests.add(load(root).digest)

    assert len(digests) == 4


def test_images_pickle_small_and_read_the_same(expected: ImageSet) -> None:
    copy = pickle.loads(pickle.dumps(expected.train))

    assert [copy.read(i) for i in range(12)] == [expected.train.read(i) for i in range(12)]


def test_a_image_that_went_or_shrank_is_named(expected: ImageSet, tmp_path: Path) -> None:
    path = tmp_path / "expected" / "imagenet" / "train" / expected.train.name(5)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=rf"{expected.train.name(5)}: 100 bytes in .* where there were"):
        expected.train.read(5)
    path.unlink()
    with pytest.raises(DataError, match=rf"{expected.train.name(5)} cannot be read any more: .*No such file"):
        expected.train.read(5)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ((), None),
        (("train",), None),
        (("train", "val"), "."),
        (("imagenet/train",), "imagenet"),
        (("imagenet/notes",), None),
        (("tiny_imagenet_100/train", "imagenet/val"), "imagenet"),
    ],
)
def test_looking_takes_what_has_the_parts(tmp_path: Path, names: tuple[str, ...], found: str | None) -> None:
    for name in names:
        (tmp_path / name).mkdir(parents=True)

    if found is None:
        with pytest.raises(AbsentError, match="no ImageNet there"):
            locate_imagenet(tmp_path)
    else:
        assert locate_imagenet(tmp_path) == tmp_path / found


def _no_val(root: Path) -> None:
    (root / "val").rename(root / "validation")


def _no_train(root: Path) -> None:
    (root / "train").rename(root / "training")


def _empty_class(root: Path) -> None:
    (root / "train" / "n99999999").mkdir()


def _other_classes(root: Path) -> None:
    (root / "val" / WNIDS[1]).rename(root / "val" / "n00000007")


def _nothing_in_train(root: Path) -> None:
    (root / "train").rename(root / "old")
    (root / "train").mkdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_val, r"no images in val/, and no ILSVRC2012_img_val.tar; there is: train, validation. Get ImageNet"),
        (_no_train, r"no images in train/, and no ILSVRC2012_img_train.tar"),
        (_empty_class, r"n99999999: no image in this class"),
        (
            _other_classes,
            r"train has 3 classes and val 3, 2 of them in one part only \(n00000007, n01443537\)",
        ),
        (_nothing_in_train, r"no folders of classes, where .*train/<wnid>/\*.JPEG belong"),
    ],
)
def test_folders_with_a_mistake_are_refused(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    root = little.folders(tmp_path)
    spoil(root)

    with pytest.raises(DataError, match=message):
        load(root)
