"""reports/summary.md: one page in the manner of the ML Reproducibility Challenge. Its prose stands in summary.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.resources import files
from string import Template

import pandas as pd

from bench.nets.speeds import predicted_seconds
from bench.paper import printed
from bench.report.answers import COUNTED, ELSEWHERE, RUNNABLE, Answer, Study, not_attempted, what_there_is
from bench.report.claims import WAITING, judge_set, tally
from bench.report.costs import duration, shared
from bench.report.frame import Set, page_names
from bench.report.machines import beside_another
from bench.report.nets import SAME
from bench.report.page import runs_done
from bench.report.sections import bullets
from bench.report.tables import Table, plain
from bench.spec import SCALES, counted

SECONDS_PER_HOUR = 3600
OF_OTHER_SCALES = "What was measured at another scale is of fewer steps, and not comparable with the paper's number."


def summary(studies: Sequence[Study], answers: Sequence[Answer]) -> str:
    """The markdown of the page."""
    begun = [study for study in studies if study.sets]
    text = files("bench").joinpath("report/summary.md").read_text(encoding="utf-8")
    return Template(text).substitute(
        scope=f"{counted(len(studies), 'sweep')} are declared and {len(begun)} have results.",
        sweeps=_sweeps(studies).markdown(),
        reproduced=f"{what_there_is(answers)} {_decided(studies)}",
        verdicts=_verdicts(begun).markdown(),
        measured=_measured(answers),
        computed=_computed(answers),
        hardware=_all_hardware(begun),
        quick_alone=_quick_alone(begun),
        spread=_spread(begun),
        spent=_spent(begun),
        resources=_resources(begun).markdown(),
        deviations=_deviations(studies),
        undone=_undone(answers),
        runnable=_runnable(studies, answers),
    )


def _sweeps(studies: Sequence[Study]) -> Table:
    """A row a sweep: what it asks, how many claims it judges at which scale, and on which data."""
    rows = []
    for study in studies:
        sweep = study.sweep
        judged = {scale: len(sweep.judged_at(scale)) for scale in SCALES if scale in sweep.scales}
        words = ", ".join(f"{n} at {scale}" for scale, n in judged.items() if n)
        rows.append((study.name, sweep.question, sweep.data, words or "–"))
    return Table(("sweep", "question", "data", "claims to be judged"), rows, text=4)


def _judged(study: Study, one: Set) -> dict[str, int]:
    return tally(judge_set(study.sweep, one))


def _decided(studies: Sequence[Study]) -> str:
    """What is decided at the paper's schedule, in a sentence."""
    counts = Counter[str]()
    for study in studies:
        for one in study.sets:
            counts.update(_judged(study, one) if one.comparable else {})
    counts.pop(WAITING, 0)
    decided = counts.total()
    declared = sum(len(one.sweep.judged_at("paper")) for one in studies if "paper" in one.sweep.scales)
    if not decided:
        none = f"none of the {counted(declared, 'claim')} that it judges has all of its planned seeds"
        return f"**Nothing is decided at the paper's schedule yet**: {none}."
    wait = f"{counted(declared - decided, 'claim')} without all planned seeds" * (declared > decided)
    words = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    return f"At the paper's schedule {words}{f'; {wait}' * bool(wait)}."


def _verdicts(begun: Sequence[Study]) -> Table:
    """A row a sweep and scale with results."""
    rows = []
    for study in begun:
        names = page_names(study.sets)
        for one in study.sets:
            words = ", ".join(f"{n} {verdict}" for verdict, n in _judged(study, one).items())
            page = f"[{study.name}]({study.name}/{names[one.scale, one.data]})"
            rows.append((page, one.label, words or "judges no claim", runs_done(one)))
    return Table(("sweep", "scale", "verdicts", "runs done"), rows, text=3)


def _measured(answers: Sequence[Answer]) -> str:
    """What was measured of the paper's numbers beside them."""
    found = [one for one in answers if one.ours != "–" and one.status != COUNTED]
    rows = [
        (f"{one.number['row']}, {one.number['table']}", one.status, one.how, printed(one.number), one.ours)
        for one in found
    ]
    table = Table(("number", "status", "page", "paper", "ours (n)"), rows, text=3)
    if not rows:
        return "None of the paper's numbers has been measured."
    elsewhere = any(one.status == ELSEWHERE for one in found)
    return table.markdown() + f"\n\n{OF_OTHER_SCALES}" * elsewhere


def _computed(answers: Sequence[Answer]) -> str:
    computed = [one.how for one in answers if one.status == COUNTED]
    same = sum(how.partition(";")[0] == SAME for how in computed)
    return (
        f"of the {len(computed)} numbers that arithmetic gives, {same} agree with the printed digits"
        + f", {len(computed) - same} agree if those were cut off instead of rounded" * (same < len(computed))
        + "."
    )


def _done(begun: Sequence[Study]) -> pd.DataFrame:
    """The finished runs of all sweeps, each once: a run may stand in two."""
    parts = [one.done.assign(sweep=study.name) for study in begun for one in study.sets]
    return (
        pd.concat(parts).drop_duplicates("id")
        if parts
        else pd.DataFrame(columns=["id", "sweep", "scale", "hardware", "started", "ended", "seconds"])
    )


