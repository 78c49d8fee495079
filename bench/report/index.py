"""The top of reports/README.md: the main sweep's answer with its figure, then a table of what the others found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.report.answers import Study
from bench.report.claims import NOT_JUDGED
from bench.report.evidence import Evidence, weigh
from bench.report.first_screen import answer, findings_of, in_short
from bench.report.page import runs_done, standing
from bench.report.sections import bullets
from bench.report.tables import Table

MAIN = "plain_vs_residual"
STUDIES = ("study", "what it has found so far", "runs done")
DESCRIBED = "Scale `quick` takes minutes: it describes, and tests nothing."


def beginning(studies: Iterable[Study]) -> list[str]:
    """The paragraphs: the main sweep first, if there are results of it."""
    main, rows = [], []
    for study in studies:
        if study.name == MAIN and study.sets:
            main = _main(study)
        else:
            rows.append(_row(study))
    others = ["## The other studies"] if main else []
    return ["# Reports", *main, *others, Table(STUDIES, rows, text=3).markdown(), DESCRIBED]


def _main(study: Study) -> list[str]:
    """Question, answer and figure of the scale that says most."""
    weighed = weigh(study.name, study.sweep, study.sets)
    one = furthest(weighed)
    found = findings_of(one)
    return [
        f"## {study.sweep.title}",
        f"**{study.sweep.question}**",
        standing(one, [other for other in weighed if other is not one], f"{study.name}/"),
        bullets(answer(one, found)),
        *((found.figure.image(one.results.label, f"{study.name}/"), found.figure.caption) if found.figure else ()),
    ]


def furthest(weighed: Sequence[Evidence]) -> Evidence:
    """The set that says most: one with a verdict, else the one of which most claims that are judged have a number."""

    def measured(one: Evidence) -> tuple[bool, int]:
        judged = [judged for judged in one.judged if judged.verdict != NOT_JUDGED]
        return any(judged.decided for judged in judged), sum(bool(judged.links) for judged in judged)

    return max(weighed, key=measured)  # the first of equals


def _row(study: Study) -> tuple[str, ...]:
    name, sweep = study.name, study.sweep
    if not study.sets:
        return sweep.title, f"Not run yet. {sweep.question}", "–"
    weighed = weigh(name, sweep, study.sets)
    pages = "; ".join(f"[{one.results.label}]({name}/{one.page}): {runs_done(one.results)}" for one in weighed)
    return f"[{sweep.title}]({name}/README.md)", in_short(furthest(weighed)), pages
