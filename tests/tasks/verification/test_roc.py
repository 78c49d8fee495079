"""Verification figures are exact: by hand, by brute force, and as scikit-learn and statsmodels have them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import auc, roc_curve

from bench.tasks.verification.embedder import Pixels, cosines, embed
from bench.tasks.verification.roc import Roc, across_folds, best_threshold, correct_at

SAME = np.array([True] * 6 + [False] * 6)
PERFECT = np.array([0.9, 0.8, 0.7, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.2, 0.1, 0.0])


def made_up(seed: int, pairs: int = 600, levels: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores that overlap, their truths and ten folds; rounded to so many levels, so that many tie."""
    draw = np.random.default_rng(seed)
    same = draw.permutation(np.arange(pairs) % 2 == 0)
    scores = draw.normal(same * 1.2, 1)
    if levels:
        scores = np.round(scores * levels) / levels
    return scores, same, np.arange(pairs) // (pairs // 10)


@pytest.mark.parametrize(
    ("scores", "area", "eer", "right"),
    [
        (PERFECT, 1.0, 0.0, 100.0),
        (-PERFECT, 0.0, 1.0, 50.0),
        (np.zeros(12), 0.5, 0.5, 50.0),
        (np.tile([1.0, 0.0], 6), 0.5, 0.5, 50.0),
        (np.array([2, 2, 2, 1, 1, 1, 1, 1, 1, 0, 0, 0.0]), 0.875, 0.25, 75.0),
    ],
    ids=["perfect", "inverted", "all equal", "coin", "ties between"],
)
def test_cases_whose_answer_is_known(scores: np.ndarray, area: float, eer: float, right: float) -> None:
    roc = Roc.of(scores, SAME)

    assert roc.auc == area
    assert roc.eer == eer
    assert 100 * correct_at(best_threshold(scores, SAME), scores, SAME).mean() == right


@pytest.mark.parametrize("levels", [0, 3, 50])
@pytest.mark.parametrize("seed", range(3))
def test_the_roc_is_scikit_learns(seed: int, levels: int) -> None:
    scores, same, _ = made_up(seed, levels=levels)
    far, tar, _ = roc_curve(same, scores, drop_intermediate=False)

    roc = Roc.of(scores, same)

    np.testing.assert_allclose(roc.far, far, atol=1e-12)
    np.testing.assert_allclose(roc.tar, tar, atol=1e-12)
    assert roc.auc == pytest.approx(auc(far, tar), abs=1e-12)
    between = interp1d(far, tar)  # no interval of equal far crosses the diagonal in these draws but at its ends
    eer = brentq(lambda x: 1 - x - between(x), 0, 1, xtol=1e-15)
    if len(np.unique(far)) == len(far):
        assert roc.eer == pytest.approx(eer, abs=1e-12)
    assert roc.far[np.argmax(roc.far >= 1 - roc.tar) - 1] <= roc.eer <= roc.far[np.argmax(roc.far >= 1 - roc.tar)]


def test_the_auc_is_the_share_of_pairs_of_pairs_in_order() -> None:
    scores, same, _ = made_up(4, levels=2)
    a, b = scores[same][:, None], scores[~same][None]

    assert Roc.of(scores, same).auc == pytest.approx(float(((a > b) + 0.5 * (a == b)).mean()), abs=1e-12)


