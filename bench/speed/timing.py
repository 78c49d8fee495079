"""Paired timing: ours and the reference in turn, so that a machine's other load falls on both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch

CPU = torch.device("cpu")
Spread = tuple[float, float, float]  # median, lowest, highest


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
    """Rates in units per second, and the rounds' ratios of them."""

    name: str
    unit: str
    beside: str
    rounds: int
    ours: Spread
    reference: Spread
    ratio: Spread


def measure(case: Case) -> Timing:
    """Times `case`: one untimed turn of each to warm up, then `rounds` of both, the order changing every round."""
    case.ours()
    case.reference()
    ours, reference = [], []
    for turn in range(case.rounds):
        if turn % 2:
            reference.append(rate(case.reference))
            ours.append(rate(case.ours))
        else:
            ours.append(rate(case.ours))
            reference.append(rate(case.reference))
    ratios = [a / b for a, b in zip(ours, reference, strict=True)]
    return Timing(case.name, case.unit, case.beside, case.rounds, spread(ours), spread(reference), spread(ratios))


def rate(work: Callable[[], float]) -> float:
    """Units per second of one turn."""
    start = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - start)


def spread(values: Sequence[float]) -> Spread:
    """Median, lowest, highest."""
    return median(values), min(values), max(values)


def repeated(work: Callable[[], object], times: int, units: float, device: torch.device = CPU) -> Callable[[], float]:
    """What does `work` so many times, waits for the device, and returns how many units that were."""

    def run() -> float:
        for _ in range(times):
            work()
        wait(device)
        return times * units

    return run


def wait(device: torch.device) -> None:
    """Until a GPU has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy_rate(device: torch.device, values: int, times: int) -> float:
    """Bytes per second, read and written, of copies of so many fp32 values."""
    source = torch.zeros(values, device=device)
    target = source.clone()
    wait(device)
    return rate(repeated(lambda: target.copy_(source), times, 2 * 4 * values, device))
