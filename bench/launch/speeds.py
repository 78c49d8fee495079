"""How long a run will take: by the speed of runs that have ended, or by what was measured on this machine."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.launch.concurrency import Together, gains, measured
from bench.machine import cores, cuda_devices, hardware
from bench.nets.counts import multiply_adds_of
from bench.nets.speeds import Speed, fewest, speed_of
from bench.spec import Resources
from bench.store import folders


@dataclass(frozen=True, slots=True)
class Speeds:
    """What is known of speeds, nearest first: of runs, and of this machine. basis: in words, where it comes from."""

    known: tuple[Speed, ...]
    basis: str


def known_speeds(sweep_folder: Path, committed: Path, *, anywhere: bool) -> Speeds:
    """Speeds on this hardware (`anywhere`: on any), else those of the committed results."""
    here, together = hardware(), measured()
    place = None if anywhere else here
    own = [speed for speed in _own(sweep_folder, place, together) if anywhere or speed.hardware == here]
    machine = [] if anywhere else list(_of_machine(together, here))
    if own:
        words = "by the speed measured in these runs' folders" if anywhere else "by the speed measured here"
        return Speeds((*own, *machine), words)
    if machine:
        return Speeds(tuple(machine), "by `bench speed together` on this machine")
    other = list(_committed(committed, place, together))
    if not other:
        return Speeds((), "not known before the first run here")
    same = [speed for speed in other if speed.hardware == here]
    if same:
        return Speeds(tuple(same), "by the committed results' speed on this hardware")
    names = sorted({speed.hardware for speed in other})
    return Speeds(
        tuple(other), f"by the speed measured on {' and '.join(names)}; this machine has not been measured yet"
    )


def part_of(resources: Resources, together: Sequence[Together]) -> float:
    """The part of this machine's speed that a run gets, as far as was measured, else by threads or turns."""
    known = gains(together)
    if resources.gpus and cuda_devices():
        # what fewer at once gave together, more of them give at least
        return max([1.0, *(gain for count, gain in known.items() if count <= resources.share)]) / resources.share
    counts = {} if cuda_devices() else {row.threads: row.at_once for row in together if row.at_once in known}
    count = counts.get(resources.cpus)
    return known[count] / count if count else min(1.0, resources.cpus / cores())


def _own(sweep_folder: Path, here: str | None, together: Sequence[Together]) -> Iterable[Speed]:
    """here: the hardware of which a run may have had a part; None where the runs are of other machines."""
    for folder in folders(sweep_folder.parent, sweep_folder.name).values():
        result, env = folder.result(), folder.env()
        if result and env:
            run = folder.run()
            had = replace(run.resources, cpus=fewest(env.get("threads")), share=fewest(env.get("share")))
            part = part_of(had, together) if env["hardware"] == here else None
            about = {name: getattr(run.recipe, name) for name in ("steps", "batch", "test_every", "precision")}
            row = {**about, **result, "processes": env.get("processes")}
            yield speed_of(run.net.name, multiply_adds_of(run), row, env["hardware"], part)


def _committed(committed: Path, here: str | None, together: Sequence[Together]) -> Iterable[Speed]:
    try:
        rows = list(csv.DictReader((committed / "runs.csv").read_text(encoding="utf-8").splitlines()))
        for row in rows:
            if row["state"] == "done":
                had = Resources(cpus=fewest(row.get("threads")), share=fewest(row.get("share")))
                part = part_of(had, together) if row["hardware"] == here else None
                yield speed_of(row["net"], int(row["multiply_adds"] or 0), row, row["hardware"], part)
    except (OSError, ValueError, KeyError):  # no results, or damaged ones, which `collect` will say: no prediction
        return


def _of_machine(together: Sequence[Together], here: str) -> Iterable[Speed]:
    """One run by itself."""
    for row in together:
        if row.at_once == 1:
            yield Speed(row.net, row.work, row.batch, row.precision, row.images_per_s, here)
