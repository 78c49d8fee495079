"""ImageNet on disk: every layout is one set, every mistake in one is named."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("simplejpeg", reason="needs simplejpeg")

from bench.data.locate import AbsentError, DataError
from bench.data.locate import imagenet as locate_imagenet
from bench.tasks.classification.imagenet.files import ImageSet, load
from tests.tasks.classification.imagenet import little
from tests.tasks.classification.imagenet.little import TRUTH, VAL, WNIDS, jpeg

LINES = "".join(f"{WNIDS[c]}\n" for c in TRUTH)
CSV = "ImageId,PredictionString\n" + "".join(
    f"{file.removesuffix('.JPEG')},{WNIDS[c]} 1 2 3 4\n" for file, c in reversed(list(zip(VAL, TRUTH, strict=True)))
)
ANNOTATIONS = "".join(f"{file}\t{WNIDS[c]}\t0\t0\t62\t62\n" for file, c in zip(VAL, TRUTH, strict=True))
KIT = "ILSVRC2012_devkit_t12/data"
LISTS: dict[str, Callable[[], dict[str, bytes]]] = {
    "lines": lambda: {"val_labels.txt": LINES.encode()},
    "lines in val": lambda: {"val/imagenet_2012_validation_synset_labels.txt": LINES.encode()},
    "annotations": lambda: {"val/val_annotations.txt": ANNOTATIONS.encode()},
    "csv": lambda: {"LOC_val_solution.csv": CSV.encode()},
    "kit": little.kit,
    "kit's folder": lambda: {f"{KIT}/{name}": data for name, data in little.kit().items()},
    "packed kit": lambda: {
        "ILSVRC2012_devkit_t12.tar.gz": little.tar({f"{KIT}/{n}": d for n, d in little.kit().items()}, "w:gz")
    },
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def expected(tmp_path: Path) -> ImageSet:
    return load(little.folders(tmp_path / "expected"))


def content(found: ImageSet) -> dict[str, tuple[bytes, int]]:
    return {
        part.name(i): (part.read(i), int(part.labels[i])) for part in (found.train, found.val) for i in range(len(part))
    }


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


def test_tiny_imagenet_is_read_with_its_folders_of_images(tmp_path: Path, expected: ImageSet) -> None:
    root = tmp_path / "tiny-imagenet-200"
    little.write(root / "train", {n.replace("/", "/images/"): data for n, data in little.train_files().items()})
    little.write(root / "val" / "images", little.val_files())
    (root / "val" / "val_annotations.txt").write_text(ANNOTATIONS)

    found = locate_imagenet(tmp_path)

    assert found == root
    assert load(root).digest == expected.digest


def test_the_index_of_a_tar_file_is_kept_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = little.tars(tmp_path)
    little.write(root, LISTS["lines"]())
    first = content(load(root))
    assert (root / "ILSVRC2012_img_train.tar.index.npz").is_file()
    with monkeypatch.context() as patch:
        patch.setattr("tarfile.open", lambda *_, **__: pytest.fail("the tar file was read again"))
        assert content(load(root)) == first

    changed = little.val_files() | {VAL[0]: jpeg(999)}
    (root / "ILSVRC2012_img_val.tar").write_bytes(little.tar(changed))

    assert content(load(root))[f"{WNIDS[TRUTH[0]]}/{VAL[0]}"][0] == jpeg(999)


def test_an_index_that_is_damaged_is_made_anew(tmp_path: Path) -> None:
    root = little.tars(tmp_path)
    little.write(root, LISTS["lines"]())
    first = content(load(root))
    for index in root.glob("*.npz"):
        index.write_bytes(index.read_bytes()[:100])

    assert content(load(root)) == first


def test_where_no_index_can_be_written_beside_a_tar_file_it_goes_to_the_cache(tmp_path: Path) -> None:
    root = little.tars(tmp_path)
    little.write(root, LISTS["lines"]())
    for name in ("train", "val"):
        (root / f"ILSVRC2012_img_{name}.tar.index.npz").mkdir()

    assert content(load(root)) == content(load(root))
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 2


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


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({}, r"6 validation images in one folder, and no list of their classes. Put one of val_labels.txt"),
        ({"val_labels.txt": LINES[10:]}, r"val_labels.txt: 5 labels for 6 images"),
        ({"val_labels.txt": "1\n2\n3\n1\n2\n3\n"}, r"'1' is no wnid, such as n01440764"),
        ({"LOC_val_solution.csv": CSV[:-40]}, r"1 of 6 images have no label, such as ILSVRC2012_val_00000001"),
        ({"ILSVRC2012_validation_ground_truth.txt": "1\n" * 6}, r"meta.mat is missing"),
        ({"ILSVRC2012_validation_ground_truth.txt": "1\n" * 6, "meta.mat": "no"}, r"meta.mat cannot be read"),
        ({"ILSVRC2012_devkit_t12.tar.gz": "no"}, r"The development kit is damaged"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, lists: dict[str, str], message: str) -> None:
    root = little.flat(tmp_path)
    little.write(root, {name: text.encode() for name, text in lists.items()})

    with pytest.raises(DataError, match=message):
        load(root)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ILSVRC2012_img_train.tar", b"", "truncated or no tar file"),
        ("ILSVRC2012_img_train.tar", b"no tar file at all" * 100, "truncated or no tar file"),
        ("ILSVRC2012_img_train.tar", little.tar(little.val_files()), "where one tar a class belongs"),
        ("ILSVRC2012_img_train.tar", little.tar({"n01440764.tar": little.tar({})}), "no image in n01440764.tar"),
        ("ILSVRC2012_img_val.tar", little.tar(little.val_files())[:7_000], "the last one incomplete|truncated"),
    ],
)
def test_damaged_tar_files_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    root = little.tars(tmp_path)
    little.write(root, LISTS["lines"]() | {name: content})

    with pytest.raises(DataError, match=message):
        load(root)
