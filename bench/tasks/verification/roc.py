"""Face verification: are these two pictures one person's? Protocols of LFW (Huang et al. 2007) and ROC figures.

A pair is accepted as same where its score is at or above the threshold. Scores are compared exactly: pairs of equal
score are accepted or rejected together, and counts are whole numbers until the last division.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def _pairs(scores: ArrayLike, same: ArrayLike) -> tuple[Floats, Bools]:
    """Scores and truths as arrays (P,). Raises ValueError where they cannot be judged."""
    s, t = np.asarray(scores, np.float64), np.asarray(same, np.bool_)
    if s.ndim != 1 or s.shape != t.shape or not len(s):
        raise ValueError(f"scores {s.shape} and same {t.shape} must be as many, one a pair")
    if bad := int((~np.isfinite(s)).sum()):
        raise ValueError(f"{bad:,} of {len(s):,} scores are no finite numbers: the embeddings are not")
    return s, t


@dataclass(frozen=True, slots=True)
class Roc:
    """What every threshold does to the pairs: true and false acceptances of the highest scores, from none to all.

    true, false: (K+1,) whole numbers, rising, after each of the K distinct scores, the highest first; entry 0 is 0.
    """

    true: Ints
    false: Ints

    @classmethod
    def of(cls, scores: ArrayLike, same: ArrayLike) -> Roc:
        """From `scores` (P,), higher means more alike, and `same` (P,) bool.

        Raises ValueError where they do not match, or pairs of one kind are missing.
        """
        s, t = _pairs(scores, same)
        if t.all() or not t.any():
            raise ValueError(f"all {len(t):,} pairs are {'same' if t.all() else 'different'}: a ROC needs both kinds")
        true, false, _ = _accepted(s, t)
        return cls(true, false)

    @property
    def tar(self) -> Floats:
        """True-acceptance rates (K+1,), 0 to 1."""
        rates: Floats = self.true / self.true[-1]
        return rates

    @property
    def far(self) -> Floats:
        """False-acceptance rates (K+1,), 0 to 1."""
        rates: Floats = self.false / self.false[-1]
        return rates

    @property
    def auc(self) -> float:
        """The area under it: how often a same pair scores above a different one, ties half."""
        twice = int((np.diff(self.false) * (self.true[1:] + self.true[:-1])).sum())
        return twice / (2 * int(self.true[-1]) * int(self.false[-1]))

    @property
    def eer(self) -> float:
        """The rate, 0 to 1, at which false acceptances and false rejections are as many, on the line between points."""
        gap = self.far - (1 - self.tar)  # from -1 to 1
        after = int(np.argmax(gap >= 0))
        share = -gap[after - 1] / (gap[after] - gap[after - 1])
        return float(self.far[after - 1] + share * (self.far[after] - self.far[after - 1]))

    def tar_at(self, far: float) -> TarAtFar:
        """The true-acceptance rate where at most a share `far` (0 to 1) of the different pairs is accepted."""
        different = int(self.false[-1])
        allowed = int(Fraction(str(far)) * different)  # 0.29 of 100 is 29, which floats deny
        if allowed < 1:
            words = f"a FAR of {far:g} is less than one of the {different:,} different pairs"
            return TarAtFar(far, None, 0, words)
        place = int(np.searchsorted(self.false, allowed, side="right")) - 1
        words = f"at most {allowed:,} of {different:,} different pairs accepted"
        return TarAtFar(far, float(self.tar[place]), int(self.false[place]), words)


@dataclass(frozen=True, slots=True)
class TarAtFar:
    """A true-acceptance rate (0 to 1) at a false-acceptance rate, None where the pairs are too few to tell.

    accepted: the different pairs that are accepted there. words: what the rate means in pairs.
    """

    far: float
    tar: float | None
    accepted: int
    words: str


def _accepted(s: Floats, t: Bools) -> tuple[Ints, Ints, Floats]:
    """True and false acceptances (K+1,) and the K distinct scores, the highest first."""
    order = np.argsort(-s, kind="stable")
    ranked, truth = s[order], t[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # the last pair of each score
    true = np.concatenate(([0], np.cumsum(truth)[ends]))
    false = np.concatenate(([0], np.cumsum(~truth)[ends]))
    return true.astype(np.int64), false.astype(np.int64), ranked[ends]


def best_threshold(scores: ArrayLike, same: ArrayLike) -> float:
    """The threshold that gets the most of these pairs right: midway between two scores; of several, the middle one.

    At the ends, the lowest score accepts all and the number above the highest accepts none.
    """
    true, false, distinct = _accepted(*_pairs(scores, same))
    right = true - false  # but for a constant
    best = np.flatnonzero(right == right.max())
    return _between(distinct, int(best[(len(best) - 1) // 2]))


def _between(distinct: Floats, accepted: int) -> float:
    """A threshold that accepts the `accepted` highest of the distinct scores and no more."""
    if accepted == 0:
        return float(np.nextafter(distinct[0], np.inf))
    if accepted == len(distinct):
        return float(distinct[-1])
    above, below = distinct[accepted - 1], distinct[accepted]
    middle = below + (above - below) / 2
    return float(middle if middle > below else above)  # neighbouring floats have nothing between them


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Which of the pairs (P,) were judged right, at `threshold`."""

    correct: Bools
    threshold: float

    @property
    def percent(self) -> float:
        """The share that is right, in percent."""
        return 100 * int(self.correct.sum()) / len(self.correct)


def accuracy_at(threshold: float, scores: ArrayLike, same: ArrayLike) -> Accuracy:
    """How many of the pairs a threshold that was fixed before gets right. LFW's View 1, with one chosen elsewhere."""
    s, t = _pairs(scores, same)
    return Accuracy((s >= threshold) == t, threshold)


@dataclass(frozen=True, slots=True)
class Folds:
    """The protocol of LFW's View 2: each fold judged at the threshold that is best on all others.

    folds: each fold's accuracy. correct: the same, (P,) in the order of the pairs.
    """

    folds: tuple[Accuracy, ...]
    correct: Bools

    @property
    def percent(self) -> float:
        """The mean of the folds' accuracies, in percent."""
        return float(np.mean([fold.percent for fold in self.folds]))


def across_folds(scores: ArrayLike, same: ArrayLike, fold: ArrayLike) -> Folds:
    """The ten-fold protocol: the pairs of each number in `fold` (P,), at the threshold of all other pairs.

    For lists without folds (LFW's View 1) `fold` may be the pair's number modulo ten.
    Raises ValueError where there are fewer than two folds.
    """
    s, t = _pairs(scores, same)
    f = np.asarray(fold)
    if f.shape != s.shape or len(kinds := np.unique(f)) < 2:
        raise ValueError(f"folds {f.shape} must be one a pair of {len(s):,}, and at least two different ones")
    folds, correct = [], np.zeros_like(t)
    for held in kinds:
        own = f == held
        folds.append(accuracy_at(best_threshold(s[~own], t[~own]), s[own], t[own]))
        correct[own] = folds[-1].correct
    return Folds(tuple(folds), correct)
