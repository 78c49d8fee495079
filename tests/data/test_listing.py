"""bench.data.listing: what other systems leave in folders and text files is no data."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from bench.data.listing import files_in, folders_in, located, read_list, read_text, same_form
from bench.data.locate import DataError


def test_hidden_entries_are_passed_over(tmp_path: Path) -> None:
    for name in ("a.jpg", "B.JPG", "._a.jpg", ".DS_Store", "readme.txt"):
        (tmp_path / name).write_bytes(b"\0\5\26\7")
    for name in ("n01", ".ipynb_checkpoints", "__MACOSX"):
        (tmp_path / name).mkdir()
    assert [p.name for p in files_in(tmp_path, (".jpg",))] == ["B.JPG", "a.jpg"]
    assert [p.name for p in files_in(tmp_path)] == ["B.JPG", "a.jpg", "readme.txt"]
    assert [p.name for p in folders_in(tmp_path)] == ["n01"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere cannot be read"):
        files_in(tmp_path / "nowhere")


@pytest.mark.parametrize("text", [b"\xef\xbb\xbfa 1\r\n\r\nb\x0c2\r\n", b"a 1\n\nb\x0c2", b"a 1\r\rb\x0c2\r"])
def test_a_list_of_any_system_has_the_same_lines(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(text)
    assert read_list(path) == [(f"{path} line 1", "a 1"), (f"{path} line 3", "b\x0c2")]


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "is empty"), (b" \n\n", "is empty"), (b"\xff\xfea\0", "is not UTF-8")]
)
def test_a_list_that_is_none_is_refused_by_name(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"list.txt {words}"):
        read_list(path)


def test_both_spellings_of_an_accent_are_one_name() -> None:
    decomposed = unicodedata.normalize("NFD", "José")
    assert decomposed != "José"
    assert same_form(decomposed) == same_form("José") == "José"


def test_text_keeps_its_inner_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb")
    assert read_text(path) == "a\nb"


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("a.jpg", "a.jpg"),
        ("./a.jpg", "a.jpg"),
        ("b/c/d.jpg", "b/c/d.jpg"),
        ("b\\c\\d.jpg", "b/c/d.jpg"),
        ("b//c/./d.jpg", "b/c/d.jpg"),
        ("Jose\u0301/x.jpg", "José/x.jpg"),
        (".hidden.jpg", ".hidden.jpg"),
    ],
)
def test_a_relative_name_is_found_below_the_folder(tmp_path: Path, name: str, place: str) -> None:
    for file in ("a.jpg", "b/c/d.jpg", "José/x.jpg", ".hidden.jpg"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()

    assert located(tmp_path, [name, "none.jpg", "b", "a.jpg/x", "\0", "x" * 300]) == {name: tmp_path / place}


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.jpg", "b/../../a.jpg", "..\\a.jpg", "\\a.jpg", ""])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.jpg").touch()

    with pytest.raises(DataError, match="is no name of a file in this folder"):
        located(tmp_path / "b", [name])
