"""What answers each number of the paper: a verdict, a measurement, arithmetic, a command, or the reason why nothing.

`reports/README.md` says it, and is the index of all reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from bench.nets.counts import multiply_adds, parameters
from bench.paper import paper_numbers, printed
from bench.report.claims import NOT_JUDGED, NOT_REPRODUCED, REPRODUCED, UNDECIDED, WAITING, judge_set
from bench.report.evidence import load_sets
from bench.report.frame import Set, page_names
from bench.report.index import beginning
from bench.report.nets import COMPUTED, agreement, nets_page
from bench.report.numbers import mean_std
from bench.report.render.html import write_html
from bench.report.stats import sample
from bench.report.tables import Table
from bench.spec import Net, Recipe, Sweep, counted, task_of
from bench.store import make_folder, write_text

MEASURED, ELSEWHERE = "measured, without a claim", "measured at another scale"
COUNTED, RUNNABLE, PLANNED, NOT_ATTEMPTED = "computed", "runnable", "planned", "not attempted"
STATUSES = (
    REPRODUCED, NOT_REPRODUCED, UNDECIDED, WAITING, MEASURED, ELSEWHERE, COUNTED, RUNNABLE, PLANNED, NOT_ATTEMPTED,
)  # fmt: skip

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
    """Every sweep with its results, if it has any."""
    return [
        Study(name, sweep, tuple(load_sets(results / name, sweep)) if (results / name / "runs.csv").exists() else ())
        for name, sweep in sweeps.items()
    ]


def coverage(studies: Sequence[Study]) -> list[Answer]:
    """An answer for each number of the paper, in its order."""
    by_name = {study.name: study for study in studies}
    verdicts = {  # of the claims that a number is reproduced
        (study.name, one.claim.number): one.verdict
        for study in studies
        for results in study.sets
        if results.comparable
        for one in judge_set(study.sweep, results)
        if one.verdict != NOT_JUDGED
    }
    answers = []
    for number in paper_numbers().values():
        by = number.get("answered_by")
        if by is None:
            answer = Answer(number, NOT_ATTEMPTED, "–", number["reason"])
        elif by == "counts":
            ours = float(COMPUTED[number["id"]]())
            answer = Answer(number, COUNTED, f"{ours:.5g}", agreement(ours, number["printed"]) + _note(number))
        elif by not in by_name:
            answer = Answer(number, PLANNED, "–", f"needs the sweep `{by}`, which this version does not have")
        else:
            measured = _measured(number, by_name[by], verdicts.get((by, number["id"]), MEASURED))
            answer = measured or _runnable(number, by_name[by])
        answers.append(answer)
    return answers


def totals(answers: Sequence[Answer]) -> dict[str, int]:
    """How many numbers have each status, in the order of STATUSES."""
    counts = Counter(answer.status for answer in answers)
    return {status: counts[status] for status in STATUSES if counts[status]}


def _measured(number: Printed, study: Study, verdict: str) -> Answer | None:
    """The number as the best of the study's scales has it.

    Scale quick answers nothing, nor does a stand-in or a part of ImageNet.
    """
    names = page_names(study.sets)
    for one in study.sets:
        ours = sample(_values(one, number) if one.dataset.of_paper and one.scale != "quick" else ())
        if ours.n:
            page = f"[{study.name}, scale {one.scale}]({study.name}/{names[one.scale, one.data]})"
            words = mean_std(ours.mean, ours.std, ours.n)
            return Answer(number, verdict if one.comparable else ELSEWHERE, words, page + _note(number))
    return None


def _values(one: Set, number: Printed) -> pd.Series[float] | tuple[()]:
    """The metric of the number's net by run."""
    done, metric = one.done[one.done["net"] == number.get("net")], str(number.get("metric"))
    curves = one.curves[one.curves["id"].isin(done["id"])]
    if metric == "steps_below_80":  # the end of the first training window whose error is below 80 %
        return curves[curves["error"] < 80].groupby("id")["step"].min().astype(float)
    if metric == "error_at_2000":  # of the training window that ends after 2,000 steps, five passes over CIFAR-10
        return curves.loc[curves["step"] == 2_000, "error"]
    return done.get(metric, ())


