"""ImageNet's tar files, read in place: their index, what is no image in them, and what lies."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.data.locate import DataError
from bench.tasks.classification.imagenet.archives import entries
from bench.tasks.classification.imagenet.files import ImageSet, load
from tests.tasks.classification.imagenet import little
from tests.tasks.classification.imagenet.little import JUNK, LISTS, TRUTH, VAL, WNIDS, content, jpeg

pytestmark = pytest.mark.usefixtures("own_cache")


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
