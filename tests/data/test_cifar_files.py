"""CIFAR's archives are unpacked where they lie: only the official ones, whole or not at all; and the data's notice."""

from __future__ import annotations

import errno
import hashlib
import io
import pickle
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest

from bench.data import cifar_files
from bench.data.cifar_files import LAYOUTS, cifar, fetch, verify
from bench.data.locate import DataError, notice
from bench.tasks.classification.cifar import load
from tests.fuzzing import tried

NAMES = ("cifar10", "cifar100")


def files(name: str, part: str) -> dict[str, bytes]:
    """What the archive of a layout holds, in little: a few records of each part."""
    layout = LAYOUTS[name]
    if part == layout.binary:
        return {
            **{file: np.full(size, k, np.uint8).tobytes() for k, (file, size) in enumerate(layout.sizes.items())},
            "readme.html": b"<html>",
        }
    return {file: pickle.dumps({"data": file}) for file in (*layout.train, *layout.test, layout.meta)}


def packed(content: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for member in more:
            archive.addfile(member)
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


@pytest.fixture(autouse=True)
def _without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setattr(cifar_files, "TRAINED", 10)
    monkeypatch.setattr(cifar_files, "TESTED", 2)


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Writes an archive whose sum is taken for the official one."""

    def write(name: str, number: int, content: bytes) -> Path:
        file = LAYOUTS[name].archives[number][0]
        archives: Any = [*LAYOUTS[name].archives]
        archives[number] = (file, hashlib.md5(content).hexdigest())
        layout = replace(LAYOUTS[name], archives=tuple(archives))
        monkeypatch.setattr(cifar_files, "LAYOUTS", {**LAYOUTS, name: layout})
        path = tmp_path / file
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", [0, 1], ids=["pickles", "binary"])
def test_an_archive_that_is_there_is_unpacked(put: Callable[..., Path], tmp_path: Path, name: str, number: int) -> None:
    part = list(LAYOUTS[name].folders)[number]
    content = files(name, part)
    put(name, number, packed({f"{part}/{file}": data for file, data in content.items()}))

    assert fetch(tmp_path, name) == cifar(tmp_path, name) == tmp_path / part

    wanted = {file: content[file] for file in LAYOUTS[name].folders[part]}
    assert {path.name: path.read_bytes() for path in (tmp_path / part).iterdir()} == wanted
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((part, LAYOUTS[name].archives[number][0]))


def test_the_sums_of_the_pickles_are_torchvisions() -> None:
    for layout in LAYOUTS.values():
        official = layout.torchvision()
        assert layout.archives[0] == (official.filename, official.tgz_md5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", [0, 1], ids=["pickles", "binary"])
def test_an_archive_of_another_sum_is_named_and_not_unpacked(tmp_path: Path, name: str, number: int) -> None:
    path = tmp_path / LAYOUTS[name].archives[number][0]
    path.write_bytes(packed({"../evil": b"x", f"{LAYOUTS[name].python}/test_batch": b"cos\nsystem\n(S'false'\ntR."}))

    with pytest.raises(DataError, match=rf"^{path} is truncated or changed \(MD5 \w+, not \w+\). .* no network.*$"):
        fetch(tmp_path, name)

    assert list(tmp_path.iterdir()) == [path]


def test_only_the_files_that_belong_there_are_unpacked(put: Callable[..., Path], tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    part = LAYOUTS["cifar10"].binary
    content = {f"{part}/{file}": data for file, data in files("cifar10", part).items()}
    elsewhere = {"../evil": b"x", f"{tmp_path}/evil": b"x", f"{part}/../../evil": b"x", f"{part}/more": b"x"}
    archive = packed(content | elsewhere, link(f"{part}/a", "/etc/passwd"), link("b", ".."))
    put("cifar10", 1, archive).rename(data / "cifar-10-binary.tar.gz")

    assert fetch(data, "cifar10") == data / part

    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert sorted(path.name for path in (data / part).iterdir()) == sorted(LAYOUTS["cifar10"].sizes)


@pytest.mark.parametrize("reason", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_has_its_way_out_named(
    put: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(reason, "the disk says no")

    part = LAYOUTS["cifar10"].binary
    path = put("cifar10", 1, packed({f"{part}/{file}": data for file, data in files("cifar10", part).items()}))
    monkeypatch.setattr(tempfile, "TemporaryDirectory", refused)

    with pytest.raises(DataError, match=r"cannot be unpacked there \(the disk says no\): unpack it into a folder that"):
        fetch(tmp_path, "cifar10")

    assert list(tmp_path.iterdir()) == [path]


def test_without_archive_and_network_both_archives_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be downloaded .* Get cifar-100-python.tar.gz or cifar-100-binary"):
        fetch(tmp_path, "cifar100")


def test_pickles_that_are_not_the_official_ones_are_never_opened(tmp_path: Path) -> None:
    trace, folder = tmp_path / "trace", tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file in files("cifar10", folder.name):
        (folder / file).write_bytes(f"cos\nsystem\n(S'touch {trace}'\ntR.".encode())

    with pytest.raises(DataError, match="data_batch_1, .* truncated or changed"):
        load(cifar(tmp_path, "cifar10"))

    assert not trace.exists()


@pytest.mark.parametrize(("name", "label", "most"), [("cifar10", 255, 9), ("cifar10", 10, 9), ("cifar100", 100, 99)])
def test_a_label_that_there_is_not_is_named_with_its_file_and_record(
    tmp_path: Path, name: str, label: int, most: int
) -> None:
    layout = LAYOUTS[name]
    folder = tmp_path / layout.binary
    folder.mkdir()
    for file, size in layout.sizes.items():
        (folder / file).write_bytes(bytes(size))
    file = f"{layout.train[-1]}.bin"
    content = bytearray(layout.sizes[file])
    content[layout.record + layout.labels - 1] = label
    (folder / file).write_bytes(content)

    with pytest.raises(DataError, match=rf"{file}: record 2 of \d+ has the label {label}, and .* 0 to {most}: .*get"):
        verify(cifar(tmp_path, name))


@pytest.mark.fuzz
@pytest.mark.parametrize("number", [0, 1], ids=["pickles", "binary"])
def test_a_damaged_batch(tmp_path: Path, number: int) -> None:
    part = list(LAYOUTS["cifar10"].folders)[number]
    (tmp_path / part).mkdir()
    for file, content in files("cifar10", part).items():
        (tmp_path / part / file).write_bytes(content)
    path = tmp_path / part / LAYOUTS["cifar10"].folders[part][0]

    for images in tried(path, path.read_bytes(), lambda: load(cifar(tmp_path, "cifar10")), DataError):
        assert (len(images.train_x), len(images.test_x), number) == (10, 2, 1), (
            "none of the pickles is the official one"
        )
        assert int(images.train_y.max()) < 10


@pytest.mark.fuzz
def test_a_damaged_archive_is_not_unpacked_unless_it_is_the_official_one(tmp_path: Path) -> None:
    path = tmp_path / "cifar-100-binary.tar.gz"
    content = packed({f"cifar-100-binary/{file}": data[:50] for file, data in files("cifar100", path.stem).items()})

    assert list(tried(path, content, lambda: fetch(tmp_path, "cifar100"), DataError)) == []
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.fuzz
def test_a_damaged_notice(tmp_path: Path) -> None:
    path = tmp_path / "NOTICE.json"

    for said in tried(
        path, b'{"notice": "Not CIFAR-10", "more": [1, {"a": null}]}', lambda: notice(tmp_path), DataError
    ):
        assert isinstance(said, str)


@pytest.mark.parametrize("content", ["[" * 100_000, "{}", '{"notice": null}', '{"notice": 7}', "[]", "\udcff"])
def test_a_notice_that_is_no_text_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "NOTICE.json").write_bytes(content.encode(errors="surrogateescape"))

    with pytest.raises(DataError, match="NOTICE.json cannot be read as JSON with a text 'notice'"):
        notice(tmp_path)


def test_a_notice_saved_by_a_windows_editor_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "NOTICE.json").write_bytes(b'\xef\xbb\xbf{"notice": "half of it"}\r\n')

    assert notice(tmp_path) == "half of it"
