"""What has not been run: the runs that are left, what one of them would take, and the command that runs them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from bench.nets.counts import OURS
from bench.nets.speeds import Speed, predicted_seconds, speed_of
from bench.report.costs import duration
from bench.report.evidence import Evidence
from bench.report.frame import PAPERS, display_name
from bench.report.tables import Table, one_of
from bench.spec import SCALES, Run

HEADER = ("scale", "net", "seeds", "steps a run", "runs", "time a run", "all of them")
RECKONED = (
    "A run's time is reckoned from the speeds of the runs above, by multiply-adds where its own net is not among them, "
    "training and tests apart, on {hardware}. "
)
NOTE = "Failed runs are not counted. What runs them all, keeps what is done and goes on with what was begun:"
TIMED = ("classify",)  # where multiply-adds tell the time; a few steps of "diagnose" are mostly looking at layers


def remaining_section(evidence: Evidence) -> list[str]:
    """The section of a page, empty where nothing is left."""
    left = list(_left(evidence))
    if not left:
        return []
    table = remaining_table(evidence, left)
    scales = dict.fromkeys(run.scale for run in left)
    commands = "\n".join(f"python -m bench.sweep {evidence.name} --scale {scale}" for scale in scales)
    return ["## What has not been run", table.markdown(), table.note, f"```sh\n{commands}\n```"]


def remaining_table(evidence: Evidence, left: Sequence[Run]) -> Table:
    """A row a scale and net."""
    speeds = _speeds(evidence)
    rows = []
    for scale, net in dict.fromkeys((run.scale, run.net.name) for run in left):
        runs = [run for run in left if (run.scale, run.net.name) == (scale, net)]
        seconds = predicted_seconds(runs[0], 0, speeds) if speeds else None
        each = math.nan if seconds is None else seconds
        rows.append(
            (
                scale,
                display_name(net),
                _seeds([run.seed for run in runs]),
                f"{runs[0].recipe.steps:,}",
                f"{len(runs)}",
                duration(each),
                duration(each * len(runs)),
            )
        )
    reckoned = RECKONED.format(hardware=one_of(evidence.results.done["hardware"])) if speeds else ""
    return Table(HEADER, rows, text=3, note=reckoned + NOTE)


def _left(evidence: Evidence) -> Iterator[Run]:
    """Declared runs of this set that have not ended, then, on the sweep's own page, those of larger scales."""
    sweep, results = evidence.sweep, evidence.results
    states = dict(zip(results.runs["id"], results.runs["state"], strict=True))
    for run in sweep.runs(results.scale, None, results.data):
        if states.get(run.id) not in ("done", "failed"):
            yield run
    if evidence.page == "README.md" and results.data in PAPERS:
        for scale in SCALES[: SCALES.index(results.scale)]:
            if scale in sweep.scales and sweep.data_at(scale) == results.data:
                yield from sweep.runs(scale, None, results.data)


def _speeds(evidence: Evidence) -> list[Speed]:
    if evidence.sweep.task not in TIMED:
        return []
    return [
        speed_of(str(row["net"]), int(row["multiply_adds"]), row, str(row["hardware"]), None)
        for row in ({str(k): v for k, v in one.items()} for one in evidence.results.done.to_dict("records"))
        if row["family"] in OURS
    ]


def _seeds(seeds: Sequence[int]) -> str:
    """`0–4`, `1`, `0, 3`."""
    ordered = sorted(seeds)
    whole = len(ordered) > 2 and ordered == list(range(ordered[0], ordered[-1] + 1))
    return f"{ordered[0]}–{ordered[-1]}" if whole else ", ".join(map(str, ordered))
