"""ImageNet on disk: every layout is one set, every mistake in one is named."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("simplejpeg", reason="needs simplejpeg")

from bench.data.locate import AbsentError, DataError, imagenet_name
from bench.data.locate import imagenet as locate_imagenet
from bench.tasks.classification.imagenet.archives import entries
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
    "compressed kit": lambda: little.kit(compressed=True),
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


JUNK = b"\0\5\x16\7"  # how a Mac's ._ files begin


@pytest.mark.parametrize("name", LISTS)
def test_a_list_saved_by_a_windows_editor_is_the_same(tmp_path: Path, expected: ImageSet, name: str) -> None:
    lists = LISTS[name]()
    text = {n: b"\xef\xbb\xbf" + d.replace(b"\n", b"\r\n") for n, d in lists.items() if n.endswith((".txt", ".csv"))}
    root = little.flat(tmp_path / "other")
    little.write(root, lists | text)

    assert load(root).digest == expected.digest


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


def with_junk(files: dict[str, bytes]) -> bytes:
    """A tar of `files` with what a Mac, a person or tar itself puts beside them."""
    junk = {f"__MACOSX/._{name}": JUNK for name in files} | {f"x/._{name}": JUNK for name in files}
    return little.tar({"README.txt": b"see the paper", ".DS_Store": JUNK} | junk | files)


def test_in_a_tar_only_images_count(tmp_path: Path, expected: ImageSet) -> None:
    root = little.tars(tmp_path)
    little.write(root, LISTS["lines"]())
    with tarfile.open(root / "ILSVRC2012_img_train.tar") as outer:
        inner = {m.name: outer.extractfile(m).read() for m in outer}  # type: ignore[union-attr]  # all are files
    inner = {name: with_junk(_content(data)) for name, data in inner.items()}
    (root / "ILSVRC2012_img_train.tar").write_bytes(with_junk(inner))
    (root / "ILSVRC2012_img_val.tar").write_bytes(with_junk(little.val_files()))

    assert load(root).digest == expected.digest


def _content(tar: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


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


def _index(root: Path, **changes: Any) -> None:
    """Changes columns of the index of the validation's tar file."""
    path = root / "ILSVRC2012_img_val.tar.index.npz"
    with np.load(path) as index:
        columns = {name: index[name] for name in index.files}
    np.savez(path, **{name: change(columns[name]) for name, change in changes.items()}, **{
        name: column for name, column in columns.items() if name not in changes
    })  # fmt: skip


