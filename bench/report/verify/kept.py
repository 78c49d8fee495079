"""The runs that checks hold against each other, and how long two of them were one training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.report.rows import Row, run_of
from bench.report.verify.published import Published
from bench.spec import Run, Task
from bench.spec.schedule import rate_of

# the chance of a false alarm of one comparison by a statistical check is below this
ALARM = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A run that ended, by itself or not: its row, its Run and what was kept of it."""

    published: Published
    row: Row
    run: Run

    @property
    def task(self) -> Task:
        """What it did."""
        return self.run.task_row

    @property
    def done(self) -> bool:
        """Whether it has a result."""
        return self.row["state"] == "done"

    @property
    def curve(self) -> pd.DataFrame | None:
        """The rows of its curve in the order of steps; None without any."""
        return self.published.curves.get(self.row["id"])

    @property
    def layers(self) -> pd.DataFrame | None:
        """The rows of its layers; None without any."""
        return self.published.layers.get(self.row["id"])

    def at(self, problem: str) -> str:
        """The problem with the place of its row."""
        return self.published.at(self.row, problem)


def kept(published: Published) -> list[Kept]:
    """All runs that ended. One whose settings cannot be read, which another check says, is left out."""
    found = []
    for row in published.rows:
        if row["state"] in ("done", "failed"):
            try:
                found.append(Kept(published, row, run_of(row)))
            except (ValueError, KeyError):
                continue
    return found


def one_training(one: Kept, other: Kept) -> int:
    """The updates in which the two were one training, to the bit on one machine: up to the first with another rate.

    None if another net, seed or data, or any other setting of it differs. What only names or tests a run may differ:
    its scale, its task, how often it is tested and on what. Where the settings say too little, the answer is too large.
    """
    mine, other_recipe = one.run.recipe, other.run.recipe
    settings = ("batch", "momentum", "weight_decay", "precision", "split")
    alike = (one.run.net, one.run.seed) == (other.run.net, other.run.seed)
    alike &= one.row.get("data_sha256") == other.row.get("data_sha256")
    if not alike or any(getattr(mine, name) != getattr(other_recipe, name) for name in settings):
        return 0
    ends = min(mine.steps, other_recipe.steps)
    changes = {0, mine.warmup_steps, other_recipe.warmup_steps, *mine.drops, *other_recipe.drops}
    differ = (step for step in changes if step < ends and rate_of(mine, step) != rate_of(other_recipe, step))
    return min(differ, default=ends)


def kin(one: Kept, other: Kept) -> bool:
    """Whether two runs may be alike though they are two trainings: they started from the same weights.

    With one seed a net has the same first weights and sees the same batches, however it is trained.
    """
    mine, others = one.run.net, other.run.net
    same_weights = bool(mine.weights) and mine.weights == others.weights
    return same_weights or (mine == others and one.run.seed == other.run.seed)


Pair = tuple[Kept, Kept, str]  # the second run has what is said in common with the first, whose id follows


def said(pairs: Iterable[Pair], where: Callable[[Kept, Kept], bool] = lambda *_: True) -> Iterator[str]:
    """A sentence for each run and problem, with the first run that it has it with. where: which pairs count."""
    found: dict[tuple[Kept, str], list[Kept]] = {}
    for first, second, words in pairs:
        if where(first, second):
            found.setdefault((second, words), []).append(first)
    for (run, words), others in found.items():
        more = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
        yield run.at(f"{words} {named(others[0], run)}{more}")


def named(run: Kept, beside: Kept) -> str:
    """The run's id, with its folder where that is another one."""
    return run.row["id"] if run.published is beside.published else f"{run.row['id']} of {run.published.folder}"


def pairs_of(runs: Sequence[Kept]) -> Iterator[tuple[Kept, Kept]]:
    """Each two of the runs once, but not one run and itself in another sweep."""
    for k, second in enumerate(runs):
        yield from ((first, second) for first in runs[:k] if first.row["id"] != second.row["id"])
