"""The claims on a page: what was declared, then the verdicts in words and tables, or what was measured so far."""

from __future__ import annotations

import pandas as pd

from bench.report.claims import NOT_JUDGED, UNDECIDED, WAITING, Judged, has_diverged, tally
from bench.report.evidence import Evidence
from bench.report.numbers import Cell, Number, n_words, of_starts
from bench.report.sections import Section
from bench.report.stats import CAUTIOUS, within
from bench.report.tables import Table, p_words
from bench.spec import LEVEL as LEVEL_OF_CLAIMS
from bench.spec import Claim, counted

MEASURED = (
    "Measured are means over the seeds and their differences in points, with 95 % intervals over seeds (Student's t "
    "for one net and for two recipes of one net seed by seed, else Welch's, and between unequally many seeds a t with "
    "the degrees of freedom of the fewest) that are not corrected for their number."
)
HOW = (
    "The claims, the seeds that judge them and the procedure are declared in the sweep's file (digest `{digest}`); "
    "`python -m bench simulate {name} --scale {scale} --spread STD STD` prints the procedure and how often it errs. "
    "{measured} p-values are one-sided, by Welch's degrees of freedom (TOST for equality claims; for ordering claims "
    "the largest among adjacent steps, and against them the smallest times their number), Holm-adjusted over the "
    "{claims} to be judged at this scale. A claim is “reproduced” (“not reproduced”) if p ≤ {level:g} for (against) "
    "it, otherwise “undecided”, which is final when no claim waits for seeds. If errors over seeds are normally "
    "distributed, any verdict is wrong in at most {both:.0f} % of sweeps."
)
BOLDER = (
    " Where an interval has the degrees of freedom of the fewest seeds it is more cautious than the p-values beside "
    "it, which keep Welch's, as declared before the runs: a p can be small although the interval reaches the claim's "
    "bound, and the verdict is the p-value's."
)
UNSEEN = " Without a number at this scale: {claims}."


NO_JUDGE = "No claim is judged at this scale; the table describes what was measured."
NOT_THE_DATA = "**Not comparable with the paper:** these runs are not on the paper's data, and no claim is judged."
WAIT = "**{claims} to be judged at this scale; none has all of its planned seeds yet.**"
ELSEWHERE = "No claim is judged at this scale, and none is about its nets."
LATER = (
    "Differences are of means over the seeds. A claim is judged once, when each of its nets has its planned seeds "
    "(there/planned); until then it has no interval and no p-value of its own, and other tables describe the runs that "
    "there are. Claims, seeds and procedure are declared in the sweep's file (digest `{digest}`); "
    "`python -m bench simulate {name} --scale {scale} --spread STD STD` prints the procedure and how often it errs."
)
DESCRIBED = "Differences are of means over the seeds."
DAGGER = " † Counts runs that started {when}."


def claims(evidence: Evidence) -> Section:
    """What the sweep says it tests, in its own words; the verdicts if there is any, else what was measured so far."""
    if any(one.decided for one in evidence.judged):
        return Section("Claims", (evidence.sweep.claim, _in_short(evidence), claims_table(evidence)))
    return Section("Claims" if evidence.judged else "The claim", (evidence.sweep.claim, *_unjudged(evidence)))


def _unjudged(evidence: Evidence) -> tuple[str | Table, ...]:
    """One sentence, and a row a claim that is to be judged or has a number."""
    if not evidence.judged:
        return ()
    waiting = tally(evidence.judged).get(WAITING, 0)
    said = WAIT.format(claims=counted(waiting, "claim")) if waiting else NO_JUDGE
    said = NOT_THE_DATA if evidence.results.dataset.made_up else said
    shown = [one for one in evidence.judged if _has_number(evidence, one) or one.verdict == WAITING]
    shown.sort(key=lambda one: one.verdict != WAITING)
    if not shown:
        return (ELSEWHERE,)
    unseen = [one.claim.text.rstrip(".") for one in evidence.judged if one not in shown]
    note = (_later(evidence) if waiting else DESCRIBED) + (UNSEEN.format(claims="; ".join(unseen)) if unseen else "")
    whens = sorted({when for one in shown if (when := undeclared(evidence, one))})
    header = ("claim", "source", "so far: difference in points", "seeds of each net")
    rows = [_so_far(evidence, one) for one in shown]
    note += "".join(DAGGER.format(when=when) for when in whens)
    return said, Table(header, rows, text=3, note=note, name="claims")


