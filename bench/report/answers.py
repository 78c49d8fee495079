"""Answers to the paper's numbers: what they are, their statuses, and how many have each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.nets.speeds import Speed
from bench.report.claims import NOT_REPRODUCED, REPRODUCED, UNDECIDED, WAITING
from bench.report.frame import Set
from bench.spec import SCALES, Sweep

MEASURED, ELSEWHERE = "measured, without a claim", "measured at another scale"
COUNTED, RUNNABLE, PLANNED, NOT_ATTEMPTED = "computed", "runnable", "planned", "not attempted"
STATUSES = (
    REPRODUCED, NOT_REPRODUCED, UNDECIDED, WAITING, MEASURED, ELSEWHERE, COUNTED, RUNNABLE, PLANNED, NOT_ATTEMPTED,
)  # fmt: skip
SETTING = "a setting"  # of the paper's, which is no result: it is in no count
SAID = (  # of statuses, what the index says first
    ("with a verdict", (REPRODUCED, NOT_REPRODUCED, UNDECIDED)),
    ("measured without one", (WAITING, MEASURED, ELSEWHERE)),
    ("computed from the architecture", (COUNTED,)),
    ("runnable by a command and not run", (RUNNABLE,)),
    ("not attempted", (PLANNED, NOT_ATTEMPTED)),
)

Printed = dict[str, Any]  # a number of paper.yaml


@dataclass(frozen=True, slots=True)
class Answer:
    """A number of the paper, its status, our number where there is one, and how it came or would come about."""

    number: Printed
    status: str
    ours: str
    how: str


@dataclass(frozen=True, slots=True)
class Study:
    """A sweep with all sets of its results, and the speeds of its task in those of all sweeps."""

    name: str
    sweep: Sweep
    sets: tuple[Set, ...]
    speeds: Sequence[Speed] = ()

    @property
    def quick_alone(self) -> bool:
        """Whether it has results at the smallest scale and at no other."""
        return {one.scale for one in self.sets} == {SCALES[-1]}


def totals(answers: Sequence[Answer]) -> dict[str, int]:
    """How many of the paper's results have each status, in the order of STATUSES; its settings are in no count."""
    counts = Counter(answer.status for answer in answers)
    return {status: counts[status] for status in STATUSES if counts[status]}


def what_there_is(answers: Sequence[Answer]) -> str:
    """In a sentence, what there is of the paper's own results."""
    own = totals([answer for answer in answers if answer.number["whose"] == "ours"])
    words = (f"{sum(own.get(status, 0) for status in statuses)} {what}" for what, statuses in SAID)
    return f"Of the paper's own {sum(own.values())} results: {', '.join(words)}."


def not_attempted(answers: Sequence[Answer]) -> dict[str, int]:
    """How many of the paper's results are not attempted, by the group of the reason, the largest first."""
    left = Counter(a.number["group"] for a in answers if a.status == NOT_ATTEMPTED)
    return dict(left.most_common())
