"""How a number is cited: in words, in BibTeX, as a LaTeX macro, with everything it was made of."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.paper import paper_numbers, printed
from bench.report.evidence import Evidence, load_sets, weigh
from bench.report.frame import Set
from bench.report.numbers import Number
from bench.report.page import sections_of
from bench.report.render.latex import PAPER, entry
from bench.report.sections import numbers_of
from bench.report.tables import low_to_high, one_of
from bench.spec import Sweep, counted
from bench.spec.official import data_of_runs


class UnknownNumberError(ValueError):
    """No number has that id; says which come near."""


def card(number_id: str, sweeps: Mapping[str, Sweep], results: Path) -> str:
    """All that is to be said of a number of ours or of the paper's.

    Raises UnknownNumberError naming the ids that come near, StoreError where results cannot be read.
    """
    if number_id in paper_numbers():
        return _paper_card(paper_numbers()[number_id])
    weighed = [one for name in _named(number_id, sweeps, results) for one in _weighed(name, sweeps, results)]
    published = {number.id: (number, one) for one in weighed for number in numbers_of(sections_of(one))}
    if number_id not in published:
        raise _unknown(number_id, [*published, *paper_numbers()])
    return _our_card(*published[number_id])


def _named(number_id: str, sweeps: Mapping[str, Sweep], results: Path) -> list[str]:
    """The sweeps that have results, only the one that the id begins with where it is one of them."""
    there = [name for name in sweeps if (results / name / "runs.csv").exists()]
    return [name for name in there if number_id.startswith(f"{name}.")] or there


def _weighed(name: str, sweeps: Mapping[str, Sweep], results: Path) -> tuple[Evidence, ...]:
    return weigh(name, sweeps[name], load_sets(results / name, sweeps[name]))


def _unknown(number_id: str, ids: Sequence[str]) -> UnknownNumberError:
    within = [known for known in ids if number_id in known][:5]
    near = within or difflib.get_close_matches(number_id, ids, n=5, cutoff=0.5)
    hint = f"; near it are: {', '.join(near)}" if near else "; reports/<sweep>/numbers.csv lists our ids"
    return UnknownNumberError(f"no number has the id {number_id!r}{hint}")


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
    method = f" ({number.interval.method})" if number.interval else ""
    interval = f"{low_to_high(number.interval, number.digits)}{method}" if number.interval else "none is given"
    lines = [
        f"{number.id}: {number.what}",
        f"  {number.cited}",
        f"  95 % interval: {interval}",
        *_beside(number, evidence.results),
        "",
        f"LaTeX: \\bench{{{number.id}}}    (with \\input{{tables/numbers}})",
        f"page:  reports/{evidence.name}/{evidence.page}#{number.id}",
        "",
        "Provenance",
        *(f"  {line}" for line in provenance(number, evidence.results)),
        "",
        entry(evidence),
    ]
    return "\n".join(lines)


def _beside(number: Number, results: Set) -> list[str]:
    """The verdict and the paper's number; at another scale than the paper's, that it is not comparable."""
    lines = [f"  verdict: {number.verdict}"] if number.verdict else []
    if number.paper:
        there = paper_numbers()[number.paper]
        lines.append(f"  in the paper: {printed(there)} ({number.paper})")
    if not results.comparable:
        lines.append(f"  scale {results.scale} on {results.data}: not to be compared with the paper's numbers")
    return lines


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
    return [
        f"{counted(len(runs), 'run')}: {', '.join(runs['id'])}",
        f"seeds: {', '.join(dict.fromkeys(runs['seed'].astype(str)))}",
        *textwrap.wrap(f"recipe: {', '.join(config)}", 110, subsequent_indent="  "),
        *([f"data: {_data(runs)}"] if results.dataset.sha256 else []),
        *(f"{words}: {one_of(runs[name].astype(str))}" for name, words in SHOWN.items()),
        f"results SHA-256: {results.digest}",
        f"dates: {runs['started'].min()} to {runs['ended'].max()}",
    ]


def _data(runs: pd.DataFrame) -> str:
    """Whether the runs saw the official data."""
    return data_of_runs(zip(runs["data"], runs["data_sha256"], strict=True))
