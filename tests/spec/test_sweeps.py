"""Sweeps and their scales: the order of runs, seeds by net, nets by several recipes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from bench.cli.sweep_files import load_sweep
from bench.spec import Ensemble, Net, Recipe, Scale, SpecError, Sweep, Views


def test_a_sweeps_task_is_its_runs() -> None:
    scale = Scale(((Net("cifar", 20, "A"), Recipe()),), (0,))

    assert [r.task for r in Sweep("t", "q", "c", {"paper": scale}, task="diagnose").runs("paper")] == ["diagnose"]
    with pytest.raises(SpecError, match="task 'guess' is not one of: classify, diagnose"):
        Sweep("t", "q", "c", {"paper": scale}, task="guess")


def test_every_cell_has_its_first_seed_before_any_has_its_second() -> None:
    cells = tuple((Net("cifar", depth, "A"), Recipe()) for depth in (20, 32))
    sweep = Sweep("t", "q", "c", {"paper": Scale(cells, (0, 1))})

    order = [(r.net.depth, r.seed) for r in sweep.runs("paper")]

    assert order == [(20, 0), (32, 0), (20, 1), (32, 1)]
    assert [r.seed for r in sweep.runs("paper", seeds=(7,))] == [7, 7]


def test_weights_tested_as_they_are_have_one_seed() -> None:
    """Two would be one number twice, with a standard deviation of 0."""
    cells = ((Net("cifar", 20, "A", weights="file:mine.pth"), Recipe(steps=0, drops=())),)
    sweep = Sweep("t", "q", "c", {"paper": Scale(cells, (0, 1))}, task="evaluate")

    with pytest.raises(SpecError, match=r"draws nothing, .* got seeds \(0, 1\): write seeds=\(0,\)"):
        sweep.runs("paper")
    with pytest.raises(SpecError, match=r"got seeds \(3, 4\)"):
        sweep.runs("paper", (3, 4))
    assert len(sweep.runs("paper", (0,))) == 1


def test_a_net_may_have_planned_seeds_of_its_own_by_each_of_its_recipes() -> None:
    small, large, other = (Net("cifar", depth, "A") for depth in (20, 32, 44))
    cells = ((small, Recipe()), (large, Recipe()), (large, Recipe(precision="bf16")), (other, Recipe()))
    scale = Scale(cells, (0, 1), seeds_by_net={large: (1, 5, 2), other: (0,)})
    sweep = Sweep("t", "q", "c", {"paper": scale})

    assert [scale.seeds_of(net) for net in (small, large, other)] == [(0, 1), (1, 5, 2), (0,)]
    assert scale.planned == {
        "resnet-20-A": (0, 1), "resnet-32-A": (1, 5, 2), "resnet-32-A+bf16": (1, 5, 2), "resnet-44-A": (0,),
    }  # fmt: skip
    assert scale.all_seeds == (0, 1, 2, 5)
    order = [(scale.name_of(run), run.seed) for run in sweep.runs("paper")]
    both = ("resnet-32-A", "resnet-32-A+bf16")
    assert order == [
        ("resnet-20-A", 0), ("resnet-44-A", 0), ("resnet-20-A", 1), *((net, 1) for net in both),
        *((net, 2) for net in both), *((net, 5) for net in both),
    ]  # fmt: skip
    given = [(scale.name_of(run), run.seed) for run in sweep.runs("paper", seeds=(7,))]
    assert given == [(name, 7) for name in scale.names], "seeds that are asked for are of every net"
    assert sweep.runs("paper", seeds=()) == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds_by_net": {Net("cifar", 56, "A"): (0,)}}, "seeds_by_net names nets that are in no cell"),
        ({"seeds_by_net": {Net("cifar", 20, "A"): (3, 3)}}, "seeds (3, 3) must be distinct: write (3,)"),
        ({"seeds_by_net": {Net("cifar", 20, "A"): ()}}, "seeds_by_net.Net(…) must have 1 or more, got ()"),
        ({"seeds": ()}, "seeds must have 1 or more, got (), such as seeds=(0, 1, 2)"),
    ],
)
def test_planned_seeds_that_cannot_be_meant_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=re.escape(words)):
        replace(Scale(((Net("cifar", 20, "A"), Recipe()),), (0, 1)), **changes)


def test_a_net_by_several_recipes_is_named_by_what_is_not_as_in_its_first() -> None:
    net, other, own = Net("cifar", 20, "A"), Net("cifar", 56, "none"), Recipe(bn_group=32)
    recipes = (own, replace(own, precision="bf16"), replace(own, bn_group=128, drops=(8_000, 9_000)))
    scale = Scale((*((net, recipe) for recipe in recipes), (other, Recipe())), (0, 1))
    sweep = Sweep("t", "q", "c", {"paper": scale})

    names = ("resnet-20-A", "resnet-20-A+bf16", "resnet-20-A+drops=8000_9000+bn_group=128", "plain-56")
    assert scale.names == names
    assert [scale.name_of(run) for run in sweep.runs("paper")] == [*names, *names]


@pytest.mark.parametrize(("name", "scales"), [("thousand_layers", ("paper",)), ("cifar_details", ("paper", "short"))])
def test_a_nets_own_recipe_is_one_run_in_every_sweep_that_has_it(name: str, scales: tuple[str, ...]) -> None:
    """So that a run's folder can be copied from one sweep to the other, as the sweeps' files say."""
    sweep, whole = (load_sweep(one)[1] for one in (name, "plain_vs_residual"))

    for scale in scales:
        own = {run.id for run in sweep.runs(scale) if "+" not in sweep.scales[scale].name_of(run)}
        there = {run.id for run in whole.runs(scale)}
        assert own - there == {run.id for run in sweep.runs(scale) if run.net.depth == 1202}
        assert own & there


def test_two_nets_of_one_name_need_sweeps_of_their_own() -> None:
    cells = tuple((Net("imagenet", 50, "B", where), Recipe(views=Views())) for where in ("1x1", "3x3"))

    with pytest.raises(SpecError, match="two nets are both named resnet-50-B: give each a sweep of its own"):
        Scale(cells, (0,))


def test_an_ensemble_is_of_nets_by_one_recipe() -> None:
    nets = Net("imagenet", 18, "A"), Net("imagenet", 34, "A")
    own = Recipe(views=Views())
    cells = (*((net, own) for net in nets), (nets[0], replace(own, precision="bf16")))

    with pytest.raises(SpecError, match="one recipe each, and resnet-18-A is here by several"):
        Sweep("t", "q", "c", {"paper": Scale(cells, (0,))}, data="imagenet", ensembles=(Ensemble("e", "E", nets),))


def test_recipes_that_differ_in_a_part_without_a_short_spelling_need_sweeps_of_their_own() -> None:
    net = Net("imagenet", 18, "A")

    with pytest.raises(SpecError, match="one net's recipes differ in views: give each a sweep of its own"):
        Scale(((net, Recipe(views=Views())), (net, Recipe(views=Views(side=160)))), (0,))
    with pytest.raises(SpecError, match="one net's recipes differ in test_images"):
        Scale(((Net("cifar", 20, "A"), Recipe()), (Net("cifar", 20, "A"), Recipe(test_images=100))), (0,))
