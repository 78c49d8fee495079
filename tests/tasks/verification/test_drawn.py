"""People and pairs drawn from a seed: the same for all runs, balanced, in folds of their own people where it can be."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench.data.locate import DataError
from bench.tasks.verification.drawn import FilePair, divided, drawn


def people(*counts: int) -> dict[str, list[Path]]:
    return {f"p{k}": [Path(f"p{k}/{n}.png") for n in range(count)] for k, count in enumerate(counts)}


def test_a_fifth_of_those_with_two_images_is_tested_and_always_the_same() -> None:
    train, test = divided(Path("x"), people(*[3] * 20, 1, 1))

    assert sorted(test) == ["p12", "p15", "p4", "p6"]  # what was once drawn stays: all runs test the same pairs
    assert len(train) == 18, "those of one image stay, to be counted"
    assert train.keys().isdisjoint(test)
    assert len(divided(Path("x"), people(2, 2, 2, 2))[1]) == 2


def check(pairs: list[FilePair], of: dict[str, list[Path]]) -> None:
    """Balanced in each fold, none twice, none of an image with itself, each kind what it says."""
    assert len({frozenset(pair.files) for pair in pairs}) == len(pairs)
    for fold in {pair.fold for pair in pairs}:
        kinds = Counter(pair.same for pair in pairs if pair.fold == fold)
        assert kinds[True] == kinds[False] > 0
    for (left, right), same, _ in pairs:
        assert left != right
        assert (left.parent == right.parent) == same
        assert {left, right} <= {path for own in of.values() for path in own}


def test_with_enough_people_each_of_ten_folds_has_its_own() -> None:
    of = people(*[30] * 20, 1, 1, 1)

    pairs = drawn(Path("x"), of)

    check(pairs, of)
    assert Counter(pair.fold for pair in pairs) == dict.fromkeys(range(10), 600), "at most 300 of each kind"
    folds = {(path.parent, pair.fold) for pair in pairs for path in pair.files}
    assert len(folds) == len({who for who, _ in folds})
    assert drawn(Path("x"), of) == pairs


@pytest.mark.parametrize(("counts", "each"), [([10] * 8, 360), ([2] * 12, 12), ([6, 1], 6), ([80, 80, 1], 3_000)])
def test_with_few_people_there_is_one_list_same_pairs_first(counts: list[int], each: int) -> None:
    of = people(*counts)
    if each < 10:
        with pytest.raises(DataError, match="2 people to test on, 1 of them .* make 6 pairs .* where 10 of each"):
            drawn(Path("x"), of)
        return

    pairs = drawn(Path("x"), of)

    check(pairs, of)
    assert [pair.same for pair in pairs] == [True] * each + [False] * each
    assert {pair.fold for pair in pairs} == {0}


def test_too_few_people_to_divide_are_refused() -> None:
    with pytest.raises(DataError, match="x: 3 of 5 people have two images or more, where four must"):
        divided(Path("x"), people(2, 2, 2, 1, 1))