def _has_number(evidence: Evidence, one: Judged) -> bool:
    """Whether seeds are there; against a number of the paper nothing but its own schedule and data is held."""
    return bool(one.links) and (evidence.results.comparable or not one.claim.number)


def _later(evidence: Evidence) -> str:
    scale = evidence.results.scale
    return LATER.format(name=evidence.name, scale=scale, digest=evidence.sweep.claims_digest(scale)[:12])


def _so_far(evidence: Evidence, one: Judged) -> tuple[Cell, ...]:
    other = " (not judged at this scale)" if one.verdict == NOT_JUDGED and not evidence.describes else ""
    dagger = " †" if undeclared(evidence, one) else ""
    text = one.claim.text + metric_words(one.claim) + other
    return text, one.claim.source, measured(evidence, one) or "–", seeds_words(one) + dagger


def _in_short(evidence: Evidence) -> str:
    """The verdicts counted."""
    counts = tally(evidence.judged)
    parts = ", ".join(f"{n} {'waiting for seeds' if verdict == WAITING else verdict}" for verdict, n in counts.items())
    of_paper = evidence.results.dataset.of_paper
    apart = ", which is not the paper's schedule" if of_paper else ", on other data than the paper's"
    apart = "" if evidence.results.authorship.own else apart
    where = "" if evidence.results.comparable else f" at this scale{apart}"
    return f"**Of {counted(sum(counts.values()), 'claim')} to be judged{where}: {parts}.**"


CLAIMS = (
    "verdict", "claim", "in the paper", "measured: difference in points, 95 % over seeds", "seeds", "p (Holm)",
)  # fmt: skip


def claims_table(evidence: Evidence) -> Table:
    """A row a claim, the judged ones first; those that are not judged and without a number stand in the note."""
    shown = [o for o in evidence.judged if _has_number(evidence, o) or o.verdict != NOT_JUDGED] or list(evidence.judged)
    unseen = [one.claim.text.rstrip(".") for one in evidence.judged if one not in shown]
    rows = [_claim_row(evidence, one) for one in sorted(shown, key=lambda one: one.verdict == NOT_JUDGED)]
    count = sum(tally(evidence.judged).values())
    how = HOW.format(
        measured=MEASURED,
        name=evidence.name,
        scale=evidence.results.scale,
        digest=evidence.sweep.claims_digest(evidence.results.scale)[:12],
        claims=counted(count, "claim"),
        level=LEVEL_OF_CLAIMS / 2,
        both=100 * LEVEL_OF_CLAIMS,
    )
    how += BOLDER * any(one.decided and _is_cautious(one) for one in shown)
    note = (how if count else MEASURED) + (UNSEEN.format(claims="; ".join(unseen)) if unseen else "")
    source = "source" if evidence.results.authorship.own else CLAIMS[2]
    return Table((*CLAIMS[:2], source, *CLAIMS[3:]), rows, text=4, note=note, name="claims")


def _is_cautious(one: Judged) -> bool:
    """Whether an interval of the claim has fewer degrees of freedom than its p-values."""
    intervals = [link.effect.interval() for link in one.links]
    return any(interval.method.startswith(CAUTIOUS) for interval in intervals if interval)


def _claim_row(evidence: Evidence, one: Judged) -> tuple[Cell, ...]:
    started = undeclared(evidence, one)
    return (
        verdict_words(one, comparable=evidence.results.comparable) + (f"; started {started}" if started else ""),
        one.claim.text + metric_words(one.claim),
        one.claim.source,
        measured(evidence, one) or "–",
        seeds_words(one),
        _p(one) if one.decided else "–",
    )


def _p(one: Judged) -> str:
    """The smaller of both p-values, and for what it is: `0.017 for`, `0.008 against` the claim; `1.000 both ways`."""
    p, side = min((one.p_for, "for"), (one.p_against, "against"))
    alike = p_words(one.p_for) == p_words(one.p_against)
    return f"{p_words(p)} {'both ways' if alike else side}"


