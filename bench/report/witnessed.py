"""What a page says of its runs' witnesses: how many have a manifest, and which starts are not in its numbers."""

from __future__ import annotations

from collections.abc import Iterator

from bench.report.evidence import Evidence
from bench.report.tables import plain
from bench.report.witnesses import DONE, GIVEN_UP, SCALE_AND_SEED, STARTED, Start
from bench.spec import counted

OLDER = "older than registers of starts and manifests"


def witnessed(evidence: Evidence) -> list[str]:
    """In a sentence or two how the runs of a page are witnessed; none of a page without a finished run."""
    done, known = set(evidence.results.done["id"]), evidence.results.witnesses
    words = []
    if done:
        there = done & set(known.manifests)
        signed, stamped = (len(there & set(ids)) for ids in (known.signed, known.stamped))
        seals = [f"{count} of them {what}" for count, what in ((signed, "signed"), (stamped, "time-stamped")) if count]
        older = len(done) - len(there)
        who = f"The {counted(len(done), 'finished run')}" if not older else f"{len(there)} of {len(done)} finished runs"
        has = "has" if len(there) == 1 else "have"
        rest = f"; {counted(older, 'other')} {'is' if older == 1 else 'are'} {OLDER}" if older else ""
        words = [f"{', '.join((f'{who} {has} a manifest', *seals))}{rest}."] if there else [_all_older(len(done))]
    mine = _of_page(evidence)
    missing = list(_missing(evidence, mine))
    if missing:
        words.append(f"Started, and not in the numbers: {'; '.join(missing)}.")
    elif mine:
        words.append("The registers tell of no start that is not in the numbers.")
    return [" ".join(words)] if words else []


def _all_older(runs: int) -> str:
    return f"The {counted(runs, 'finished run')} {'is' if runs == 1 else 'are'} {OLDER}."


def _of_page(evidence: Evidence) -> list[Start]:
    """The starts of the runs that its sweep declares at this scale on these data, of whichever seed."""
    results = evidence.results
    starts = results.witnesses.starts
    found = filter(None, (SCALE_AND_SEED.search(start.run) for start in starts))
    seeds = sorted({int(match[2]) for match in found if match[1] == results.scale})
    declared = {run.id for run in evidence.sweep.runs(results.scale, seeds, results.data)} if seeds else ()
    return [start for start in starts if start.run in declared]


def _missing(evidence: Evidence, starts: list[Start]) -> Iterator[str]:
    """Each start without a result in the numbers, and each that was given up or diverged where another one has it.

    So is one that was done on other data, whose result has no place beside one on the official data.
    """
    rows = {row["id"]: row for row in evidence.results.runs.to_dict("records")}
    last = {(start.chain, start.run): start for start in starts}
    for start in starts:
        event, row = start.end["event"], rows.get(start.run, {})
        state = row.get("state")
        if any(end["event"] == DONE and end["weights_sha256"] == row.get("weights_sha256") for end in start.ends):
            continue  # it has the result, whatever became of its folder
        lost = state not in ("done", "failed") and last[start.chain, start.run] is start
        other_data = event == DONE and start.line["data_sha256"] != row.get("data_sha256")
        if lost or event == GIVEN_UP or (state == DONE and (event == "diverged" or other_data)):
            how = "no end so far" if event == STARTED else event
            how += ", on other data" * (state == DONE and other_data)
            if reason := start.end["reason"]:
                how += f", {plain(reason)}"
            other = "; the result is of another start" * (state == DONE)
            yield f"`{start.run}` ({start.line['time'][:10]}, register {start.chain}: {how}{other})"
