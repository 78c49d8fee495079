"""Claims: declared before the runs, judged at their planned seeds by one procedure, described until then."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from bench.cli.sweep_files import load_sweep
from bench.paper import paper_numbers
from bench.report import simulate
from bench.report.claims import (
    NOT_JUDGED,
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    WAITING,
    Judged,
    floor_of,
    judge,
    judge_set,
    seeds_of,
)
from bench.report.collect import collect
from bench.report.digests import drop_others, write_digests
from bench.report.evidence import Evidence, load_sets, weigh
from bench.report.frame import Set
from bench.report.numbers import Number
from bench.report.resampling import SEED
from bench.report.sections import numbers_of
from bench.report.stats import Region, binomial_std, contrast, disagreement_std, sample
from bench.report.verdicts import NO_JUDGE, NOT_THE_DATA, claims_sections, paired_table, verdict_words
from bench.spec import DIVERGED, LEVEL, Claim, Net, Recipe, Scale, SpecError, Sweep, dataset_of
from bench.tasks.classification.sections import depth_table, reproductions_table
from bench.train.trainer import DivergedError
from tests.report.builders import fake
from tests.train import builders as loop

SWEEPS = Path(__file__).resolve().parents[2] / "sweeps"
PLAIN = {d: Net("cifar", d, "none") for d in (20, 32, 44, 56)}
RESIDUAL = {d: Net("cifar", d, "A") for d in (20, 56, 110)}
DEGRADES = Claim("degrades", "Deeper is worse.", "Fig. 1", "worse with depth", (PLAIN[20], PLAIN[56]))
ORDER = replace(DEGRADES, id="order", nets=tuple(PLAIN.values()))
BEATS = Claim("beats", "Residual is better.", "Fig. 6", "residual beats plain", (PLAIN[56], RESIDUAL[56]))
EQUALS = Claim(
    "same", "The same number.", "Table 6", "equals", (RESIDUAL[110],), margin=0.5, number="t6.resnet-110.error"
)
IN_BF16 = Claim("bf16", "The same in bf16.", "", "unchanged", (PLAIN[20],), margin=0.5, variant="bf16")
ABOVE_60 = Claim("above", "Above.", "Fig. 6", "exceeds", (PLAIN[56],), number="txt.plain-110.error")
NOT_WORSE = Claim("no", "No worse.", "", "not worse with depth", (RESIDUAL[20], RESIDUAL[56]), margin=0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "nicer"}, "kind 'nicer' is not one of"),
        ({"metric": "colour"}, "metric 'colour' is not one of: test_error, train_error"),
        ({"nets": (PLAIN[20],)}, "'worse with depth' is not about 1 nets"),
        ({"margin": -1}, "margin must be 0 or more, got -1"),
        ({"number": "t6.resnet-20.error"}, "'worse with depth' names no number of the paper"),
        ({"kind": "equals", "nets": (PLAIN[20],)}, "needs a margin above 0; 'equals' needs the id of a number"),
        ({"kind": "unchanged", "nets": (PLAIN[20],), "margin": 1}, "'unchanged' needs a variant, such as \"bf16\""),
        ({"kind": "unchanged", "nets": (PLAIN[20],), "variant": "bf16"}, "no seeds prove two numbers equal"),
        ({"variant": "bf16"}, "'worse with depth' has no variant"),
    ],
)
def test_a_claim_that_cannot_be_meant_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        replace(DEGRADES, **changes)


def test_a_sweep_refuses_two_claims_of_one_name_and_claims_about_nets_that_it_does_not_run() -> None:
    scales = {"quick": Scale(((PLAIN[20], Recipe()), (PLAIN[56], Recipe())), (0,))}

    with pytest.raises(SpecError, match="two claims have the id degrades; claims .* are about nets .*: resnet-56-A"):
        Sweep("T", "Q?", "C.", scales, claims=(DEGRADES, DEGRADES, BEATS))
    with pytest.raises(SpecError, match=r"are about nets .*: plain-20\+bf16"):
        Sweep("T", "Q?", "C.", scales, claims=(IN_BF16,))


@pytest.mark.parametrize(
    ("scale", "changes", "message"),
    [
        (
            "paper",
            {"judges": ("degrades", "nicer")},
            "claims that are not there: nicer; there are: degrades, beats",
        ),
        (
            "paper",
            {"judges": ("degrades", "beats")},
            "paper judges 'beats' and does not plan two seeds or more of each of its nets",
        ),
        ("quick", {"judges": ("degrades",)}, "scale quick judges no claim: its recipe is made for minutes"),
    ],
)
def test_a_scale_cannot_judge_what_it_cannot_know(scale: str, changes: dict[str, Any], message: str) -> None:
    own = Scale(((PLAIN[20], Recipe()), (PLAIN[56], Recipe())), (0, 1))
    whole = Scale((*own.cells, (RESIDUAL[56], Recipe())), (0, 1))
    scales = {"short": whole, scale: replace(own, **changes)}

    with pytest.raises(SpecError, match=message):
        Sweep("T", "Q?", "C.", scales, claims=(DEGRADES, BEATS))


def test_scale_paper_judges_every_claim_whose_nets_it_runs_and_the_others_what_they_say() -> None:
    some = Scale(((PLAIN[20], Recipe()), (PLAIN[56], Recipe())), (0, 1))
    whole = Scale((*some.cells, (RESIDUAL[56], Recipe())), (0, 1))

    def judged(scale: str, at: Scale) -> list[str]:
        sweep = Sweep("T", "Q?", "C.", {"quick": whole, scale: at}, claims=(DEGRADES, BEATS))
        return [claim.id for claim in sweep.judged_at(scale)]

    assert judged("paper", whole) == ["degrades", "beats"]
    assert judged("paper", some) == ["degrades"]
    assert judged("paper", replace(whole, judges=("beats",))) == ["beats"]
    assert judged("paper", replace(whole, judges=())) == judged("short", whole) == judged("quick", whole) == []
    assert judged("short", replace(whole, judges=("beats", "degrades"))) == ["degrades", "beats"]


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.py")), ids=lambda p: p.stem)
def test_the_sweeps_claims_compare_with_numbers_that_the_paper_has(path: Path) -> None:
    _, sweep = load_sweep(str(path))

    assert sweep.claims or sweep.task != "classify"  # the others say in words what they found
    for claim in sweep.claims:
        assert not claim.number or paper_numbers()[claim.number]["net"] == claim.nets[0].name


def by_seed(**by_net: Sequence[float]) -> dict[tuple[str, str], dict[int, float]]:
    """`plain_20=[9.4, 9.5]`, or `resnet_20_A__bf16=` for a variant: the test errors of seeds 0, 1, ..."""
    names = {net: net.replace("__", "+").replace("_", "-") for net in by_net}
    return {(names[net], "test_error"): dict(enumerate(values)) for net, values in by_net.items()}


def no_floor(*_: object) -> float:
    return 0.0


def judged(claims: Sequence[Claim], planned: int = 3, **by_net: Sequence[float]) -> tuple[Judged, ...]:
    """The claims, all of them judged, with as many seeds planned for each net."""
    plan = {name: range(planned) for claim in claims for name in claim.names}
    return judge(claims, claims, by_seed(**by_net), plan, no_floor)


def one(claim: Claim, **by_net: Sequence[float]) -> Judged:
    """The claim judged alone, at the seeds there are."""
    return judged((claim,), max(map(len, by_net.values())), **by_net)[0]


LOW, HIGH = [9.4, 9.5, 9.6], [13.0, 13.5, 13.2]


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

    assert (found.verdict, verdict_words(found, comparable=True)) == (WAITING, "not judged: one seed is no spread")


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


ERRORS = {"plain-20": LOW, "plain-56": HIGH, "resnet-20-A": [8.5, 8.6, 8.7], "resnet-56-A": [7.0, 7.1, 7.2]}


def runs(
    scale: str = "paper", data: str = "cifar10", errors: Mapping[str, Sequence[float]] = ERRORS, images: int = 10_000
) -> Set:
    """Three seeds of four nets, all of them done."""
    rows = [
        {
            "id": f"{net}-{i}", "net": net, "depth": int(re.split("[-+]", net)[1]), "seed": i, "state": "done",
            "test_error": error, "train_error": error / 4, "train_loss": 0.1, "test_images": images,
            "variant": net.partition("+")[2], "curve_every": 200, "batch": 128, "error_message": "",
            "claims_sha256": "", "data_sha256": "",
        }
        for net, values in errors.items()
        for i, error in enumerate(values)
    ]  # fmt: skip
    return Set(scale, data, pd.DataFrame(rows), pd.DataFrame())


def without(whole: Set, name: str, state: str, message: str = "") -> Set:
    """The set with one run that has no number."""
    frame = whole.runs.set_index("id", drop=False)
    frame.loc[name, ["state", "test_error", "train_error", "error_message"]] = [state, None, None, message]
    return replace(whole, runs=frame.reset_index(drop=True))


CELLS = (*((net, Recipe()) for net in (*PLAIN.values(), *RESIDUAL.values())), (PLAIN[20], Recipe(precision="bf16")))


def made_up(*claims: Claim, seeds: tuple[int, ...] = (0, 1, 2)) -> Sweep:
    """At scale paper all of the claims are judged, at scale short the first of them."""
    scale = Scale(CELLS, seeds)
    short = replace(scale, judges=tuple(claim.id for claim in claims[:1]))
    return Sweep("Made up", "Is it?", "It is.", {"paper": scale, "short": short, "quick": scale}, claims=claims)


def evidence(one: Set, *claims: Claim) -> Evidence:
    return weigh("made_up", made_up(*claims), [one])[0]


def claims(of: Evidence) -> list[str]:
    return [text for section in claims_sections(of) for text in section.markdown(of.results.label)]


@pytest.mark.parametrize(
    "message",
    [
        "the training loss is nan at step 1,234",
        "the training loss is inf at step 7",
        "the training loss is -inf at step 64,000",
        "the test loss is nan at step 2,000",
    ],
)
def test_a_diverged_seed_has_the_error_of_a_guess(message: str) -> None:
    seeds = seeds_of(without(runs(), "plain-56-1", "failed", message))

    assert seeds["plain-56", "test_error"] == {0: 13.0, 1: 90.0, 2: 13.2}
    assert seeds["plain-56", "train_error"] == {0: 3.25, 1: 90.0, 2: 3.3}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("failed", "CUDA out of memory"),
        ("failed", "No space left on device: the training loss is nan at step 7"),
        ("pending", ""),
        ("failed", ""),
    ],
)
def test_a_run_that_failed_otherwise_is_missing(state: str, message: str) -> None:
    seeds = seeds_of(without(runs(), "plain-56-1", state, message))

    assert seeds["plain-56", "test_error"] == {0: 13.0, 2: 13.2}


def test_what_counts_as_diverged_is_what_the_training_loop_says() -> None:
    with pytest.raises(DivergedError) as caught:
        loop.run(loop.trainer(spoil_at=5))

    assert DIVERGED.match(str(caught.value))


def test_a_diverged_seed_is_part_of_the_n_and_another_failure_keeps_the_claim_waiting() -> None:
    sweep = made_up(DEGRADES)
    diverged, failed = (
        judge_set(sweep, without(runs(), "plain-56-1", "failed", message))[0]
        for message in ("the training loss is nan at step 1,234", "CUDA out of memory")
    )

    assert (diverged.decided, diverged.seeds["plain-56"]) == (True, (3, 3))
    assert diverged.links[0].effect.ns == (3, 3)
    assert diverged.links[0].effect.effect == pytest.approx((13.0 + 90.0 + 13.2) / 3 - 9.5)
    assert (failed.verdict, failed.seeds["plain-56"]) == (WAITING, (2, 3))


def test_five_equal_values_against_five_others_are_undecided_and_nothing_is_certain() -> None:
    errors = {"plain-20": [8.99] * 5, "plain-56": [9.0] * 5}

    (found,) = judge_set(made_up(DEGRADES, seeds=(0, 1, 2, 3, 4)), runs(errors=errors))

    se = math.sqrt((binomial_std(8.99, 10_000) ** 2 + binomial_std(9.0, 10_000) ** 2) / 5)
    assert found.verdict == UNDECIDED
    assert found.links[0].effect.se == pytest.approx(se)
    assert found.p_for == pytest.approx(scipy_stats.t.sf(0.01 / se, found.links[0].effect.df))
    assert judge((DEGRADES,), (DEGRADES,), by_seed(plain_20=[8.99] * 5, plain_56=[9.0] * 5),
                 dict.fromkeys(DEGRADES.names, range(5)), no_floor)[0].p_for == 1  # fmt: skip


def test_a_spread_above_the_floor_stays_as_it_is() -> None:
    errors = {"plain-20": [8.0, 9.0, 10.0], "plain-56": [11.0, 12.5, 13.0]}

    (found,) = judge_set(made_up(DEGRADES), runs(errors=errors))

    assert found.links[0].effect.variances == pytest.approx(
        (sample(errors["plain-56"]).std ** 2, sample(errors["plain-20"]).std ** 2)
    )


def test_the_floor_is_by_the_images_on_which_seeds_disagree_and_else_by_their_number() -> None:
    bare, plan = runs(images=64, errors={"plain-20": [50.0] * 3, "plain-20+bf16": [50.0] * 3}), range(3)
    rng = np.random.default_rng(0)
    bits = {str(name): rng.integers(256, size=8, dtype=np.uint8) for name in bare.runs["id"]}
    stored = replace(bare, correct=bits)
    own, other = (np.stack([np.unpackbits(bits[f"plain-20{v}-{i}"]) for i in plan]) == 1 for v in ("", "+bf16"))
    planned = {"plain-20": plan, "plain-20+bf16": plan}
    both = ("plain-20", "plain-20+bf16")

    by_images, by_number = floor_of(stored, planned), floor_of(bare, planned)

    assert by_images(("plain-20",), "test_error") == pytest.approx(disagreement_std(own))
    assert by_images(both, "test_error") == pytest.approx(disagreement_std(own, other))
    assert floor_of(stored, {**planned, "plain-20": (0, 1)})(both, "test_error") == pytest.approx(
        disagreement_std(own[:2], other)
    )
    assert by_number(("plain-20",), "test_error") == pytest.approx(100 * 0.5 / 8)
    assert by_number(both, "test_error") == pytest.approx(math.sqrt(2) * 100 * 0.5 / 8)
    # a window of 200 steps of 128 images, of which an eighth are wrong
    assert by_images(("plain-20",), "train_error") == pytest.approx(100 * math.sqrt(7 / 64 / (200 * 128)))


@pytest.mark.parametrize(("scale", "verdicts"), [("short", [REPRODUCED, NOT_JUDGED]), ("quick", [NOT_JUDGED] * 2)])
def test_another_scale_judges_what_it_declares_and_describes_the_rest(scale: str, verdicts: list[str]) -> None:
    found = judge_set(made_up(DEGRADES, BEATS), runs(scale))
    page = "\n".join(claims(evidence(runs(scale), DEGRADES, BEATS)))

    assert [one.verdict for one in found] == verdicts
    assert all(one.links for one in found)
    assert (NO_JUDGE in page) == (scale == "quick")
    judged = "**Of 1 claim to be judged at this scale, which is not the paper's schedule: 1 reproduced.**"
    assert (judged in page) == (scale == "short")


def test_on_a_stand_in_no_claim_is_judged_and_the_page_says_so() -> None:
    found = judge_set(made_up(DEGRADES), runs("quick", "stand-in"))

    assert [one.verdict for one in found] == [NOT_JUDGED]
    assert NOT_THE_DATA in claims(evidence(runs("quick", "stand-in"), DEGRADES))


def test_the_verdict_in_words_says_what_it_still_waits_for_and_where_it_holds() -> None:
    here, nothing = one(DEGRADES, plain_20=LOW, plain_56=HIGH), judged((DEGRADES,), 3)[0]
    some, all_alike = (judged((DEGRADES,), 3, plain_20=LOW[:n], plain_56=HIGH[:1])[0] for n in (3, 1))

    assert verdict_words(here, comparable=True) == "**reproduced**"
    assert verdict_words(here, comparable=False) == "**reproduced** at this scale"
    assert verdict_words(nothing, comparable=True) == "not judged: 0 of 3 seeds"
    assert verdict_words(all_alike, comparable=True) == "not judged: 1 of 3 seeds"
    assert verdict_words(some, comparable=False) == "not judged: plain-56 1 of 3 seeds"


def test_the_page_counts_the_verdicts_and_says_how_they_came_about() -> None:
    of = evidence(runs(), DEGRADES, BEATS, EQUALS)
    page = "\n".join(claims(of))

    assert "**Of 3 claims to be judged: 2 reproduced, 1 waiting for seeds.**" in page
    assert "plain-56 − plain-20: +3.73 [" in page
    assert "Holm-adjusted over the 3 claims to be judged at this scale" in page
    assert f"(digest `{of.sweep.claims_digest('paper')[:12]}`)" in page
    assert claims(evidence(runs())) == []


DECLARED = Sweep(
    "Made up",
    "Is it?",
    "It is.",
    {"paper": Scale(CELLS, (0, 1, 2), seeds_by_net={RESIDUAL[110]: (0, 1)}, judges=("degrades", "same", "bf16"))},
    claims=(DEGRADES, EQUALS, IN_BF16, BEATS),
)


def test_the_digest_of_a_declaration_never_changes_by_accident() -> None:
    """A change of this golden value is a change of what was declared before the runs of every sweep."""
    assert DECLARED.declaration("paper")["claims"][2] == {
        "id": "same", "metric": "test_error", "number": "t6.resnet-110.error", "paired": False,
        "comparisons": [{"weights": {"resnet-110-A": 1}, "low": -0.5, "high": 0.5}],
        "seeds": {"resnet-110-A": [0, 1]},
    }  # fmt: skip
    assert DECLARED.claims_digest("paper") == "2841ebe83a30897e1b126b3cc3dba3862675dfc278182745e4167c089899e37e"


def changed(claim: Claim, **changes: Any) -> tuple[Claim, ...]:
    return tuple(replace(one, **changes) if one == claim else one for one in DECLARED.claims)


def rescaled(**changes: Any) -> dict[str, Scale]:
    return {"paper": replace(DECLARED.scales["paper"], **changes)}


@pytest.mark.parametrize(
    "changes",
    [
        {"claims": changed(DEGRADES, text="In other words.", source="Fig. 6")},
        {"title": "T", "question": "Q?", "claim": "C.", "deviations": ("None.",)},
        {"scales": rescaled(about="the whole", deviations=("None.",))},
        {"scales": rescaled(judges=("bf16", "same", "degrades"))},
        {"claims": DECLARED.claims[::-1]},
        {"claims": changed(BEATS, margin=1.0)},
        {"claims": DECLARED.claims[:3]},
        {"claims": (*DECLARED.claims, ORDER)},
        {"scales": rescaled(seeds_by_net={RESIDUAL[110]: (0, 1), RESIDUAL[56]: (7, 8)})},
    ],
    ids=["text", "title", "about", "order of judges", "order", "unjudged", "one less", "one more", "foreign net"],
)
def test_wording_order_and_what_is_not_judged_are_not_in_the_digest(changes: dict[str, Any]) -> None:
    assert replace(DECLARED, **changes).claims_digest("paper") == DECLARED.claims_digest("paper")


@pytest.mark.parametrize(
    "changes",
    [
        {"claims": changed(DEGRADES, margin=0.1)},
        {"claims": changed(EQUALS, margin=0.6)},
        {"claims": changed(DEGRADES, nets=(PLAIN[20], PLAIN[44]))},
        {"claims": changed(DEGRADES, nets=(PLAIN[56], PLAIN[20]))},
        {"claims": changed(DEGRADES, kind="better with depth")},
        {"claims": changed(DEGRADES, metric="train_error")},
        {"claims": changed(EQUALS, number="t6.resnet-56.error")},
        {"scales": rescaled(seeds=(0, 1, 2, 3))},
        {"scales": rescaled(seeds=(3, 4, 5))},
        {"scales": rescaled(seeds_by_net={})},
        {"scales": rescaled(judges=("degrades", "same"))},
        {"scales": rescaled(judges=None)},
    ],
    ids=["margin", "equality", "net", "order", "kind", "metric", "number", "n", "seeds", "net's", "less", "all"],
)
def test_all_that_can_change_a_verdict_is_in_the_digest(changes: dict[str, Any]) -> None:
    assert replace(DECLARED, **changes).claims_digest("paper") != DECLARED.claims_digest("paper")


def test_the_digest_is_of_one_scale() -> None:
    both = replace(DECLARED, scales={**DECLARED.scales, "short": DECLARED.scales["paper"]})

    assert both.claims_digest("short") != both.claims_digest("paper") == DECLARED.claims_digest("paper")


def test_nets_are_compared_image_by_image_where_the_images_are_stored() -> None:
    bare = without(without(runs(images=16), "plain-20-0", "failed"), "plain-56-1", "pending")
    stored = {str(name): bytes([0b11110000, 0b11001100]) for name in bare.runs["id"]}
    better = {name: bytes([0b11111111, 0b11001100]) for name in stored if name.startswith("resnet")}
    bits = {name: np.frombuffer(value, np.uint8) for name, value in (stored | better).items()}

    found = paired_table(evidence(replace(bare, correct=bits)))
    assert found is not None
    table = re.sub(r"<a id=\S+></a>", "", found.markdown()).splitlines()

    assert not evidence(bare).pairs
    assert [cell.strip() for cell in table[2].strip("|").split("|")][:3] == ["20", "2, 3", "−25.00"]
    assert [cell.strip() for cell in table[2].strip("|").split("|")][4:] == ["0", "4", "0.062"]


def test_the_shallowest_and_the_deepest_net_of_a_kind_are_compared_image_by_image() -> None:
    errors = {name: [25.0, 25.0] for name in ("plain-20", "plain-32", "plain-56", "resnet-20-A")}
    bare = with_params(runs(images=16, errors=errors))
    bits = {str(name): np.frombuffer(bytes([0b11110000, 0b11001100]), np.uint8) for name in bare.runs["id"]}
    bits["plain-56-0"] = bits["plain-56-1"] = np.frombuffer(bytes([0b11100000, 0b11001100]), np.uint8)

    found = depth_table(evidence(replace(bare, correct=bits)))

    assert found is not None
    ((nets, seeds, difference, _, *rest),) = found.rows
    assert (nets, seeds, rest) == ("plain-20, plain-56", "2, 2", ["1", "0", "0.500"])
    assert isinstance(difference, Number)
    assert (difference.id, difference.value) == ("made_up.paper.pair-plain-20-plain-56.test_error", 6.25)
    assert (difference.n, len(difference.runs), str(difference)) == (2, 4, "+6.25")


def test_the_bootstrap_of_a_page_is_the_same_every_time() -> None:
    bare = runs()
    rng = np.random.default_rng(0)
    bits = {str(name): rng.integers(256, size=250, dtype=np.uint8) for name in bare.runs["id"]}
    stored = replace(bare, correct=bits, runs=bare.runs.assign(test_images=2_000))

    assert paired_table(evidence(stored)) == paired_table(evidence(stored))


@pytest.mark.parametrize(
    ("digests", "words"),
    [
        (("", "", ""), "not judged: 1 of 3 seeds; started before the claims were declared"),
        (("", "now", ""), "not judged: 1 of 3 seeds; some runs started before the claims were declared"),
        (("now", "now", ""), "not judged: 1 of 3 seeds"),
        (("other", "other", ""), "not judged: 1 of 3 seeds; started under other claims than today's"),
    ],
)
def test_the_page_says_which_claims_are_younger_than_runs_that_they_judge(
    digests: tuple[str, str, str], words: str
) -> None:
    results = runs(errors={"plain-20": LOW[:1], "plain-56": HIGH[:1], "resnet-56-A": LOW[:1]})
    now = evidence(results, DEGRADES).sweep.claims_digest("paper")
    dated = results.runs.assign(claims_sha256=[now if text == "now" else text for text in digests])

    page = "\n".join(claims(evidence(replace(results, runs=dated), DEGRADES)))

    assert f"| {words} |" in page


def test_the_first_page_is_that_of_a_scale_with_verdicts(tmp_path: Path) -> None:
    net, other = PLAIN[20], PLAIN[56]
    cells = tuple((n, Recipe(steps=100, drops=(50, 75), curve_every=10, test_every=50)) for n in (net, other))
    scales = {"paper": Scale(cells, (0, 1)), "short": Scale(cells, (0, 1), judges=("degrades",))}
    sweep = Sweep("Made up", "Is it?", "It is.", scales, claims=(DEGRADES,))
    ended = [*sweep.runs("paper", (0,)), *sweep.runs("short", (0,))]
    for number, run in enumerate(ended):
        fake(tmp_path / "runs", run, 10.0 + number)
    collect(tmp_path / "results", [tmp_path / "runs"], ended)
    first = [one.scale for one in load_sets(tmp_path / "results", sweep)]
    for number, run in enumerate(sweep.runs("short", (1,))):
        fake(tmp_path / "runs", run, 11.0 + number)
    collect(tmp_path / "results", [tmp_path / "runs"], ended)

    assert first == ["paper", "short"]
    assert [one.scale for one in load_sets(tmp_path / "results", sweep)] == ["short", "paper"]


def test_a_report_takes_the_place_of_the_files_of_an_earlier_one_and_leaves_others_alone(tmp_path: Path) -> None:
    for name in ("README.md", "quick.md", "notes.md"):
        (tmp_path / name).write_text(name)
    write_digests(tmp_path, [Path("README.md"), Path("quick.md")])

    drop_others(tmp_path, [Path("README.md")])

    assert sorted(path.name for path in tmp_path.glob("*.md")) == ["README.md", "notes.md"]


def test_other_peoples_numbers_stand_beside_ours_at_the_papers_schedule_alone() -> None:
    nets = {"plain-20": [9.3], "resnet-20-A": [8.5], "resnet-56-A": []}
    here, quick = (reproductions_table(evidence(with_params(runs(scale, errors=nets)))) for scale in ("paper", "quick"))

    assert quick is None
    assert here is not None
    assert dict(zip(here.header, next(row for row in here.rows if row[0] == "ResNet-20"), strict=True)) == {
        "net": "ResNet-20", "paper": "8.75", "here (n)": "8.50 (1)", "akamaster, PyTorch": "8.27",
        "gcr, Torch": "8.29", "fish145, Caffe": "8.06", "a-martyn, PyTorch": "8.00",
    }  # fmt: skip
    assert (
        "akamaster, PyTorch (github.com/akamaster/pytorch_resnet_cifar10): best epoch on the test images" in here.note
    )


def with_params(results: Set) -> Set:
    """The columns that a table of nets needs besides."""
    residual = results.runs["net"].str.startswith("resnet")
    more: dict[str, Any] = {
        "params": 1,
        "multiply_adds": 1,
        "norm": "bn",
        "shortcut": residual.map({True: "A", False: "none"}),
    }
    return replace(results, runs=results.runs.assign(**more))


def test_a_claim_that_waits_has_an_effect_and_no_interval_on_the_page_or_in_its_number() -> None:
    of = evidence(runs(errors={"plain-20": LOW, "plain-56": HIGH[:2]}), DEGRADES)

    assert "</a>plain-56 − plain-20: +3.75 | 2 to 3 | – |" in "\n".join(claims(of))
    (number,) = numbers_of(claims_sections(of))
    assert (round(number.value, 2), number.interval, number.verdict) == (3.75, None, WAITING)


def test_runs_on_data_that_are_not_the_official_ones_give_no_verdict() -> None:
    results = runs(errors={"plain-20": LOW, "plain-56": HIGH})
    official, other = dataset_of("cifar10").sha256, "d" * 64

    def verdict(*shas: str) -> Judged:
        (found,) = evidence(replace(results, runs=results.runs.assign(data_sha256=shas)), DEGRADES).judged
        return found

    assert verdict(*[official] * 6).verdict == REPRODUCED
    found = verdict(*[official] * 5, other)
    assert (found.verdict, found.seeds) == (WAITING, {"plain-20": (3, 3), "plain-56": (2, 3)})


def test_the_simulation_of_a_fixed_seed_is_the_committed_one() -> None:
    """The first cell of the committed table, from the functions that judge today: a change of these shows here."""
    _, sweep = load_sweep("plain_vs_residual")
    page = (SWEEPS.parent / "reports" / "procedure" / "plain_vs_residual-short.md").read_text(encoding="utf-8")
    plan = simulate.Plan(sweep, "short", (0.07, 9.7))
    drawn = next(iter(simulate.SPREADS.values()))

    (words, means), rng = next(simulate.on_the_bounds(plan)), np.random.default_rng(SEED)

    assert f"\n| {words} | {simulate.share_wrong(plan, means, drawn, 1_000, rng):.1f} |" in page
