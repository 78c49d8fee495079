"""What a run is: its id, what is hashed, what is refused."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from bench.spec import Net, Recipe, Resources, Run, Scale, SpecError, Sweep, digest, run_from_json, shortened

RUN = Run("paper", Net("cifar", 20, "A"), "cifar10", Recipe(), 0)


def test_an_id_never_changes_by_accident() -> None:
    assert RUN.id == "resnet-20-A-paper-s0-126e1858"
    assert replace(RUN, net=Net("cifar", 56, "none"), seed=3).id == "plain-56-paper-s3-68e6aa2a"


CHANGES: dict[str, Any] = {
    "steps": 64_001, "lr": 0.2, "drops": (1,), "warmup_steps": 1, "warmup_lr": 0.1, "momentum": 0.8,
    "weight_decay": 0.0, "batch": 64, "bn_group": 128, "precision": "bf16", "split": "45k/5k",
    "test_images": 1, "curve_every": 100, "test_every": 2_000,
}  # fmt: skip


@pytest.mark.parametrize("name", [f.name for f in fields(Recipe)])
def test_every_field_of_the_recipe_is_in_the_id(name: str) -> None:
    changed = replace(RUN, recipe=replace(RUN.recipe, **{name: CHANGES[name]}))

    assert changed.id != RUN.id


@pytest.mark.parametrize(
    "other",
    [
        replace(RUN, seed=1),
        replace(RUN, scale="short"),
        replace(RUN, net=Net("cifar", 20, "B")),
        replace(RUN, net=Net("cifar", 20, "A", "3x3")),
    ],
)
def test_every_field_of_the_run_is_in_the_id(other: Run) -> None:
    assert other.id != RUN.id


def test_resources_change_the_bill_and_not_the_id() -> None:
    assert replace(RUN, resources=Resources(64, 8, 1, 1, nodes=2, tasks=4)).id == RUN.id


def test_equal_recipes_have_one_id_however_they_are_written() -> None:
    assert replace(RUN, recipe=Recipe(lr=1)).id == replace(RUN, recipe=Recipe(lr=1.0)).id
    assert digest(asdict(Recipe(lr=1))) == digest(asdict(Recipe(lr=1.0)))


def test_a_run_survives_json() -> None:
    assert run_from_json(RUN.as_json()) == RUN


def test_an_unknown_field_in_json_is_refused() -> None:
    with pytest.raises(SpecError, match="not a run of this version"):
        run_from_json({**RUN.as_json(), "colour": "red"})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Net("cifar", 21, "A"), "depth 21 is not one of: 6n\\+2 .* 20, 32, 44, 56, 110, 1202"),
        (lambda: Net("cifar", 2, "A"), "depth 2 is not"),
        (lambda: Net("imagenet", 20, "A"), "depth 20 is not one of: 18, 34, 50, 101, 152"),
        (lambda: Net("cifar", 20, "D"), "shortcut 'D' is not one of: none, A, B, C"),
        (lambda: Net("imagenet", 50, "B", "2x2"), "stride_in '2x2' is not one of: 1x1, 3x3"),
        (lambda: Recipe(precision="fp16"), "precision 'fp16' is not one of: fp32, bf16"),
        (lambda: Recipe(bn_group=48), "batch 128 must be a multiple of bn_group 48"),
        (lambda: Recipe(drops=(48_000, 32_000)), "must rise"),
        (lambda: Recipe(steps=0, momentum=1.0), "steps must be positive, got 0; .*; momentum 1.0 must lie"),
        (lambda: replace(RUN, data="stand-in"), "the stand-in is for scale quick alone"),
        (lambda: replace(RUN, scale="long"), "scale 'long' is not one of: paper, short, quick"),
    ],
)
def test_a_mistake_is_refused_with_what_is_allowed(make: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        make()


def test_every_cell_has_its_first_seed_before_any_has_its_second() -> None:
    cells = tuple((Net("cifar", depth, "A"), Recipe()) for depth in (20, 32))
    sweep = Sweep("t", "q", "c", {"paper": Scale(cells, (0, 1))})

    order = [(r.net.depth, r.seed) for r in sweep.runs("paper")]

    assert order == [(20, 0), (32, 0), (20, 1), (32, 1)]
    assert [r.seed for r in sweep.runs("paper", seeds=(7,))] == [7, 7]


def test_a_shortened_recipe_keeps_the_shares_of_its_drops() -> None:
    assert shortened(Recipe(), 8_000).drops == (4_000, 6_000)
