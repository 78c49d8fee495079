"""Two nets, or a net by two recipes, on the same test images: tables."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.claims import has_diverged
from bench.report.evidence import Evidence, Pair
from bench.report.frame import Set, difference, display_name
from bench.report.numbers import Number, of_starts
from bench.report.tables import Table, p_words

APART = (
    "The nets of a row saw the same test images. Two 95 % intervals are given: over seeds (Welch's t, "
    "between unequally many seeds with the degrees of freedom of the fewest, the spread raised to its floor), and over "
    "images only, the trained nets as they are (Agresti and Min); with one seed of a net there is the second alone."
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
    "net, changed", "instead of", "seeds", "error: changed − baseline, points", "95 %, seeds", "95 %, images only",
)  # fmt: skip
OVER_SEEDS = (
    "The baseline is the net by its own recipe. Compared seed by seed, over the seeds that both recipes have: a seed "
    "gives both the same weights to start from and the same order of images. Two 95 % intervals are given: over seeds, "
    "Student's t of these differences, and over images only, the trained nets as they are (Agresti and Min)."
)


def variants_table(evidence: Evidence) -> Table | None:
    """A row a net by another recipe than its own, if both have ended on the same images; None without any."""
    rows = [
        (
            display_name(pair.names[1]),
            baseline(evidence.results, pair.names[1]),
            f"{pair.seeds[0]}",
            *apart(evidence, pair),
        )
        for pair in evidence.pairs
        if pair.variant
    ]
    return Table(VARIANTS, rows, text=2, note=OVER_SEEDS, name="variants") if rows else None


def baselines(results: Set) -> str:
    """What the nets by their own recipes have where any variant differs; "" without one."""
    variants = results.runs.loc[results.runs["variant"] != "", "net"].unique()
    return ", ".join(dict.fromkeys(baseline(results, str(name)) for name in variants))


def baseline(results: Set, variant: str) -> str:
    """What the net of a variant has by its own recipe where the variant differs: `fp32`, `batch norm over 64`."""
    net, *parts = variant.split("+")
    row = results.runs[results.runs["net"] == net].iloc[0]
    names = (part.partition("=")[0] if "=" in part else "precision" for part in parts)
    words = (f"{name}={str(row[name]).replace(' ', '_')}" if name != "precision" else row[name] for name in names)
    return ", ".join(map(difference, words))
