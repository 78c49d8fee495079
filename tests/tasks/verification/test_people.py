"""Sets of faces: what is read is what was written, and what would spoil a number is refused before training."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.locate import DataError
from bench.tasks.verification.images import Region, decode, of_files
from bench.tasks.verification.lfw import REGION
from bench.tasks.verification.people import FaceBatches, Pairs, People, Prepare, grey, require_disjoint
from tests.tasks.verification.builders import JOSE, MAC, SIDE, VIEW1, pairs_of, people_of, write_image


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
