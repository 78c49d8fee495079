"""Lists in LFW's formats: what is no such list, and what a number in it means."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.data.locate import DataError
from bench.tasks.verification.lists import Pair, files_of, listed_pairs, listed_people, numbered
from tests.tasks.verification.builders import write


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("two\nAnn_Lee\t1\t2\n", "pairs.txt line 1: 'two' where the number of pairs of each kind, `500`, or of folds"),
        ("1\nAnn_Lee\t1\t2\n", "1 same and 0 different pairs, where 1 of each are announced"),
        ("1\nAnn_Lee\t1\tBo_Xi\t2\nAnn_Lee\t1\t2\n", "the same ones first"),
        ("1\nAnn_Lee\tone\t2\nAnn_Lee\t1\tBo_Xi\t2\n", "line 2: 'Ann_Lee.tone.t2' where `person n m` or"),
        ("1\nAnn_Lee\t1\n", "line 2: .* where `person n m` or"),
        ("0\nAnn_Lee\t1\t2\n", "line 1: '0' where the number of pairs of each kind"),
        ("3\n", "0 same and 0 different pairs, where 3 of each"),
        ("1\nAnn_Lee\t\u00b2\t2\nAnn_Lee\t1\tBo_Xi\t2\n", "line 2: 'Ann_Lee.t².t2' where `person n m` or"),
        ("9" * 5000, "line 1: '9{20,40}…9{20,40}' where the number of pairs of each kind"),
        ("1 2 3\nAnn_Lee\t1\t2\n", "line 1: '1 2 3' where the number of pairs of each kind"),
        (
            "999999999\t999999999\nAnn_Lee\t1\t2\n",
            "1 same and 0 .* 999,999,999 of each .* of 999,999,999 folds",
        ),
        ("2\t1\nA\t1\t2\nB\t1\t2\nA\t1\tB\t2\nA\t2\tB\t1\n", "2 same and 2 .* 1 of each .* of 2 folds, the same"),
        ("1\nAnn_Lee\t1\t2\nBo_Xi\t1\tBo_Xi\t2\n", "line 3: .* names one person twice, .*: write `person n m`"),
        ("1\nAnn_Lee\t0\t2\nAnn_Lee\t1\tBo_Xi\t2\n", "line 2: .* where `person n m` or"),
        ("", "is empty"),
    ],
)
def test_a_list_that_is_not_lfws_is_refused_with_the_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        listed_pairs(write(tmp_path / "pairs.txt", text))


def test_lfws_list_of_people_is_checked_against_its_count(tmp_path: Path) -> None:
    assert listed_people(write(tmp_path / "people.txt", "2\nAnn_Lee\t3\nBo_Xi\t2\n")) == {"Ann_Lee": 3, "Bo_Xi": 2}
    for text, words in (
        ("2\nAnn_Lee\t3\n", "1 people where 2 are announced"),
        ("2\n1\nAnn_Lee\t3\n", "1 people where 2 are announced"),
        ("2\nAnn_Lee\t3\nBo_Xi\tmany\n", "line 3: 'Bo_Xi.tmany' where `person n` belongs"),
        ("2\nAnn_Lee\t3\nAnn_Lee\t2\n", "line 3: Ann_Lee is there twice"),
    ):
        with pytest.raises(DataError, match=words):
            listed_people(write(tmp_path / "short.txt", text))


def test_a_list_in_folds_has_its_same_pairs_first_in_each(tmp_path: Path) -> None:
    text = "2\t1\nA\t1\t2\nA\t1\tB\t2\nC\t1\t2\nC\t1\tD\t2\n"

    pairs = listed_pairs(write(tmp_path / "pairs.txt", text))

    assert [(pair.fold, pair.same) for pair in pairs] == [(0, True), (0, False), (1, True), (1, False)]
    assert pairs[3][:2] == (("C", 1), ("D", 2))


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (("1.pgm", "2.pgm", "10.pgm"), {1: "1.pgm", 2: "2.pgm", 10: "10.pgm"}),
        (("Bo_0001.jpg", "Bo_0003.png"), {1: "Bo_0001.jpg", 3: "Bo_0003.png"}),
        (("0.pgm", "1.pgm"), {0: "0.pgm", 1: "1.pgm"}),  # not its place
        (("smile2.png", "smile10.png", "hat.png"), {1: "hat.png", 2: "smile2.png", 3: "smile10.png"}),
        (("1.png", "thumb.png"), {1: "1.png"}),  # another image has no number
        ((), {}),
    ],
)
def test_an_images_number_is_that_of_its_file_or_its_place(names: tuple[str, ...], numbers: dict[int, str]) -> None:
    found = numbered("Bo", [Path("Bo") / name for name in names])

    assert {number: path.name for number, path in found.items()} == numbers


def test_two_images_of_one_number_are_refused() -> None:
    with pytest.raises(DataError, match=r"Bo: 1.png and 01.png are both number 1: keep one of them"):
        numbered("Bo", [Path("Bo/1.png"), Path("Bo/01.png")])


def test_images_that_are_not_there_are_named_once_with_how_many_pairs_have_them() -> None:
    people = {"A": [Path("A/1.png"), Path("A/2.png")]}
    pairs = [
        Pair(("A", 1), ("A", 3), True, "pairs.txt line 2"),
        Pair(("A", 1), ("A", 2), True, "pairs.txt line 3"),
        Pair(("A", 3), ("B", 1), False, "pairs.txt line 4"),
    ]

    with pytest.raises(DataError, match=r"x: 2 of the 3 pairs name 2 images not there: A 3 \(.*2\), B 1 \(.*4\)\. Get"):
        files_of(Path("x"), people, pairs)
