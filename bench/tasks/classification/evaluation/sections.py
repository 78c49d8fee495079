"""The page of weights that were tested as they are: what they reach, beside the paper or their own run."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.report.evidence import Evidence
from bench.report.numbers import TEST_ERROR, Metric, of_net, with_worst_case
from bench.report.sections import Findings, Section
from bench.report.tables import Table, caption, missing, with_intervals
from bench.spec import SOURCES
from bench.tasks.classification.imagenet.sections import TEN_CROP, paper_net, printed, protocol_sections

OWN_ERROR = Metric("source_error", "test error at the end of its own run")
PUBLISHED = "The published weights were trained by other recipes than the paper's."
RESTRICTED = (
    "{whose} test is restricted to {count} of ImageNet's 1,000 classes, listed below: only their outputs compete. With "
    "fewer to choose from, errors are lower than on all of them, and not comparable."
)
AS_THEIR_RUN = "Images judged otherwise: of the same test images, than at the end of the run that made the weights."


def findings(evidence: Evidence) -> Findings:
    """See Findings."""
    done = evidence.results.done
    tables = protocol_sections(evidence) if done["top5_error"].notna().any() else _tested(evidence)
    sources = {str(weights).partition(":")[0] for weights in done["weights"]} if len(done) else set()
    said = [PUBLISHED] if any(SOURCES[one].published for one in sources) and evidence.of_paper else []
    answer, listed = _reached(evidence), list[Section]()
    part = done[done["classes"].fillna("") != ""] if "classes" in done else done[:0]
    if len(part):  # of ImageNet's classes
        classes = list(dict.fromkeys(" ".join(part["classes"]).split()))
        whose = "The" if len(part) == len(done) else f"{', '.join(map(evidence.display, part['net'].unique()))}: the"
        answer.append(RESTRICTED.format(whose=whose, count=len(classes)))
        listed = [Section(f"The {len(classes)} classes", (f"`{' '.join(classes)}`",))]
    return Findings(answer, None, next(iter(tables), None), said, [*tables[1:], *listed])


def _reached(evidence: Evidence) -> list[str]:
    """What each net reaches: by 10 crops beside the paper's number, else beside its own run's."""
    done = evidence.results.done
    beside = {net: paper for net in map(str, done["net"].unique()) if (paper := _papers(evidence, net))}
    if beside:
        ours = {evidence.display(net): of_net(evidence, net, TEN_CROP[0]) for net in beside}
        words = (f"{net} {ours[net]} % (paper: {paper} %)" for net, paper in zip(ours, beside.values(), strict=True))
        return [f"Top-1 error by 10 crops: {'; '.join(words)}."]
    measured = "top-1 error on centre crops" if done["top5_error"].notna().any() else "test error"
    return [_one(evidence.display(str(row["net"])), measured, row) for _, row in done.iterrows()]


def _papers(evidence: Evidence, net: str) -> str:
    """The paper's number for the net by 10 crops, "" for none, or on other data than the paper's."""
    paper = printed(paper_net(net), TEN_CROP[0]) if evidence.of_paper else "–"
    return "" if paper == "–" else paper


def _one(net: str, measured: str, row: pd.Series[Any]) -> str:
    words = f"{net} has a {measured} of {row['test_error']:.2f} %"
    if pd.isna(row["source_error"]):
        return f"{words}."
    if row["source_differs"] == 0:
        return f"{words}, as at the end of its own run, image by image."
    other = row["source_differs"]
    differs = "" if pd.isna(other) else f"; {int(other):,} of {int(row['test_images']):,} images are judged otherwise"
    return f"{words}, and {row['source_error']:.2f} % at the end of its own run{differs}."


HEADER = ("net", "params", "test error %", "95 %, seeds", "95 %, images only")
BESIDE = ("in its own run %", "images judged otherwise")


def _tested(evidence: Evidence) -> list[Section]:
    """A row a net with its test error; beside it that of the run that made the weights, where one did."""
    results = evidence.results
    if not len(results.done):
        return []
    own = bool(results.done["source_error"].notna().any())
    rows = []
    for net, row in results.nets.iterrows():
        tested = with_intervals(with_worst_case(evidence, str(net), TEST_ERROR), float(row["test_images"]))
        params = "–" if pd.isna(row["params"]) else f"{row['params'] / 1e6:.2f}M"
        differ = results.done.loc[results.done["net"] == net, "source_differs"].dropna()
        beside = (of_net(evidence, str(net), OWN_ERROR), f"{int(differ.iloc[0]):,}" if len(differ) else "–")
        rows.append((evidence.display(str(net)) + missing(row), params, *tested, *(beside if own else ())))
    note = caption(results, training=False) + f" {AS_THEIR_RUN}" * own
    return [Section("Tested weights", (Table((*HEADER, *BESIDE * own), rows, note=note, name="tested"),))]