def _runnable(number: Printed, study: Study) -> Answer:
    """The command that measures it, and what that costs."""
    scale, net = study.sweep.scales["paper"], number.get("net")
    command = f"python -m bench.sweep {study.name} --scale paper"
    if net not in scale.names:
        return Answer(number, RUNNABLE, "–", f"`{command}`{_note(number)}")
    cost = _cost(study, net, *scale.cells[scale.names.index(net)])
    return Answer(number, RUNNABLE, "–", f"`{command} --only {net}`: {cost}{_note(number)}")


def _note(number: Printed) -> str:
    return f"; {number['note']}" if "note" in number else ""


def _cost(study: Study, name: str, net: Net, recipe: Recipe) -> str:
    """Runs and steps, multiply-adds (a backward pass is two forward ones), and hours if a speed was measured."""
    images = recipe.steps * recipe.batch
    words = f"{counted(len(study.sweep.scales['paper'].seeds_of(net)), 'run')} of {recipe.steps:,} steps"
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
    procedures = sorted(path.stem for path in (reports / "procedure").glob("*.md"))
    only_train = [one for study in studies if task_of(study.sweep.task).only_trains for one in study.sets]
    return {"README.md": index(studies, answers, procedures), "nets.md": nets_page(only_train)}


def index(studies: Sequence[Study], answers: Sequence[Answer], procedures: Sequence[str]) -> str:
    """The markdown of the index."""
    links = ", ".join(f"[{name}](procedure/{name}.md)" for name in procedures)
    ours = sum(answer.number["whose"] == "ours" for answer in answers)
    counts = [*totals(answers).items(), ("all", len(answers))]
    places = {place: list(part) for place, part in groupby(answers, _place)}
    sections = [
        *beginning([(one.name, one.sweep, one.sets) for one in studies]),
        "[The nets](nets.md): Table 1, the nets of Section 4.2, and what each costs.",
        *([f"How claims are judged, and how often that errs: {links}."] if links else []),
        "## The numbers of the paper",
        f"{len(answers)} numbers, {ours} of them the paper's own; the others it quotes for comparison.",
        Table(("status", "numbers"), [(status, str(n)) for status, n in counts]).markdown(),
        _by_place(places, list(totals(answers))),
    ]
    for place, part in places.items():
        sections += [f"### {place}", _numbers(part)]
    sections += ["### Parameters of Table 6's residual nets, computed", _parameters()]
    return "\n\n".join(sections) + "\n"


def _place(answer: Answer) -> str:
    table = str(answer.number["table"])
    return table if table.startswith("Table") else "Text, captions and appendices"


def _by_place(places: Mapping[str, Sequence[Answer]], statuses: Sequence[str]) -> str:
    rows = []
    for place, answers in places.items():
        counts = Counter(answer.status for answer in answers)
        rows.append((place, *(str(counts[status] or "") for status in statuses), str(counts.total())))
    return Table(("", *statuses, "all"), rows).markdown()


def _numbers(answers: Sequence[Answer]) -> str:
    """Row and column of a table; of the text what is said and where."""
    rows = []
    for one in answers:
        number = one.number
        what = f" ({number['table']})" if number["column"] == "text" else f": {number['column']}"
        rows.append((f"`{number['id']}`", f"{number['row']}{what}", printed(number), one.ours, one.status, one.how))
    return Table(("id", "number", "paper", "ours", "status", "how, or why not"), rows, text=6).markdown()


def _parameters() -> str:
    rows = []
    for row in paper_numbers().values():
        if row["table"] == "Table 6" and row["whose"] == "ours":
            count, paper = parameters(Net("cifar", row["layers"], "A")), f"{row['params']:g}"
            rows.append((row["row"], f"{paper}M", f"{count:,}", agreement(count / 1e6, paper)))
    return Table(("net", "paper", "computed", "agreement"), rows).markdown()
