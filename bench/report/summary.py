"""What the end of a start prints: a table of results, and the sentence that answers the sweep's question."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from bench.report.claims import NOT_JUDGED
from bench.report.evidence import Evidence, weigh
from bench.report.frame import Set, display_name
from bench.report.numbers import mean_std
from bench.report.sections import MADE_UP
from bench.report.stats import sample
from bench.report.tables import chance_near
from bench.report.verdicts import verdict_words
from bench.spec import Sweep, task_of

SHAPE = "shows the shape of the claim and decides nothing"
STAND_IN = MADE_UP.strip("*")


def summary(name: str, sweep: Sweep, sets: Sequence[Set], focus: tuple[str, str], width: int) -> str:
    """Of the set of `focus` (scale, data), in lines of at most `width` letters where its nets' names leave room."""
    evidence = next(one for one in weigh(name, sweep, sets) if (one.results.scale, one.results.data) == focus)
    said = "\n".join(
        textwrap.fill(text, width, subsequent_indent="  ", break_on_hyphens=False) for text in _sentences(evidence)
    )
    return f"{_table(evidence)}\n\n{said}"


def _table(evidence: Evidence) -> str:
    """A row a net: what its test measured and the training error, mean ± standard deviation (n), beside published."""
    results, task = evidence.results, task_of(evidence.sweep.task)
    columns: dict[str, tuple[Set, str]] = {f"{task.measure} % (n)": (results, "test_error")}
    if results.published is not None:
        columns["resnet-bench's (n)"] = results.published, "test_error"
    if results.done["train_error"].notna().any():
        columns["training error % (n)"] = results, "train_error"

    def shown(net: str, of: Set, column: str) -> str:
        ours = sample(of.done.loc[of.done["net"] == net, column].dropna())
        return mean_std(task.value(ours.mean) if column == "test_error" else ours.mean, ours.std, ours.n)

    nets = list(map(str, results.nets.index))
    head = ("", *columns)
    rows = [head, *((display_name(net), *(shown(net, *which) for which in columns.values())) for net in nets)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return "\n".join(map("  ".join, padded))


def _sentences(evidence: Evidence) -> Iterator[str]:
    """Chance, the question, its answer as far as the numbers go, and what they are worth."""
    results, sweep = evidence.results, evidence.sweep
    if chance := chance_near(results):
        yield f"Guessing gives {task_of(sweep.task).value(chance):g} %."
    if results.dataset.made_up:
        yield STAND_IN
    yield f"Question: {sweep.question}"
    yield f"Answer:   {answer(evidence)}"
    if verdicts := _verdicts(evidence):
        yield f"Claims:   {verdicts}"
    if not results.dataset.made_up and not any(one.decided for one in evidence.judged):
        worth = "decides nothing yet" if sweep.judged_at(results.scale) else SHAPE
        yield f"Scale {results.scale} {worth}."


def _verdicts(evidence: Evidence) -> str:
    """`beats undecided; order reproduced`: the claims that are judged at this scale, by their ids."""
    judged = [one for one in evidence.judged if one.verdict != NOT_JUDGED]
    return "; ".join(f"{one.claim.id} {verdict_words(one, comparable=True).replace('*', '')}" for one in judged)


def answer(evidence: Evidence) -> str:
    """The first of what a page says the numbers say."""
    sections = task_of(evidence.sweep.task).resolve("sections")(evidence)
    return str(sections[0].parts[0]).split("\n")[0].removeprefix("- ")
