"""Sets of faces: what is read is what was written, and what would spoil a number is refused before training."""

from __future__ import annotations

import io
import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.locate import DataError
from bench.tasks.verification.images import Region, decode, of_files
from bench.tasks.verification.lfw import REGION, lfw_view1, listed_pairs, listed_people, load_pairs, load_people
from bench.tasks.verification.people import FaceBatches, Pairs, People, Prepare, grey, require_disjoint

SIDE = 8


def write_image(path: Path, seed: int, size: tuple[int, int] = (SIDE, SIDE), mode: str = "RGB") -> Path:
    """A made-up image; PNG, so that reading it gives the bytes back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size[::-1] if mode == "L" else (*size[::-1], 3)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(path)
    return path


def write_people(folder: Path, counts: dict[str, int]) -> Path:
    """LFW's layout with made-up images, numbered on."""
    seed = 0
    for name, count in counts.items():
        for k in range(1, count + 1):
            write_image(folder / name / f"{name}_{k:04d}.png", seed := seed + 1)
    return folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def lfw(tmp_path: Path) -> Path:
    return write_people(tmp_path / "lfw", LISTED)


NAMES = ("Ann_Lee", "Bo_Xi", "Cy_Orr", "Di_Um")
LISTED = {"Ann_Lee": 3, "Bo_Xi": 2, "Cy_Orr": 1, "Di_Um": 2}


def people_of(
    folder: Path, names: Sequence[str] = NAMES, at_least: int = 2, listed: dict[str, int] | None = None
) -> People:
    """Of small images, whole; listed: further people of the list, or other numbers of images."""
    counts = {name: LISTED.get(name, 2) for name in names} | (listed or {})
    return load_people(folder, counts, at_least=at_least, side=SIDE, region=None)


def pairs_of(folder: Path, text: str) -> Pairs:
    return load_pairs(folder, listed_pairs(write(folder / "pairs.txt", text)), side=SIDE, region=None)


VIEW1 = "2\nAnn_Lee\t1\t3\nBo_Xi\t1\t2\nAnn_Lee\t1\tBo_Xi\t2\nCy_Orr\t1\tAnn_Lee\t2\n"


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


JOSE, MAC = "José Núñez", unicodedata.normalize("NFD", "José Núñez")


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

    with pytest.raises(DataError, match="two folders are called José Núñez .in two Unicode forms.: put them into one"):
        people_of(lfw)


def test_a_line_of_a_list_is_the_whole_name(lfw: Path) -> None:
    write_people(lfw, {"IMG": 2, "IMG 1": 3})
    listed = listed_people(write(lfw / "people.txt", "2\nIMG 1\t3\nBo_Xi\t2\n"))

    assert listed == {"IMG 1": 3, "Bo_Xi": 2}
    assert len(load_people(lfw, listed, at_least=2, side=SIDE, region=None).y) == 5
    assert pairs_of(lfw, "1\nIMG 1\t1\t3\nIMG 1\t1\tIMG\t2\n").names == ("IMG", "IMG 1")


@pytest.mark.parametrize(
    ("training", "testing", "shared"),
    [
        (MAC, JOSE, True),
        ("Jose\u0301_Nu\u0301n\u0303ez", "JOSÉ-NÚÑEZ", True),
        ("Ann_Lee", "Ann_Lees", False),
        ("S1", "S2", False),  # not one S
        ("कि", "का", False),  # one letter, two vowels that are written on it
        ("1", "1", False),  # numbers mean something in their own set only
    ],
)
def test_one_person_is_known_by_letters_and_digits(lfw: Path, training: str, testing: str, shared: bool) -> None:
    people, pairs = sets(lfw, ("Di_Um", "Bo_Xi"))
    people = replace(people, x=torch.zeros(4, 3, SIDE, SIDE, dtype=torch.uint8), names=(training, "Else"))
    pairs = replace(pairs, names=(testing, "Nobody"))

    if shared:
        with pytest.raises(DataError, match="1 in training, too"):
            require_disjoint(people, pairs)
    else:
        assert require_disjoint(people, pairs) == ""


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


