"""How a number is cited: in words, in BibTeX, as a LaTeX macro, with everything it was made of."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.paper import paper_numbers, printed
from bench.report import authorship
from bench.report.evidence import Evidence, load_sets, weigh
from bench.report.frame import Set
from bench.report.numbers import Number
from bench.report.page import sections_of
from bench.report.render.latex import PAPER, entry, study_commit
from bench.report.sections import numbers_of
from bench.report.tables import one_of
from bench.spec import Sweep, counted
from bench.spec.datasets import data_of_runs

NEAR = 5  # ids that are named


class UnknownNumberError(ValueError):
    """No number has that id; says which come near."""


@dataclass(frozen=True, slots=True)
class Source:
    """The results of a sweep that numbers are cited from, and the folder of its pages."""

    name: str
    sweep: Sweep
    results: Path
    report: Path


def cards(asked: str, sources: Sequence[Source]) -> str:
    """All that is to be said of a number of ours, the user's or the paper's; of all sources that have it.

    asked: its id, or the beginning that no other id has. Raises UnknownNumberError naming the ids that come near,
    StoreError if results cannot be read.
    """
    if asked in paper_numbers():
        return _paper_card(paper_numbers()[asked])
    found: dict[str, list[tuple[Number, Evidence, Source]]] = {}
    for source in [one for one in sources if _may_have(one.name, asked)] or sources:
        for evidence in weigh(source.name, source.sweep, load_sets(source.results, source.sweep)):
            for number in numbers_of(sections_of(evidence)):
                found.setdefault(number.id, []).append((number, evidence, source))
    ids = [*found, *paper_numbers()]
    begun = [asked] if asked in found else [known for known in ids if known.startswith(asked)]
    if len(begun) != 1:
        raise UnknownNumberError(_unknown(asked, begun, ids))
    if begun[0] in paper_numbers():
        return _paper_card(paper_numbers()[begun[0]])
    return "\n\n".join(card(*one) for one in found[begun[0]])


def _may_have(name: str, asked: str) -> bool:
    """Whether a sweep may have the number: what is asked for begins with its name, or is the beginning of that."""
    return f"{asked}.".startswith(f"{name}.") or name.startswith(asked)


def _unknown(asked: str, begun: Sequence[str], ids: Sequence[str]) -> str:
    """What to say of an id that is none, or that is the beginning of several."""
    if begun:
        return f"{counted(len(begun), 'number')} begin with {asked!r}:\n" + "\n".join(f"  {one}" for one in begun)
    within = [known for known in ids if asked in known][:NEAR]
    near = within or difflib.get_close_matches(asked, ids, n=NEAR, cutoff=0.5)
    hint = (
        "; near it are:\n" + "\n".join(f"  {one}" for one in near) if near else "; numbers.csv beside a page lists all"
    )
    return f"no number has the id {asked!r}{hint}"


def _paper_card(number: Mapping[str, Any]) -> str:
    return "\n".join(
        [
            f"{number['id']}: {number['row']}, {number['column']}",
            f"  {printed(number)}",
            f"  in the paper: {number['table']}; {number['protocol']}",
            "",
            PAPER,
        ]
    )


def card(number: Number, evidence: Evidence, source: Source) -> str:
    """A number of ours with verdict and the paper's; at another scale it says that the two are not comparable."""
    results = evidence.results
    within = [
        f"  95 % interval over {one.covers}: {number.range(one)} ({one.method})" for one in number.intervals.values()
    ]
    beside = [f"  verdict: {number.verdict}"] if number.verdict else []
    if number.paper:
        beside.append(f"  in the paper: {printed(paper_numbers()[number.paper])} ({number.paper})")
    if not results.comparable:
        beside.append(f"  scale {results.scale} on {results.data}: not to be compared with the paper's numbers")
    lines = [
        f"{number.id}: {number.what}",
        *([] if results.authorship.ours else [f"  of {results.authorship.author}, in {source.results}"]),
        f"  {number.cited}",
        *(within or ["  95 % interval: none is given"]),
        *beside,
        "",
        f"LaTeX: \\bench{{{number.id}}}    (with \\input{{tables/numbers}})",
        f"page:  {source.report / evidence.page}#{number.id}",
        "",
        "Provenance",
        *(f"  {line}" for line in provenance(number, results)),
        "",
        entry(evidence, _newest_address(results)),
    ]
    return "\n".join(lines)


def _newest_address(results: Set) -> str:
    """The web address of the suite's code as the run that ended last had it; "" where this checkout has none."""
    newest = results.done.sort_values("ended")["commit"].astype(str)
    return authorship.web_address(newest.iloc[-1]) if len(newest) else ""


SHOWN = {
    "commit": "commit", "dirty": "uncommitted changes", "data_sha256": "data SHA-256", "hardware": "hardware",
    "threads": "threads", "bench": "resnet-bench", "torch": "torch", "torchvision": "torchvision", "python": "Python",
}  # fmt: skip
RECIPE = (
    "steps", "lr", "drops", "warmup_steps", "warmup_lr", "momentum", "weight_decay", "batch", "bn_group", "precision",
    "split", "test_images", "size", "augment",
)  # fmt: skip


def provenance(number: Number, results: Set) -> list[str]:
    """Runs, configuration, commit, data, versions, hardware, dates."""
    runs = results.runs[results.runs["id"].isin(number.runs)]
    tested = "steps" in runs and not runs["steps"].any()
    shown = RECIPE[RECIPE.index("precision") :] if tested else RECIPE  # the rest is of training alone
    config = [f"{name} {one_of(runs[name].astype(str))}" for name in shown if name in runs]
    data = data_of_runs(zip(runs["data"], runs["data_sha256"], strict=True))
    return [
        f"{counted(len(runs), 'run')}: {', '.join(runs['id'])}",
        f"seeds: {', '.join(dict.fromkeys(runs['seed'].astype(str)))}",
        *textwrap.wrap(f"recipe: {', '.join(config)}", 110, subsequent_indent="  "),
        *([f"data: {data}"] if results.dataset.sha256 else []),
        *(f"{words}: {one_of(runs[name].astype(str))}" for name, words in SHOWN.items()),
        *([study_commit(results.authorship)] if results.authorship.own else []),
        f"results SHA-256: {results.digest}",
        f"dates: {runs['started'].min()} to {runs['ended'].max()}",
    ]
