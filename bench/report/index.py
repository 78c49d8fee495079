"""The top of reports/README.md: the main sweep's answer with its figure, then a table of what the others found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.report.claims import NOT_JUDGED
from bench.report.evidence import Evidence, weigh
from bench.report.frame import Set
from bench.report.page import runs_done, standing
from bench.report.sections import Drawing, bullets
from bench.report.summary import answer, findings_of, in_short
from bench.report.tables import Table
from bench.spec import Sweep

MAIN = "plain_vs_residual"
STUDIES = ("study", "what it has found so far", "runs done")
DESCRIBED = "Scale `quick` takes minutes: it describes, and tests nothing."
Studied = tuple[str, Sweep, Sequence[Set]]  # a sweep's name, what it declares, its results


def beginning(studies: Iterable[Studied]) -> list[str]:
    """The paragraphs: the main sweep first, if there are results of it."""
    main, rows = [], []
    for name, sweep, sets in studies:
        if name == MAIN and sets:
            main = _main(name, sweep, sets)
        else:
            rows.append(_row(name, sweep, sets))
    others = ["## The other studies"] if main else []
    return ["# Reports", *main, *others, Table(STUDIES, rows, text=3).markdown(), DESCRIBED]


def _main(name: str, sweep: Sweep, sets: Sequence[Set]) -> list[str]:
    """Question, answer and figure of the scale that says most."""
    weighed = weigh(name, sweep, sets)
    one = furthest(weighed)
    found = findings_of(one)
    return [
        f"## {sweep.title}",
        f"**{sweep.question}**",
        standing(one, [other for other in weighed if other is not one], f"{name}/"),
        bullets(answer(one, found)),
        *(drawn(one, found.figure) if found.figure else ()),
    ]


def drawn(one: Evidence, figure: Drawing) -> tuple[str, str]:
    """A figure of a sweep's page, seen from the folder above, with its caption."""
    return f"![{figure.alt}]({one.name}/{figure.name}-{one.results.label}.svg)", figure.caption


def furthest(weighed: Sequence[Evidence]) -> Evidence:
    """The set that says most: one with a verdict, else the one of which most claims that are judged have a number."""

    def measured(one: Evidence) -> tuple[bool, int]:
        judged = [judged for judged in one.judged if judged.verdict != NOT_JUDGED]
        return any(judged.decided for judged in judged), sum(bool(judged.links) for judged in judged)

    return max(weighed, key=measured)  # the first of equals


def _row(name: str, sweep: Sweep, sets: Sequence[Set]) -> tuple[str, ...]:
    if not sets:
        return sweep.title, f"Not run yet. {sweep.question}", "–"
    weighed = weigh(name, sweep, sets)
    pages = "; ".join(f"[{one.results.label}]({name}/{one.page}): {runs_done(one)}" for one in weighed)
    return f"[{sweep.title}]({name}/README.md)", in_short(furthest(weighed)), pages
