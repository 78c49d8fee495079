"""Tables 2 to 4 and the sections of a report on ImageNet: each protocol has a table of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.paper import paper_number
from bench.report.evidence import Evidence
from bench.report.frame import Set, display_name, own_recipes
from bench.report.sections import Section, findings, of_tables
from bench.report.stats import of_percent, sample, wilson
from bench.report.tables import Table, anchor, caption, low_to_high, mean_std, missing
from bench.tasks.classification.imagenet.ensembles import ERRORS
from bench.tasks.classification.sections import curves

CENTRE = ("test_error", "top5_error")
TEN_CROP = ("ten_crop_error", "ten_crop_top5_error")
MULTI_SCALE = ("multi_scale_error", "multi_scale_top5_error")
HOW = {
    CENTRE: "Centre crop of the test's shorter side: the protocol of Fig. 4, for which the paper prints no number.",
    TEN_CROP: "Softmax averaged over the four corners, the centre and their mirror images (the paper's [21]).",
    MULTI_SCALE: "Fully convolutional, mirrored, softmax averaged over the shorter sides {scales}.",
}
TABLE_5 = (
    "Softmax at many scales, averaged over the nets of one seed; mean ± standard deviation over seeds (n). The paper's "
    "ensemble of six nets has a top-5 error of 3.57 % on the test set, which its server alone can score."
)
FIGURE_4 = (
    "Error against iterations in the manner of the paper's Fig. 4: plain nets left, residual nets right; dashed the "
    "training error (augmented batches, in training mode), bold the validation error on centre crops; mean over the "
    "seeds, and a band from the lowest to the highest seed where there are several."
)


def of_imagenet(evidence: Evidence) -> list[Section]:
    """A section a protocol that was measured, and Fig. 4."""
    return [*protocol_sections(evidence), *curves(evidence.results, "Figure 4", FIGURE_4)]


def evaluation(evidence: Evidence) -> list[Section]:
    """What a page says of published weights."""
    lines = ["Published weights were trained by other recipes than the paper's: its numbers stand beside them."]
    if not evidence.results.dataset.of_paper:
        data = evidence.results.data
        lines.append(f"{data} is a part of what the paper tests on: no number here is beside its own.")
    return [findings(lines), *protocol_sections(evidence)]


def protocol_sections(evidence: Evidence) -> list[Section]:
    """Tables 2 to 5 and the centre crop, as far as they were measured."""
    results = evidence.results
    if not len(results.done):
        return []
    crops, scales = (results.done[errors[0]].notna().any() for errors in (TEN_CROP, MULTI_SCALE))
    found = (
        ("Table 2: plain and residual nets by 10 crops", table2(results) if crops else None),
        ("Table 3: 10 crops", protocol_table(evidence, TEN_CROP, "table3") if crops else None),
        ("Table 4: one model, many scales", protocol_table(evidence, MULTI_SCALE, "table4") if scales else None),
        ("Table 5: ensembles", table5(evidence) if scales else None),
        ("Centre crop", protocol_table(evidence, CENTRE, "centre")),
    )
    return of_tables(*((heading, table) for heading, table in found if table and table.rows))


def table2(results: Set) -> Table:
    """Table 2: top-1 error by 10 crops, plain nets beside ResNets with option A."""
    frame = own_recipes(results.nets)
    rows = []
    for depth in (18, 34):
        pair = [frame[(frame["depth"] == depth) & (frame["shortcut"] == option)] for option in ("none", "A")]
        if any(len(part) and part["n"].iloc[0] for part in pair):
            rows.append((f"{depth} layers", *(_mean(part, TEN_CROP[0]) for part in pair), *_papers(depth)))
    note = "Top-1 error in % by 10 crops, mean ± standard deviation over seeds (n); ResNets with option A."
    return Table(("", "plain", "ResNet", "paper: plain", "paper: ResNet"), rows, note=note, name="table2")


def _papers(depth: int) -> tuple[str, str]:
    return printed(f"plain-{depth}", TEN_CROP[0]), printed(f"resnet-{depth}-A", TEN_CROP[0])


def _mean(part: pd.DataFrame, metric: str) -> str:
    if part.empty:
        return "–"
    row = part.iloc[0]
    return mean_std(row[f"{metric}_mean"], row[f"{metric}_std"], int(row["n"]))


def printed(net: str, metric: str) -> str:
    """What the paper prints for a net by this protocol."""
    number = paper_number(net, metric)
    return f"{number['value']:.2f}" if number else "–"


def protocol_table(evidence: Evidence, metrics: tuple[str, str], name: str) -> Table:
    """A row a net with its errors by one protocol, in the form of Tables 3 and 4."""
    results, of_paper = evidence.results, metrics != CENTRE
    header = ["net", "params", "top-1 error %", "95 %, seeds", "95 %, pictures", "top-5 error %"]
    header += ["paper: top-1", "paper: top-5"] if of_paper else ["training error %", "training loss"]
    rows = [_row(evidence, str(net), row, metrics, of_paper) for net, row in results.nets.iterrows()]
    scales = results.runs["views_scales"].iloc[0] if "views_scales" in results.runs else ""
    how = HOW[metrics].format(scales=str(scales).replace(" ", ", "))
    return Table(header, rows, note=f"{how} {caption(results, '', 'validation pictures')}", name=name)


def _row(evidence: Evidence, net: str, row: pd.Series[Any], metrics: tuple[str, str], of_paper: bool) -> Sequence[str]:
    done = evidence.results.done
    errors = sample(done.loc[done["net"] == net, metrics[0]])
    n = int(row["n"])

    def measured(metric: str, digits: int = 2) -> str:
        where = anchor(evidence.id(net, metric)) if row[f"{metric}_mean"] == row[f"{metric}_mean"] and n else ""
        return where + mean_std(row[f"{metric}_mean"], row[f"{metric}_std"], n, digits)

    beside = (
        tuple(printed(_of_the_paper(net), metric) for metric in metrics)
        if of_paper
        else (measured("train_error"), measured("train_loss", 3))
    )
    return (
        display_name(net) + missing(int(row["declared"]), n, int(row["failed"])),
        "–" if pd.isna(row["params"]) else f"{row['params'] / 1e6:.1f}M",
        measured(metrics[0]),
        low_to_high(of_percent(errors.interval)),
        low_to_high(wilson(errors.mean, int(row["test_images"])) if errors.n else None),
        measured(metrics[1]),
        *beside,
    )


def _of_the_paper(net: str) -> str:
    """The net of the paper that published weights are held beside: `resnet-50-B` of `resnet-50-B-torchvision.…`."""
    return "-".join(net.split("-")[:3]) if net.startswith("resnet-") else net


def table5(evidence: Evidence) -> Table:
    """Table 5: a row an ensemble."""
    rows = []
    for one in evidence.sweep.ensembles:
        part = evidence.results.ensembles
        part = part[part["id"] == one.id]
        if part.empty:
            continue
        top1, top5 = (sample(part[metric]) for metric in ERRORS)
        rows.append(
            (
                one.text,
                "; ".join(display_name(net.name) for net in one.nets),
                anchor(evidence.id(one.id, "multi_scale_error")) + mean_std(top1.mean, top1.std, top1.n),
                low_to_high(of_percent(top1.interval)),
                low_to_high(wilson(top1.mean, int(part["test_images"].iloc[0]))),
                anchor(evidence.id(one.id, "multi_scale_top5_error")) + mean_std(top5.mean, top5.std, top5.n),
            )
        )
    header = ("ensemble", "nets", "top-1 error %", "95 %, seeds", "95 %, pictures", "top-5 error %")
    return Table(header, rows, text=2, note=TABLE_5, name="table5")
