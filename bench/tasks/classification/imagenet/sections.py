"""Tables 2 to 5 and the sections of a report on ImageNet: each protocol has a table of its own."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.paper import paper_number
from bench.report.claims import answers_in
from bench.report.evidence import Evidence
from bench.report.frame import display_name
from bench.report.numbers import (
    BEST_TEST_ERROR,
    TEST_ERROR,
    TRAIN_ERROR,
    TRAIN_LOSS,
    Cell,
    Metric,
    Number,
    decimals,
    of_net,
    text_of,
    with_worst_case,
)
from bench.report.sections import Findings, Section, of_tables
from bench.report.stats import binomial_std, of_percent, sample
from bench.report.tables import Table, caption, missing, spread, with_intervals
from bench.spec import Ensemble
from bench.tasks.classification.sections import curves

CENTRE = (TEST_ERROR, Metric("top5_error", "top-5 error, centre crop"))
TEN_CROP = (Metric("ten_crop_error", "top-1 error, 10 crops"), Metric("ten_crop_top5_error", "top-5 error, 10 crops"))
MULTI_SCALE = (
    Metric("multi_scale_error", "top-1 error, many scales"),
    Metric("multi_scale_top5_error", "top-5 error, many scales"),
)
HOW = {
    CENTRE: "Centre crop of the test's shorter side: the protocol of Fig. 4, for which the paper prints no number.",
    TEN_CROP: "Softmax averaged over the four corners, the centre and their mirror images (the paper's [21]).",
    MULTI_SCALE: "Fully convolutional, mirrored, softmax averaged over the shorter sides {scales}.",
}
TABLE_5 = "Softmax at many scales, averaged over the nets of one seed. {seeds}"
OF_TABLE_5 = " The paper's six nets have a top-5 error of 3.57 % on the test set, which only its server can score."


def of_imagenet(evidence: Evidence) -> Findings:
    """A section for each protocol that was measured, and Fig. 4."""
    tables, figure = protocol_sections(evidence), curves(evidence, 4, "validation error on centre crops")
    return Findings((), figure, next(iter(tables), None), sections=tables[1:])


def protocol_sections(evidence: Evidence) -> list[Section]:
    """Tables 2 to 5 and the centre crop, as far as they were measured."""
    done = evidence.results.done
    if not len(done):
        return []
    found: list[tuple[str, Table]] = []
    if done[TEN_CROP[0].column].notna().any():
        found.append((evidence.named("Plain and residual nets, top-1 error by 10 crops", "Table 2"), table2(evidence)))
        found.append((evidence.named("Errors by 10 crops", "Table 3"), protocol_table(evidence, TEN_CROP, "table3")))
    if done[MULTI_SCALE[0].column].notna().any():
        many = protocol_table(evidence, MULTI_SCALE, "table4")
        found.append((evidence.named("Errors at many scales, one model", "Table 4"), many))
        found.append((evidence.named("Errors of ensembles", "Table 5"), table5(evidence)))
    found.append(("Errors on centre crops", protocol_table(evidence, CENTRE, "centre")))
    return of_tables(*((heading, table) for heading, table in found if table.rows))


def table2(evidence: Evidence) -> Table:
    """Table 2: top-1 error by 10 crops, plain nets beside ResNets with option A; the paper's at its schedule."""
    rows = []
    for depth in (18, 34):
        nets = (f"plain-{depth}", f"resnet-{depth}-A")
        if evidence.results.done["net"].isin(nets).any():
            ours = (text_of(with_worst_case(evidence, net, TEN_CROP[0])) for net in nets)
            papers = [printed(net, TEN_CROP[0]) for net in nets] if evidence.of_paper else []
            rows.append((f"{depth} layers", *ours, *papers))
    note = f"Top-1 error in % by 10 crops; ResNets with option A. {spread(evidence.results)}"
    header = ("", "plain", "ResNet", *("paper: plain", "paper: ResNet") * evidence.of_paper)
    return Table(header, rows, note=note, name="table2")