class Evil:
    """Leaves a trace when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("the index was unpickled",)


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("offsets", lambda x: x + 10**9),
        ("offsets", lambda x: x - 10**9),
        ("sizes", lambda x: x + 2**62),
        ("sizes", lambda x: x.astype(float)),
        ("files", lambda x: np.array([Evil()] * len(x), object)),
        ("wnids", lambda x: x[:3]),
    ],
)
def test_an_index_that_points_elsewhere_is_made_anew(
    tmp_path: Path, column: str, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    root = little.tars(tmp_path)
    little.write(root, LISTS["lines"]())
    first = content(load(root))
    _index(root, **{column: change})

    assert content(load(root)) == first


def test_what_an_older_versions_index_took_for_an_image_is_left_out(tmp_path: Path, expected: ImageSet) -> None:
    root = little.tars(tmp_path)
    little.write(root, LISTS["lines"]())
    load(root)
    added = {"wnids": "", "files": "._a.JPEG", "sizes": 4, "offsets": 0}
    _index(root, **{name: lambda x, value=value: np.append(x, value) for name, value in added.items()})

    assert load(root).digest == expected.digest


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
        ({"val_labels.txt": LINES.replace("\n", " tench\n")}, r"'n01484850 tench' is no wnid"),
        ({"val_labels.txt": LINES.replace("n0", "n0\u0660")}, "is no wnid"),
        ({"val_labels.txt": ""}, "val_labels.txt is empty"),
        ({"val_labels.txt": "\udcff"}, "val_labels.txt is not UTF-8"),
        (
            {"LOC_val_solution.csv": CSV + CSV[31:].replace(WNIDS[2], WNIDS[1])},
            r"line 13: .* is n01443537 here and n01484850",
        ),
        ({"val_annotations.txt": '"' * 200_000}, "6 of 6 images have no label"),
        ({"LOC_val_solution.csv": CSV[:-40]}, r"1 of 6 images have no label, such as ILSVRC2012_val_00000001"),
        ({"ILSVRC2012_validation_ground_truth.txt": "1\n" * 6}, r"meta.mat is missing"),
        ({"ILSVRC2012_validation_ground_truth.txt": "1\n" * 6, "meta.mat": "no"}, r"meta.mat cannot be read"),
        ({"ILSVRC2012_devkit_t12.tar.gz": "no"}, r"The development kit is damaged"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, lists: dict[str, str], message: str) -> None:
    root = little.flat(tmp_path)
    little.write(root, {name: text.encode(errors="surrogateescape") for name, text in lists.items()})

    with pytest.raises(DataError, match=message):
        load(root)


def member(name: str, size: int = 0, data: bytes = b"", **fields: Any) -> bytes:
    """A tar file of one member, with a header that may lie."""
    info = tarfile.TarInfo(name)
    info.size = size or len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT) + data.ljust(-(-len(data) // 512) * 512, b"\0") + bytes(1024)


IMAGE = jpeg(0)
HOSTILE = {
    "a link to a file": member("a.JPEG", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a hard link": member("a.JPEG", data=IMAGE)[:-1024] + member("b.JPEG", type=tarfile.LNKTYPE, linkname="a.JPEG"),
    "a device": member("a.JPEG", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    "more than the file has": member("a.JPEG", 2**40, IMAGE),
    "less than nothing": member("a.JPEG", -512, IMAGE),
    "less than nothing, no image": member("a.txt", -1024, IMAGE),
    "a name that is the whole file": member("a", -512, IMAGE, type=tarfile.GNUTYPE_LONGNAME),
    "a long name of a terabyte": member("a", 2**40, IMAGE, type=tarfile.GNUTYPE_LONGNAME),
    "an extension of a terabyte": member("a", 2**40, IMAGE, type=tarfile.XHDTYPE),
    "an extension with a size below nothing": member("x", data=b"16 size=-100000\n", type=tarfile.XHDTYPE)[:-1024]
    + member("a.JPEG", data=IMAGE),
    "the same file twice": member("a.JPEG", data=IMAGE)[:-1024] + member("a.JPEG", data=IMAGE[:-1]),
}


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_tar_file_that_lies_is_refused(tmp_path: Path, content: bytes, nested: bool) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(little.tar({"n01440764.tar": content}) if nested else content)

    with pytest.raises(DataError, match=r"^\S*/x.tar: .*et (it|the file) again$"):
        entries(path, nested=nested)


@pytest.mark.parametrize("name", ["/etc/cron.d/a.JPEG", "../../a.JPEG", "./b/a.JPEG"])
def test_no_name_in_a_tar_leads_anywhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.tar").write_bytes(little.tar({name: IMAGE}))

    assert [entry[:3] for entry in entries(tmp_path / "x.tar", nested=False)] == [("", "a.JPEG", len(IMAGE))]


def test_a_tar_of_a_class_that_is_a_link_is_refused(tmp_path: Path) -> None:
    inner = {"n01440764.tar": little.tar({"a.JPEG": IMAGE})}
    link = member("n01443537.tar", type=tarfile.SYMTYPE, linkname="n01440764.tar")
    (tmp_path / "x.tar").write_bytes(little.tar(inner)[: 512 + len(inner["n01440764.tar"])] + link)

    with pytest.raises(DataError, match="n01443537.tar is a link"):
        entries(tmp_path / "x.tar", nested=True)


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
