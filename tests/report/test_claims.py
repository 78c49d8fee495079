"""Verdicts: at the planned seeds, in the claimed direction, by one procedure; a description until then."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats as scipy_stats

from bench.report.claims import NOT_JUDGED, NOT_REPRODUCED, REPRODUCED, UNDECIDED, WAITING, judge
from bench.report.stats import Region, contrast, sample
from bench.report.verdicts import verdict_words
from bench.spec import LEVEL, Claim, Net
from tests.report.claimed import (
    BEATS,
    DEGRADES,
    EQUALS,
    HIGH,
    IN_BF16,
    LOW,
    ORDER,
    PLAIN,
    RESIDUAL,
    by_seed,
    judged,
    no_floor,
    one,
)

ABOVE_60 = Claim("above", "Above.", "Fig. 6", "exceeds", (PLAIN[56],), number="txt.plain-110.error")
NOT_WORSE = Claim("no", "No worse.", "", "not worse with depth", (RESIDUAL[20], RESIDUAL[56]), margin=0.5)


def test_nets_with_published_weights_whose_names_have_dots_are_compared() -> None:
    nets = tuple(
        Net("imagenet", depth, "B", weights="torchvision:IMAGENET1K_V1", stride_in="3x3") for depth in (50, 101)
    )
    deeper = Claim("deeper", "Deeper is better.", "", "better with depth", nets)
    seeds = {(net.name, "test_error"): {0: error} for net, error in zip(nets, (24.0, 22.5), strict=True)}

    ((link,), *_) = (found.links for found in judge((deeper,), (), seeds, {}, no_floor))

    assert "." in link.nets[0]
    assert link.label == "ResNet-50 (B), torchvision IMAGENET1K_V1 − ResNet-101 (B), torchvision IMAGENET1K_V1"
    assert (link.nets, link.ns, link.effect.effect) == (deeper.names, (1, 1), 1.5)


def test_a_clear_difference_in_the_claimed_direction_is_reproduced_and_the_other_way_round_is_not() -> None:
    assert one(DEGRADES, plain_20=LOW, plain_56=HIGH).verdict == REPRODUCED
    assert one(DEGRADES, plain_20=HIGH, plain_56=LOW).verdict == NOT_REPRODUCED
    assert one(BEATS, plain_56=HIGH, resnet_56_A=LOW).verdict == REPRODUCED


def test_the_effect_is_positive_in_the_claimed_direction() -> None:
    worse, better = one(DEGRADES, plain_20=LOW, plain_56=HIGH), replace(DEGRADES, kind="better with depth")

    assert [(link.label, round(link.effect.effect, 2)) for link in worse.links] == [("plain-56 − plain-20", 3.73)]
    assert round(one(better, plain_20=HIGH, plain_56=LOW).links[0].effect.effect, 2) == 3.73


def test_a_difference_is_judged_by_scipys_welch_test() -> None:
    plain, residual = [7.0, 9.5, 8.2, 6.1, 9.9], [7.1, 7.2, 7.05]
    plan = {"plain-56": range(5), "resnet-56-A": range(3)}
    welch = scipy_stats.ttest_ind(plain, residual, equal_var=False, alternative="greater").pvalue
    pooled = scipy_stats.ttest_ind(plain, residual, equal_var=True, alternative="greater").pvalue

    (found,) = judge((BEATS,), (BEATS,), by_seed(plain_56=plain, resnet_56_A=residual), plan, no_floor)

    assert found.p_for == pytest.approx(welch, rel=1e-9)
    assert found.p_against == pytest.approx(1 - welch, rel=1e-9)
    assert abs(pooled - welch) > 0.02, "the example must tell the two tests apart"


def test_an_order_holds_only_where_every_step_does() -> None:
    rising = {"plain_20": LOW, "plain_32": [v + 2 for v in LOW], "plain_44": [v + 4 for v in LOW], "plain_56": HIGH}

    assert one(ORDER, **rising).verdict == UNDECIDED  # 44 to 56 layers: a difference of −0.27
    assert one(ORDER, **rising | {"plain_56": [v + 6 for v in LOW]}).verdict == REPRODUCED
    assert one(ORDER, **rising | {"plain_56": LOW}).verdict == NOT_REPRODUCED


def test_an_order_of_three_steps_is_shown_by_its_weakest_and_has_three_ways_to_be_wrongly_refuted() -> None:
    found = one(ORDER, plain_20=LOW, plain_32=HIGH, plain_44=[12.9, 13.4, 12.8], plain_56=[15.0, 15.1, 15.2])

    assert found.p_for == pytest.approx(max(link.region.p_inside(link.effect) for link in found.links))
    assert found.p_against == pytest.approx(3 * min(link.region.p_outside(link.effect) for link in found.links))


@pytest.mark.parametrize("same", [("plain_32", "plain_44"), ("plain_44", "plain_56")])
def test_an_order_with_a_step_that_cannot_be_tested_is_not_reproduced_wherever_the_step_is(
    same: tuple[str, str],
) -> None:
    """Every seed of two nets diverged: there is no spread, and their difference is none."""
    nets = {"plain_20": LOW, "plain_32": HIGH, "plain_44": [v + 20 for v in LOW], "plain_56": [v + 40 for v in LOW]}

    found = one(ORDER, **nets | dict.fromkeys(same, [90.0] * 3))

    assert found.verdict != REPRODUCED
    assert found.p_for == 1


def test_the_same_number_means_the_papers_mean_of_five_and_not_its_best() -> None:
    near_the_best = [6.10, 6.12, 6.11, 6.09]  # within 0.5 of 6.43, not of 6.61

    assert one(EQUALS, resnet_110_A=[6.5, 6.7, 6.6, 6.55]).verdict == REPRODUCED
    assert one(EQUALS, resnet_110_A=near_the_best).verdict != REPRODUCED
    assert one(EQUALS, resnet_110_A=[7.6, 7.5, 7.55]).verdict == NOT_REPRODUCED


@pytest.mark.parametrize(
    ("worse_by", "verdict"), [(0.4, REPRODUCED), (0.6, NOT_REPRODUCED), (0.0, REPRODUCED), (-3.0, REPRODUCED)]
)
def test_not_worse_with_depth_holds_where_the_deep_net_is_worse_by_less_than_the_margin(
    worse_by: float, verdict: str
) -> None:
    shallow = [8.0, 8.005, 7.995, 8.01, 7.99]

    found = one(NOT_WORSE, resnet_20_A=shallow, resnet_56_A=[v + worse_by for v in shallow])

    assert found.verdict == verdict
    assert found.links[0].effect.effect == pytest.approx(-worse_by)


@pytest.mark.parametrize(("p", "decided"), [(0.024, True), (0.026, False), (0.04, False)])
def test_each_direction_has_half_of_the_level(p: float, decided: bool) -> None:
    noise = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])
    away = scipy_stats.t.isf(p, 4) * noise.std(ddof=1) / math.sqrt(5)

    above, below = (one(ABOVE_60, plain_56=list(60 + sign * away + noise)) for sign in (1, -1))

    assert LEVEL == 0.05
    assert [above.p_for, below.p_against] == pytest.approx([p, p])
    assert (above.verdict == REPRODUCED, below.verdict == NOT_REPRODUCED) == (decided, decided)
    assert decided or above.verdict == below.verdict == UNDECIDED


@pytest.mark.parametrize("lacking", ["plain_20", "plain_56"])
def test_there_is_no_verdict_before_every_net_has_all_its_planned_seeds(lacking: str) -> None:
    nets = {"plain_20": LOW, "plain_56": HIGH}

    (found,) = judged((DEGRADES,), 3, **nets | {lacking: nets[lacking][:2]})

    assert found.verdict == WAITING
    assert math.isnan(found.p_for)
    assert math.isnan(found.p_against)
    assert not found.decided
    assert found.seeds[lacking.replace("_", "-")] == (2, 3)
    assert found.links, "it is described"
    assert judged((DEGRADES,), 3, **nets)[0].verdict == REPRODUCED


def test_other_seeds_are_no_replacement_for_the_planned_ones() -> None:
    seeds = by_seed(plain_20=LOW, plain_56=HIGH)
    seeds["plain-56", "test_error"] = dict(zip((0, 1, 7), HIGH, strict=True))

    (found,) = judge((DEGRADES,), (DEGRADES,), seeds, dict.fromkeys(DEGRADES.names, range(3)), no_floor)

    assert (found.verdict, found.seeds["plain-56"]) == (WAITING, (2, 3))
    assert found.links[0].effect.ns == (2, 3)


def test_seeds_beyond_the_planned_ones_change_nothing() -> None:
    assert judged((DEGRADES,), 3, plain_20=[*LOW, 99.0], plain_56=[*HIGH, 0.0, 0.0]) == judged(
        (DEGRADES,), 3, plain_20=LOW, plain_56=HIGH
    )


def test_each_net_has_a_number_of_planned_seeds_of_its_own() -> None:
    plan, seeds = {"plain-20": (0, 1), "plain-56": (4, 5, 6)}, by_seed(plain_20=[9.4, 9.5, 50.0])
    seeds["plain-56", "test_error"] = {4: 13.0, 5: 13.5, 6: 13.2, 0: 1.0}

    (found,) = judge((DEGRADES,), (DEGRADES,), seeds, plan, no_floor)

    assert found.verdict == REPRODUCED
    assert found.links[0].effect.ns == (3, 2)
    assert found.links[0].effect.effect == pytest.approx(39.7 / 3 - 9.45)


def test_one_planned_seed_is_no_spread_and_never_judged() -> None:
    (found,) = judged((DEGRADES,), 1, plain_20=[9.4], plain_56=[13.0])

    assert (found.verdict, verdict_words(found, comparable=True)) == (WAITING, WAITING)


def test_a_claim_that_is_not_judged_is_described_by_all_seeds_there_are() -> None:
    seeds, plan = by_seed(plain_20=LOW, plain_56=[*HIGH, 13.1]), dict.fromkeys(DEGRADES.names, range(3))

    (found,) = judge((DEGRADES,), (), seeds, plan, no_floor)

    assert (found.verdict, found.decided) == (NOT_JUDGED, False)
    assert found.links[0].effect.ns == (4, 3)
    assert math.isnan(found.p_for)


def test_claims_that_are_judged_make_each_other_harder_and_those_that_are_not_change_nothing() -> None:
    nets = {"plain_20": [9.4, 9.5, 9.6], "plain_56": [9.7, 9.8, 9.95], "resnet_56_A": [9.7, 9.8, 10.0]}
    plan = {name: range(3) for claim in (ORDER, BEATS) for name in claim.names}
    alone = one(DEGRADES, plain_20=nets["plain_20"], plain_56=nets["plain_56"])
    three = judge((DEGRADES, ORDER, BEATS), (DEGRADES, ORDER, BEATS), by_seed(**nets), plan, no_floor)
    unjudged = judge((ORDER, DEGRADES, BEATS), (DEGRADES,), by_seed(**nets), plan, no_floor)

    assert alone.verdict == REPRODUCED
    assert unjudged[1] == alone
    assert [found.verdict for found in unjudged] == [NOT_JUDGED, REPRODUCED, NOT_JUDGED]
    assert three[0].p_for == pytest.approx(3 * alone.p_for)  # the least of three, and one of them waits
    assert [found.verdict for found in three] == [UNDECIDED, WAITING, UNDECIDED]


def test_a_verdict_does_not_depend_on_which_other_claims_have_their_seeds() -> None:
    """Holm's number is fixed: with the second claim far from decided, p is twice what it is alone, seeds or none."""
    nets = {"plain_20": LOW, "plain_56": HIGH}
    waits = judged((DEGRADES, EQUALS), 3, **nets)
    there = judged((DEGRADES, EQUALS), 3, **nets, resnet_110_A=[5.0, 7.0, 9.0])

    assert [found.verdict for found in waits] == [REPRODUCED, WAITING]
    assert waits[0] == there[0]
    assert waits[0].p_for == pytest.approx(2 * one(DEGRADES, **nets).p_for)


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        ((8.65, 8.82, 8.77, 8.53), REPRODUCED),  # 0.04 away
        ((9.6, 9.85, 9.7, 9.5), NOT_REPRODUCED),  # 1 worse
        ((7.6, 7.8, 7.7, 7.6), NOT_REPRODUCED),  # 1 better, which is a change, too
        ((8.6, 9.9, 8.1, 9.2), UNDECIDED),
    ],
)
def test_a_net_is_unchanged_by_another_recipe_where_the_tests_show_it_within_the_margin(
    other: tuple[float, ...], verdict: str
) -> None:
    own = (8.6, 8.8, 8.7, 8.5)

    found, alone = one(IN_BF16, plain_20=own, plain_20__bf16=other), one(IN_BF16, plain_20=own)

    assert found.verdict == verdict
    assert found.links[0].label == "plain-20, bf16 − plain-20"
    assert found.links[0].effect.effect == pytest.approx(np.mean(other) - 8.65)
    assert (alone.verdict, alone.links, alone.seeds["plain-20+bf16"]) == (WAITING, (), (0, 4))


