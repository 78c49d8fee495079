"""How a number is cited: in words, in BibTeX, as a LaTeX macro, with everything it was made of."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.paper import paper_numbers, printed
from bench.report.evidence import Evidence, load_sets, weigh
from bench.report.frame import Set
from bench.report.numbers import Number
from bench.report.page import sections_of
from bench.report.render.latex import PAPER, entry
from bench.report.sections import numbers_of
from bench.report.tables import low_to_high, one_of
from bench.spec import Sweep, counted
from bench.spec.datasets import data_of_runs


class UnknownNumberError(ValueError):
    """No number has that id; says which come near."""


def card(number_id: str, sweeps: Mapping[str, Sweep], results: Path) -> str:
    """All that is to be said of a number of ours or of the paper's.

    Raises UnknownNumberError naming the ids that come near, StoreError if results cannot be read.
    """
    if number_id in paper_numbers():
        return _paper_card(paper_numbers()[number_id])
    there = [name for name in sweeps if (results / name / "runs.csv").exists()]
    published: dict[str, tuple[Number, Evidence]] = {}
    for name in [name for name in there if number_id.startswith(f"{name}.")] or there:
        for one in weigh(name, sweeps[name], load_sets(results / name, sweeps[name])):
            published |= {number.id: (number, one) for number in numbers_of(sections_of(one))}
    if number_id in published:
        return _our_card(*published[number_id])
    ids = [*published, *paper_numbers()]
    within = [known for known in ids if number_id in known][:5]
    near = within or difflib.get_close_matches(number_id, ids, n=5, cutoff=0.5)
    hint = f"; near it are: {', '.join(near)}" if near else "; reports/<sweep>/numbers.csv lists our ids"
    raise UnknownNumberError(f"no number has the id {number_id!r}{hint}")


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


def _our_card(number: Number, evidence: Evidence) -> str:
    """With verdict and the paper's number; at another scale than the paper's it says that it is not comparable."""
    interval, results = number.interval, evidence.results
    within = f"{low_to_high(interval, number.digits)} ({interval.method})" if interval else "none is given"
    beside = [f"  verdict: {number.verdict}"] if number.verdict else []
    if number.paper:
        beside.append(f"  in the paper: {printed(paper_numbers()[number.paper])} ({number.paper})")
    if not results.comparable:
        beside.append(f"  scale {results.scale} on {results.data}: not to be compared with the paper's numbers")
    lines = [
        f"{number.id}: {number.what}",
        f"  {number.cited}",
        f"  95 % interval: {within}",
        *beside,
        "",
        f"LaTeX: \\bench{{{number.id}}}    (with \\input{{tables/numbers}})",
        f"page:  reports/{evidence.name}/{evidence.page}#{number.id}",
        "",
        "Provenance",
        *(f"  {line}" for line in provenance(number, results)),
        "",
        entry(evidence),
    ]
    return "\n".join(lines)


SHOWN = {
    "commit": "commit", "dirty": "uncommitted changes", "data_sha256": "data SHA-256", "hardware": "hardware",
    "threads": "threads", "bench": "resnet-bench", "torch": "torch", "torchvision": "torchvision", "python": "Python",
}  # fmt: skip
RECIPE = (
    "steps", "lr", "drops", "warmup_steps", "warmup_lr", "momentum", "weight_decay", "batch", "bn_group", "precision",
    "split", "test_images",
)  # fmt: skip


def provenance(number: Number, results: Set) -> list[str]:
    """Runs, configuration, commit, data, versions, hardware, dates."""
    runs = results.runs[results.runs["id"].isin(number.runs)]
    config = [f"{name} {one_of(runs[name].astype(str))}" for name in RECIPE if name in runs]
    data = data_of_runs(zip(runs["data"], runs["data_sha256"], strict=True))
    return [
        f"{counted(len(runs), 'run')}: {', '.join(runs['id'])}",
        f"seeds: {', '.join(dict.fromkeys(runs['seed'].astype(str)))}",
        *textwrap.wrap(f"recipe: {', '.join(config)}", 110, subsequent_indent="  "),
        *([f"data: {data}"] if results.dataset.sha256 else []),
        *(f"{words}: {one_of(runs[name].astype(str))}" for name, words in SHOWN.items()),
        f"results SHA-256: {results.digest}",
        f"dates: {runs['started'].min()} to {runs['ended'].max()}",
    ]