def brute_force_folds(scores: np.ndarray, same: np.ndarray, fold: np.ndarray) -> list[float]:
    """Each fold's accuracy, every threshold tried one by one in plain Python."""
    out = []
    for k in sorted(set(fold.tolist())):
        train = [(s, t) for s, t, f in zip(scores.tolist(), same.tolist(), fold.tolist(), strict=True) if f != k]
        test = [(s, t) for s, t, f in zip(scores.tolist(), same.tolist(), fold.tolist(), strict=True) if f == k]
        values = sorted({s for s, _ in train}, reverse=True)
        tries = [values[0] + 1, *(b + (a - b) / 2 for a, b in pairwise(values)), values[-1]]
        right = [sum((s >= threshold) == t for s, t in train) for threshold in tries]
        best = [threshold for threshold, r in zip(tries, right, strict=True) if r == max(right)]
        threshold = best[(len(best) - 1) // 2]
        out.append(100 * sum((s >= threshold) == t for s, t in test) / len(test))
    return out


@pytest.mark.parametrize("levels", [0, 2, 40])
def test_ten_folds_are_those_of_a_brute_force(levels: int) -> None:
    scores, same, fold = made_up(7, 300, levels)
    expected = brute_force_folds(scores, same, fold)

    found = across_folds(scores, same, fold)

    np.testing.assert_allclose([100 * found[fold == k].mean() for k in range(10)], expected, atol=1e-12)


def test_a_fold_is_judged_at_the_threshold_of_the_others_and_not_at_its_own() -> None:
    scores = np.concatenate([PERFECT, PERFECT + 10])  # perfect each, but the two folds' thresholds are far apart
    same, fold = np.tile(SAME, 2), np.repeat([0, 1], 12)

    found = across_folds(scores, same, fold)

    assert [found[fold == k].mean() for k in (0, 1)] == [0.5, 0.5]


def test_of_thresholds_equally_good_the_middle_one_is_taken_halfway_between_two_scores() -> None:
    assert best_threshold(PERFECT, SAME) == pytest.approx(0.45)
    assert best_threshold([1.0, 0.0], [True, False]) == 0.5


def test_neighbouring_floats_are_told_apart() -> None:
    below = np.nextafter(1.0, 0)
    scores, same = np.array([1.0, below]), np.array([True, False])

    assert correct_at(best_threshold(scores, same), scores, same).all()


def test_where_the_best_is_to_accept_none_or_all_the_threshold_is_still_a_number() -> None:
    none, every = best_threshold([0.5, 0.2], [False, False]), best_threshold([0.5, 0.2], [True, True])

    assert none > 0.5
    assert np.isfinite(none)
    assert every == 0.2


def test_tar_at_far_counts_different_pairs_and_is_none_where_they_are_too_few() -> None:
    same = np.array([True] * 100 + [False] * 500)
    scores = np.concatenate([np.linspace(0.5, 1, 100), np.linspace(0, 0.75, 500)])
    roc = Roc.of(scores, same)

    five = roc.tar_at(1e-2)

    limit = np.sort(scores[~same])[-6]  # five different pairs score above it
    assert five == np.mean(scores[same] > limit)
    assert roc.tar_at(1e-3) is None, "less than one of the 500 different pairs"


def test_a_far_is_the_number_that_is_written_and_not_its_float() -> None:
    roc = Roc.of(np.arange(101.0)[::-1], np.arange(101) == 29)  # one same pair, below 29 of 100 different ones

    assert (roc.tar_at(0.28), roc.tar_at(0.29)) == (0, 1)  # 0.29 * 100 is 28.999999999999996


def test_tied_scores_are_accepted_together_at_a_far() -> None:
    scores = np.array([0.9, 0.5, 0.5, 0.5, 0.5, 0.1])
    roc = Roc.of(scores, np.array([True, True, False, False, False, False]))

    assert roc.tar_at(0.5) == 0.5  # the second same pair comes with three of the four different ones
    assert roc.tar_at(0.75) == 1.0


@pytest.mark.parametrize(
    ("scores", "same", "words"),
    [
        ([0.1, float("nan")], [True, False], "1 of 2 scores are not finite"),
        ([0.1, 0.2, 0.3], [True, False], "must be as many"),
        ([], [], "must be as many"),
        ([0.1, 0.2], [True, True], "all 2 pairs are same"),
        ([0.1, 0.2], [False, False], "all 2 pairs are different"),
    ],
)
def test_what_cannot_be_judged_is_refused(scores: list[float], same: list[bool], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Roc.of(scores, same)


def test_one_fold_is_no_protocol() -> None:
    with pytest.raises(ValueError, match="at least two different ones"):
        across_folds(PERFECT, SAME, np.zeros(12))


class Corner(torch.nn.Module):
    """Embeds an image by its left and right edges' first pixels; tells how it was called."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training
        return torch.stack((x[:, 0, 0, 0], x[:, 0, 0, -1]), 1)


def test_the_mirror_images_embedding_is_added_and_the_sum_has_length_one() -> None:
    images = torch.zeros(3, 3, 4, 4, dtype=torch.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 3] = torch.tensor([30, 10, 5]), torch.tensor([40, 0, 5])
    net = Corner().train()

    both = embed(net, torch.Tensor.float, images, batch=2)

    assert torch.allclose(both, torch.full((3, 2), 0.5**0.5))
    assert net.training


def test_cosines_are_of_the_pairs() -> None:
    e = torch.tensor([[2.0, 0], [0, 3], [1, 1]])

    found = cosines(e, torch.tensor([0, 0, 1]), torch.tensor([1, 2, 1]))

    assert torch.allclose(found, torch.tensor([0, 0.5**0.5, 1]).double())


def test_the_pixel_baseline_finds_the_same_image_under_noise() -> None:
    draw = torch.Generator().manual_seed(0)
    clean = torch.randint(30, 226, (40, 3, 32, 32), generator=draw)
    noisy = clean + torch.randint(-20, 21, clean.shape, generator=draw)
    images = torch.cat((clean, noisy)).to(torch.uint8)
    left = torch.arange(40).repeat(2)
    right = torch.cat((40 + torch.arange(40), 40 + torch.arange(40).roll(1)))

    baseline = Pixels(clean.float(), side=16)
    found = cosines(embed(baseline, torch.Tensor.float, images), left, right)

    assert Roc.of(found, torch.arange(80) < 40).auc == 1
    assert baseline(clean.float()).mean(0).abs().max() < 1e-3
