"""Face verification: are these two images one person's? Protocols of LFW (Huang et al. 2007) and ROC figures.

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
FARS = (0.1, 0.01, 0.001)  # those at which a true-acceptance rate is reported


def _pairs(scores: ArrayLike, same: ArrayLike) -> tuple[Floats, Bools]:
    """Scores and truths as arrays (P,). Raises ValueError where they cannot be judged."""
    s, t = np.asarray(scores, np.float64), np.asarray(same, np.bool_)
    if s.ndim != 1 or s.shape != t.shape or not len(s):
        raise ValueError(f"scores {s.shape} and same {t.shape} must be as many, one a pair")
    if bad := int((~np.isfinite(s)).sum()):
        raise ValueError(f"{bad:,} of {len(s):,} scores are not finite: the embeddings are not")
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

    def tar_at(self, far: float) -> float | None:
        """The true-acceptance rate where at most a share `far` (0 to 1) of the different pairs is accepted.

        None where that is less than one pair.
        """
        allowed = int(Fraction(str(far)) * int(self.false[-1]))  # 0.29 of 100 is 29, which floats deny
        place = int(np.searchsorted(self.false, allowed, side="right")) - 1
        return float(self.tar[place]) if allowed else None

    def columns(self) -> dict[str, float]:
        """Its figures by their columns of results, rates in percent; without those that the pairs are too few for."""
        tars = {f"tar_at_far_{far:g}": self.tar_at(far) for far in FARS}
        return {"auc": self.auc, "eer": 100 * self.eer, **{k: 100 * tar for k, tar in tars.items() if tar is not None}}


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


def correct_at(threshold: float, scores: ArrayLike, same: ArrayLike) -> Bools:
    """Which of the pairs (P,) a threshold that was fixed before gets right: LFW's View 1, with one chosen elsewhere."""
    s, t = _pairs(scores, same)
    correct: Bools = (s >= threshold) == t
    return correct


def across_folds(scores: ArrayLike, same: ArrayLike, fold: ArrayLike) -> Bools:
    """Which of the pairs (P,) are judged right by LFW's View 2: each fold at the best threshold of all others.

    fold: (P,) the number of each pair's. For lists without folds (LFW's View 1) it may be the pair's number modulo ten.
    Raises ValueError where there are fewer than two folds.
    """
    s, t = _pairs(scores, same)
    f = np.asarray(fold)
    if f.shape != s.shape or len(kinds := np.unique(f)) < 2:
        raise ValueError(f"folds {f.shape} must be one a pair of {len(s):,}, and at least two different ones")
    correct = np.zeros_like(t)
    for held in kinds:
        own = f == held
        correct[own] = correct_at(best_threshold(s[~own], t[~own]), s[own], t[own])
    return correct