def metric_words(claim: Claim) -> str:
    """` (training error, margin 0.5)`: what a claim is about and within what bounds, where its text alone is not it."""
    metric = claim.metric.replace("train_", "training_").replace("_", " ")
    terms = [metric] if claim.metric != "test_error" else []
    terms += [f"margin {claim.margin:g}"] if claim.margin else []
    return f" ({', '.join(terms)})" if terms else ""


def seeds_words(one: Judged) -> str:
    """`5`, `5 and 3`; of several comparisons `3 to 5`; while the claim waits, there/planned of each: `1/5, 0/5`."""
    if one.verdict == WAITING:
        of_nets = [f"{there}/{planned}" for there, planned in one.seeds.values()]
        return ", ".join(of_nets if len(set(of_nets)) > 1 else of_nets[:1])
    if len(one.links) == 1:
        return n_words(one.links[0].ns)
    ns = sorted({n for link in one.links for n in link.ns})
    return " to ".join(map(str, dict.fromkeys((ns[0], ns[-1])))) if ns else "–"


def verdict_words(one: Judged, *, comparable: bool) -> str:
    """The verdict. comparable: at the paper's schedule."""
    if one.verdict == WAITING:
        return WAITING
    where = "" if comparable else " at this scale"
    return one.verdict + where if one.verdict in (UNDECIDED, NOT_JUDGED) else f"**{one.verdict}**{where}"


def undeclared(evidence: Evidence, one: Judged) -> str:
    """Since when the runs of a judged claim are, if some began under other claims than today's, or before any."""
    runs, planned = evidence.results.runs, evidence.sweep.scales[evidence.results.scale].planned
    seeds = zip(runs["net"], runs["seed"].astype(int), strict=True)
    judged = pd.Series([seed in planned.get(net, ()) for net, seed in seeds], runs.index, dtype=bool)
    begun = runs["net"].isin(one.claim.names) & runs["state"].isin(["done", "failed"])
    ours = runs.loc[judged & begun, "claims_sha256"]
    digests = set(ours) - {evidence.sweep.claims_digest(evidence.results.scale)}
    if one.verdict == NOT_JUDGED or not digests:
        return ""
    how = "before the claims were declared" if digests == {""} else "under other claims than today's"
    return how if len(set(ours)) == 1 else f"{how} (some of them)"


def measured(evidence: Evidence, one: Judged) -> tuple[Number, ...]:
    """Each comparison of the claim, without an interval while it waits for seeds: that would be a look at the verdict.

    Where there are several, each has its place in its id.
    """
    claim, runs, found = one.claim, _runs_of(evidence, one), []
    for k, link in enumerate(one.links, 1):
        ours = runs[runs["net"].isin(link.nets)]
        guesses = int((ours["state"] == "failed").sum())
        described = one.verdict == NOT_JUDGED and guesses  # errors and guesses are no sample of one distribution
        interval = None if one.verdict == WAITING or described else within(link.effect.interval(), *link.bounds)
        found.append(
            Number(
                id=evidence.id(claim.id, *[str(k)] * (len(one.links) > 1)),
                what=f"{link.label}, {claim.metric.replace('_', ' ')}, difference"
                + (f", {counted(guesses, 'diverged seed')} counted as a guess" if guesses else ""),
                value=link.effect.effect,
                n=min(link.ns),
                ns=link.ns,
                over_seeds=of_starts(evidence, interval, tuple(ours["id"])),
                runs=tuple(ours["id"]),
                paper=claim.number,
                verdict=one.verdict,
                label=link.label,
            )
        )
    return tuple(found)


def _runs_of(evidence: Evidence, one: Judged) -> pd.DataFrame:
    """The runs that a claim's numbers are made of: done or diverged, of the planned seeds where it is to be judged."""
    runs = evidence.results.runs
    ours = runs[(runs["state"] == "done") | has_diverged(runs)]
    if one.verdict != NOT_JUDGED:
        planned = evidence.sweep.scales[evidence.results.scale].planned
        pairs = zip(ours["net"], ours["seed"].astype(int), strict=True)
        ours = ours[[seed in planned.get(net, ()) for net, seed in pairs]]
    ours = ours[ours["net"].isin(one.claim.names)]
    if one.claim.paired:
        ours = ours[ours.groupby("seed")["net"].transform("nunique") == len(one.claim.names)]
    return ours
