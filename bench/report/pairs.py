"""Two nets, or a net by two recipes, on the same test images: tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.report.claims import has_diverged
from bench.report.evidence import Evidence, Pair
from bench.report.frame import difference, display_name
from bench.report.numbers import Number, of_starts, signed
from bench.report.tables import Table, change, p_words

APART = (
    "The nets of a row saw the same test images. Two 95 % intervals are given: over seeds (Welch), and over images "
    "only, the trained nets as they are (Agresti and Min); with one seed of a net there is the second alone."
)
LEFT_OUT = " Seeds that diverged are in neither: the worst case above has them."


def apart_note(evidence: Evidence) -> str:
    """What stands below a table of such pairs."""
    return APART + LEFT_OUT * bool(has_diverged(evidence.results.runs).any())


PAIRED = ("layers", "seeds (plain, residual)", "error: residual − plain, points", "95 %, seeds", "95 %, images only")


def paired_table(evidence: Evidence) -> Table | None:
    """A row a depth; None if no depth has both nets."""
    pairs = [pair for pair in evidence.pairs if not pair.variant]
    rows = [(f"{p.depth}", f"{p.seeds[0]}, {p.seeds[1]}", *apart(evidence, p)) for p in pairs]
    return Table(PAIRED, rows, note=apart_note(evidence), name="pairs") if rows else None


def apart(evidence: Evidence, pair: Pair) -> tuple[Number, str, str]:
    """The second net's error minus the first's, and its intervals."""
    names = [display_name(name) for name in pair.names]
    number = Number(
        id=evidence.id(pair.key, "test_error"),
        what=f"{names[1]} − {names[0]}, test error on the same images, difference{' seed by seed' * pair.variant}",
        value=pair.difference,
        n=min(pair.seeds),
        ns=pair.seeds[:1] if pair.variant else pair.seeds[::-1],
        over_seeds=of_starts(evidence, pair.over_seeds, pair.runs),
        over_images=pair.over_images,
        runs=pair.runs,
    )
    return number, number.range(pair.over_seeds), number.range(pair.over_images)


TRAINED = ("first net", "second net", "images", "only the first right", "only the second right", "McNemar p")
TRAINED_NOTE = (
    "Each row is about two trained nets, those of the first seed of each, and says nothing of their recipes: another "
    "seed gives other nets. McNemar's test (mid-p, two-sided) asks whether one of the two would be right more often on "
    "other images."
)


def trained_table(pairs: Sequence[Pair]) -> Table | None:
    """A row a pair, McNemar's test of one net of each; None without any."""
    rows = [
        (
            *map(display_name, pair.names),
            f"{pair.first.images:,}",
            f"{pair.first.only_first:,}",
            f"{pair.first.only_second:,}",
            p_words(pair.first.p_mid),
        )
        for pair in pairs
    ]
    return Table(TRAINED, rows, text=2, note=TRAINED_NOTE, name="trained") if rows else None


VARIANTS = (
    "net by another recipe", "its own", "seeds", "error: other − own, points", "95 %, seeds", "95 %, images only",
)  # fmt: skip
OVER_SEEDS = (
    "Compared seed by seed, over the seeds that both recipes have: a seed gives both the same weights to start from "
    "and the same order of images. Two 95 % intervals are given: over seeds, Student's t of these differences, and "
    "over images only, the trained nets as they are (Agresti and Min)."
)


def variants_table(evidence: Evidence) -> Table | None:
    """A row a net by another recipe than its own, if both have ended on the same images; None without any."""
    rows = []
    for pair in (pair for pair in evidence.pairs if pair.variant):
        own, _ = _of_recipes(evidence, pair)
        named = (display_name(pair.names[1]), _own(own.iloc[0], pair.names[1]), f"{pair.seeds[0]}")
        rows.append((*named, *apart(evidence, pair)))
    return Table(VARIANTS, rows, text=2, note=OVER_SEEDS, name="variants") if rows else None


def _of_recipes(evidence: Evidence, pair: Pair) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs of a net by its own recipe and by another, by seed."""
    runs = evidence.results.done[evidence.results.done["id"].isin(pair.runs)].set_index("seed")
    return runs[runs["net"] == pair.names[0]], runs[runs["net"] == pair.names[1]]


def _own(row: pd.Series[Any], other: str) -> str:
    """What the net's own recipe has where the other differs: `fp32`, `batch norm over 64`."""
    names = [part.partition("=")[0] if "=" in part else "precision" for part in other.split("+")[1:]]
    parts = (f"{name}={str(row[name]).replace(' ', '_')}" if name != "precision" else row[name] for name in names)
    return ", ".join(map(difference, parts))


def variant_findings(evidence: Evidence) -> list[str]:
    """What another recipe changes of a net, in words."""
    lines = []
    for pair in (pair for pair in evidence.pairs if pair.variant):
        own, other = (runs["test_error"].mean() for runs in _of_recipes(evidence, pair))
        over = pair.over_seeds or pair.over_images
        lines.append(
            f"{display_name(pair.names[1])}: the test error is {change(other - own, 2, ' points')} "
            f"{'than' if round(abs(other - own), 2) else 'as'} by its own recipe ({other:.2f} % against {own:.2f} %; "
            f"95 % over {over.covers}: {signed(over.low)} to {signed(over.high)}); n = {pair.seeds[0]} of each."
        )
    return lines