def _all_hardware(begun: Sequence[Study]) -> str:
    return " and ".join(sorted(map(plain, map(str, _done(begun)["hardware"].unique())))) or "no machine"


def _quick_alone(begun: Sequence[Study]) -> str:
    """The sweeps that have run at the smallest scale alone, in a sentence."""
    names = [study.name for study in begun if study.quick_alone]
    words = ", ".join(f"`{name}`" for name in names)
    what = "sweep has" if len(names) == 1 else "sweeps have"
    return (
        f"{len(names)} {what} results at scale `{SCALES[-1]}` alone, which decides nothing: {words}." if names else ""
    )


def _spread(begun: Sequence[Study]) -> str:
    """Between what throughputs the classifications by the commonest batch size and precision lie, in a sentence."""
    speeds = {one for study in begun if study.sweep.task_row.only_trains for one in study.speeds}
    alike = Counter((one.batch, one.precision) for one in speeds)
    if not alike:
        return "no run has been timed."
    (batch, precision), count = max(alike.items(), key=lambda item: (item[1], item[0]))
    rates = [one.throughput / 1e9 for one in speeds if (one.batch, one.precision) == (batch, precision)]
    return (
        f"{counted(count, 'run')} in {precision} by batches of {batch} made {min(rates):.1f} to {max(rates):.1f} "
        "billion multiply-adds a second in training, on processors of one name that differ in their units and were "
        "shared with other work."
    )


def _spent(begun: Sequence[Study]) -> str:
    done = _done(begun)
    return (
        f"{counted(len(done), 'finished run')} took {_hours(done)} hours of training with the tests on the way."
        f"{shared(done)} The hours are those of runs and not of machines. Runs that failed or were begun anew, and "
        "what was tried before a sweep was declared, are not among them."
    )


def _hours(runs: pd.DataFrame) -> str:
    hours = runs["seconds"].sum() / SECONDS_PER_HOUR
    return f"{hours:,.1f}" if hours >= 1 else f"{hours:.2f}"


def _resources(begun: Sequence[Study]) -> Table:
    """A row a hardware, sweep and scale; of the runs, how many had another beside them."""
    done = _done(begun)
    rows = [
        (plain(str(hardware)), str(sweep), str(scale), f"{len(runs)}", f"{runs['beside'].sum()}", _hours(runs))
        for (hardware, sweep, scale), runs in done.assign(beside=beside_another(done)).groupby(
            ["hardware", "sweep", "scale"], sort=False
        )
    ]
    return Table(("hardware", "sweep", "scale", "runs", "beside another", "hours"), rows, text=3)


def _deviations(studies: Sequence[Study]) -> str:
    """Those of what was run at the paper's schedule; how many the others name, and where."""
    here: list[str] = []
    others: list[str] = []
    for study in studies:
        own = study.sweep.deviations
        if any(one.comparable for one in study.sets):
            here += [*study.sweep.scales["paper"].deviations, *own]
        else:
            others.append(f"{study.name} ({len(own)})")
    rest = f"The other sweeps name theirs in their files and on their pages: {', '.join(others)}."
    return f"{bullets(dict.fromkeys(here))}\n\n{rest}" if here else rest


def _undone(answers: Sequence[Answer]) -> str:
    groups = not_attempted(answers)
    words = ", ".join(f"{name} ({n})" for name, n in groups.items())
    return (
        f"{sum(groups.values())} of the paper's {sum(a.number['is_result'] for a in answers)} printed results are not "
        f"attempted: {words}. [The index](README.md) says why of each. What has a command and has not been run:"
    )


def _runnable(studies: Sequence[Study], answers: Sequence[Answer]) -> str:
    """A row a sweep that would answer further numbers: those, and the runs and run-hours of its schedule left."""
    waiting = Counter(one.number["answered_by"] for one in answers if one.status == RUNNABLE)
    rows = []
    for study in studies:
        if waiting[study.name]:
            times = list(_times_left(study))
            known = [seconds for seconds in times if seconds is not None]
            total = duration(sum(known)) if known and len(known) == len(times) else "–"
            rows.append((study.name, f"{waiting[study.name]}", f"{len(times)}", total))
    hardware = " and ".join(sorted({plain(speed.hardware) for study in studies for speed in study.speeds}))
    note = f"Times are extrapolated by multiply-adds from runs on {hardware}; – where no run tells." if hardware else ""
    table = Table(("sweep", "numbers", "runs left", "time of all"), rows).markdown()
    return "\n\n".join(filter(None, (table, note)))


def _times_left(study: Study) -> Iterator[float | None]:
    """The seconds of each run of the paper's schedule that is not done."""
    sweep = study.sweep
    done = {name for one in study.sets for name in one.done["id"]}
    for run in sweep.runs("paper", None, sweep.data_at("paper")):
        if run.id not in done:
            yield predicted_seconds(run, 0, study.speeds)