def test_two_recipes_are_compared_seed_by_seed_which_decides_where_welch_would_not() -> None:
    own = np.array([8.0, 8.6, 9.1, 9.4, 10.1])
    other = own + np.array([0.02, -0.05, 0.04, -0.01, 0.03])
    upper = scipy_stats.ttest_rel(other - 0.5, own, alternative="less").pvalue
    lower = scipy_stats.ttest_rel(other + 0.5, own, alternative="greater").pvalue

    found = one(IN_BF16, plain_20=list(own), plain_20__bf16=list(other))

    assert found.verdict == REPRODUCED
    assert found.p_for == pytest.approx(max(upper, lower), rel=1e-6)
    assert Region(-0.5, 0.5).p_inside(contrast([sample(other), sample(own)], [1, -1])) > LEVEL


def test_two_recipes_are_described_over_the_seeds_that_both_have() -> None:
    seeds = by_seed(plain_20=[8.0, 9.0, 10.0], plain_20__bf16=[0.0, 9.1, 10.3, 50.0])
    del seeds["plain-20+bf16", "test_error"][0]

    (found,) = judge((IN_BF16,), (), seeds, {}, no_floor)

    assert found.links[0].effect.ns == (2,)
    assert found.links[0].effect.effect == pytest.approx(0.2)
    del seeds["plain-20", "test_error"][1], seeds["plain-20", "test_error"][2]
    assert judge((IN_BF16,), (), seeds, {}, no_floor)[0].links == ()
