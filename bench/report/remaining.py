"""What has not been run: the runs that are left, what one of them would take, and the command that runs them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Set

from bench.nets.speeds import Speed, predicted_seconds, speed_of
from bench.report.costs import duration
from bench.report.evidence import Evidence
from bench.report.frame import display_name
from bench.report.sections import Section
from bench.report.tables import Table
from bench.spec import DATASETS, FAMILIES, SCALES, Run, dataset_of, task_of

HEADER = ("scale", "net", "seeds", "steps a run", "runs", "time a run", "all of them")
EXTRAPOLATED = (
    "Times are extrapolated from the highest measured throughput (multiply-adds a second; {net} on {hardware}), "
    "separately for training and testing, on a possibly shared machine. "
)
NOTE = "Failed runs are not counted. To run the remainder (finished runs are kept, interrupted runs resume):"


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
    done = evidence.results.done
    hardware = str(done["hardware"].mode().iloc[0]) if len(done) else ""
    fastest = _fastest(evidence, hardware, {run.recipe.precision for run in left})
    by_net: dict[tuple[str, str], list[Run]] = {}
    for run in left:
        by_net.setdefault((run.scale, evidence.sweep.scales[run.scale].name_of(run)), []).append(run)
    rows = []
    for (scale, net), runs in by_net.items():
        alike = runs[0].data == evidence.results.data
        seconds = predicted_seconds(runs[0], 0, fastest) if fastest and alike else None
        each = math.nan if seconds is None else seconds
        where = scale if alike else f"{scale}, {runs[0].data}"
        work = (_seeds([run.seed for run in runs]), f"{runs[0].recipe.steps:,}", f"{len(runs)}")
        rows.append((where, display_name(net), *work, duration(each), duration(each * len(runs))))
    known = any(row[-1] != "–" for row in rows)
    nets = " and ".join(display_name(speed.net) for speed in fastest)
    how = EXTRAPOLATED.format(net=nets, hardware=hardware) if known else ""
    return Table(HEADER, rows, text=3, note=how + NOTE)


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


def _fastest(evidence: Evidence, hardware: str, precisions: Set[str]) -> list[Speed]:
    """By precision the speed of the run with the most multiply-adds a second in training; none where they tell no time.

    Where no run had one of `precisions`, the fastest of all.
    """
    if not task_of(evidence.sweep.task).only_trains:
        return []
    done = evidence.results.done
    rows = ({str(k): v for k, v in row.items()} for row in done[done["hardware"] == hardware].to_dict("records"))
    speeds = [
        speed_of(str(row["net"]), int(row["multiply_adds"]), row, hardware, None)
        for row in rows
        if FAMILIES[row["family"]].layout
    ]
    ordered = sorted(speeds, key=lambda speed: speed.images_per_s * speed.work)
    by_precision = {speed.precision: speed for speed in ordered}
    return [s for p, s in by_precision.items() if p in precisions] or ordered[-1:]


def _seeds(seeds: Sequence[int]) -> str:
    """`0–4`, `1`, `0, 3`."""
    ordered = sorted(seeds)
    whole = len(ordered) > 2 and ordered == list(range(ordered[0], ordered[-1] + 1))
    return f"{ordered[0]}–{ordered[-1]}" if whole else ", ".join(map(str, ordered))
