"""What answers each number of the paper: a verdict, a measurement, arithmetic, a command, or the reason why nothing.

`reports/README.md` says it, and is the index of all reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from bench.nets.counts import multiply_adds
from bench.paper import paper_numbers, printed
from bench.report.claims import NOT_JUDGED, NOT_REPRODUCED, REPRODUCED, UNDECIDED, WAITING, judge_set
from bench.report.computed import COMPUTED, agreement, table6_parameters
from bench.report.evidence import load_sets
from bench.report.frame import Set, page_names
from bench.report.nets import nets_page
from bench.report.numbers import mean_std
from bench.report.render.html import write_html
from bench.report.stats import Sample, sample
from bench.report.tables import markdown
from bench.spec import Net, Recipe, Sweep, counted, task_of
from bench.store import make_folder, write_text

MEASURED, ELSEWHERE = "measured, without a claim", "measured at another scale"
COUNTED, RUNNABLE, PLANNED, NOT_ATTEMPTED = "computed", "runnable", "planned", "not attempted"
STATUSES = (
    REPRODUCED,
    NOT_REPRODUCED,
    UNDECIDED,
    WAITING,
    MEASURED,
    ELSEWHERE,
    COUNTED,
    RUNNABLE,
    PLANNED,
    NOT_ATTEMPTED,
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
    """A sweep with all sets of its results."""

    name: str
    sweep: Sweep
    sets: tuple[Set, ...]


def load(sweeps: Mapping[str, Sweep], results: Path) -> list[Study]:
    """Every sweep with its results, where it has any."""
    known = {name: (results / name / "runs.csv").exists() for name in sweeps}
    return [
        Study(name, sweep, tuple(load_sets(results / name, sweep)) if known[name] else ())
        for name, sweep in sweeps.items()
    ]


def coverage(studies: Sequence[Study]) -> list[Answer]:
    """An answer for each number of the paper, in its order."""
    by_name = {study.name: study for study in studies}
    verdicts = {name: _verdicts(study) for name, study in by_name.items()}
    return [_answer(number, by_name, verdicts) for number in paper_numbers().values()]


def totals(answers: Sequence[Answer]) -> dict[str, int]:
    """How many numbers have each status, in the order of STATUSES."""
    counts = Counter(answer.status for answer in answers)
    return {status: counts[status] for status in STATUSES if counts[status]}


def _verdicts(study: Study) -> dict[str, str]:
    """By id of a number, the verdict of the claim that it is reproduced."""
    judged = [one for s in study.sets if s.comparable for one in judge_set(study.sweep, s)]
    return {one.claim.number: one.verdict for one in judged if one.claim.number and one.verdict != NOT_JUDGED}


def _answer(number: Printed, studies: Mapping[str, Study], verdicts: Mapping[str, Mapping[str, str]]) -> Answer:
    by = number.get("answered_by")
    if by is None:
        return Answer(number, NOT_ATTEMPTED, "–", number["reason"])
    if by == "counts":
        return _computed(number)
    if by not in studies:
        return Answer(number, PLANNED, "–", f"needs the sweep `{by}`, which this version does not have")
    measured = _measured(number, studies[by], verdicts[by].get(number["id"]))
    return measured or _runnable(number, studies[by])


def _computed(number: Printed) -> Answer:
    ours = COMPUTED[number["id"]]()
    return Answer(number, COUNTED, f"{ours:.5g}", agreement(ours, number["printed"]) + _note(number))


def _measured(number: Printed, study: Study, verdict: str | None) -> Answer | None:
    """The number as the best of the study's scales has it.

    Scale quick answers nothing, nor does a stand-in or a part of ImageNet.
    """
    names = page_names(study.sets)
    for one in study.sets:
        ours = _sample(one, number) if one.dataset.of_paper and one.scale != "quick" else None
        if ours is not None and ours.n:
            status = (verdict or MEASURED) if one.comparable else ELSEWHERE
            page = f"[{study.name}, scale {one.scale}]({study.name}/{names[one.scale, one.data]})"
            return Answer(number, status, mean_std(ours.mean, ours.std, ours.n), page + _note(number))
    return None


def _steps_below_80(one: Set, done: pd.DataFrame) -> pd.Series[float]:
    """Of each run, the end of the first training window whose error is below 80 %."""
    curves = one.curves[one.curves["id"].isin(done["id"])]
    return curves[curves["error"] < 80].groupby("id")["step"].min().astype(float)


def _error_at_2000(one: Set, done: pd.DataFrame) -> pd.Series[float]:
    """Of each run, the training error of the window that ends after 2,000 steps, five passes over CIFAR-10."""
    curves = one.curves[one.curves["id"].isin(done["id"])]
    return curves[curves["step"] == 2_000].set_index("id")["error"]


FROM_CURVES: Mapping[str, Callable[[Set, pd.DataFrame], pd.Series[float]]] = {
    "steps_below_80": _steps_below_80,
    "error_at_2000": _error_at_2000,
}


def _sample(one: Set, number: Printed) -> Sample | None:
    """The metric of the number's net over the done seeds; None where the results have no such metric."""
    done = one.done[one.done["net"] == number.get("net")]
    metric = str(number.get("metric"))
    if metric in FROM_CURVES:
        return sample(FROM_CURVES[metric](one, done))
    return sample(done[metric]) if metric in done else None