def test_the_digest_is_of_images_labels_and_names(lfw: Path) -> None:
    first, again = people_of(lfw), people_of(lfw)
    assert isinstance(first.x, torch.Tensor)
    renamed = replace(first, names=("A", "B", "C"))
    changed = replace(first, x=first.x ^ 1)
    moved = replace(first, y=first.y.flip(0))

    assert first.digest == again.digest
    assert len({first.digest, renamed.digest, changed.digest, moved.digest}) == 4


def test_a_set_too_large_for_memory_stays_on_disk_and_gives_the_same_batches(lfw: Path) -> None:
    held = people_of(lfw)
    there = People(of_files(sorted(lfw.glob("[ABD]*/*.png")), SIDE), held.y, held.names)

    batches = [FaceBatches(p, Prepare(), 5, torch.Generator().manual_seed(3)) for p in (held, there)]
    for _ in range(4):
        (x, y), (x2, y2) = (b.draw() for b in batches)
        assert torch.equal(x, x2)
        assert torch.equal(y, y2)


def test_a_grey_image_is_made_rgb_and_counted(lfw: Path) -> None:
    write_image(lfw / "Bo_Xi" / "Bo_Xi_0003.png", 99, mode="L")

    people = people_of(lfw)

    assert grey(people.x) == 1
    assert isinstance(people.x, torch.Tensor)
    assert torch.equal(people.x[5, 0], people.x[5, 2])


def test_a_damaged_image_is_refused_with_its_name(lfw: Path) -> None:
    whole = (lfw / "Di_Um" / "Di_Um_0001.png").read_bytes()
    (lfw / "Di_Um" / "Di_Um_0001.png").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(DataError, match=r"Di_Um_0001.png is damaged or no image"):
        people_of(lfw)


def test_a_image_that_is_no_square_is_refused_and_so_is_one_a_region_is_not_for(tmp_path: Path) -> None:
    wide = write_image(tmp_path / "wide.png", 0, (20, 10)).read_bytes()

    with pytest.raises(DataError, match=r"wide.png is 20x10 \(width x height\), where a square belongs"):
        decode("wide.png", wide)
    with pytest.raises(DataError, match="where 250x250 belongs"):
        decode("wide.png", wide, region=REGION)


def test_a_region_is_cut_out_where_it_says(tmp_path: Path) -> None:
    data = write_image(tmp_path / "a.png", 0, (250, 250)).read_bytes()
    whole = torch.from_numpy(np.array(Image.open(tmp_path / "a.png"))).permute(2, 0, 1)

    cut = decode("a.png", data, side=134, region=REGION)

    assert torch.equal(cut, whole[:, 49 : 49 + 134, 58 : 58 + 134])
    assert decode("a.png", data, region=REGION).shape == (3, 112, 112)


def test_resizing_keeps_what_is_flat_flat_and_in_its_place() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[:20] = 200
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")

    small = decode("halves", buffer.getvalue(), side=10, region=Region(of=40, top=0, left=0, side=40))

    assert (small[:, :4] == 200).all()
    assert (small[:, 6:] == 0).all()


def test_view_1_pairs_are_read_and_their_images_once(lfw: Path) -> None:
    pairs = pairs_of(lfw, VIEW1)

    assert pairs.same.tolist() == [True, True, False, False]
    assert pairs.fold.tolist() == [0, 0, 0, 0]
    assert len(pairs.x) == 6
    assert pairs.names == ("Ann_Lee", "Bo_Xi", "Cy_Orr")
    expected = np.asarray(Image.open(lfw / "Cy_Orr" / "Cy_Orr_0001.png")).transpose(2, 0, 1)
    assert np.array_equal(pairs.x[pairs.left[3]].numpy(), expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("two\nAnn_Lee\t1\t2\n", "pairs.txt line 1: 'two' where the number of pairs belongs"),
        ("1\nAnn_Lee\t1\t2\n", "1 same and 0 different pairs, where 1 of each are announced"),
        ("1\nAnn_Lee\t1\tBo_Xi\t2\nAnn_Lee\t1\t2\n", "the same ones first"),
        ("1\nAnn_Lee\tone\t2\nAnn_Lee\t1\tBo_Xi\t2\n", "line 2: 'Ann_Lee.tone.t2' where `person n m` or"),
        ("1\nAnn_Lee\t1\n", "line 2: .* where `person n m` or"),
        ("0\nAnn_Lee\t1\t2\n", "line 1: '0' where the number of pairs belongs"),
        ("3\n", "0 same and 0 different pairs, where 3 of each"),
        ("1\nAnn_Lee\t\u00b2\t2\nAnn_Lee\t1\tBo_Xi\t2\n", "line 2: 'Ann_Lee.t².t2' where `person n m` or"),
        ("9" * 5000, "line 1: '9*' where the number of pairs belongs"),
        ("1\nAnn_Lee\t0\t2\nAnn_Lee\t1\tBo_Xi\t2\n", "line 2: .* where `person n m` or"),
        ("", "is empty"),
    ],
)
def test_a_list_that_is_not_lfws_is_refused_with_the_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        listed_pairs(write(tmp_path / "pairs.txt", text))


