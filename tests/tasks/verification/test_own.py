"""A user's own faces: who is trained on and who is tested, by folders, a list or a seed; and what is refused, how."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from bench.data.locate import DataError
from bench.spec import SpecError, dataset_of
from bench.tasks.verification.own import own_faces, own_on_view2
from bench.tasks.verification.people import grey, require_disjoint
from tests.tasks.verification.builders import JOSE, MAC, SIDE, view2, write, write_image


def write_own(folder: Path, people: int = 10, images: int = 5, first: int = 1) -> Path:
    """ORL's layout with made-up images: s1/1.png, s1/2.png, …"""
    for who in range(first, first + people):
        for k in range(1, images + 1):
            write_image(folder / f"s{who}" / f"{k}.png", 100 * who + k)
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_own(tmp_path / "own")


def pixels(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)


def test_a_folder_of_people_is_divided_by_a_seed_that_is_no_runs(own: Path) -> None:
    people, pairs = own_faces(own, SIDE)
    again = own_faces(own, SIDE)

    assert (len(people.names), len(people.y), len(pairs.names), len(pairs.same)) == (8, 40, 2, 40)
    assert require_disjoint(people, pairs) == ""
    assert isinstance(people.x, torch.Tensor)
    assert torch.equal(people.x[4], pixels(own / people.names[0] / "5.png")), "in the order of numbers"
    assert (people.digest, pairs.digest) == (again[0].digest, again[1].digest)
    assert people.notice == (
        "Trained on 40 images of 8 people. Tested on 20 same and as many different pairs of 2 others, ten folds that "
        "share people, the pairs dealt out in turn. Who is tested, one of 5 with two images or more, was drawn from "
        "seed 0 of the data set; the pairs were drawn from seed 0."
    )


def test_train_and_test_say_who_is_tested_and_with_enough_people_folds_have_their_own(tmp_path: Path) -> None:
    write_own(tmp_path / "train", 3, 4)
    write_own(tmp_path / "test", 20, 2, first=4)

    people, pairs = own_faces(tmp_path, SIDE)

    assert people.names == ("s1", "s2", "s3")
    assert pairs.fold.bincount().tolist() == [4] * 10
    assert "ten folds of different people. train/ and test/ say who is tested; the pairs were drawn" in people.notice


ONE = "10\n" + "".join(f"s{who}\t{k}\t{k + 1}\n" for who in (1, 2, 3, 4, 5) for k in (1, 3))
ONE += "".join(f"s{who}\t{k}\ts{who % 5 + 1}\t5\n" for who in (1, 2, 3, 4, 5) for k in (1, 2))
TEN = "10\t1\n" + "".join(f"s{2 * k + 1}\t1\t2\ns{2 * k + 1}\t2\ts{2 * k + 2}\t1\n" for k in range(10))


def test_a_list_says_who_is_tested_and_all_others_train(own: Path) -> None:
    write(own / "pairs.txt", ONE)

    people, pairs = own_faces(own, SIDE)

    assert people.names == ("s10", "s6", "s7", "s8", "s9")
    assert pairs.names == ("s1", "s2", "s3", "s4", "s5")
    assert torch.equal(pairs.x[pairs.right[19]], pixels(own / "s1" / "5.png"))
    assert "dealt out in turn. pairs.txt says who is tested; the pairs are those of pairs.txt." in people.notice


