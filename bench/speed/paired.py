"""Paired timing: ours and the reference in turn, so that a machine's other load falls on both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Case:
    """Something to time. `ours` and `reference` do the work once and return how many `unit`s of it they did."""

    name: str
    unit: str
    ours: Callable[[], float]
    reference: Callable[[], float]
    beside: str
    rounds: int = 7


@dataclass(frozen=True, slots=True)
class Timing:
    """Median rates in units a second with their lowest and highest, and the median of the rounds' ratios."""

    name: str
    unit: str
    beside: str
    rounds: int
    ours: tuple[float, float, float]
    reference: tuple[float, float, float]
    ratio: tuple[float, float, float]

    def as_json(self) -> dict[str, Any]:
        """Plain values: each triple is [median, lowest, highest]."""
        return {
            "name": self.name,
            "unit": self.unit,
            "beside": self.beside,
            "rounds": self.rounds,
            "ours": list(self.ours),
            "reference": list(self.reference),
            "ratio": list(self.ratio),
        }


def measure(case: Case) -> Timing:
    """Times `case`: one untimed turn of each to warm up, then `rounds` of both, the order changing every round."""
    case.ours()
    case.reference()
    ours, reference = [], []
    for turn in range(case.rounds):
        first, second = (case.ours, case.reference) if turn % 2 == 0 else (case.reference, case.ours)
        one, other = rate(first), rate(second)
        ours.append(one if turn % 2 == 0 else other)
        reference.append(other if turn % 2 == 0 else one)
    ratios = [a / b for a, b in zip(ours, reference, strict=True)]
    return Timing(case.name, case.unit, case.beside, case.rounds, spread(ours), spread(reference), spread(ratios))


def rate(work: Callable[[], float]) -> float:
    """Units a second of one turn."""
    start = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - start)


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, lowest, highest."""
    return median(values), min(values), max(values)
