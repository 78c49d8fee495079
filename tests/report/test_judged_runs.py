"""What becomes of a claim by its runs: diverged, failed, all alike, of another scale or on other data."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats as scipy_stats

from bench.report.claims import (
    NOT_JUDGED,
    REPRODUCED,
    UNDECIDED,
    WAITING,
    Judged,
    floor_of,
    guess_of,
    judge,
    judge_set,
    seeds_of,
)
from bench.report.evidence import weigh
from bench.report.stats import binomial_std, disagreement_std, sample
from bench.report.tables import chance_of
from bench.report.verdicts import NO_JUDGE, NOT_THE_DATA
from bench.spec import DIVERGED, dataset_of
from bench.train.trainer import DivergedError
from tests.report.claimed import (
    BEATS,
    DEGRADES,
    EQUALS,
    HIGH,
    LOW,
    by_seed,
    claims_of,
    evidence,
    made_up,
    no_floor,
    runs,
    without,
)
from tests.train import builders as loop


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
    page = "\n".join(claims_of(evidence(runs(scale), DEGRADES, BEATS)))

    assert [one.verdict for one in found] == verdicts
    assert all(one.links for one in found)
    assert (NO_JUDGE in page) == (scale == "quick")
    judged = "**Of 1 claim to be judged at this scale, which is not the paper's schedule: 1 reproduced.**"
    assert (judged in page) == (scale == "short")


def test_on_a_stand_in_no_claim_is_judged_and_the_page_says_so() -> None:
    found = judge_set(made_up(DEGRADES), runs("quick", "stand-in"))

    assert [one.verdict for one in found] == [NOT_JUDGED]
    assert NOT_THE_DATA in claims_of(evidence(runs("quick", "stand-in"), DEGRADES))


@pytest.mark.parametrize(("data", "verdict"), [("cifar100", REPRODUCED), ("svhn", NOT_JUDGED)])
def test_claims_are_judged_on_the_data_that_their_scale_declares(data: str, verdict: str) -> None:
    sweep = made_up(DEGRADES, EQUALS)
    sweep = replace(sweep, data="cifar100")

    degrades, equals = judge_set(sweep, runs(data=data))

    assert degrades.verdict == verdict
    (on_page,) = weigh("made_up", sweep, [runs(data=data)])
    said = "**Of 1 claim to be judged at this scale, on other data than the paper's: 1 reproduced.**"
    assert (said in claims_of(on_page)) == (verdict == REPRODUCED)
    assert equals.verdict == NOT_JUDGED  # it compares with a number that the paper has on CIFAR-10


@pytest.mark.parametrize(
    ("classes", "metric", "guess"),
    [("a b c d", "test_error", 75.0), ("a b c d", "top5_error", 0.0), ("", "test_error", math.nan)],
)
def test_a_guess_on_a_users_own_data_is_one_of_the_classes_that_a_finished_run_had(
    classes: str, metric: str, guess: float
) -> None:
    results = runs(data="folder:mine")
    results = replace(results, runs=results.runs.assign(classes=classes))

    assert guess_of(metric, results) == pytest.approx(guess, nan_ok=True)
    assert chance_of(results) == (75.0 if classes else 0.0)


def test_a_guess_between_a_hundred_classes_and_of_a_detector() -> None:
    detector = runs(data="bccd")
    detector = replace(detector, runs=detector.runs.assign(task="detect", classes="RBC WBC"))

    assert guess_of("test_error", runs(data="cifar100")) == 99
    assert guess_of("test_error", detector) == 100


def test_runs_on_data_that_are_not_the_official_ones_give_no_verdict() -> None:
    results = runs(errors={"plain-20": LOW, "plain-56": HIGH})
    official, other = dataset_of("cifar10").sha256, "d" * 64

    def verdict(*shas: str) -> Judged:
        (found,) = evidence(replace(results, runs=results.runs.assign(data_sha256=shas)), DEGRADES).judged
        return found

    assert verdict(*[official] * 6).verdict == REPRODUCED
    found = verdict(*[official] * 5, other)
    assert (found.verdict, found.seeds) == (WAITING, {"plain-20": (3, 3), "plain-56": (2, 3)})
