"""Dates, seconds and speeds that no clock and no machine gives.

Exact up to the clock: a run's seconds, which a steady clock counts within its starts, are no more than from its first
start to its end, both cut to whole seconds; and no date is to come. JUMP and DRIFT are for a clock that is set
meanwhile: by NTP at most 500 millionths, or by some seconds at once. Committed runs: at most 0.67 s more than between
the dates.

Bounds of physics, for multiply-adds of images forward: a core with two AVX-512 units does 1.6e11 a second in fp32,
and 4e12 in bf16 with a matrix unit; a GPU of 2026 5e15. PER_THREAD and PER_DEVICE are four times that, as Winograd's
algorithm saves up to three quarters; that training costs three times a forward pass is left out. And a step passes
the layers one by one, forward and back; FASTEST is a quarter of the time of a GPU's shortest kernel. Committed runs:
a thread at most 5.1e10 in fp32 and 1.3e11 in bf16, a 12th and a 120th of the bounds; a layer at least 2 ms.

Beside each other: of runs of one net, recipe, hardware and way that took ten minutes or more, none is FASTER times as
fast as the median of OTHERS or more. The logarithms of committed speeds deviate by 0.4 within a net, 0.73 over all
nets: 20 times is 7.5 of the first (a chance of 1e-13; 1e-6 where it is 0.63), and the fastest is 2.2 times the
others.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median

from bench.nets.speeds import fewest
from bench.report.rows import Row, run_of
from bench.report.verify.kept import Kept, kept
from bench.report.verify.published import Published
from bench.report.verify.values import number
from bench.spec import Run, counted

DATE = "%Y-%m-%dT%H:%M:%SZ"
JUMP, DRIFT = 5.0, 1e-3  # seconds, and their share of the whole
AHEAD = timedelta(days=1)  # of a clock
CORES = re.compile(r", (\d+) cores$")  # behind the name of a CPU
PER_THREAD, PER_DEVICE = {"fp32": 6.4e11, "bf16": 1.6e13}, 2e16  # multiply-adds a second
FASTEST = 5e-7  # seconds that a layer takes at least, one way
FASTER, OTHERS, LONG = 20, 3, 600


def in_times(published: Published) -> Iterator[str]:
    """Each finished row by itself, then beside the others of its recipe."""
    yield from published.of_rows(time_problems)
    yield from _beside_others(kept(published))


def time_problems(row: Row) -> Iterator[str]:
    """Which times and speeds of a finished row are none. Raises ValueError and KeyError for one that cannot be read."""
    run, now = run_of(row), datetime.now(UTC).replace(tzinfo=None)
    dates = {}
    for name in ("started", "ended"):
        try:
            dates[name] = datetime.strptime(row[name], DATE)  # the text ends in Z: UTC
        except ValueError:
            yield f"{name} is {row[name]!r}, not a date such as 2026-11-28T10:00:00Z"
            return
        if dates[name] > now + AHEAD:
            yield f"{name} is {row[name]}, a date to come (it is {now:%Y-%m-%d})"
    if not run.recipe.steps:
        return
    seconds, span = float(row["seconds"]), (dates["ended"] - dates["started"]).total_seconds()
    if span >= 0 and seconds > span * (1 + DRIFT) + JUMP:
        yield f"it trained {seconds:,.0f} s, and ended {span:,.0f} s after it started"
    yield from _bounds(row, run)


def _bounds(row: Row, run: Run) -> Iterator[str]:
    """Which of its speeds are beyond any machine of its kind."""
    processes = fewest(row.get("processes"))
    most = float(PER_DEVICE)
    if CORES.search(row["hardware"]):
        threads = max((int(word) for word in row["threads"].split("; ") if word.isdigit()), default=1)
        most = PER_THREAD[run.recipe.precision] * threads
    for name, images in (("images_per_s", "training images"), ("test_images_per_s", "test images")):
        speed = number(row, name) or 0.0
        if (done := speed * int(row["multiply_adds"] or 0) / processes) > most:
            yield f"{name} is {speed:,.0f}: {done:.1e} multiply-adds a second of {images}, where {most:.1e} are a bound"
    least = 2 * run.net.depth * FASTEST * run.recipe.steps
    if float(row["seconds"]) < least:
        yield f"it took {row['seconds']} s, and {counted(run.recipe.steps, 'step')} take {least:.3g} s at least"


def _beside_others(runs: list[Kept]) -> Iterator[str]:
    alike: dict[tuple[str, ...], list[Kept]] = defaultdict(list)
    names = (
        "task", "data", "net", "weights", "steps", "batch", "precision", "test_every", "hardware", "threads",
        "processes", "share", "kernels",
    )  # fmt: skip
    for run in runs:
        if run.done and number(run.row, "seconds"):
            alike[tuple(run.row.get(name) or "" for name in names)].append(run)
    for group in alike.values():
        for run in group:
            others = [float(other.row["seconds"]) for other in group if other is not run]
            usual = median(others) if len(others) >= OTHERS else 0.0
            if usual >= LONG and (seconds := float(run.row["seconds"])) * FASTER < usual:
                yield run.at(f"it took {seconds:,.0f} s, and others like it {usual:,.0f} s")
