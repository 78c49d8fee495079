"""The verdicts in words and tables: what a sweep's claims came to, and two nets compared image by image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from bench.report.claims import NOT_JUDGED, NOT_REPRODUCED, REPRODUCED, UNDECIDED, WAITING, Judged, has_diverged
from bench.report.evidence import Evidence, Pair
from bench.report.frame import Set, difference, display_name
from bench.report.numbers import Cell, Number
from bench.report.sections import Section
from bench.report.stats import within
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
UNSEEN = " Without a number at this scale: {claims}."


def claims_sections(evidence: Evidence) -> list[Section]:
    """The verdicts counted, the table, how it was judged. None without claims."""
    if not evidence.judged:
        return []
    counts = Counter(one.verdict for one in evidence.judged if one.verdict != NOT_JUDGED)
    words = {REPRODUCED: REPRODUCED, NOT_REPRODUCED: NOT_REPRODUCED, UNDECIDED: UNDECIDED, WAITING: "waiting for seeds"}
    parts = ", ".join(f"{counts[verdict]} {said}" for verdict, said in words.items() if counts[verdict])
    schedule = "" if evidence.results.authorship.own else ", which is not the paper's schedule"
    where = "" if evidence.results.comparable else f" at this scale{schedule}"
    summary = f"**Of {counted(counts.total(), 'claim')} to be judged{where}: {parts}.**"
    return [Section("Claims", (summary, claims_table(evidence)))]


CLAIMS = (
    "verdict", "claim", "in the paper", "measured: difference in points, 95 % over seeds", "seeds", "p (Holm)",
)  # fmt: skip


def claims_table(evidence: Evidence) -> Table:
    """A row a claim, the judged ones first; those that are not judged and without a number stand in the note."""
    shown = [one for one in evidence.judged if one.links or one.verdict != NOT_JUDGED] or list(evidence.judged)
    unseen = [one.claim.text.rstrip(".") for one in evidence.judged if one not in shown]
    rows = [_claim_row(evidence, one) for one in sorted(shown, key=lambda one: one.verdict == NOT_JUDGED)]
    count = sum(one.verdict != NOT_JUDGED for one in evidence.judged)
    how = HOW.format(
        measured=MEASURED,
        name=evidence.name,
        scale=evidence.results.scale,
        digest=evidence.sweep.claims_digest(evidence.results.scale)[:12],
        claims=counted(count, "claim"),
        level=LEVEL_OF_CLAIMS / 2,
        both=100 * LEVEL_OF_CLAIMS,
    )
    note = (how if count else MEASURED) + (UNSEEN.format(claims="; ".join(unseen)) if unseen else "")
    source = "source" if evidence.results.authorship.own else CLAIMS[2]
    return Table((*CLAIMS[:2], source, *CLAIMS[3:]), rows, text=4, note=note, name="claims")


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
    """The smaller of both p-values, and for what it is: `0.017 for`, `0.008 against` the claim."""
    p, side = min((one.p_for, "for"), (one.p_against, "against"))
    return f"{p_words(p)} {side}"


def metric_words(claim: Claim) -> str:
    """` (training error, margin 0.5)`: what a claim is about and within what bounds, where its text alone is not it."""
    metric = claim.metric.replace("train_", "training_").replace("_", " ")
    terms = [metric] if claim.metric != "test_error" else []
    terms += [f"margin {claim.margin:g}"] if claim.margin else []
    return f" ({', '.join(terms)})" if terms else ""


def seeds_words(one: Judged) -> str:
    """`5`, `2 to 3`; while the claim waits, there/planned of each net in its order: `1/5, 0/5`."""
    if one.verdict == WAITING:
        of_nets = [f"{there}/{planned}" for there, planned in one.seeds.values()]
        return ", ".join(of_nets if len(set(of_nets)) > 1 else of_nets[:1])
    ns = sorted({n for link in one.links for n in link.effect.ns})
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
    counted = [seed in planned.get(net, ()) for net, seed in zip(runs["net"], runs["seed"].astype(int), strict=True)]
    ours = runs[counted]
    ours = ours[ours["net"].isin(one.claim.names) & ours["state"].isin(["done", "failed"])]
    digests = set(ours["claims_sha256"]) - {evidence.sweep.claims_digest(evidence.results.scale)}
    if one.verdict == NOT_JUDGED or not digests:
        return ""
    how = "before the claims were declared" if digests == {""} else "under other claims than today's"
    return how if len(set(ours["claims_sha256"])) == 1 else f"{how} (some of them)"


def measured(evidence: Evidence, one: Judged) -> tuple[Number, ...]:
    """Each comparison of the claim, without an interval while it waits for seeds: that would be a look at the verdict.

    Where there are several, each has its place in its id.
    """
    claim, runs, found = one.claim, _runs_of(evidence, one), []
    for k, link in enumerate(one.links, 1):
        ours = runs[runs["net"].isin(link.nets)]
        guesses = int((ours["state"] == "failed").sum())
        described = one.verdict == NOT_JUDGED and guesses  # errors and guesses are no sample of one distribution
        most = 100.0 * max(1, len(link.effect.ns) // 2)  # a difference of differences reaches twice as far
        found.append(
            Number(
                id=evidence.id(claim.id, *[str(k)] * (len(one.links) > 1)),
                what=f"{link.label}, {claim.metric.replace('_', ' ')}, difference"
                + (f", {counted(guesses, 'diverged seed')} counted as a guess" if guesses else ""),
                value=link.effect.effect,
                n=min(link.effect.ns),
                over_seeds=None if one.verdict == WAITING or described else within(link.effect.interval(), -most, most),
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


APART = (
    "The nets of a row saw the same test images. Two 95 % intervals are given: over seeds (Welch), and over images "
    "only, the trained nets as they are (Agresti and Min); with one seed of a net there is the second alone."
)
LEFT_OUT = " Seeds that diverged are in neither: the worst case above has them."


def apart_note(evidence: Evidence) -> str:
    """What stands below a table of such pairs."""
    return APART + LEFT_OUT * bool(has_diverged(evidence.results.runs).any())


PAIRED = ("layers", "seeds (plain, residual)", "error: residual − plain, points", "95 %, seeds", "95 %, images only")


def paired_table(evidence: Evidence) -> Table | None:
    """A row a depth; None if no depth has both nets."""
    pairs = [pair for pair in evidence.pairs if not pair.variant]
    rows = [(f"{p.depth}", f"{p.seeds[0]}, {p.seeds[1]}", *apart(evidence, p)) for p in pairs]
    return Table(PAIRED, rows, note=apart_note(evidence), name="pairs") if rows else None


def apart(evidence: Evidence, pair: Pair) -> tuple[Number, str, str]:
    """The second net's error minus the first's, and its intervals."""
    names = [display_name(name) for name in pair.names]
    number = Number(
        id=evidence.id(pair.key, "test_error"),
        what=f"{names[1]} − {names[0]}, test error on the same images, difference{' seed by seed' * pair.variant}",
        value=pair.difference,
        n=min(pair.seeds),
        over_seeds=pair.over_seeds,
        over_images=pair.over_images,
        runs=pair.runs,
    )
    return number, number.range(pair.over_seeds), number.range(pair.over_images)


TRAINED = ("first net", "second net", "images", "only the first right", "only the second right", "McNemar p")
TRAINED_NOTE = (
    "Each row is about two trained nets, those of the first seed of each, and says nothing of their recipes: another "
    "seed gives other nets. McNemar's test (mid-p, two-sided) asks whether one of the two would be right more often on "
    "other images."
)


def trained_table(pairs: Sequence[Pair]) -> Table | None:
    """A row a pair, McNemar's test of one net of each; None without any."""
    rows = [
        (
            *map(display_name, pair.names),
            f"{pair.first.images:,}",
            f"{pair.first.only_first:,}",
            f"{pair.first.only_second:,}",
            p_words(pair.first.p_mid),
        )
        for pair in pairs
    ]
    return Table(TRAINED, rows, text=2, note=TRAINED_NOTE, name="trained") if rows else None


