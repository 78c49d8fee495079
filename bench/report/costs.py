"""What each net cost: counts by arithmetic, speeds and times as measured and predicted; and what is left to run."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pandas as pd

from bench.nets.counts import activations
from bench.nets.speeds import Speed, nearest, predicted_seconds
from bench.report.evidence import Evidence
from bench.report.frame import display_name
from bench.report.machines import STEADY, beside_another, on_one_machine
from bench.report.numbers import Cell, Metric, of_net
from bench.report.rows import PARTS
from bench.report.sections import Section
from bench.report.tables import Table, one_of, plain
from bench.spec import DATASETS, FAMILIES, SCALES, Net, Recipe, Run, counted, dataset_of

TRAINING = "training images/s"
HEADER = (
    "net", "params", "multiply-adds", "activations, MiB an image", TRAINING, "test images/s",
    "time a run", "predicted", "runs", "hardware",
)  # fmt: skip
NOTE = (
    "Multiply-adds are those of one image forward, through convolutions and classifier{counted}. Activations are "
    "the outputs of all convolutions in fp32, which a training step has to keep, among other things. Speeds and times "
    "are {means}; predicted is what the plan said before a run started, where it knew a speed."
)
MIXED = " Of a net with runs on several machines they are of the one that has most of them."
TOTAL = " All runs together took {spent}{predicted}."
SHARED = (
    " {which} ran while another of them did, on hardware of the same name: where that was one machine, "
    "their times are upper bounds of what each takes alone."
)
UNSTEADY = (
    " Of one net ({net}) the fastest run was {factor:.1f} times as fast as the slowest, which the net does not explain."
)
LEFT = ("scale", "net", "seeds", "steps a run", "runs", "time a run", "all of them")
EXTRAPOLATED = (
    "Times are extrapolated by multiply-adds, counted at the size of each net's own input, from the median throughput "
    "of the nearest finished runs: those of the same batch size and precision, then of the same net, input size and "
    "family. {runs} runs served, on {hardware}, at {low:.1f} to {high:.1f} billion multiply-adds a second in training; "
    "other work may have shared the machine. Training and tests are extrapolated separately. "
)
LEFT_NOTE = "Failed runs are not counted. To run the remainder (finished runs are kept, interrupted runs resume):"
UNITS = (("h", 3600), ("min", 60), ("s", 1))


def cost_table(evidence: Evidence) -> Table:
    """A row a net that has a finished run."""
    done = evidence.results.done
    alike = on_one_machine(done)
    rows = [_row(evidence, str(net), part) for net, part in alike.groupby("net", sort=False)]
    predicted = done[done["predicted_seconds"].notna()]
    ratio = predicted["seconds"].sum() / predicted["predicted_seconds"].sum() if len(predicted) else math.nan
    of = "they" if len(predicted) == len(done) else f"the {len(predicted)} with a prediction"
    words = "" if math.isnan(ratio) else f"; {of} took {ratio:.2f} times as long as predicted"
    means = "means over the runs" if len(done) > len(rows) else "those of the one run of each net"
    note = NOTE.format(counted=evidence.sweep.task_row.counted, means=means)
    note += MIXED if len(alike) < len(done) else ""
    note += TOTAL.format(spent=duration(done["seconds"].sum()), predicted=words) + shared(done) + unsteady(alike)
    head: Sequence[str] = HEADER
    if not evidence.sweep.task_row.trains:
        at = HEADER.index(TRAINING)
        head, rows = HEADER[:at] + HEADER[at + 1 :], [row[:at] + row[at + 1 :] for row in rows]
    return Table(head, rows, note=note, name="costs")


def shared(done: pd.DataFrame) -> str:
    """How many of the finished runs may have shared a machine, in a sentence; "" if none."""
    beside, runs = int(beside_another(done).sum()), counted(len(done), "run")
    return SHARED.format(which=f"All {runs}" if beside == len(done) else f"{beside} of the {runs}") if beside else ""


def unsteady(alike: pd.DataFrame) -> str:
    """The net whose runs on one hardware differ most in speed, if by more than STEADY, in a sentence."""
    speeds = alike[alike["images_per_s"] > 0].groupby("net")["images_per_s"].agg(["min", "max"])
    factors = speeds["max"] / speeds["min"]
    if not (factors > STEADY).any():
        return ""
    return UNSTEADY.format(factor=factors.max(), net=display_name(str(factors.idxmax())))


def _row(evidence: Evidence, net: str, runs: pd.DataFrame) -> tuple[Cell, ...]:
    first, activated = runs.iloc[0], "–"  # nobody counts those of nets that are not the paper's
    if FAMILIES[first["family"]].layout:
        activated = f"{4 * activations(net_of(first), side_of(first)) / 2**20:.1f}"
    return (
        evidence.display(net),
        f"{first['params'] / 1e6:.2f}M",
        "–" if math.isnan(first["multiply_adds"]) else f"{first['multiply_adds'] / 1e6:,.0f}M",
        activated,
        of_net(evidence, net, IMAGES_PER_S, runs),
        rounded(runs["test_images_per_s"].mean()),
        of_net(evidence, net, SECONDS, runs),
        duration(runs["predicted_seconds"].mean()),
        f"{len(runs)}",
        plain(one_of(runs["hardware"])),
    )


def net_of(row: pd.Series[Any]) -> Net:
    """The Net of a row of the results."""
    return Net(str(row["family"]), int(row["depth"]), str(row["shortcut"]), str(row["stride_in"]))


def side_of(row: pd.Series[Any]) -> int:
    """Height and width of the inputs of a row of the results; a detector's image is a square there."""
    sides = (row.get(name) for name in (*(f"{part}_side" for part in PARTS), "size"))
    return next((int(side) for side in sides if side), Recipe().size)