def test_pairs_that_name_missing_files_are_refused_with_their_lines(lfw: Path) -> None:
    (lfw / "Bo_Xi" / "Bo_Xi_0002.png").unlink()

    with pytest.raises(DataError, match=r"2 files of the pairs missing: \S*pairs.txt line 3: Bo_Xi/Bo_Xi_0002"):
        pairs_of(lfw, VIEW1)


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


def sets(lfw: Path, names: tuple[str, ...]) -> tuple[People, Pairs]:
    return people_of(lfw, names, at_least=1), pairs_of(lfw, VIEW1)


def test_a_person_in_training_and_test_is_refused_by_name(lfw: Path) -> None:
    with pytest.raises(DataError, match=r"of the people in the test pairs, 1 in training, too: Bo_Xi. Train on others"):
        require_disjoint(*sets(lfw, ("Bo_Xi", "Di_Um")))


def test_names_are_compared_by_their_letters(lfw: Path) -> None:
    people, pairs = sets(lfw, ("Cy_Orr", "Di_Um"))
    people = replace(people, x=people.x ^ 1 if isinstance(people.x, torch.Tensor) else people.x)

    with pytest.raises(DataError, match="CyOrr"):
        require_disjoint(replace(people, names=("CyOrr", "Di_Um")), pairs)
    assert require_disjoint(replace(people, names=("Ed_Poe", "Di_Um")), pairs) == ""


def test_a_image_in_training_and_test_is_refused_under_any_name(lfw: Path) -> None:
    people, pairs = sets(lfw, ("Bo_Xi", "Di_Um"))

    with pytest.raises(DataError, match="2 images of the test pairs also in training, under another name"):
        require_disjoint(replace(people, names=("Ed_Poe", "Di_Um")), pairs)


def test_where_people_have_no_names_the_report_gets_a_sentence(lfw: Path) -> None:
    people, pairs = sets(lfw, ("Bo_Xi", "Di_Um"))
    other = replace(people, x=torch.zeros(4, 3, SIDE, SIDE, dtype=torch.uint8), names=("0", "1"))

    assert "cannot be checked" in require_disjoint(other, pairs)


def test_pairs_have_a_digest_of_all_that_is_in_them(lfw: Path) -> None:
    _, pairs = sets(lfw, ("Bo_Xi", "Di_Um"))

    def again(**changes: Any) -> str:
        return replace(pairs, **changes).digest

    assert again() == pairs.digest
    changed: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "x": lambda t: t ^ 1,
        "left": lambda t: t.flip(0),
        "right": lambda t: t.flip(0),
        "same": torch.logical_not,
        "fold": lambda t: t + 1,
    }
    assert (
        len({again(**{name: change(getattr(pairs, name))}) for name, change in changed.items()} | {pairs.digest}) == 6
    )


@pytest.mark.data
def test_lfws_view_1_is_read_whole_and_trains_on_other_people() -> None:
    folder = Path(os.environ.get("BENCH_DATA", "")) / "lfw"
    if not (folder / "pairsDevTest.txt").is_file():
        pytest.skip("no lfw/pairsDevTest.txt below BENCH_DATA: LFW's View 1 is not here")

    people, pairs = lfw_view1(folder, 32)

    assert (len(pairs.same), int(pairs.same.sum()), len(pairs.x), len(pairs.names)) == (1_000, 500, 1_549, 963)
    assert (len(people.names), len(people.y)) == (111, 3_264) or "an incomplete set" in people.notice
    assert require_disjoint(people, pairs) == ""