def printed(net: str, metric: Metric) -> str:
    """The paper's number for a net by this protocol."""
    number = paper_number(net, metric.column, "imagenet")
    return f"{number['value']:.2f}" if number else "–"


def protocol_table(evidence: Evidence, metrics: tuple[Metric, Metric], name: str) -> Table:
    """A row a net with its errors by one protocol, in the form of Tables 3 and 4."""
    results = evidence.results
    beside: tuple[str, ...] = ("paper: top-1", "paper: top-5") if evidence.of_paper else ()
    trained = metrics == CENTRE and evidence.sweep.task_row.trains
    if metrics == CENTRE:
        beside = ("training error %", "training loss", "best on the validation set %") * trained
    five = ("top-5 error %",) * (answers_in(results) > 5)  # of five classes no label is outside
    header = ("net", "params", "top-1 error %", "95 %, seeds", "95 %, images only", *five, *beside)
    rows = [_row(evidence, str(net), row, metrics) for net, row in results.nets.iterrows()]
    scales = results.runs["views_scales"].iloc[0] if "views_scales" in results.runs else ""
    how = HOW[metrics].format(scales=str(scales).replace(" ", ", "))
    note = caption(results, "", "validation images", training=trained)
    return Table(header, rows, note=f"{how} {note}", name=name)


def _row(evidence: Evidence, net: str, row: pd.Series[Any], metrics: tuple[Metric, Metric]) -> tuple[Cell, ...]:
    if metrics == CENTRE:
        found = (TRAIN_ERROR, TRAIN_LOSS, BEST_TEST_ERROR) * evidence.sweep.task_row.trains
        beside = tuple(of_net(evidence, net, metric) for metric in found)
    else:
        beside = tuple(printed(paper_net(net), metric) for metric in metrics) if evidence.of_paper else ()
    return (
        evidence.display(net) + missing(row),
        "–" if pd.isna(row["params"]) else f"{row['params'] / 1e6:.1f}M",
        *with_intervals(with_worst_case(evidence, net, metrics[0]), float(row["test_images"])),
        *[with_worst_case(evidence, net, metrics[1])] * (answers_in(evidence.results) > 5),
        *beside,
    )


def paper_net(net: str) -> str:
    """Published weights stand beside the paper's net: `resnet-50-B-torchvision.…` beside `resnet-50-B`."""
    return "-".join(net.split("-")[:3]) if net.startswith("resnet-") else net


def table5(evidence: Evidence) -> Table:
    """Table 5: a row an ensemble."""
    rows, found = [], evidence.results.ensembles
    for one in evidence.sweep.ensembles:
        part = found[found["id"] == one.id]
        if len(part):
            top1, top5 = (_of_ensemble(evidence, one, part, metric) for metric in MULTI_SCALE)
            nets = "; ".join(display_name(net.name) for net in one.nets)
            rows.append((one.text, nets, *with_intervals(top1, float(part["test_images"].iloc[0])), top5))
    header = ("ensemble", "nets", "top-1 error %", "95 %, seeds", "95 %, images only", "top-5 error %")
    note = TABLE_5.format(seeds=spread(evidence.results)) + OF_TABLE_5 * evidence.of_paper
    return Table(header, rows, text=2, note=note, name="table5")


def _of_ensemble(evidence: Evidence, one: Ensemble, part: pd.DataFrame, metric: Metric) -> Number:
    ours = sample(part[metric.column])
    floor = binomial_std(ours.mean, int(part["test_images"].min()))
    return Number(
        id=evidence.id(one.id, metric.column),
        what=f"{one.text}, {metric.words}",
        value=ours.mean,
        std=ours.std,
        n=ours.n,
        over_seeds=of_percent(ours.at_least(floor).interval),
        unit="%",
        write=decimals(2),
        runs=tuple(" ".join(part["runs"]).split()),
    )
