"""All that two runs cannot have in common, of one sweep and of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from bench.report.verify import twice
from bench.report.verify.curves import copies
from bench.report.verify.images import mistakes
from bench.report.verify.kept import Kept, Pair, kept, said
from bench.report.verify.published import Published, to_the_end
from bench.store import StoreError

BETWEEN: tuple[Callable[[Sequence[Kept]], Iterator[Pair]], ...] = (
    twice.digests, twice.curves, twice.layers, copies, mistakes,
)  # fmt: skip


def in_pairs(published: Published) -> Iterator[str]:
    """Each run of a sweep beside each other one of it."""
    runs = kept(published)
    for check in BETWEEN:
        yield from said(check(runs))


def across(folders: Sequence[Path]) -> Iterator[str]:
    """Each run beside each one of another sweep. folders: of their results; what cannot be read, others say."""
    sweeps = []
    for folder in folders:
        try:
            sweeps.append(Published.read(folder))
        except StoreError:
            continue
    runs = list(chain.from_iterable(map(kept, sweeps)))
    for check in BETWEEN:
        pairs = said(check(runs), lambda one, other: one.published is not other.published)
        yield from to_the_end(f"the check {check.__name__} of several sweeps", pairs)
