"""What no honest run can say is named, each by its check; how often an honest one is, by simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.report.rows import run_of
from bench.report.verify import curves, images, kept, times, twice, values
from bench.report.verify.kept import Kept, one_training
from bench.report.verify.layers import layer_problems, names_of
from bench.report.verify.pairs import across, in_pairs
from bench.report.verify.published import Published
from bench.spec import Net, Recipe, Run
from bench.spec.schedule import rate_of

ROOT = Path(__file__).resolve().parents[3]
RECIPE = Recipe(steps=64_000)


@pytest.fixture(scope="module")
def honest() -> Published:
    return Published.read(ROOT / "results" / "plain_vs_residual")


def changed(row: dict[str, str] | object, **columns: str) -> dict[str, str]:
    return {**row, **columns}  # type: ignore[dict-item]  # a row of runs.csv


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"weights_sha256": "none"}, "not a SHA-256"),
        ({"weights_sha256": "deadbeef" * 8}, "different digits"),
        ({"train_error": "101"}, "not a percentage"),
        ({"top5_error": "50"}, "above the"),
        ({"test_loss": "0.01"}, "make at least ln 2 each"),
        ({"best_test_error": "99"}, "above the last step's"),
        ({"best_step": "63999"}, "where there was no test"),
        ({"test_error": "8.855"}, "which no number of 10000 images gives"),
        ({"val_error": "9.0"}, "holds no images out"),
        ({"test_images": "5000", "test_images_asked": "10000"}, "the recipe tests 10,000"),
        ({"test_images_asked": "10000"}, "says that of fewer images alone"),
    ],
)
def test_a_value_that_no_row_can_have(honest: Published, columns: dict[str, str], words: str) -> None:
    row = honest.done[0]

    assert list(values.value_problems(row)) == []
    assert any(words in problem for problem in values.value_problems(changed(row, **columns)))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"ended": "2999-01-01T00:00:00Z"}, "a date to come"),
        ({"started": "yesterday"}, "not a date"),
        ({"ended": "2026-11-27T23:59:59Z", "started": "2026-11-27T23:59:00Z"}, "s after it started"),
        ({"images_per_s": "1e9"}, "are a bound"),
        ({"test_images_per_s": "1e9"}, "are a bound"),
        ({"seconds": "1.0"}, "at least"),
    ],
)
def test_a_time_that_no_machine_gives(honest: Published, columns: dict[str, str], words: str) -> None:
    row = honest.done[0]

    assert list(times.time_problems(row)) == []
    assert any(words in problem for problem in times.time_problems(changed(row, **columns)))


def test_a_run_far_faster_than_its_like(honest: Published) -> None:
    like = [changed(honest.done[0], id=str(k), seconds=s) for k, s in enumerate(("9000", "9500", "9900", "300"))]
    runs = [Kept(honest, row, run_of(honest.done[0])) for row in like]

    (problem,) = times._beside_others(runs)
    assert "it took 300 s, and others like it 9,500 s" in problem


def first(published: Published) -> tuple[Kept, pd.DataFrame]:
    run = next(one for one in kept.kept(published) if one.done)
    assert run.curve is not None
    return run, run.curve.reset_index(drop=True)


def edited(curve: pd.DataFrame, column: str, value: float, rows: slice | int = 5) -> pd.DataFrame:
    made = curve.copy()
    made.loc[rows, column] = value
    return made


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (lambda c: c[c["step"] != 400], "not one each 200"),
        (lambda c: edited(c, "rate", 0.2), "where the recipe has"),
        (lambda c: edited(c, "test_error", np.nan, 4), "tests at other steps"),
        (lambda c: edited(c, "error", 12.3456), "which no number of 25,600 images gives"),
        (lambda c: edited(c, "loss", 0.001), "make at least ln 2 each"),
        (lambda c: edited(c, "loss", -1.0), "not between 0 and infinity"),
        (lambda c: edited(c, "loss", 2.25, slice(3, 5)), "end after 6 digits"),
        (lambda c: edited(c, "loss", 1.23456789012, slice(3, 5)), "rows of its curve have the loss"),
    ],
)
def test_a_curve_that_no_recipe_gives(
    honest: Published, forge: Callable[[pd.DataFrame], pd.DataFrame], words: str
) -> None:
    run, curve = first(honest)

    assert list(curves.curve_problems(run, curve)) == []
    assert any(words in problem for problem in curves.curve_problems(run, forge(curve)))


def drawn(seed: int, *, scatter: float = 1.0, linked: bool = True, rows: int = 320) -> tuple[np.ndarray, ...]:
    """Training errors and losses of binomial scatter, as `curves._noise` gives them."""
    chance, size = np.random.default_rng(seed), 25_600
    share = 0.05 + 0.5 * np.exp(-np.arange(rows) / 40)
    noise = scatter * np.sqrt(share * (1 - share) / size) * chance.normal(size=rows)
    other = noise if linked else np.sqrt(share * (1 - share) / size) * chance.normal(size=rows)
    error = np.round((share + noise) * size) / size
    variance = share * (1 - share) / size
    unit = np.sqrt(variance[:-2] + 4 * variance[1:-1] + variance[2:])
    loss = 2 * (share + other) + 0.3 * np.sqrt(variance) * chance.normal(size=rows)
    return np.diff(error, 2), np.diff(loss, 2), unit


def test_curves_of_chance_pass_and_smooth_or_unlinked_ones_do_not() -> None:
    """False alarms: none of 300 curves at half the scatter that any committed one has at the median."""
    assert not [seed for seed in range(300) if list(curves._of_chance(*drawn(seed, scatter=0.55)))]
    assert all("too smooth" in next(curves._of_chance(*drawn(seed, scatter=0.0))) for seed in range(30))
    assert sum(bool(list(curves._of_chance(*drawn(seed, linked=False)))) for seed in range(100)) >= 95


def test_40_rows_say_little_and_raise_no_alarm() -> None:
    assert not [seed for seed in range(300) if list(curves._of_chance(*drawn(seed, scatter=0.55, rows=40)))]


def wrong_images(seeds: int, chance: np.random.Generator, *, q: float, error: float = 0.08) -> np.ndarray:
    """Bits of nets with as many errors, of which each pair shares about q."""
    hard = chance.permutation(10_000)[:800]
    bits = np.zeros((seeds, 10_000), bool)
    for row in bits:
        own = int(800 * (1 - q))
        row[chance.permutation(hard)[: 800 - own]] = True
        row[chance.choice(np.flatnonzero(~row), own, replace=False)] = True
    assert bits.mean() == pytest.approx(error)
    return bits


def test_bits_at_random_and_copies_are_named_and_hard_images_are_not(honest: Published) -> None:
    runs = [one for one in kept.kept(honest) if one.done and one.run.recipe.steps == 8_000]
    two = [runs[0], next(one for one in runs if not kept.kin(runs[0], one))]
    chance = np.random.default_rng(0)
    ours = wrong_images(2, chance, q=0.8)
    copied = np.array([ours[0], ours[0]])
    copied[1][chance.choice(10_000, 20, replace=False)] ^= True

    assert not list(images._in_group(two, ours))
    assert "on other images" in next(images._in_group(two, wrong_images(2, chance, q=0.0)))[2]
    assert "the very images" in next(images._in_group(two, copied))[2]
    alarms = [k for k in range(100) if list(images._in_group(two, wrong_images(2, np.random.default_rng(k), q=0.75)))]
    assert alarms == []


def two_runs(published: Published, **changes: object) -> tuple[Kept, Kept]:
    """Two runs of one net that differ in these fields of their recipes."""
    row = published.done[0]
    one = Run("paper", Net("cifar", 20, "A"), "cifar10", RECIPE, 0)
    other = replace(one, recipe=replace(RECIPE, **changes))  # type: ignore[arg-type]  # any field
    return Kept(published, changed(row, id="a"), one), Kept(published, changed(row, id="b"), other)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({}, 64_000),
        ({"drops": (4_000,)}, 4_000),
        ({"warmup_steps": 400}, 0),
        ({"batch": 64}, 0),
        ({"steps": 50_000}, 50_000),
    ],
)
def test_two_names_of_one_training_share_its_first_steps(
    honest: Published, changes: dict[str, object], steps: int
) -> None:
    assert one_training(*two_runs(honest, **changes)) == steps


def test_one_digest_of_two_trainings_is_named_and_of_one_training_is_not(honest: Published) -> None:
    one, other = two_runs(honest, batch=64)
    same, again = two_runs(honest, test_every=2_000)

    assert {words for *_, words in twice.digests([one, other])} >= {
        "its weights_sha256 is that of another training,",
        "its curve_sha256 is that of another training,",
    }
    assert list(twice.digests([same, again])) == []


def test_losses_in_common_are_named_and_a_shifted_copy(honest: Published) -> None:
    paper = [one for one in kept.kept(honest) if one.done and one.run.recipe.steps == 64_000]
    forged = replace(honest, curves={**honest.curves, paper[1].row["id"]: honest.curves[paper[0].row["id"]]})
    shifted = honest.curves[paper[0].row["id"]].assign(error=lambda c: c["error"] + 100 * 12 / 25_600)
    moved = replace(honest, curves={**honest.curves, paper[1].row["id"]: shifted})

    assert any("losses, to the bit" in problem for problem in in_pairs(forged))
    assert any("scaled or shifted" in problem for problem in in_pairs(moved))
    assert list(in_pairs(honest)) == []


def test_runs_of_all_committed_sweeps_have_nothing_in_common() -> None:
    assert list(across([path.parent for path in sorted((ROOT / "results").glob("*/runs.csv"))])) == []


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("name", "conv9", "are not the"),
        ("step", 7, "it was tested after"),
        ("grad_norm", -1.0, "not between 0 and infinity"),
        ("weight_norm", 0.0, "no norm above 0"),
        ("weight_norm", 50.0, "before the first step"),
        ("batch_std", 0.5, "gives deviations of 1"),
    ],
)
def test_layers_that_are_not_the_runs(column: str, value: str | float, words: str) -> None:
    published = Published.read(ROOT / "results" / "gradients")
    run, layers = next(
        (one, one.layers.reset_index(drop=True))
        for one in kept.kept(published)
        if one.done and one.layers is not None and one.run.net.norm == "bn"
    )
    made = layers.copy()
    made.loc[0, column] = value

    assert list(layer_problems(run, layers)) == []
    assert any(words in problem for problem in layer_problems(run, made))


def test_names_of_layers_are_those_of_the_nets() -> None:
    from bench.nets.resnet import cifar
    from bench.train.probes import layers_of as convolutions

    for depth in (20, 32):
        assert names_of(Net("cifar", depth, "B")) == [one.name for one in convolutions(cifar(depth, "B"))]


def test_rates_of_the_recipe() -> None:
    assert [rate_of(RECIPE, step) for step in (0, 31_999, 32_000, 48_000)] == [0.1, 0.1, 0.01, 0.001]
