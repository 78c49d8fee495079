"""VOC's files as other tools and systems leave them: lists, names, hidden files, encodings, values."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest

from bench.data.locate import DataError
from bench.tasks.detection.annotations import DetectionSet
from bench.tasks.detection.voc import voc_layout
from tests.fuzzing import FILES, mutated
from tests.tasks.detection.builders import (
    BOX,
    DOG,
    OBJECT,
    annotation,
    read_list,
    write_image,
    write_list,
    write_voc,
    write_xml,
)

APPLE = b"\0\5\x16\7"  # how a Mac's ._ files begin


def ids(data: DetectionSet) -> list[str]:
    return [image.id for image in data.images]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("IMG 1", "IMG 1"),
        ("IMG 1.jpg", "IMG 1"),
        ("IMG 1.JPG", "IMG 1"),
        ("IMG", "IMG"),
        ("IMG -1", "IMG"),
        ("IMG  1", "IMG"),
        ("IMG\t0", "IMG"),
        ("IMG.jpg 1", "IMG"),
        ("IMG 1 -1", "IMG 1"),
        ("ali (1)", "ali (1)"),
        ("v1.2", "v1.2"),
        ("  IMG 1  ", "IMG 1"),
    ],
)
def test_a_whole_line_is_the_id_where_such_a_file_is_there(tmp_path: Path, line: str, found: str) -> None:
    for image in ("IMG", "IMG 1", "ali (1)", "v1.2"):
        write_voc(tmp_path, image, [DOG])

    assert ids(read_list(tmp_path, line)) == [found]


def test_a_line_that_names_no_file_is_shown_as_it_is(tmp_path: Path) -> None:
    write_voc(tmp_path, "IMG", [DOG])

    for line in ("IMG 2", "IMG x", "../IMG", "IMG.png", "IMG 1 1"):
        with pytest.raises(DataError, match=r"1 of 1 are not in JPEGImages/ \(") as error:
            read_list(tmp_path, line)
        assert f"({line})" in str(error.value)


@pytest.mark.parametrize("ending", [".bmp", ".Jpg", ".JPG", ".webp", ".tiff"])
@pytest.mark.parametrize("listed", ["a", "a{}"])
def test_an_image_may_have_any_of_the_usual_endings(tmp_path: Path, ending: str, listed: str) -> None:
    write_voc(tmp_path, "a", [DOG], with_image=False)
    write_image(tmp_path / "JPEGImages" / f"a{ending}")

    data = read_list(tmp_path, listed.format(ending))

    assert ids(data) == ["a"]
    assert data.images[0].pixels().shape == (3, 30, 40)


def test_two_images_of_one_id_are_refused_unless_the_list_has_the_ending(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", [DOG])
    write_image(tmp_path / "JPEGImages" / "a.png")

    with pytest.raises(DataError, match=r"train.txt line 1 may be a.jpg, a.png"):
        read_list(tmp_path, "a")
    assert read_list(tmp_path, "a.png").images[0].path.name == "a.png"
    with pytest.raises(DataError, match=r"lists images twice \(a\)"):
        read_list(tmp_path, "a.png", "a.jpg")


@pytest.mark.parametrize(("encoding", "ends"), [("utf-8-sig", "\r\n"), ("utf-8", "\r"), ("utf-8-sig", "\n\n")])
def test_a_list_of_any_editor_is_the_same(tmp_path: Path, encoding: str, ends: str) -> None:
    for image in ("a", "b"):
        write_voc(tmp_path, image, [DOG])

    assert ids(read_list(tmp_path, "a", "b", encoding=encoding, ends=ends)) == ["a", "b"]


@pytest.mark.parametrize("name", ["José", "Ångström", "한국"])
@pytest.mark.parametrize("forms", ["NFC NFD NFD", "NFD NFC NFC", "NFC NFC NFD", "NFD NFD NFC"])
def test_ids_are_compared_in_one_unicode_form(tmp_path: Path, name: str, forms: str) -> None:
    """In the list, of the image, of the annotation."""
    listed, photo, text = (unicodedata.normalize(form, name) for form in forms.split())  # type: ignore[arg-type]
    write_voc(tmp_path, text, [DOG], with_image=False)
    write_image(tmp_path / "JPEGImages" / f"{photo}.jpg")

    assert len(read_list(tmp_path, listed).images) == 1
    with pytest.raises(DataError, match="lists images twice"):
        read_list(tmp_path, *{listed, photo, text}, photo)


def test_what_systems_leave_in_folders_is_passed_over(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", [DOG])
    for name in ("Annotations/._a.xml", "JPEGImages/._a.jpg", "Annotations/.DS_Store", "JPEGImages/Thumbs.db"):
        (tmp_path / name).write_bytes(APPLE)
    for name in ("Annotations/__MACOSX", "Annotations/.ipynb_checkpoints", "JPEGImages/__MACOSX"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "b.xml").write_bytes(APPLE)

    assert read_list(tmp_path, "a").classes == ("dog",)
    (tmp_path / "ImageSets" / "Main" / "._train.txt").write_bytes(APPLE)
    with pytest.raises(DataError, match="there are: train$"):
        voc_layout(tmp_path, "val")


@pytest.mark.parametrize(
    ("encoding", "declared", "name"),
    [
        ("utf-8", "UTF-8", "Löwe"),
        ("utf-8-sig", "utf-8", "Löwe"),
        ("utf-16", "UTF-16", "Löwe"),
        ("latin-1", "ISO-8859-1", "Löwe"),
        ("cp1252", "windows-1252", "Löwe"),
        ("cp1251", "windows-1251", "собака"),
        ("gbk", "gb2312", "细胞"),
        ("gb18030", "GB18030", "细胞"),
        ("shift_jis", "Shift_JIS", "細胞"),
        ("big5", "Big5", "細胞"),
        ("euc-kr", "EUC-KR", "세포"),
    ],
)
def test_xml_is_read_in_the_encoding_that_it_declares(tmp_path: Path, encoding: str, declared: str, name: str) -> None:
    write_xml(tmp_path, f'<?xml version="1.0" encoding="{declared}"?>\r\n{annotation(name)}'.encode(encoding))

    assert read_list(tmp_path, "a").classes == (name,)


LAUGHS = "".join(f'<!ENTITY l{k} "{f"&l{k - 1};" * 10}">' for k in range(1, 10))
DECLARED = '<?xml version="1.0" encoding="{}"?>' + annotation("Löwe")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (DECLARED.format("utf-16").encode(), "is not XML"),
        (DECLARED.format("utf-8").encode("latin-1"), "is not XML"),
        (DECLARED.format("gbk").encode("utf-16"), "is not XML"),
        (DECLARED.format("nonsense").encode(), "is not XML .unknown encoding: nonsense"),
        (DECLARED.format("utf-7").encode(), "is not XML"),
        (f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]>{annotation("&l9;")}', "is not XML .it has an entity, l0"),
        (f'<!DOCTYPE a [<!ENTITY x SYSTEM "/etc/passwd">]>{annotation("&x;")}', "is not XML .it has an entity, x"),
        (f'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://a/b"> %x;]>{annotation()}', "is not XML .it has an entity, x"),
        (f'<!DOCTYPE a SYSTEM "a.dtd">{annotation("do&x;g")}', "is not XML .it has an entity, x"),
        (annotation("do&x;g"), "is not XML .undefined entity"),
        (b"", "is not XML"),
        (APPLE, "is not XML"),
        (b"\0" * 100, "is not XML"),
        ("<html><body/></html>", "its root is <html>, where VOC has <annotation>"),
    ],
)
def test_what_is_no_plain_annotation_is_one_line(tmp_path: Path, content: str | bytes, words: str) -> None:
    write_xml(tmp_path, content)

    with pytest.raises(DataError, match=f"a.xml:? {words}") as error:
        read_list(tmp_path, "a")

    assert len(str(error.value).splitlines()) == 1


def test_a_doctype_without_entities_and_a_namespace_change_nothing(tmp_path: Path) -> None:
    content = annotation().replace("<annotation>", '<annotation xmlns="http://host/voc">')
    write_xml(tmp_path, f'<!DOCTYPE annotation SYSTEM "voc.dtd">{content}')

    assert read_list(tmp_path, "a").images[0].boxes.tolist() == [[4, 4, 20, 20]]


@pytest.mark.parametrize(
    ("text", "difficult"),
    [
        ("0", False),
        ("1", True),
        ("true", True),
        ("False", False),
        ("", False),
        (" 1 ", True),
        ("0.0", False),
        ("Unspecified", False),
    ],
)
def test_difficult_is_a_flag_however_it_is_written(tmp_path: Path, text: str, difficult: bool) -> None:
    write_xml(tmp_path, annotation().replace("</object>", f"<difficult>{text}</difficult></object>{OBJECT}"))

    assert read_list(tmp_path, "a").images[0].difficult.tolist() == [difficult, False]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("</object>", "<difficult>2</difficult></object>", "object 1: difficult is '2', where 0 or 1 belongs"),
        ("</object>", "<difficult>x</difficult></object>", "difficult is 'x', where 0 or 1"),
        ("<xmin>5", "<xmin>1e999", "object 1: xmin is '1e999', where a finite number belongs"),
        ("<xmin>5", "<xmin>five", "object 1: xmin is 'five', where a finite number belongs"),
        ("<xmax>20", "<xmax>1e9", "object 1: the object is of 15,999,999,936 pixels"),
        ("<annotation>", "<annotation><size><width>1e999</width></size>", "size 1: width is '1e999', where a whole"),
        ("<annotation>", "<annotation><size><width>nan</width></size>", "size 1: width is 'nan', where a whole"),
        ("<annotation>", "<annotation><size><width>40.5</width></size>", "size 1: width is '40.5', where a whole"),
        ("dog", "do\u200bg", r"object 1: name is 'do\\u200bg', where a name of characters that can be seen"),
        (BOX, "", "object 1: xmin is missing"),
    ],
)
def test_a_wrong_value_is_refused_with_its_entry(tmp_path: Path, old: str, new: str, words: str) -> None:
    write_xml(tmp_path, annotation().replace(old, new))

    with pytest.raises(DataError, match=words):
        read_list(tmp_path, "a")


@pytest.mark.parametrize("names", [("red cell", " red\n cell "), ("café", "cafe\u0301"), ("a\u00a0b", "a b")])
def test_names_that_look_alike_are_one_class(tmp_path: Path, names: tuple[str, str]) -> None:
    for image, name in zip("ab", names, strict=True):
        write_xml(tmp_path, annotation(name), image)

    data = read_list(tmp_path, "a", "b")

    assert len(data.classes) == 1
    assert [image.labels.tolist() for image in data.images] == [[1], [1]]


def test_names_that_results_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    for image, name in (("a", "red cell"), ("b", "red_cell")):
        write_xml(tmp_path, annotation(name), image)

    with pytest.raises(DataError, match="classes red cell, red_cell have one name in tables and results"):
        read_list(tmp_path, "a")


@pytest.mark.parametrize("name", ["a|b", "a,b", "=1+1", "<b>a</b>", "$x_1$", "50 %", "`a`"])
def test_other_names_are_kept(tmp_path: Path, name: str) -> None:
    write_xml(tmp_path, annotation(name.replace("<", "&lt;")))

    assert read_list(tmp_path, "a").classes == (name,)


def outcome(folder: Path) -> Any:
    """The set of the list as it is, None where it is refused in one line."""
    try:
        return voc_layout(folder, "train")
    except DataError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017  # some of the files are read
        str(error).encode()
        return None


@pytest.mark.fuzz
def test_a_damaged_annotation_is_read_or_one_line(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", [DOG, ("cat", 1, 1, 9, 9)], difficult=[1])
    write_list(tmp_path, "train", ["a"])
    path = tmp_path / "Annotations" / "a.xml"
    for content in mutated(b'<?xml version="1.0" encoding="utf-8"?>\n' + path.read_bytes(), FILES):
        path.write_bytes(content)
        if data := outcome(tmp_path):
            assert data.digest
            data.summary().encode()


@pytest.mark.fuzz
def test_a_damaged_list_is_read_or_one_line(tmp_path: Path) -> None:
    for image in ("a 1", "b", "Jose"):
        write_voc(tmp_path, image, [DOG])
    write_list(tmp_path, "train", ["a 1  1", "b.jpg", "Jose"])
    path = tmp_path / "ImageSets" / "Main" / "train.txt"
    for content in mutated(path.read_bytes(), FILES):
        path.write_bytes(content)
        if data := outcome(tmp_path):
            assert set(ids(data)) <= {"a 1", "b", "Jose"}