def test_a_list_in_ten_folds_keeps_them_in_either_layout(tmp_path: Path) -> None:
    write_own(tmp_path / "a", 22, 2)
    write_own(tmp_path / "b" / "train", 2, 2, first=21)
    write_own(tmp_path / "b" / "test", 20, 2)
    found = [own_faces(write(tmp_path / name / "pairs.txt", TEN).parent, SIDE) for name in "ab"]

    for people, pairs in found:
        assert people.names == ("s21", "s22")
        assert pairs.fold.tolist() == [k // 2 for k in range(20)]
        assert "ten folds of different people." in people.notice
    assert found[0][1].digest == found[1][1].digest

    shared = TEN.replace("s3\t1\t2", "s1\t2\t1")
    notice = own_faces(write(tmp_path / "a" / "pairs.txt", shared).parent, SIDE)[0].notice
    assert "of 20 others, ten folds that share 1 of them, 1 pair more than once." in notice


def test_people_of_one_image_are_left_out_of_training_and_counted(own: Path) -> None:
    write_image(own / "alone" / "1.png", 1)

    people, pairs = own_faces(own, SIDE)

    assert (people.few, "alone" in people.names, "alone" in pairs.names) == (1, False, False)


def test_images_of_any_size_are_upright_and_whole_and_what_was_done_is_said(own: Path) -> None:
    square, wide = pixels(own / "s1" / "1.png"), own / "s1" / "2.png"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.open(own / "s1" / "1.png").transpose(Image.Transpose.ROTATE_90).save(own / "s1" / "3.png", exif=exif)
    (own / "s1" / "1.png").unlink()
    write_image(wide, 0, (16, 8), mode="L")
    shutil.copy(wide, own / "s1" / "6.png")

    people, _ = own_faces(own, SIDE)

    assert isinstance(people.x, torch.Tensor)
    first = people.names.index("s1")
    mine = people.x[people.y == first]
    assert len(mine) == 4, "the copy is left out"
    assert torch.equal(mine[1], square)
    assert grey(mine) == 1
    assert people.notice.endswith(
        "Of 50 images 2 are no squares and were stretched to one; their width over height is 2.00. Turned upright by "
        "their EXIF orientation: 1. Second copies of an image, left out of training and of drawn pairs: 1."
    )
    write_image(own / "s1" / "7.png", 0, (8, 16))
    assert "is 0.50 to 2.00: crop them alike, or faces" in own_faces(own, SIDE)[0].notice


def test_people_who_are_numbers_are_told_apart_within_their_set(tmp_path: Path) -> None:
    for who in range(1, 6):
        for k in range(5):
            write_image(tmp_path / str(who) / f"{k}.png", 10 * who + k)

    assert require_disjoint(*own_faces(tmp_path, SIDE)) == ""


def one_side(own: Path) -> None:
    write_own(own / "train")


def both_sides(own: Path) -> None:
    write_own(own / "train", 3)
    write_own(own / "test", 2, first=3)


def nested(own: Path) -> None:
    write_own(own / "images")


def emptied(own: Path) -> None:
    shutil.rmtree(own)
    write(own / "list.txt", "")


def in_two_forms(own: Path) -> None:
    write_image(own / JOSE / "1.png", 1)
    write_image(own / MAC / "1.png", 2)


def of_two_people(own: Path) -> None:
    shutil.copy(own / "s1" / "1.png", own / "s2" / "9.png")


def damaged(own: Path) -> None:
    (own / "s1" / "1.png").write_bytes(b"no image")


def two_folds(own: Path) -> None:
    write(own / "pairs.txt", "2\t1\ns1\t1\t2\ns1\t1\ts2\t1\ns3\t1\t2\ns3\t1\ts4\t1\n")


def short(own: Path) -> None:
    write(own / "pairs.txt", "1\ns1\t1\t2\ns1\t1\ts2\t1\n")


def cut(own: Path) -> None:
    write(own / "pairs.txt", ONE.replace("s5\t2\ts1\t5\n", ""))


def absent(own: Path) -> None:
    write(own / "pairs.txt", ONE.replace("s1\t1\t2", "s1\t1\t6"))


def copied(own: Path) -> None:
    write(own / "pairs.txt", ONE)
    shutil.copy(own / "s1" / "1.png", own / "s1" / "2.png")


def all_listed(own: Path) -> None:
    write(own / "pairs.txt", ONE)
    for who in range(7, 11):
        shutil.rmtree(own / f"s{who}")


def few(own: Path) -> None:
    for who in range(4, 11):
        shutil.rmtree(own / f"s{who}")


def loose(own: Path) -> None:
    shutil.copy(own / "s1" / "1.png", own / "whose.png")


def deeper(own: Path) -> None:
    (own / "s1" / "more").mkdir()
    shutil.move(own / "s1" / "1.png", own / "s1" / "more" / "1.png")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            loose,
            "own: images that are directly in no folder of a person: whose.png. Move them into a pe",
        ),
        (deeper, "own: images that are directly in no folder of a person: s1/more. Move them into a person's"),
        (one_side, "own: only train/ is there, without the other: people are in a folder for each person, NAME/<p"),
        (both_sides, "own: 1 name in train/ and in test/: s3. Strangers are tested: put all images of a person into"),
        (nested, "own: 1 of 11 folders without an image: images. Delete them, or put images there .*; people are in a"),
        (emptied, "own: no folder of a person, but list.txt; people are in a folder for each person, NAME/<person>/1"),
        (in_two_forms, "own has two entries named José Núñez in two Unicode forms: make one of the two"),
        (of_two_people, "1 image the same, to the byte, as another person's: .*s1/1.png is .*s2/9.png. Find out whose"),
        (damaged, "s1/1.png is damaged or no image .*: get it again, or take it out"),
        (two_folds, "own/pairs.txt: 2 folds with 2 pairs of each kind in all, where 10 folds, or one that is dealt"),
        (short, "own/pairs.txt: 1 fold with 1 pairs of each kind in all, .* and 10 pairs of each kind or more must be"),
        (cut, "own/pairs.txt: 10 same and 9 different pairs, where 10 of each are announced, the same ones first"),
        (absent, r"own: 1 of the 20 pairs name 1 image not there: s1 6 \(pairs.txt line 2\). Get the whole"),
        (copied, "pairs.txt line 2: 1.png and 2.png are the same image, to the byte: take it out"),
        (all_listed, "own: 1 of 1 people to train on have two images or more, where two must"),
        (few, "own: 3 of 3 people have two images or more, where four must: two to train on and two to test on"),
    ],
)
def test_what_would_spoil_a_number_is_refused_in_a_line_that_says_what_to_do(
    own: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(own)

    with pytest.raises(DataError, match=words) as refused:
        own_faces(own, SIDE)
    assert "\n" not in str(refused.value)


def test_on_view_2_all_people_train_and_a_known_face_is_refused(own: Path) -> None:
    lfw = view2(own.parent / "lfw")

    people, pairs = own_on_view2(own, 32)

    assert (len(people.names), len(people.y), len(pairs.same)) == (10, 50, 6_000)
    assert people.notice == (
        "Trained on 50 images of 10 people. Tested on LFW's View 2, its images cut to the faces, where those trained "
        "on are whole."
    )
    (own / "s1").rename(own / "ann lee")
    with pytest.raises(DataError, match="1 in training, too: ann lee"):
        require_disjoint(*own_on_view2(own, 32))
    shutil.copy(lfw / "Bo_Xi" / "Bo_Xi_0002.png", own / "s2")
    with pytest.raises(DataError, match="1 image the same, to the byte, as .*: .*lfw/.*/Bo_Xi_0002.png is .*s2/Bo_Xi_"):
        own_on_view2(own, 32)


def test_own_faces_are_declared_by_the_name_of_their_folder() -> None:
    assert (dataset_of("faces:orl").title, dataset_of("lfw-view2:orl").title) == (
        "orl",
        "LFW, View 2, trained on orl",
    )
    with pytest.raises(SpecError, match="data 'faces:a/b' must be faces:NAME"):
        dataset_of("faces:a/b")


@pytest.mark.data
@pytest.mark.parametrize(("name", "people", "tested", "pairs"), [("orl", 32, 8, 720), ("lfw", 0, 94, 0)])
def test_real_sets_are_divided(name: str, people: int, tested: int, pairs: int) -> None:
    folder = Path(os.environ.get("BENCH_DATA", "")) / name
    if not folder.is_dir() or not name:
        pytest.skip(f"no {name}/ below BENCH_DATA")

    train, test = own_faces(folder, 32)

    assert len(train.names) >= people
    assert len(test.same) >= pairs
    assert len(test.names) >= min(tested, 8)
    assert require_disjoint(train, test) == ""
