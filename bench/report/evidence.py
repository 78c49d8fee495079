"""What the results of one sweep at one scale come to: computed once, then printed in many forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report import frame
from bench.report.claims import Judged, judge_set
from bench.report.frame import Set, page_names
from bench.report.pairs import Pair, pairs
from bench.spec import Sweep, task_of


@dataclass(frozen=True, slots=True)
class Evidence:
    """The results of one set with their verdicts (in the order of the sweep's claims) and pairs of nets.

    page: the file of its page in the sweep's folder of reports. scales: those with a page of their own.
    """

    name: str
    sweep: Sweep
    results: Set
    page: str
    judged: tuple[Judged, ...]
    pairs: tuple[Pair, ...]
    scales: tuple[str, ...] = ()

    def id(self, *parts: str) -> str:
        """The id of a number of this set: `plain_vs_residual.paper.resnet-110-A.test_error`."""
        return ".".join((self.name, self.results.label, *parts))


def load_sets(results: Path, sweep: Sweep) -> list[Set]:
    """Every set in a sweep's results: those with a verdict first, then by scale. Raises StoreError."""
    sets = frame.load(results, sweep)
    return sorted(sets, key=lambda one: not any(judged.decided for judged in judge_set(sweep, one)))


def weigh(name: str, sweep: Sweep, sets: Sequence[Set]) -> tuple[Evidence, ...]:
    """The evidence of each set of the sweep."""
    pages = page_names(sets)
    return tuple(
        Evidence(
            name=name,
            sweep=sweep,
            results=one,
            page=pages[one.scale, one.data],
            judged=judge_set(sweep, one),
            pairs=pairs(one) if task_of(sweep.task).only_trains else (),
            scales=tuple(other.scale for other in sets),
        )
        for one in sets
    )
