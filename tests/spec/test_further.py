"""Further test sets: which there are, which go with a sweep, and that they change no run."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bench.spec import Net, Recipe, Scale, SpecError, Sweep
from bench.spec.further import CORRUPTIONS, EXTRA, FURTHER, further_sets

SWEEP = Sweep("t", "q", "c", {"quick": Scale(((Net("cifar", 20, "A"), Recipe()),), (0,))})


def test_a_group_stands_for_all_in_it_and_each_comes_once() -> None:
    rows = further_sets(("cifar10-c:fog", "cifar10.1-v4", "cifar10-c"))

    assert [row.name for row in rows[:2]] == ["cifar10-c:fog", "cifar10.1-v4"]
    assert {row.member for row in rows if row.group} == {*CORRUPTIONS, *EXTRA}
    assert len(rows) == 20
    assert [len(row.parts) for row in rows[:2]] == [5, 1]
    assert [row.member for row in rows if row.extra] == list(EXTRA)


@pytest.mark.parametrize("row", FURTHER.values(), ids=FURTHER)
def test_what_a_row_names_is_there(row: object) -> None:
    for field in ("locate", "reader", "test"):
        assert callable(row.resolve(field))  # type: ignore[attr-defined]  # a FurtherSet


def test_tests_change_neither_the_runs_nor_what_decides_the_claims() -> None:
    tested = replace(SWEEP, tests=("cifar10.1-v6", "cifar10-c"))

    assert tested.runs("quick") == SWEEP.runs("quick")
    assert tested.claims_digest("quick") == SWEEP.claims_digest("quick")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tests": ("cifar10.1",)}, "tests: 'cifar10.1' is not one of: cifar10.1-v4, cifar10.1-v6, cifar10-c, "),
        ({"tests": ("cifar10-c:foog",)}, "; the nearest is cifar10-c:fog"),
        ({"tests": "cifar10-c"}, "tests must be a tuple, got 'cifar10-c': write tests=('cifar10-c',)"),
        ({"tests": (3,)}, "tests[0] must be a text, got 3"),
        (
            {"tests": ("cifar10-c",), "data": "cifar100"},
            "tests names cifar10-c, and nets trained on cifar100 by task classify are tested on: none, so leave tests",
        ),
    ],
)
def test_a_name_that_is_none_or_goes_with_other_nets_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=re.escape(words)):
        replace(SWEEP, **changes)  # type: ignore[arg-type]  # wrong on purpose
