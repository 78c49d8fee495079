"""The learning rate as a pure function of the step: nothing to save, nothing that a resume could lose."""

from __future__ import annotations

from collections.abc import Sequence

from bench.spec.recipe import Recipe


def rate_at(step: int, *, lr: float, drops: Sequence[int], warmup_steps: int = 0, warmup_lr: float = 0.01) -> float:
    """The rate of the update number `step`, counted from 0 (Section 4.2).

    `lr`, divided by 10 from each step in `drops` on; `warmup_lr` during the first `warmup_steps`.
    With the paper's numbers: 0.1 at 31,999, 0.01 at 32,000, 0.001 at 48,000; training stops before 64,000.
    """
    if step < warmup_steps:
        return warmup_lr
    # a division by an exact power of ten: 0.1 / 10 is 0.01 to the bit, 0.1 * 0.1 is not
    return lr / 10.0 ** sum(step >= drop for drop in drops)


def rate_of(recipe: Recipe, step: int) -> float:
    """The rate of the recipe's update number `step`, counted from 0."""
    warmup = recipe.warmup_lr
    return rate_at(step, lr=recipe.lr, drops=recipe.drops, warmup_steps=recipe.warmup_steps, warmup_lr=warmup)
