"""What each net cost beside what it gave: counts by arithmetic, speeds and times as measured, prediction and bill."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from bench.nets.counts import activations
from bench.report.evidence import Evidence
from bench.report.frame import display_name, on_one_machine
from bench.report.numbers import Cell, Metric, of_net
from bench.report.rows import PARTS
from bench.report.tables import Table, one_of
from bench.spec import FAMILIES, Net, task_of

HEADER = (
    "net", "params", "multiply-adds", "activations, MiB an image", "training images/s", "test images/s",
    "time a run", "predicted", "runs", "hardware",
)  # fmt: skip
NOTE = (
    "Multiply-adds are those of one image forward, through convolutions and classifier{counted}. Activations are "
    "the outputs of all convolutions in fp32, which a training step has to keep (and some more). Speeds and times are "
    "means over the runs; predicted is what the plan said before the run started, where it knew a speed."
)
MIXED = " Of a net with runs on several machines they are of the one that has most of them."
TOTAL = " All runs took {spent}{predicted}."
IMAGES_PER_S = Metric("images_per_s", "training speed", "images/s", 0)
SECONDS = Metric("seconds", "training time", "s", 0)
UNITS = (("h", 3600), ("min", 60), ("s", 1))


def cost_table(evidence: Evidence) -> Table:
    """A row a net that has a finished run."""
    done = evidence.results.done
    alike = on_one_machine(done)
    rows = [_row(evidence, str(net), part) for net, part in alike.groupby("net", sort=False)]
    predicted = done[done["predicted_seconds"].notna()]
    ratio = predicted["seconds"].sum() / predicted["predicted_seconds"].sum() if len(predicted) else math.nan
    of = "" if len(predicted) == len(done) else f" for {len(predicted)} of them"
    words = "" if math.isnan(ratio) else f"; {ratio:.2f} times what was predicted{of}"
    note = NOTE.format(counted=task_of(evidence.sweep.task).counted) + (MIXED if len(alike) < len(done) else "")
    note += TOTAL.format(spent=duration(done["seconds"].sum()), predicted=words)
    return Table(HEADER, rows, note=note, name="costs")


def _row(evidence: Evidence, net: str, runs: pd.DataFrame) -> tuple[Cell, ...]:
    first, counts = runs.iloc[0], ("–", "–")  # nobody counts nets that are not the paper's
    if FAMILIES[first["family"]].layout:
        outputs = activations(net_of(first), side_of(first))
        counts = f"{first['multiply_adds'] / 1e6:,.0f}M", f"{4 * outputs / 2**20:.1f}"
    return (
        display_name(net),
        f"{first['params'] / 1e6:.2f}M",
        *counts,
        of_net(evidence, net, IMAGES_PER_S, runs, lambda ours: rounded(ours.mean)),
        rounded(runs["test_images_per_s"].mean()),
        of_net(evidence, net, SECONDS, runs, lambda ours: duration(ours.mean)),
        duration(runs["predicted_seconds"].mean()),
        f"{len(runs)}",
        one_of(runs["hardware"]),
    )


def net_of(row: pd.Series[Any]) -> Net:
    """The Net of a row of the results."""
    return Net(str(row["family"]), int(row["depth"]), str(row["shortcut"]), str(row["stride_in"]))


def side_of(row: pd.Series[Any]) -> int:
    """Height and width of the inputs of a row of the results, 0 for CIFAR's; a detector's image is a square there."""
    sides = (row.get(f"{part}_side") for part in PARTS)
    return next((int(side) for side in sides if side), 0)


def rounded(value: float) -> str:
    """A speed: whole from 10 on, two digits below."""
    return "–" if math.isnan(value) else f"{value:,.0f}" if value >= 9.95 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """`42 s`, `3.5 min`, `12 h`; `–` for none."""
    if math.isnan(seconds):
        return "–"
    value, unit = next((seconds / size, u) for u, size in UNITS if seconds >= 1.5 * size or size == 1)
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