def rounded(value: float) -> str:
    """A speed: whole from 10 on, two digits below."""
    return "–" if math.isnan(value) else f"{value:,.0f}" if value >= 9.95 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """`42 s`, `3.5 min`, `12 h`, `11,600 h`: about three digits; `–` for none."""
    if math.isnan(seconds):
        return "–"
    value, unit = next((seconds / size, u) for u, size in UNITS if seconds >= 1.5 * size or size == 1)
    digits = f"{value:.1f}" if value < 10 else f"{value:.0f}" if value < 1000 else f"{float(f'{value:.3g}'):,.0f}"
    return f"{digits} {unit}"


IMAGES_PER_S = Metric("images_per_s", "training speed", "images/s", rounded, None)
SECONDS = Metric("seconds", "training time", "s", duration, None)


def remaining_sections(evidence: Evidence) -> list[Section]:
    """The section of a page, empty if nothing is left, and of a stand-in, which is no data to finish with."""
    left = [] if dataset_of(evidence.results.data).made_up else list(_left(evidence))
    if not left:
        return []
    commands = []
    for scale, data in {run.scale: run.data for run in left}.items():
        row = dataset_of(data)  # of a part of ImageNet's classes the command names them, if the scale does not
        part = row.name not in DATASETS and row.classes != evidence.sweep.scales[scale].classes
        classes = f" --classes {row.classes}" if part else ""
        commands.append(f"python -m bench.sweep {evidence.name} --scale {scale}{classes}")
    text = "\n".join(("```sh", *commands, "```"))
    return [Section("What has not been run", (remaining_table(evidence, left), text))]


def remaining_table(evidence: Evidence, left: Sequence[Run]) -> Table:
    """A row a scale and net."""
    speeds, by_net = evidence.results.speeds, dict[tuple[str, str], list[Run]]()
    for run in left:
        by_net.setdefault((run.scale, evidence.sweep.scales[run.scale].name_of(run)), []).append(run)
    rows = []
    for (scale, net), runs in by_net.items():
        where = scale if runs[0].data == evidence.results.data else f"{scale}, {runs[0].data}"
        seconds = predicted_seconds(runs[0], 0, speeds)
        each = math.nan if seconds is None else seconds
        work = (_seeds([run.seed for run in runs]), f"{runs[0].recipe.steps:,}", f"{len(runs)}")
        rows.append((where, display_name(net), *work, duration(each), duration(each * len(runs))))
    used = {speed for run in left for speed in nearest(run, speeds)}
    return Table(LEFT, rows, text=3, note=extrapolated(used) + LEFT_NOTE)


def extrapolated(speeds: Collection[Speed]) -> str:
    """What times are extrapolated from: how many runs' throughput, between what values; "" where from none."""
    counted = sorted(speed.throughput / 1e9 for speed in speeds if speed.work)
    if not counted:
        return ""
    hardware = " and ".join(sorted({plain(speed.hardware) for speed in speeds}))
    return EXTRAPOLATED.format(runs=len(counted), low=counted[0], high=counted[-1], hardware=hardware)


def _left(evidence: Evidence) -> Iterator[Run]:
    """Declared runs of this set that have not ended, then, on the sweep's own page, those of larger scales."""
    sweep, results = evidence.sweep, evidence.results
    states = dict(zip(results.runs["id"], results.runs["state"], strict=True))
    declared = sweep.runs(results.scale, None, results.data)
    cells = sweep.scales[results.scale]
    for run in sorted(declared, key=lambda run: cells.names.index(cells.name_of(run))):
        if states.get(run.id) not in ("done", "failed"):
            yield run
    if evidence.page == "README.md":
        for scale in SCALES[: SCALES.index(results.scale)]:
            if scale in sweep.scales and scale not in evidence.scales:
                yield from sweep.runs(scale, None, sweep.data_at(scale))


def _seeds(seeds: Sequence[int]) -> str:
    """`0–4`, `1`, `0, 3`."""
    ordered = sorted(seeds)
    whole = len(ordered) > 2 and ordered == list(range(ordered[0], ordered[-1] + 1))
    return f"{ordered[0]}–{ordered[-1]}" if whole else ", ".join(map(str, ordered))
