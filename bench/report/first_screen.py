"""The answer to a sweep's question in sentences: at the top of its page, in the index, at the end of a start."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from bench.report.claims import NOT_JUDGED, NOT_REPRODUCED, REPRODUCED, WAITING, Judged, tally
from bench.report.evidence import Evidence, weigh
from bench.report.frame import Set
from bench.report.numbers import mean_std, signed
from bench.report.sections import MADE_UP, Findings
from bench.report.stats import sample
from bench.report.tables import chance_near, p_words
from bench.report.verdicts import measured, seeds_words, verdict_words
from bench.spec import Sweep, counted

UNTESTED = "**Described, not tested:** no claim is judged at scale `{scale}`."
NO_CLAIM = "**Described, not tested:** the sweep declares no claim."
NOTHING_YET = "**Open:** {none} judged yet: {there} of {whose} {planned} runs are done."


def findings_of(evidence: Evidence) -> Findings:
    """What the sweep's task has to say of the set."""
    found: Findings = evidence.sweep.task_row.resolve("findings")(evidence)
    return found


def answer(evidence: Evidence, found: Findings) -> list[str]:
    """What was found, with what certainty, and what is open: a sentence each, as markdown.

    Where no claim has a verdict the numbers are described.
    """
    if evidence.results.dataset.made_up:
        return [MADE_UP, *found.answer]
    judged = [one for one in evidence.judged if one.verdict != NOT_JUDGED]
    if not judged:
        untested = UNTESTED.format(scale=evidence.results.scale) if evidence.sweep.claims else NO_CLAIM
        return [untested, *found.answer]
    if not any(one.decided for one in judged):
        return [_nothing_yet(judged), *found.answer]
    by_claim = {one.claim: one for one in judged if one.decided}
    told = [by_claim[claim] for claim in evidence.sweep.answering() if claim in by_claim]
    return [*(_verdict(evidence, one) for one in told), _counted(judged)]


def _verdict(evidence: Evidence, one: Judged) -> str:
    """`**Reproduced:** The training error … rises (plain-56 − plain-20: +3.73 points, 95 % …; n = 5; p = 0.001).`"""
    words = verdict_words(one, comparable=evidence.results.comparable).replace("*", "").capitalize()
    text = one.claim.text.rstrip(".")
    certain = [f"n = {seeds_words(one)}", _p(one)]
    if len(one.links) == 1:
        ((link,), (number,)) = one.links, measured(evidence, one)
        interval = number.over_seeds
        within = f", 95 % {signed(interval.low)} to {signed(interval.high)}" if interval else ""
        certain.insert(0, f"{link.label}: {signed(number.value)} points{within}")
    return f"**{words}:** {text} ({'; '.join(certain)})."


def _p(one: Judged) -> str:
    """`p < 0.001 for it`; of a claim that is undecided for it and against it."""
    told = {"for": p_words(one.p_for), "against": p_words(one.p_against)}
    told.pop({REPRODUCED: "against", NOT_REPRODUCED: "for"}.get(one.verdict, ""), None)
    return " and ".join(f"p {'' if p[0] == '<' else '= '}{p} {side} it" for side, p in told.items())


def _nothing_yet(judged: Sequence[Judged]) -> str:
    by_net = {net: counts for one in judged for net, counts in one.seeds.items()}
    there, planned = (sum(counts) for counts in zip(*by_net.values(), strict=True))
    none = "the claim is not" if len(judged) == 1 else f"none of the {len(judged)} claims is"
    whose = "its" if len(judged) == 1 else "their"
    return NOTHING_YET.format(there=there, planned=planned, none=none, whose=whose)


def _counted(judged: Sequence[Judged]) -> str:
    """Of all claims that are judged, how many have which verdict."""
    counts = tally(judged)
    waiting = counts.pop(WAITING, 0)
    words = [f"{count} {verdict}" for verdict, count in counts.items()]
    open_ = f"; **open:** {counted(waiting, 'claim')} waiting for seeds" if waiting else ""
    return f"Of {counted(len(judged), 'claim')}: {', '.join(words)}{open_}."


def in_short(evidence: Evidence) -> str:
    """One sentence: the first verdict, or the first that the numbers say."""
    found = findings_of(evidence)
    decided = any(one.decided for one in evidence.judged) and not evidence.results.dataset.made_up
    return answer(evidence, found)[0] if decided else found.answer[0]


def on_a_terminal(name: str, sweep: Sweep, sets: Sequence[Set], focus: tuple[str, str], width: int) -> str:
    """Of the set of `focus` (scale, data), in lines of at most `width` letters where its nets' names leave room."""
    evidence = next(one for one in weigh(name, sweep, sets) if (one.results.scale, one.results.data) == focus)
    said = "\n".join(
        textwrap.fill(text, width, subsequent_indent="  ", break_on_hyphens=False) for text in _sentences(evidence)
    )
    return f"{_table(evidence)}\n\n{said}"


def _table(evidence: Evidence) -> str:
    """A row a net: what its test measured and the training error, mean ± standard deviation (n), beside published."""
    results, task = evidence.results, evidence.sweep.task_row
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
    rows = [head, *((evidence.display(net), *(shown(net, *which) for which in columns.values())) for net in nets)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return "\n".join(map("  ".join, padded))


def _sentences(evidence: Evidence) -> Iterator[str]:
    """Chance, the question and its answer, as a terminal shows it."""
    if chance := chance_near(evidence.results):
        yield f"Guessing gives {evidence.sweep.task_row.value(chance):.4g} %."
    yield f"Question: {evidence.sweep.question}"
    first, *others = (text.replace("**", "").replace("`", "") for text in answer(evidence, findings_of(evidence)))
    yield f"Answer:   {first}"
    yield from (f"- {text}" for text in others)