VARIANTS = (
    "net, changed", "instead of", "seeds", "error: changed − baseline, points", "95 %, seeds", "95 %, images only",
)  # fmt: skip
OVER_SEEDS = (
    "The baseline is the net by its own recipe. Compared seed by seed, over the seeds that both recipes have: a seed "
    "gives both the same weights to start from and the same order of images. Two 95 % intervals are given: over seeds, "
    "Student's t of these differences, and over images only, the trained nets as they are (Agresti and Min)."
)


def variants_table(evidence: Evidence) -> Table | None:
    """A row a net by another recipe than its own, if both have ended on the same images; None without any."""
    rows = [
        (
            display_name(pair.names[1]),
            baseline(evidence.results, pair.names[1]),
            f"{pair.seeds[0]}",
            *apart(evidence, pair),
        )
        for pair in evidence.pairs
        if pair.variant
    ]
    return Table(VARIANTS, rows, text=2, note=OVER_SEEDS, name="variants") if rows else None


def baselines(results: Set) -> str:
    """What the nets by their own recipes have where any variant differs; "" without one."""
    variants = results.runs.loc[results.runs["variant"] != "", "net"].unique()
    return ", ".join(dict.fromkeys(baseline(results, str(name)) for name in variants))


def baseline(results: Set, variant: str) -> str:
    """What the net of a variant has by its own recipe where the variant differs: `fp32`, `batch norm over 64`."""
    net, *parts = variant.split("+")
    row = results.runs[results.runs["net"] == net].iloc[0]
    names = (part.partition("=")[0] if "=" in part else "precision" for part in parts)
    words = (f"{name}={str(row[name]).replace(' ', '_')}" if name != "precision" else row[name] for name in names)
    return ", ".join(map(difference, words))
