"""Claims: declared before the runs, judged from the seeds, shown with what an undecided one still needs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.declared import load_sweep
from bench.paper import paper_numbers
from bench.report.claims import (
    NOT_COMPARABLE,
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    Judged,
    judge,
    judge_set,
    samples_of,
    seeds_to_go,
)
from bench.report.evidence import Evidence, weigh
from bench.report.frame import Set
from bench.report.stats import Sample, sample, seeds_until_decided
from bench.report.verdicts import claims_section, claims_table, paired_table, verdict_words
from bench.spec import Claim, Net, Recipe, Scale, SpecError, Sweep

SWEEPS = Path(__file__).resolve().parents[1] / "sweeps"
PLAIN = {d: Net("cifar", d, "none") for d in (20, 32, 44, 56)}
RESIDUAL = {d: Net("cifar", d, "A") for d in (20, 56, 110)}
DEGRADES = Claim("degrades", "Deeper is worse.", "Fig. 1", "worse with depth", (PLAIN[20], PLAIN[56]))
ORDER = replace(DEGRADES, id="order", nets=tuple(PLAIN.values()))
BEATS = Claim("beats", "Residual is better.", "Fig. 6", "residual beats plain", (PLAIN[56], RESIDUAL[56]))
EQUALS = Claim(
    "same", "The same number.", "Table 6", "equals", (RESIDUAL[110],), margin=0.5, number="t6.resnet-110.error"
)

IN_BF16 = Claim("bf16", "The same in bf16.", "", "unchanged", (PLAIN[20],), margin=0.5, variant="bf16")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "nicer"}, "kind 'nicer' is not one of"),
        ({"metric": "colour"}, "metric 'colour' is not one of: test_error, train_error"),
        ({"nets": (PLAIN[20],)}, "'worse with depth' is not about 1 nets"),
        ({"margin": -1}, "margin must not be negative, got -1"),
        ({"number": "t6.resnet-20.error"}, "'worse with depth' names no number of the paper"),
        ({"kind": "equals", "nets": (PLAIN[20],)}, "give a margin; 'equals' needs the id of a number"),
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


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.py")), ids=lambda p: p.stem)
def test_the_sweeps_claims_compare_with_numbers_that_the_paper_has(path: Path) -> None:
    _, sweep = load_sweep(str(path))

    assert sweep.claims or sweep.task != "classify"  # the others say in words what they found
    for claim in sweep.claims:
        assert not claim.number or paper_numbers()[claim.number]["net"] == claim.nets[0].name


def samples(**by_net: list[float]) -> dict[tuple[str, str], Sample]:
    return {(net.replace("_", "-"), "test_error"): sample(values) for net, values in by_net.items()}


def one(claim: Claim, **by_net: list[float]) -> Judged:
    return judge((claim,), samples(**by_net))[0]


LOW, HIGH = [9.4, 9.5, 9.6], [13.0, 13.5, 13.2]


def test_a_clear_difference_in_the_claimed_direction_is_reproduced_and_the_other_way_round_is_not() -> None:
    assert one(DEGRADES, plain_20=LOW, plain_56=HIGH).verdict == REPRODUCED
    assert one(DEGRADES, plain_20=HIGH, plain_56=LOW).verdict == NOT_REPRODUCED
    assert one(BEATS, plain_56=HIGH, resnet_56_A=LOW).verdict == REPRODUCED


def test_the_effect_is_positive_in_the_claimed_direction() -> None:
    worse, better = one(DEGRADES, plain_20=LOW, plain_56=HIGH), replace(DEGRADES, kind="better with depth")

    assert [(link.label, round(link.effect.effect, 2)) for link in worse.links] == [("plain-56 − plain-20", 3.73)]
    assert round(one(better, plain_20=HIGH, plain_56=LOW).links[0].effect.effect, 2) == 3.73


def test_an_order_holds_only_where_every_step_does() -> None:
    rising = {"plain_20": LOW, "plain_32": [v + 2 for v in LOW], "plain_44": [v + 4 for v in LOW], "plain_56": HIGH}

    assert one(ORDER, **rising).verdict == UNDECIDED  # 44 to 56 layers: a difference of −0.27
    assert one(ORDER, **rising | {"plain_56": [v + 6 for v in LOW]}).verdict == REPRODUCED
    assert one(ORDER, **rising | {"plain_56": LOW}).verdict == NOT_REPRODUCED


def test_an_order_with_a_net_missing_can_be_refuted_but_not_reproduced() -> None:
    judged = one(ORDER, plain_20=LOW, plain_56=HIGH)

    assert (judged.verdict, judged.missing) == (UNDECIDED, ("plain-32", "plain-44"))
    assert verdict_words(judged, {}) == "undecided (no number of plain-32; plain-44)"
    assert one(ORDER, plain_20=HIGH, plain_56=LOW).verdict == NOT_REPRODUCED


def test_an_order_of_three_steps_has_three_ways_to_be_wrongly_refuted() -> None:
    judged = one(ORDER, plain_20=LOW, plain_32=HIGH, plain_44=[12.9, 13.4, 12.8], plain_56=[15.0, 15.1, 15.2])
    ps = [link.region.p_outside(link.effect) for link in judged.links]

    assert judged.p_against == pytest.approx(3 * min(ps))


def test_the_seeds_still_needed_are_for_the_level_that_the_open_claims_share() -> None:
    nets = samples(plain_20=[9.5, 9.7, 9.9], plain_56=[9.8, 10.1, 9.9], resnet_56_A=[9.8, 9.7, 10.0])
    judged = judge((DEGRADES, BEATS), nets)

    more = seeds_to_go(judged)

    assert [j.verdict for j in judged] == [UNDECIDED] * 2
    for j in judged:
        needed = seeds_until_decided(j.links[0].effect, j.links[0].region, 0.05 / 2)
        assert needed is not None
        assert more[j.claim.id] == needed - 3


def test_the_same_number_means_the_papers_mean_of_five_and_not_its_best() -> None:
    near_the_best = [6.10, 6.12, 6.11, 6.09]  # within 0.5 of 6.43, not of 6.61

    assert one(EQUALS, resnet_110_A=[6.5, 6.7, 6.6, 6.55]).verdict == REPRODUCED
    assert one(EQUALS, resnet_110_A=near_the_best).verdict != REPRODUCED
    assert one(EQUALS, resnet_110_A=[7.6, 7.5, 7.55]).verdict == NOT_REPRODUCED


def test_every_seed_at_chance_is_above_sixty_for_certain() -> None:
    above = Claim("c", "Above.", "Fig. 6", "exceeds", (PLAIN[56],), number="txt.plain-110.error")

    assert one(above, plain_56=[90.0, 90.0, 90.0]).p_for == 0.0
    assert one(above, plain_56=[90.0, 90.0, 90.0]).verdict == REPRODUCED


@pytest.mark.parametrize(
    ("nets", "words"),
    [
        ({"plain_20": [9.5], "plain_56": HIGH}, "undecided (needs two seeds of each net)"),
        ({"plain_20": [9.5, 9.7, 9.9], "plain_56": [9.8, 10.1, 9.9]}, "undecided (about 6 more seeds of each net)"),
        ({"plain_20": [9.5, 9.9], "plain_56": [9.7, 9.70001]}, "undecided (1,000 seeds of each net would not"),
        ({}, "undecided (no number of plain-20; plain-56)"),
    ],
)
def test_what_an_undecided_claim_still_needs_is_said(nets: dict[str, list[float]], words: str) -> None:
    judged = judge((DEGRADES,), samples(**nets))

    assert verdict_words(judged[0], seeds_to_go(judged)).startswith(words)


def test_more_claims_make_each_of_them_harder() -> None:
    nets = samples(plain_20=[9.4, 9.5, 9.6], plain_56=[9.7, 9.8, 9.95])
    alone, among = judge((DEGRADES,), nets)[0], judge((DEGRADES, ORDER, BEATS), nets)[0]

    assert alone.verdict == REPRODUCED
    assert among.p_for == pytest.approx(3 * alone.p_for)


def runs(scale: str = "paper", data: str = "cifar10") -> Set:
    """Three seeds of four nets; a seed failed, another was not run."""
    nets = {"plain-20": LOW, "plain-56": HIGH, "resnet-20-A": [8.5, 8.6, 8.7], "resnet-56-A": [7.0, 7.1, 7.2]}
    rows = [
        {
            "id": f"{net}-{i}", "net": net, "depth": int(net.split("-")[1]), "seed": i, "state": "done",
            "test_error": error, "train_error": error / 4, "test_images": 16, "variant": "",
        }
        for net, errors in nets.items()
        for i, error in enumerate(errors)
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    frame.loc[0, ["state", "test_error", "train_error"]] = ["failed", None, None]
    frame.loc[4, "state"] = "pending"
    return Set(scale, data, frame, pd.DataFrame())


def evidence(one: Set, *claims: Claim) -> Evidence:
    cells = tuple((net, Recipe()) for net in (*PLAIN.values(), *RESIDUAL.values()))
    sweep = Sweep("Made up", "Is it?", "It is.", {"paper": Scale(cells, (0,))}, claims=claims)
    return weigh("made_up", sweep, [one])[0]


def claims(of: Evidence) -> list[str]:
    return claims_section(of, claims_table(of) if of.judged else None)


@pytest.mark.parametrize(
    ("other", "finding"),
    [
        ((8.6, 8.7, 8.8, 8.7), REPRODUCED),  # 0.05 away
        ((9.6, 9.7, 9.8, 9.7), NOT_REPRODUCED),  # 1.05 worse
        ((7.6, 7.7, 7.8, 7.7), NOT_REPRODUCED),  # 0.95 better, which is a change, too
        ((8.6, 9.9, 8.1, 9.2), UNDECIDED),
    ],
)
def test_a_net_is_unchanged_by_another_recipe_where_the_tests_show_it_within_the_margin(
    other: tuple[float, ...], finding: str
) -> None:
    own = sample((8.6, 8.8, 8.7, 8.5))

    (judged,) = judge((IN_BF16,), {("plain-20", "test_error"): own, ("plain-20+bf16", "test_error"): sample(other)})
    (alone,) = judge((IN_BF16,), {("plain-20", "test_error"): own})

    assert judged.finding == finding
    assert judged.links[0].label == "plain-20, bf16 − plain-20"
    assert judged.links[0].effect.effect == pytest.approx(np.mean(other) - 8.65)
    assert (alone.finding, alone.links, alone.missing) == (UNDECIDED, (), ("plain-20+bf16",))


def test_failed_and_missing_runs_are_counted_as_seeds_without_a_number() -> None:
    counted = samples_of(runs().runs)

    assert (counted["plain-20", "test_error"].n, counted["plain-20", "test_error"].missing) == (2, 1)
    assert (counted["plain-56", "train_error"].n, counted["plain-56", "train_error"].missing) == (2, 1)


@pytest.mark.parametrize(("scale", "data"), [("quick", "cifar10"), ("short", "cifar10"), ("quick", "stand-in")])
def test_another_scale_gets_no_verdict_on_the_paper_but_says_what_is_seen(scale: str, data: str) -> None:
    judged = judge_set((DEGRADES, EQUALS), runs(scale, data))
    page = "\n".join(claims(evidence(runs(scale, data), DEGRADES, EQUALS)))

    assert [j.verdict for j in judged] == [NOT_COMPARABLE] * 2
    assert verdict_words(judged[0], {}) == "not comparable (seen at this scale)"
    assert verdict_words(judged[1], {}) == "not comparable (no number at this scale)"
    assert "Not comparable with the paper" in page
    assert "about this scale only" in page


def test_the_page_counts_the_verdicts_and_says_how_they_came_about() -> None:
    page = "\n".join(claims(evidence(runs(), DEGRADES, BEATS, EQUALS)))

    assert "**Verdicts on the sweep's 3 claims: 2 reproduced, 1 undecided.**" in page
    assert "plain-56 − plain-20: +3.55 [" in page
    assert "corrected by Holm over all 3 claims" in page
    assert claims(evidence(runs())) == []


def test_nets_are_compared_image_by_image_where_the_images_are_stored() -> None:
    bare = runs()
    stored = {str(name): bytes([0b11110000, 0b11001100]) for name in bare.runs["id"]}
    better = {name: bytes([0b11111111, 0b11001100]) for name in stored if name.startswith("resnet")}
    bits = {name: np.frombuffer(value, np.uint8) for name, value in (stored | better).items()}

    found = paired_table(evidence(replace(bare, correct=bits)))
    assert found is not None
    table = re.sub(r"<a id=\S+></a>", "", found.markdown()).splitlines()

    assert not evidence(bare).pairs
    assert [cell.strip() for cell in table[2].strip("|").split("|")][:3] == ["20", "2, 3", "−25.00"]
    assert [cell.strip() for cell in table[2].strip("|").split("|")][4:] == ["0", "4", "0.062"]


def test_the_bootstrap_of_a_page_is_the_same_every_time() -> None:
    bare = runs()
    rng = np.random.default_rng(0)
    bits = {str(name): rng.integers(256, size=250, dtype=np.uint8) for name in bare.runs["id"]}
    stored = replace(bare, correct=bits, runs=bare.runs.assign(test_images=2_000))

    assert paired_table(evidence(stored)) == paired_table(evidence(stored))
