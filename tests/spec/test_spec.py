"""What a run is: its id, what is hashed, what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from bench.spec import (
    ADDED_LATER,
    Claim,
    Net,
    Recipe,
    Resources,
    Run,
    Scale,
    SpecError,
    Views,
    Way,
    counted,
    dataset_of,
    digest,
    run_from_json,
    shortened,
)  # fmt: skip

RUN = Run("paper", Net("cifar", 20, "A"), "cifar10", Recipe(), 0)


def test_an_id_never_changes_by_accident() -> None:
    assert RUN.id == "resnet-20-A-paper-s0-126e1858"
    assert replace(RUN, net=Net("cifar", 56, "none"), seed=3).id == "plain-56-paper-s3-68e6aa2a"


CHANGES: dict[str, Any] = {
    "steps": 64_001, "lr": 0.2, "drops": (1,), "warmup_steps": 1, "warmup_lr": 0.1, "momentum": 0.8,
    "weight_decay": 0.0, "batch": 64, "bn_group": 128, "precision": "bf16", "split": "45k/5k",
    "test_images": 1, "curve_every": 100, "test_every": 2_000, "size": 64, "augment": "crop",
}  # fmt: skip


PICTURES = replace(
    RUN, net=Net("imagenet", 50, "B"), data="imagenet", recipe=Recipe(batch=256, bn_group=32, views=Views())
)
OTHER_VIEWS: dict[str, Any] = {
    "side": 192, "crop": "inception", "shorter": (256, 320), "colour": "none", "test_shorter": 288, "ten_crop": False,
    "scales": (),
}  # fmt: skip


@pytest.mark.parametrize("name", [f.name for f in fields(Views)])
def test_every_field_of_the_views_is_in_the_id(name: str) -> None:
    changed = replace(PICTURES.recipe, views=replace(Views(), **{name: OTHER_VIEWS[name]}))

    assert replace(PICTURES, recipe=changed).id != PICTURES.id


def test_a_run_on_pictures_reads_back_as_itself() -> None:
    assert PICTURES.id == "resnet-50-B-paper-s0-e154ec08"
    assert run_from_json(json.dumps(PICTURES.as_json())) == PICTURES


def test_the_part_of_imagenet_and_published_weights_are_in_the_id() -> None:
    weights = Net("imagenet", 50, "B", weights="file:mine.pth")

    test = replace(PICTURES, net=weights, task="evaluate", recipe=replace(PICTURES.recipe, steps=0, drops=()))
    other = replace(test, net=replace(weights, weights="file:yours.pth"))

    assert len({PICTURES.id, replace(PICTURES, data="imagenet-100").id, test.id, other.id}) == 4


@pytest.mark.parametrize("weights", ["file:mine.pth", "run:sweep/run-paper-s0-12345678"])
def test_a_training_that_takes_no_weights_is_refused_under_a_name_that_has_some(weights: str) -> None:
    with pytest.raises(SpecError, match="task 'classify' cannot start from weights"):
        replace(PICTURES, net=Net("imagenet", 50, "B", weights=weights))


@pytest.mark.parametrize(
    ("data", "classes"),
    [("cifar10", 10), ("imagenet", 1000), ("imagenet-37", 37), ("tiny-imagenet", 200), ("tiny-imagenet-100", 100)],
)
def test_a_data_set_says_its_classes(data: str, classes: int) -> None:
    assert dataset_of(data).classes == classes


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: replace(PICTURES, data="cifar10"), "none of views, faces, detection; this one has views"),
        (lambda: replace(RUN, data="imagenet"), "a recipe that has views; this one has none"),
        (
            lambda: replace(PICTURES, data="imagenette"),
            "is not one of: cifar10, cifar100, stand-in, svhn, imagenet, tiny-imagenet, lfw-view1, insightface, bccd, "
            "voc07, voc07+12, coco14, imagenet-N",
        ),
        (lambda: replace(PICTURES, task="evaluate"), "task 'evaluate' does not go with 64000 steps"),
        (lambda: Recipe(steps=0), "drops (32000, 48000) must rise between 0 and steps 0: write drops=()"),
        (lambda: replace(RUN, recipe=Recipe(steps=0, drops=())), "task 'classify' does not go with 0 steps: it trains"),
        (lambda: Recipe(views=Views(), split="45k/5k"), "ImageNet has none"),
        (lambda: Views(side=300), "a crop of 300 does not fit into a shorter side of 256"),
        (lambda: Views(shorter=(480, 256)), "must be (least, most)"),
        (lambda: Views(crop="random"), "crop 'random' is not one of: scale, inception"),
        (lambda: Views(scales=(160,)), "must not be below side 224"),
        (lambda: Net("timm", 0, "none"), "needs weights that name its net, timm:…, got ''"),
        (lambda: Net("cifar", 20, "A", weights="timm:x"), "timm has no weights of cifar A-20"),
        (lambda: Net("imagenet", 50, "B", weights="http:x"), "do not begin with one of: torchvision:, timm:, file:"),
        (lambda: Net("imagenet", 34, "none", weights="torchvision:V1"), "torchvision has no weights of imagenet plain"),
    ],
)
def test_images_and_weights_that_cannot_be_meant_are_refused(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(SpecError, match=re.escape(words)):
        make()


@pytest.mark.parametrize("name", [f.name for f in fields(Recipe) if f.name not in ("views", "faces", "detection")])
def test_every_field_of_the_recipe_is_in_the_id(name: str) -> None:
    own = replace(RUN, data="folder:mine")  # which may have any size

    assert replace(own, recipe=replace(RUN.recipe, **{name: CHANGES[name]})).id != own.id


@pytest.mark.parametrize(
    "other",
    [
        replace(RUN, seed=1),
        replace(RUN, scale="short"),
        replace(RUN, net=Net("cifar", 20, "B")),
        replace(RUN, net=Net("cifar", 20, "A", "3x3")),
        replace(RUN, net=Net("cifar", 20, "A", norm="none")),
        replace(RUN, task="diagnose"),
    ],
)
def test_every_field_of_the_run_is_in_the_id(other: Run) -> None:
    assert other.id != RUN.id


def test_a_field_that_was_added_later_leaves_the_digests_that_there_were() -> None:
    """The golden ids above are from before Net had a norm; away from its default it is hashed as any field is."""
    assert RUN.as_json()["net"]["norm"] == "bn"
    assert all(getattr(getattr(RUN, p), name) == value for p, f in ADDED_LATER.items() for name, value in f.items())
    without = {k: v for k, v in RUN.as_json().items() if k not in ("resources", "own_task")}
    without["net"] = {"family": "cifar", "depth": 20, "shortcut": "A", "stride_in": "1x1"}
    later = ADDED_LATER["recipe"]
    without["recipe"] = {name: value for name, value in without["recipe"].items() if name not in later}
    assert RUN.digest == digest(without)[:8]

    assert replace(RUN, net=Net("cifar", 20, "A", norm="none")).id == "resnet-20-A-nobn-paper-s0-7b3e1768"


def test_a_run_written_before_a_field_was_added_is_read_as_what_it_was() -> None:
    old = RUN.as_json()
    del old["net"]["norm"]

    assert run_from_json(json.dumps(old)) == RUN


def test_resources_change_the_bill_and_not_the_id() -> None:
    assert replace(RUN, resources=Resources(64, 8, 1, 1, nodes=2, tasks=4)).id == RUN.id
    way = Way(graph=True, compile=True, batch_norm="fused", padded_stem=True)
    assert replace(RUN, resources=Resources().made(way)).id == "resnet-20-A-paper-s0-126e1858"


def test_equal_recipes_have_one_id_however_they_are_written() -> None:
    assert replace(RUN, recipe=Recipe(lr=1)).id == replace(RUN, recipe=Recipe(lr=1.0)).id
    assert digest(asdict(Recipe(lr=1))) == digest(asdict(Recipe(lr=1.0)))


def test_a_run_survives_json() -> None:
    assert run_from_json(json.dumps(RUN.as_json())) == RUN


def test_an_unknown_field_in_json_is_refused() -> None:
    with pytest.raises(SpecError, match="not a run of this version"):
        run_from_json(json.dumps({**RUN.as_json(), "colour": "red"}))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Net("cifar", 21, "A"), "depth 21 is not one of: 6n\\+2 .* 20, 32, 44, 56, 110, 1202"),
        (lambda: Net("cifar", 2, "A"), "depth 2 is not"),
        (lambda: Net("imagenet", 20, "A"), "depth 20 is not one of: 18, 34, 50, 101, 152"),
        (lambda: Net("cifar", 20, "D"), "shortcut 'D' is not one of: none, A, B, C"),
        (lambda: Net("imagenet", 50, "B", "2x2"), "stride_in '2x2' is not one of: 1x1, 3x3"),
        (lambda: Net("cifar", 20, "A", norm="gn"), "norm 'gn' is not one of: bn, none"),
        (lambda: Recipe(precision="fp16"), "precision 'fp16' is not one of: fp32, bf16"),
        (lambda: Recipe(bn_group=48), "batch 128 must be a multiple of bn_group 48"),
        (lambda: Recipe(drops=(48_000, 32_000)), "must rise"),
        (
            lambda: Recipe(steps=0, momentum=1.0),
            "momentum must be below 1, got 1.0, such as momentum=0.9; drops",
        ),
        (lambda: replace(RUN, data="stand-in"), "the stand-in is for scale quick alone"),
        (lambda: replace(RUN, scale="long"), "scale 'long' is not one of: paper, short, quick"),
    ],
)
def test_a_mistake_is_refused_with_what_is_allowed(make: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        make()


NO_INTS: tuple[Any, ...] = ("64", 64.0, True, None)


@pytest.mark.parametrize("value", NO_INTS)
def test_nothing_is_taken_for_a_whole_number_that_is_none(value: Any) -> None:
    """It would be another id."""
    words = re.escape(f"must be a whole number, got {value!r}")

    with pytest.raises(SpecError, match=f"^recipe: bn_group {words}(: write|, such as) bn_group=64$"):
        Recipe(bn_group=value)
    with pytest.raises(SpecError, match=f"^run: seed {words}(: write seed=64)?$"):
        replace(RUN, seed=value)
    with pytest.raises(SpecError, match="not a run of this version of the suite: recipe.batch must be a whole number"):
        run_from_json(json.dumps({**RUN.as_json(), "recipe": {**RUN.as_json()["recipe"], "batch": value}}))


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        (Recipe, {"lr": "0.1", "drops": [1]}, "recipe: lr must be a number, got '0.1': write lr=0.1; drops must be"),
        (Recipe, {"lr": float("nan")}, "recipe: lr must be finite, got nan"),
        (Views, {"ten_crop": 1}, "views: ten_crop must be True or False, got 1"),
        (Net, {"family": "cifar", "depth": 20}, "net: shortcut is missing"),
        (Views, {"sides": 224}, "views: unknown field 'sides' (allowed: side, crop, shorter, "),
        (
            Resources,
            {"cpus": 0, "tasks": 0},
            "resources: cpus must be 1 or more, got 0, such as cpus=2; tasks must be 1 or more, got 0, such as tasks=1",
        ),
        (Claim, {"id": "c"}, "claim 'c': text is missing, such as text="),
        (
            Scale,
            {"cells": ((1, Recipe()),), "seeds": (0,)},
            "scale: cells[0][0] must be a Net, got 1, such as cells=((Net(",
        ),
    ],
)
def test_a_wrong_value_is_refused_in_plain_words(kind: Any, values: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=f"^{re.escape(words)}"):
        kind(**values)


def test_a_shortened_recipe_keeps_the_shares_of_its_drops() -> None:
    assert shortened(Recipe(), 8_000).drops == (4_000, 6_000)


@pytest.mark.parametrize(
    ("steps", "given", "often"),
    [
        (8_000, {}, (200, 1_000)),  # as the recipe has it: ids stay
        (1_000, {}, (200, 1_000)),
        (999, {}, (99, 495)),
        (200, {}, (20, 100)),
        (30, {}, (3, 15)),
        (3, {}, (1, 1)),
        (1, {}, (1, 1)),
        (500, {"test_every": 200}, (200, 200)),
        (30, {"curve_every": 5}, (5, 15)),
        (30, {"curve_every": 30}, (30, 30)),
        (30, {"test_every": 10}, (2, 10)),
        (30, {"test_every": 7}, (1, 7)),
        (30, {"curve_every": 10, "test_every": 30}, (10, 30)),
    ],
)
def test_a_shortened_recipe_has_a_curve(steps: int, given: dict[str, int], often: tuple[int, int]) -> None:
    short = shortened(Recipe(), steps, **given)

    assert (short.curve_every, short.test_every) == often
    assert Scale(((RUN.net, short),), (0,))


@pytest.mark.parametrize("changed", [{"curve_every": 40, "test_every": 40}, {"curve_every": 10, "test_every": 40}])
def test_a_curve_that_would_be_empty_is_refused_where_it_is_declared_and_read_where_it_was_run(
    changed: dict[str, Any],
) -> None:
    recipe = Recipe(steps=30, drops=(), **changed)

    with pytest.raises(SpecError, match="must be at most steps 30, or .* write curve_every=3, test_every=15"):
        Scale(((RUN.net, recipe),), (0,))
    old = replace(RUN, recipe=recipe)
    assert run_from_json(json.dumps(old.as_json())) == old


@pytest.mark.parametrize(("count", "words"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (1_000, "1,000 runs")])
def test_one_is_no_plural(count: int, words: str) -> None:
    assert counted(count, "run") == words
    assert counted(count, "box") == words.replace("runs", "boxes").replace("run", "box")
