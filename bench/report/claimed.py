"""The section of a page on the sweep's claims: what was declared, then the verdicts, or what was measured so far."""

from __future__ import annotations

from bench.report.claims import NOT_JUDGED, WAITING, Judged
from bench.report.evidence import Evidence
from bench.report.numbers import Cell
from bench.report.sections import Section
from bench.report.tables import Table
from bench.report.verdicts import UNSEEN, claims_sections, measured, metric_words, seeds_words, undeclared
from bench.spec import counted

NO_JUDGE = "No claim is judged at this scale; the table describes what was measured."
NOT_THE_DATA = "**Not comparable with the paper:** these runs are not on the paper's data, and no claim is judged."
WAIT = "**{claims} to be judged at this scale; none has all of its planned seeds yet.**"
ELSEWHERE = "No claim is judged at this scale, and none is about its nets."
HOW = (
    "Differences are of means over the seeds. A claim is judged once, when each of its nets has its planned seeds "
    "(there/planned); until then it has neither an interval nor a p-value. Claims, seeds and procedure are declared "
    "in the sweep's file (digest `{digest}`); `python -m bench simulate {name} --scale {scale} "
    "--spread STD STD` prints the procedure and how often it errs."
)
DESCRIBED = "Differences are of means over the seeds."
DAGGER = " † Counts runs that started {when}."


def claims(evidence: Evidence) -> Section:
    """What the sweep says it tests, in its own words; the verdicts if there is any, else what was measured so far."""
    if any(one.decided for one in evidence.judged):
        (section,) = claims_sections(evidence)
        return Section(section.heading, (evidence.sweep.claim, *section.parts))
    return Section("Claims" if evidence.judged else "The claim", (evidence.sweep.claim, *_unjudged(evidence)))


def _unjudged(evidence: Evidence) -> tuple[str | Table, ...]:
    """One sentence, and a row a claim that is to be judged or has a number."""
    if not evidence.judged:
        return ()
    waiting = sum(one.verdict == WAITING for one in evidence.judged)
    said = WAIT.format(claims=counted(waiting, "claim")) if waiting else NO_JUDGE
    said = NOT_THE_DATA if evidence.results.dataset.made_up else said
    shown = sorted((o for o in evidence.judged if o.links or o.verdict == WAITING), key=lambda o: o.verdict != WAITING)
    if not shown:
        return (ELSEWHERE,)
    unseen = [one.claim.text.rstrip(".") for one in evidence.judged if one not in shown]
    note = (_how(evidence) if waiting else DESCRIBED) + (UNSEEN.format(claims="; ".join(unseen)) if unseen else "")
    whens = sorted({when for one in shown if (when := undeclared(evidence, one))})
    header = ("claim", "source", "so far: difference in points", "seeds of each net")
    rows = [_row(evidence, one) for one in shown]
    note += "".join(DAGGER.format(when=when) for when in whens)
    return said, Table(header, rows, text=3, note=note, name="claims")


def _how(evidence: Evidence) -> str:
    scale = evidence.results.scale
    return HOW.format(name=evidence.name, scale=scale, digest=evidence.sweep.claims_digest(scale)[:12])


def _row(evidence: Evidence, one: Judged) -> tuple[Cell, ...]:
    other = " (not judged at this scale)" if one.verdict == NOT_JUDGED and not evidence.describes else ""
    dagger = " †" if undeclared(evidence, one) else ""
    text = one.claim.text + metric_words(one.claim) + other
    return text, one.claim.source, measured(evidence, one) or "–", seeds_words(one) + dagger
