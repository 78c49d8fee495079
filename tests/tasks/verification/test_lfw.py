"""LFW's folders and lists: whole lines, any Unicode form, and how many of the list's images are there."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.locate import DataError
from bench.tasks.verification.lfw import lfw_view1, lfw_view2, load_people
from bench.tasks.verification.lists import listed_people
from bench.tasks.verification.people import require_disjoint
from tests.tasks.verification.builders import (
    JOSE,
    MAC,
    NAMES,
    SIDE,
    VIEW1,
    pairs_of,
    people_of,
    view2,
    write,
    write_people,
)


def test_folders_of_people_are_read_in_the_order_of_names(lfw: Path) -> None:
    people = people_of(lfw, NAMES[::-1])

    assert people.names == ("Ann_Lee", "Bo_Xi", "Di_Um")
    assert people.y.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert isinstance(people.x, torch.Tensor)
    expected = np.asarray(Image.open(lfw / "Bo_Xi" / "Bo_Xi_0002.png")).transpose(2, 0, 1)
    assert np.array_equal(people.x[4].numpy(), expected)


def test_people_with_too_few_images_are_left_out_and_counted(lfw: Path) -> None:
    people = people_of(lfw, (*NAMES, "Zoe_Who"))

    assert (people.names, people.few) == (("Ann_Lee", "Bo_Xi", "Di_Um"), 1)


def test_lists_saved_by_a_windows_editor_are_the_same(lfw: Path) -> None:
    people, pairs = "2\nAnn_Lee\t3\nBo_Xi\t2\n", VIEW1
    windows = ["\ufeff" + text.replace("\n", "\r\n") for text in (people, pairs)]

    assert listed_people(write(lfw / "people.txt", windows[0])) == {"Ann_Lee": 3, "Bo_Xi": 2}
    assert pairs_of(lfw, windows[1]).digest == pairs_of(lfw, VIEW1).digest


@pytest.mark.parametrize(
    "name", [".ipynb_checkpoints/a.png", "__MACOSX/._a.png", "Bo_Xi/._Bo_Xi_0001.png", ".DS_Store"]
)
def test_what_other_systems_leave_in_folders_is_nobody(lfw: Path, name: str) -> None:
    before = people_of(lfw).digest
    (lfw / name).parent.mkdir(exist_ok=True)
    (lfw / name).write_bytes(b"\0\5\x16\7")

    names = (*NAMES, ".ipynb_checkpoints", "__MACOSX")

    assert people_of(lfw, names, at_least=1).names == NAMES
    assert people_of(lfw).digest == before


@pytest.mark.parametrize(("disk", "listed"), [(JOSE, MAC), (MAC, JOSE)])
def test_a_name_is_found_in_any_unicode_form(lfw: Path, disk: str, listed: str) -> None:
    write_people(lfw, {disk: 2})

    people = people_of(lfw, (*NAMES, *listed_people(write(lfw / "people.txt", f"1\n{listed}\t2\n"))))
    pairs = pairs_of(lfw, f"1\n{listed}\t1\t2\nBo_Xi\t1\t{listed}\t2\n")

    assert people.names == ("Ann_Lee", "Bo_Xi", "Di_Um", JOSE)
    assert pairs.names == ("Bo_Xi", JOSE)
    with pytest.raises(DataError, match="1 in training, too: José"):
        require_disjoint(replace(people, names=(*NAMES[:3], MAC)), replace(pairs, names=(JOSE,)))


def test_two_folders_of_one_name_are_refused(lfw: Path) -> None:
    write_people(lfw, {JOSE: 1, MAC: 1})

    with pytest.raises(DataError, match="has two entries named José Núñez in two Unicode forms: make one of the two"):
        people_of(lfw)


def test_a_line_of_a_list_is_the_whole_name(lfw: Path) -> None:
    write_people(lfw, {"IMG": 2, "IMG 1": 3})
    listed = listed_people(write(lfw / "people.txt", "2\nIMG 1\t3\nBo_Xi\t2\n"))

    assert listed == {"IMG 1": 3, "Bo_Xi": 2}
    assert len(load_people(lfw, listed, at_least=2, side=SIDE, region=None).y) == 5
    assert pairs_of(lfw, "1\nIMG 1\t1\t3\nIMG 1\t1\tIMG\t2\n").names == ("IMG", "IMG 1")


@pytest.mark.parametrize(
    ("listed", "notice"),
    [
        ({}, ""),
        ({"Cy_Orr": 1, "Ed_Poe": 1}, ""),  # the list would not train on them either
        ({"Ann_Lee": 5}, "7 of 9 images of the listed people with 2 or more are here: an incomplete set."),
        ({"Ann_Lee": 5, "Zoe_Who": 20}, "7 of 29 images of the listed people with 2 or more"),  # one is not here at all
        ({"Cy_Orr": 4}, "8 of 11 images"),  # one has too few here
        ({"Ann_Lee": 2}, "1 image of the listed people with 2 or more beyond the list"),
        ({"Ann_Lee": 2, "Bo_Xi": 3}, "6 of 7 images .* incomplete set. 1 image .* another set than the list's"),
    ],
)
def test_a_set_says_how_many_of_its_lists_images_are_there(lfw: Path, listed: dict[str, int], notice: str) -> None:
    assert re.match(notice or "$", people_of(lfw, listed=listed).notice)


def test_a_set_of_fewer_than_two_people_is_refused(lfw: Path) -> None:
    with pytest.raises(DataError, match="1 of 4 people have 3 images or more"):
        people_of(lfw, at_least=3)


def test_view_1_pairs_are_read_and_their_images_once(lfw: Path) -> None:
    pairs = pairs_of(lfw, VIEW1)

    assert pairs.same.tolist() == [True, True, False, False]
    assert pairs.fold.tolist() == [0, 0, 0, 0]
    assert len(pairs.x) == 6
    assert pairs.names == ("Ann_Lee", "Bo_Xi", "Cy_Orr")
    expected = np.asarray(Image.open(lfw / "Cy_Orr" / "Cy_Orr_0001.png")).transpose(2, 0, 1)
    assert np.array_equal(pairs.x[pairs.left[3]].numpy(), expected)


def test_pairs_that_name_missing_files_are_refused_with_their_lines(lfw: Path) -> None:
    (lfw / "Bo_Xi" / "Bo_Xi_0002.png").unlink()

    with pytest.raises(DataError, match=r"2 of the 4 pairs name 1 image not there: Bo_Xi 2 \(pairs.txt line 3\)\. "):
        pairs_of(lfw, VIEW1)


def test_view_2_is_ten_folds_of_300_pairs_of_each_kind_cut_to_the_faces(tmp_path: Path) -> None:
    pairs = lfw_view2(view2(tmp_path), 134)

    assert (len(pairs.same), len(pairs.x), pairs.names) == (6_000, 3, ("Ann_Lee", "Bo_Xi"))
    assert pairs.fold.tolist() == [k // 600 for k in range(6_000)]
    assert pairs.same.view(10, 2, 300).float().mean((0, 2)).tolist() == [1.0, 0.0]
    whole = np.asarray(Image.open(tmp_path / "Bo_Xi" / "Bo_Xi_0002.png")).transpose(2, 0, 1)
    assert np.array_equal(pairs.x[pairs.right[300]].numpy(), whole[:, 49 : 49 + 134, 58 : 58 + 134])


def test_another_list_is_not_view_2_and_missing_images_are_named_with_the_number_of_their_pairs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="5 folds with 50 pairs of each kind, where View 2 has 10 with 300 each"):
        lfw_view2(view2(tmp_path / "small", 5, 10), 32)

    whole = view2(tmp_path / "whole")
    (whole / "Bo_Xi" / "Bo_Xi_0002.png").unlink()
    with pytest.raises(DataError, match=r"3,000 of the 6,000 pairs name 1 image not there: Bo_Xi 2 \(pairs.txt"):
        lfw_view2(whole, 32)


@pytest.mark.data
def test_lfws_view_1_is_read_whole_and_trains_on_other_people() -> None:
    folder = Path(os.environ.get("BENCH_DATA", "")) / "lfw"
    if not (folder / "pairsDevTest.txt").is_file():
        pytest.skip("no lfw/pairsDevTest.txt below BENCH_DATA: LFW's View 1 is not here")

    people, pairs = lfw_view1(folder, 32)

    assert (len(pairs.same), int(pairs.same.sum()), len(pairs.x), len(pairs.names)) == (1_000, 500, 1_549, 963)
    assert (len(people.names), len(people.y)) == (111, 3_264) or "an incomplete set" in people.notice
    assert require_disjoint(people, pairs) == ""
