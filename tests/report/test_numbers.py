"""What a number says of its seeds: those that failed stay in, equal ones are no certainty, shared ones are paired."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from bench.report.claims import REPRODUCED, UNDECIDED, judge_set
from bench.report.frame import Set
from bench.report.numbers import TEST_ERROR, Number, as_csv, of_net, parts, signed, with_worst_case
from bench.report.pairs import apart, paired_table, variants_table
from bench.report.render.latex import macros
from bench.report.stats import AT_FLOOR, IMAGES, SEEDS
from bench.report.tables import caption, p_words
from bench.report.verdicts import claims_table, measured
from bench.spec import Claim
from tests.report.claimed import (
    BEATS,
    DEGRADES,
    EQUALS,
    HIGH,
    LOW,
    PLAIN,
    RESIDUAL,
    claims_of,
    evidence,
    made_up,
    runs,
    with_params,
    without,
)

DIVERGED = "the training loss is nan at step 700"
ALIKE = {"plain-56": [9.0, 9.0], "resnet-56-A": [8.99, 8.99]}


def numbers_in(cell: object) -> tuple[Number, ...]:
    assert isinstance(cell, tuple)
    assert all(isinstance(part, Number) for part in cell)
    return cell


def test_a_diverged_seed_counts_as_a_guess_in_the_worst_case_beside_the_mean_of_the_others() -> None:
    whole = without(runs(), "plain-56-1", "failed", DIVERGED)

    survived, worst = numbers_in(with_worst_case(evidence(whole), "plain-56", TEST_ERROR))

    assert str(survived) == "13.10 ± 0.14 (2)"
    assert (worst.id, worst.n) == ("made_up.paper.plain-56.test_error.worst_case", 3)
    assert worst.value == pytest.approx((13.0 + 90 + 13.2) / 3)
    assert str(worst).startswith("worst case: 38.73 ± 44.40 (3)")
    assert worst.what.endswith("1 diverged seed counted as a guess")
    assert (worst.intervals, len(worst.runs)) == ({}, 3)


@pytest.mark.parametrize(("scale", "described"), [("paper", False), ("quick", True)])
def test_a_claims_number_names_the_runs_it_is_made_of_and_the_guesses_among_them(scale: str, described: bool) -> None:
    """Described alone, as at scale quick, it has no interval then: errors and guesses are no sample of one kind."""
    errors = {"plain-20": [9.4, 9.5, 9.6, 9.0], "plain-56": [13.0, 13.5, 13.2, 13.0], "resnet-20-A": [8.0]}
    of = evidence(without(runs(scale, errors=errors), "plain-56-1", "failed", DIVERGED), DEGRADES)

    (number,) = measured(of, of.judged[0])

    seeds = range(4) if described else range(3)  # the planned ones
    assert set(number.runs) == {f"{net}-{seed}" for net in DEGRADES.names for seed in seeds}
    assert number.n == len(seeds)
    assert number.what.endswith("1 diverged seed counted as a guess")
    assert (number.over_seeds is None) == described


def test_seeds_beyond_the_plan_have_their_own_floor_where_a_claim_is_described() -> None:
    whole = runs("quick", errors={"plain-20": [70.07, 70.08], "plain-56": [80.07, 80.08]}, images=2_000)
    later = replace(whole, runs=whole.runs.assign(seed=whole.runs["seed"] + 7))

    (number,) = measured(evidence(later, DEGRADES), evidence(later, DEGRADES).judged[0])

    assert number.over_seeds is not None
    assert number.over_seeds.high - number.over_seeds.low > 2
    assert number.over_seeds.method.endswith(AT_FLOOR)


def test_a_seed_that_failed_for_another_reason_is_named_and_in_no_number() -> None:
    whole = without(runs(), "plain-56-1", "failed", "No space left on device")

    one = with_worst_case(evidence(whole), "plain-56", TEST_ERROR)

    assert str(one) == "13.10 ± 0.14 (2)"
    assert "Failed: `plain-56-1`: `No space left on device`." in caption(with_columns(whole))
    assert "worst case" not in caption(with_columns(whole))


def with_columns(whole: Set) -> Set:
    mixed = dict.fromkeys(("commit", "hardware", "data_sha256", "torch", "python", "threads", "processes"), "x")
    return replace(whole, runs=whole.runs.assign(steps=64_000, **mixed))


def test_of_a_net_all_of_whose_seeds_diverged_the_worst_case_is_left() -> None:
    whole = runs()
    for seed in range(3):
        whole = without(whole, f"plain-56-{seed}", "failed", DIVERGED)

    none, worst = parts(with_worst_case(evidence(whole), "plain-56", TEST_ERROR))

    assert none == "–"
    assert str(worst) == "worst case: 90.00 ± 0.00 (3)"


@pytest.mark.parametrize("images", ["counted", "stored"])
def test_equal_seeds_are_no_certainty(images: str) -> None:
    """9.00 and 9.00 against 8.99 and 8.99: neither p = 0, nor "reproduced", nor an interval without a width."""
    whole = runs(errors=ALIKE)
    if images == "stored":
        rng, wrong = np.random.default_rng(0), dict(zip(whole.runs["id"], whole.runs["test_error"], strict=True))
        bits = {name: np.packbits(rng.permutation(10_000) >= 100 * error) for name, error in wrong.items()}
        whole = replace(whole, correct=bits)
    of = evidence(whole, BEATS)
    (judged,) = judge_set(made_up(BEATS, seeds=(0, 1)), whole)

    assert judged.verdict != REPRODUCED
    assert judged.p_for > 0.025
    for net in ALIKE:
        number = of_net(of, net, TEST_ERROR)
        assert isinstance(number, Number)
        assert number.over_seeds is not None
        assert number.over_seeds.high - number.over_seeds.low > 0.1
    for pair in of.pairs:
        assert pair.over_seeds is not None
        assert pair.over_seeds.low < -0.01 < 0.01 < pair.over_seeds.high
    assert len(of.pairs) == (images == "stored")


@pytest.mark.parametrize(("seeds", "covers"), [(1, [IMAGES]), (2, [SEEDS, IMAGES])])
def test_a_pair_has_welchs_interval_over_seeds_from_two_of_each_on_and_below_one_over_images(
    seeds: int, covers: list[str]
) -> None:
    of = evidence(stored({net: [9.0] * seeds for net in ALIKE}))
    table = paired_table(of)

    assert table is not None
    number = table.rows[0][2]
    assert isinstance(number, Number)
    assert [one.covers for one in number.intervals.values()] == covers
    assert table.rows[0][3:] == (number.range(number.over_seeds), number.range(number.over_images))
    assert (table.rows[0][3] == "–") == (seeds == 1)


def stored(errors: Mapping[str, Sequence[float]], images: int = 400) -> Set:
    """A set with made-up answers to its images; a seed has something of its own in both recipes of a net."""
    rng, whole = np.random.default_rng(0), with_params(runs(errors=errors, images=images))
    own = {int(seed): rng.random(images) < 0.7 for seed in whole.runs["seed"]}
    seeds = zip(whole.runs["id"], whole.runs["seed"], strict=True)
    bits = {name: np.packbits(own[int(seed)] ^ (rng.random(images) < 0.05)) for name, seed in seeds}
    right = {name: float(100 - 100 * np.unpackbits(row)[:images].mean()) for name, row in bits.items()}
    frame = whole.runs.assign(test_error=whole.runs["id"].map(right), precision="fp32")
    return replace(whole, runs=frame, correct=bits)


def test_two_recipes_of_one_net_are_compared_seed_by_seed_and_only_over_seeds_of_both() -> None:
    of = evidence(stored({"plain-20": [0.0] * 4, "plain-20+bf16": [0.0] * 3}))
    errors = of.results.done.pivot_table(values="test_error", index="seed", columns="net").dropna()
    apart = errors["plain-20+bf16"] - errors["plain-20"]

    table = variants_table(of)

    assert table is not None
    number = table.rows[0][3]
    assert isinstance(number, Number)
    assert number.n == 3
    assert number.value == pytest.approx(apart.mean())
    assert number.over_seeds is not None
    assert number.over_seeds.method.startswith("Student's t")
    assert (number.over_seeds.low + number.over_seeds.high) / 2 == pytest.approx(apart.mean())
    assert len(number.runs) == 6


DEPTH_COSTS = Claim(
    "costs", "Depth costs plain nets more.", "", "interaction", (PLAIN[20], PLAIN[56], RESIDUAL[20], RESIDUAL[56])
)
UNEQUAL = {
    "plain-20": [9.1, 9.2, 9.3, 9.4, 9.5], "plain-56": [13.0, 13.5, 13.2], "resnet-20-A": [8.0, 8.4],
    "resnet-56-A": [7.0, 7.3, 7.1, 7.2],
}  # fmt: skip


def test_a_difference_of_nets_with_unequally_many_seeds_says_n_of_each_in_the_order_of_its_words() -> None:
    of = evidence(runs("quick", errors=UNEQUAL), DEGRADES, DEPTH_COSTS)
    two, four = (measured(of, one)[0] for one in of.judged)
    page, rows = "\n".join(claims_of(of)), list(csv.DictReader(as_csv([two, four]).splitlines()))

    assert (two.label, two.n, two.ns, two.seeds) == ("plain-56 − plain-20", 3, (3, 5), "3 and 5")
    assert (four.label, four.ns) == ("(plain-56 − plain-20) − (ResNet-56 − ResNet-20)", (3, 5, 4, 2))
    assert two.cited.endswith(" points (n = 3 and 5)")
    assert [(row["n"], row["ns"]) for row in rows] == [("3", "3 5"), ("2", "3 5 4 2")]
    assert f"{two.id}.n\\endcsname{{3 and 5}}" in macros([two])
    assert " | 3 and 5 |" in page


@pytest.mark.parametrize(("second", "n"), [("resnet-20-A", "3 and 5"), ("plain-20+bf16", "3")])
def test_a_pair_says_n_of_each_but_of_two_recipes_seed_by_seed_the_seeds_of_both(second: str, n: str) -> None:
    of = evidence(stored({"plain-20": [0.0] * 5, second: [0.0] * 3}))
    number, *_ = apart(of, of.pairs[0])

    assert (number.n, number.seeds) == (3, n)
    assert number.cited.endswith(f"(n = {n})")


def test_the_p_value_of_a_claim_says_for_or_against_it() -> None:
    errors = {"plain-20": LOW, "plain-56": HIGH, "resnet-56-A": [20.0, 20.5, 20.2]}
    _, _, _, table, _ = claims_of(evidence(runs(errors=errors), DEGRADES, BEATS))

    assert [line.split("|")[-2].strip() for line in table.splitlines()[2:]] == ["< 0.001 for", "< 0.001 against"]
    assert p_words(0.0) == "< 0.001"


def test_where_both_p_values_of_a_claim_are_one_neither_side_is_named() -> None:
    """Of two claims, so that Holm's factor takes 0.5 on each side to 1."""
    of = evidence(runs(errors={"plain-20": LOW, "plain-56": LOW, "resnet-56-A": LOW}), DEGRADES, BEATS)

    assert [(one.p_for, one.p_against, one.verdict) for one in of.judged] == [(1, 1, UNDECIDED)] * 2
    assert [row[-1] for row in claims_table(of).rows] == ["1.000 both ways"] * 2


@pytest.mark.parametrize(
    ("claim", "bounds"), [(DEGRADES, (-100, 100)), (EQUALS, (-6.61, 93.39)), (DEPTH_COSTS, (-200, 200))]
)
def test_a_claims_interval_stays_within_what_its_difference_can_be(claim: Claim, bounds: tuple[float, float]) -> None:
    """Of an error minus the paper's mean, 6.61 %, that is from −6.61 to 93.39."""
    errors = {net: [1.0, 99.0] for net in ("plain-20", "plain-56", "resnet-20-A", "resnet-56-A", "resnet-110-A")}
    of = evidence(runs("quick", errors=errors), claim)

    (number,) = measured(of, of.judged[0])

    assert number.over_seeds is not None
    assert (number.over_seeds.low, number.over_seeds.high) == pytest.approx(bounds)


@pytest.mark.parametrize(("value", "text"), [(0.123, "+0.12"), (-1.329, "−1.33"), (-0.001, "+0.00"), (0.0, "+0.00")])
def test_a_difference_is_written_with_its_sign(value: float, text: str) -> None:
    assert signed(value) == text
