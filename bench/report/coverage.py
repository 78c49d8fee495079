"""What answers each number of the paper: a verdict, a measurement, arithmetic, a command, or the reason why nothing.

`reports/README.md` says it, and is the index of all reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import pandas as pd

from bench.nets.counts import multiply_adds_of, parameters
from bench.nets.speeds import predicted_seconds, published_speeds
from bench.paper import paper_numbers, printed
from bench.report.answers import (
    COUNTED,
    ELSEWHERE,
    MEASURED,
    NOT_ATTEMPTED,
    PLANNED,
    RUNNABLE,
    SETTING,
    Answer,
    Printed,
    Study,
    not_attempted,
    totals,
    what_there_is,
)
from bench.report.claims import NOT_JUDGED, judge_set
from bench.report.costs import duration
from bench.report.evidence import load_sets
from bench.report.frame import Set, page_names
from bench.report.index import beginning
from bench.report.nets import COMPUTED, agreement, nets_page
from bench.report.numbers import mean_std
from bench.report.render.html import write_html
from bench.report.stats import sample
from bench.report.summary import summary
from bench.report.tables import Table
from bench.spec import Net, Sweep, counted
from bench.store import make_folder, write_text


def load(sweeps: Mapping[str, Sweep], results: Path) -> list[Study]:
    """Every sweep with its results, if it has any."""
    there = {name for name in sweeps if (results / name / "runs.csv").exists()}
    return [
        Study(
            name,
            sweep,
            tuple(load_sets(results / name, sweep)) if name in there else (),
            published_speeds(results, sweep.task_name),
        )
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
            status = NOT_ATTEMPTED if number["is_result"] else SETTING
            answer = Answer(number, status, "–", number["reason"] + _note(number))
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
    first, _, second = metric.partition(" - ")
    if not {first, second or first} <= set(done):
        return ()
    return (done[first] - done[second] if second else done[first]).dropna()


def _runnable(number: Printed, study: Study) -> Answer:
    """The command that measures it, and what that costs."""
    scale, net = study.sweep.scales["paper"], number.get("net")
    command = f"python -m bench.sweep {study.name} --scale paper"
    if net not in scale.names:
        return Answer(number, RUNNABLE, "–", f"`{command}`{_note(number)}")
    cost = _cost(study, net, scale.cells[scale.names.index(net)][0])
    return Answer(number, RUNNABLE, "–", f"`{command} --only {net}`: {cost}{_note(number)}")


def _note(number: Printed) -> str:
    return f"; {number['note']}" if "note" in number else ""


def _cost(study: Study, name: str, net: Net) -> str:
    """Runs and steps, multiply-adds (a backward pass is two forward ones), and the time where it can be told."""
    sweep = study.sweep
    cells = sweep.scales["paper"]
    run = next(run for run in sweep.runs("paper", None, sweep.data_at("paper")) if cells.name_of(run) == name)
    if not sweep.task_row.trains:
        return "a test of published weights, without training"
    words = f"{counted(len(cells.seeds_of(net)), 'run')} of {run.recipe.steps:,} steps"
    if sweep.task_row.by_image:  # not of a detector: nobody counts its regions, which cost as much again
        words += f", {3 * run.recipe.steps * run.recipe.batch * multiply_adds_of(run):.1e} multiply-adds each"
    seconds = predicted_seconds(run, 0, study.speeds)
    return words if seconds is None else f"{words}, about {duration(seconds)} each"


def write_index(studies: Sequence[Study], reports: Path) -> None:
    """Writes reports/README.md, the reports and every number of the paper; summary.md; nets.md; index.html."""
    make_folder(reports)
    for file, text in index_texts(studies, coverage(studies), reports).items():
        write_text(reports / file, text)
    write_html(reports)


def index_texts(studies: Sequence[Study], answers: Sequence[Answer], reports: Path) -> dict[str, str]:
    """The texts of the index by their files. reports: where pages of `bench simulate` may lie, which it links to."""
    procedures = sorted(path.stem for path in (reports / "procedure").glob("*.md"))
    speeds = dict.fromkeys(s for study in studies if study.sweep.task_row.only_trains for s in study.speeds)
    return {
        "README.md": index(studies, answers, procedures),
        "summary.md": summary(studies, answers),
        "nets.md": nets_page(list(speeds)),
    }


def index(studies: Sequence[Study], answers: Sequence[Answer], procedures: Sequence[str]) -> str:
    """The markdown of the index."""
    links = ", ".join(f"[{name}](procedure/{name}.md)" for name in procedures)
    places = {place: list(part) for place, part in groupby(answers, _place)}
    sections = [
        *beginning(studies),
        "[Summary](summary.md): the scope, what was reproduced, what was easy and hard, what it took.",
        "[The nets](nets.md): Table 1, the nets of Section 4.2, and what each costs.",
        *([f"How claims are judged, and how often that errs: {links}."] if links else []),
        "Beside each page lie its numbers, each with both of its intervals and n: `numbers.csv`, whose columns are "
        "[described](../results/README.md#citing), and macros for LaTeX.",
        "Generated by `python -m bench publish` from `results/`, the sweeps and `bench/paper.yaml`.",
        "## The numbers of the paper",
        f"**{what_there_is(answers)}**",
        *_counts(answers),
        _by_place(places, list(totals(answers))),
    ]
    for place, part in places.items():
        sections += [f"### {place}", _numbers(part)]
    sections += ["### Parameters of Table 6's residual nets, computed", _parameters()]
    return "\n\n".join(sections) + "\n"


def _counts(answers: Sequence[Answer]) -> list[str]:
    """All results by status, and those that are not attempted by the group of their reason."""
    results = [answer for answer in answers if answer.number["is_result"]]
    ours, settings = sum(a.number["whose"] == "ours" for a in results), len(answers) - len(results)
    left = not_attempted(answers)
    statuses, groups = ([(name, str(n)) for name, n in one.items()] for one in (totals(answers), left))
    return [
        f"{len(results)} results, {ours} of them the paper's own; the others it quotes for comparison, and "
        "some of these can be computed or measured here. "
        f"{settings} more numbers describe settings and are in no count.",
        Table(("status", "numbers"), [*statuses, ("all", str(len(results)))]).markdown(),
        "Why numbers are not attempted:",
        Table(("group", "numbers"), [*groups, ("all", str(sum(left.values())))]).markdown(),
    ]


def _place(answer: Answer) -> str:
    table = str(answer.number["table"])
    return table if table.startswith("Table") else "Text, captions and appendices"


def _by_place(places: Mapping[str, Sequence[Answer]], statuses: Sequence[str]) -> str:
    rows = []
    for place, answers in places.items():
        counts = totals(answers)
        rows.append((place, *(str(counts.get(status, "")) for status in statuses), str(sum(counts.values()))))
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
