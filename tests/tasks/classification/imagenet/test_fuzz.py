"""Damaged lists and tar files of ImageNet: read right, or refused in one line, and no image points out of its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.data.locate import DataError
from bench.tasks.classification.imagenet import labels
from bench.tasks.classification.imagenet.archives import entries
from tests.fuzzing import FILES, mutated, tried
from tests.tasks.classification.imagenet import little
from tests.tasks.classification.imagenet.little import LISTS, VAL

DAMAGED = [(kind, name) for kind in LISTS for name in LISTS[kind]()]


@pytest.mark.fuzz
@pytest.mark.parametrize(("kind", "name"), DAMAGED)
def test_a_damaged_list_of_labels(tmp_path: Path, kind: str, name: str) -> None:
    content = LISTS[kind]()
    count = FILES // 30 if "kit" in kind else FILES  # each kit is read by a process of its own
    little.write(tmp_path, content)

    for found in tried(tmp_path / name, content[name], lambda: labels.of_files(tmp_path, VAL), DataError, count):
        assert isinstance(found, dict)
        assert tuple(found) == VAL
        assert all(wnid[0] == "n" and len(wnid) == 9 for wnid in found.values())


@pytest.mark.fuzz
@pytest.mark.parametrize("nested", [True, False])
def test_a_damaged_tar_file(tmp_path: Path, nested: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path, index = tmp_path / "x.tar", tmp_path / "x.tar.index.npz"
    inner = {f"{name[:40]}.JPEG": data[:700] for name, data in little.val_files().items()}
    content = little.tar({"n01440764.tar": little.tar(inner), "n01443537.tar": little.tar(inner)} if nested else inner)

    def read() -> object:
        index.unlink(missing_ok=True)
        return entries(path, nested=nested)

    for found in tried(path, content, read, DataError):
        assert isinstance(found, list)
        assert all(0 <= offset <= offset + size <= path.stat().st_size for _, _, size, offset in found)
        assert len({entry[:2] for entry in found}) == len(found)


@pytest.mark.fuzz
def test_a_damaged_index_is_made_anew_or_says_the_same(tmp_path: Path) -> None:
    path, index = tmp_path / "x.tar", tmp_path / "x.tar.index.npz"
    path.write_bytes(little.tar(little.val_files()))
    first = entries(path, nested=False)

    for damaged in mutated(index.read_bytes(), FILES):
        index.write_bytes(damaged)
        assert entries(path, nested=False) == first