def _runnable(number: Printed, study: Study) -> Answer:
    """The command that measures it, and what that costs."""
    scale = study.sweep.scales["paper"]
    cell = next((c for c, name in zip(scale.cells, scale.names, strict=True) if name == number.get("net")), None)
    only = f" --only {number['net']}" if cell else ""
    command = f"`python -m bench.sweep {study.name} --scale paper{only}`"
    cost = f": {_cost(study, number['net'], *cell, len(scale.seeds_of(cell[0])))}" if cell else ""
    return Answer(number, RUNNABLE, "–", command + cost + _note(number))


def _note(number: Printed) -> str:
    return f"; {number['note']}" if "note" in number else ""


def _cost(study: Study, name: str, net: Net, recipe: Recipe, seeds: int) -> str:
    """Runs and steps, multiply-adds (a backward pass is two forward ones), and hours where a speed was measured."""
    images = recipe.steps * recipe.batch
    words = f"{counted(seeds, 'run')} of {recipe.steps:,} steps"
    if task_of(study.sweep.task).by_image:  # not of a detector: nobody counts its regions, which cost as much again
        words += f", {3 * images * multiply_adds(net):.1e} multiply-adds each"
    speeds = [s.done.loc[s.done["net"] == name, "images_per_s"].median() for s in study.sets]
    known = [speed for speed in speeds if speed > 0]
    return f"{words}, {images / max(known) / 3600:.1f} h each at the fastest speed measured" if known else words


def write_index(sweeps: Mapping[str, Sweep], results: Path, reports: Path) -> tuple[Path, list[Answer]]:
    """Writes reports/README.md, the reports and every number of the paper; nets.md; index.html, all on one page."""
    studies = load(sweeps, results)
    answers = coverage(studies)
    make_folder(reports)
    for file, text in index_texts(studies, answers, reports).items():
        write_text(reports / file, text)
    write_html(reports)
    return reports / "README.md", answers


def index_texts(studies: Sequence[Study], answers: Sequence[Answer], reports: Path) -> dict[str, str]:
    """The texts of the index by their files. reports: where pages of `bench simulate` may lie, which it links to."""
    return {
        "README.md": index(studies, answers, sorted(path.name for path in (reports / "procedure").glob("*.md"))),
        "nets.md": nets_page(one for s in studies if task_of(s.sweep.task).only_trains for one in s.sets),
    }


def index(studies: Sequence[Study], answers: Sequence[Answer], procedures: Sequence[str]) -> str:
    """The markdown of the index."""
    links = ", ".join(f"[{name.removesuffix('.md')}](procedure/{name})" for name in procedures)
    sections = [
        "# Reports",
        "Generated by `python -m bench coverage` from `results/`, the sweeps and `bench/paper.yaml`.",
        _reports(studies),
        "[The nets](nets.md): Table 1, the nets of Section 4.2, and what each costs.",
        *([f"How claims are judged, and how often that errs: {links}."] if links else []),
        "## The numbers of the paper",
        f"{len(answers)} numbers, {_ours(answers)} of them the paper's own; the others it quotes for comparison.",
        markdown(
            ("status", "numbers"), [(s, str(n)) for s, n in totals(answers).items()] + [("all", str(len(answers)))]
        ),
        _by_table(answers),
    ]
    for place, part in groupby(answers, _place):
        sections += [f"### {place}", _numbers(list(part))]
    sections += ["### Parameters of Table 6's residual nets, computed", _parameters()]
    return "\n\n".join(sections) + "\n"


def _ours(answers: Sequence[Answer]) -> int:
    return sum(answer.number["whose"] == "ours" for answer in answers)


def _place(answer: Answer) -> str:
    table = str(answer.number["table"])
    return table if table.startswith("Table") else "Text, captions and appendices"


def _reports(studies: Sequence[Study]) -> str:
    rows = []
    for study in studies:
        names = page_names(study.sets)
        pages = [
            f"[{s.label}]({study.name}/{names[s.scale, s.data]}): {len(s.done)} of {len(s.runs)}" for s in study.sets
        ]
        words = "; ".join(filter(None, (_verdict_counts(study.sweep, s) for s in study.sets)))
        rows.append((study.name, study.sweep.question, "; ".join(pages) or "not run yet", words or "–"))
    return markdown(("sweep", "question", "scale: runs done", "verdicts"), rows, text=4)


def _verdict_counts(sweep: Sweep, results: Set) -> str:
    """`short: 2 reproduced, 8 not yet judged`; "" where no claim is judged at the scale."""
    counts = Counter(one.verdict for one in judge_set(sweep, results) if one.verdict != NOT_JUDGED)
    words = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    return f"{results.label}: {words}" if words else ""


def _by_table(answers: Sequence[Answer]) -> str:
    present = list(totals(answers))
    rows = []
    for place, part in groupby(answers, _place):
        counts = Counter(answer.status for answer in part)
        rows.append((place, *(str(counts[status] or "") for status in present), str(counts.total())))
    return markdown(("", *present, "all"), rows)


def _numbers(answers: Sequence[Answer]) -> str:
    rows = [(f"`{a.number['id']}`", _what(a.number), printed(a.number), a.ours, a.status, a.how) for a in answers]
    return markdown(("id", "number", "paper", "ours", "status", "how, or why not"), rows, text=6)


def _what(number: Printed) -> str:
    """Row and column of a table; of the text what is said and where."""
    return (
        f"{number['row']} ({number['table']})" if number["column"] == "text" else f"{number['row']}: {number['column']}"
    )


def _parameters() -> str:
    rows = [
        (row["row"], f"{row['params']:g}M", f"{count:,}", agreement(count / 1e6, f"{row['params']:g}"))
        for row, count in table6_parameters()
    ]
    return markdown(("net", "paper", "computed", "agreement"), rows)
