"""The section of a page on further test sets. It describes: no claim is about them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from bench.report.evidence import Evidence, Pair, effect_of
from bench.report.frame import Set, display_name
from bench.report.further_nets import Asked, Measured, all_asked, floor_of, measured
from bench.report.numbers import Cell, Number, decimals, mean_std, of_starts
from bench.report.sections import Section, bullets
from bench.report.stats import IMAGES, Interval, mcnemar, of_percent, paired_images, sample, wilson, within
from bench.report.tables import Table, one_of, one_seed, p_words, plain, spread
from bench.spec import counted
from bench.spec.further import FURTHER, GROUPS, FurtherSet, further_sets


def further_sections(evidence: Evidence) -> list[Section]:
    """What further tests found; none where there are none, and none are declared."""
    results = evidence.results
    declared = [row for row in further_sets(evidence.sweep.tests) if row.of == results.data]
    ids = set(results.done["id"])
    there = {row["test"] for row in results.further.rows if row["id"] in ids}
    if not there and not (declared and ids):
        return []
    asked = list(all_asked(there))
    tables = [errors_table(evidence, asked), excess_table(evidence, asked), pairs_table(evidence, asked)]
    for group in GROUPS:
        rows = [row for row in FURTHER.values() if row.group == group and row.name in there]
        tables += [severity_table(evidence, group, rows), members_table(evidence, group, rows, asked)] if rows else []
    untested = bullets(_untested(evidence, asked, [row for row in declared if row.name not in there]))
    return [Section("Further test sets", (*(table for table in tables if table), *([untested] if untested else [])))]


def _number(evidence: Evidence, net: str, found: Measured) -> Number:
    over = sample(found.errors).at_least(floor_of(found.shares)).interval
    return Number(
        id=evidence.id(net, f"{found.asked.key}_error"),
        what=f"{display_name(net)}, error on {found.asked.title}",
        value=float(found.errors.mean()),
        std=sample(found.errors).std,
        n=len(found.seeds),
        over_seeds=of_starts(evidence, of_percent(over), found.runs),
        over_images=found.over_images,
        unit="%",
        write=decimals(2),
        runs=found.runs,
    )


def _excess(evidence: Evidence, net: str, found: Measured) -> Number:
    """By how much the error is above that of the runs' own test."""
    apart = sample(found.errors - found.own)
    floor = math.hypot(floor_of(found.shares), evidence.floor((net,), "test_error"))
    return Number(
        id=evidence.id(net, f"{found.asked.key}_excess"),
        what=f"{display_name(net)}, error on {found.asked.title} minus its own test error",
        value=apart.mean,
        n=apart.n,
        over_seeds=of_starts(evidence, within(apart.at_least(floor).interval, -100.0, 100.0), found.runs),
        over_images=_excess_over_images(evidence, net, found),
        runs=found.runs,
    )


def _excess_over_images(evidence: Evidence, net: str, found: Measured) -> Interval:
    """Image by image where they are the same, as far as the own ones are stored; else Newcombe's of two samples."""
    own = evidence.results.correct_images(net, found.seeds)
    if found.asked.paired and own is not None and own.shape == found.shares.shape:
        return paired_images(own, found.shares)  # type: ignore[arg-type]  # shares of images in place of whole ones
    error, before = float(found.errors.mean()), float(found.own.mean())
    done = evidence.results.done
    there, here = wilson(before, int(done.loc[done["id"].isin(found.runs), "test_images"].min())), found.over_images
    low = math.hypot(error - here.low, there.high - before)
    high = math.hypot(here.high - error, before - there.low)
    return Interval(error - before - low, error - before + high, "Newcombe", IMAGES)


ERRORS = ("test set", "net", "images", "error %", "95 %, seeds", "95 %, images only")
ERRORS_NOTE = (
    "The nets of the runs above, tested on further images from their final weights; nothing was trained, tuned or "
    "chosen on these. {few}{spread} Two 95 % intervals: over seeds (Student's t, n ≥ 2, the spread raised to what "
    "chance alone gives), and over images only, the trained nets as they are (Wilson's; of a mean of several parts by "
    "image, as each image comes in all of them). These numbers describe: no claim is about them, and nothing is "
    "corrected for how many there are. Tested with torch {torch} on {hardware}; `tests.csv` has the sets' SHA-256."
)
FEW = "Of each set so many of the first images were used as the runs' own test takes of its own. "


def errors_table(evidence: Evidence, asked: Sequence[Asked]) -> Table | None:
    """A row a test set and net; None without any."""
    results = evidence.results
    rows = [
        (one.title, display_name(net), f"{found.shares.shape[1]:,}", *_ranged(_number(evidence, net, found)))
        for one, net, found in _each(results, asked)
    ]
    if not rows:
        return None
    ids = set(results.done["id"])
    tests = pd.DataFrame([row for row in results.further.rows if row["id"] in ids])
    few = any(int(row["images"]) < FURTHER[row["test"]].images for row in tests.to_dict("records"))
    note = ERRORS_NOTE.format(
        few=FEW * few,
        spread=spread(results),
        torch=plain(one_of(tests["torch"])),
        hardware=plain(one_of(tests["hardware"])),
    )
    return Table(ERRORS, rows, text=2, note=note, name="further")


def _each(results: Set, asked: Sequence[Asked]) -> Iterator[tuple[Asked, str, Measured]]:
    """What was asked of each net, as far as it was measured."""
    for one in asked:
        for net in map(str, results.nets.index):
            if found := measured(results, net, one):
                yield one, net, found


def _ranged(number: Number) -> tuple[Number, str, str]:
    """With its intervals."""
    return number, number.range(number.over_seeds), number.range(number.over_images)


EXCESS = ("test set", "net", "own test error %", "further − own, points", "95 %, seeds", "95 %, images only")
EXCESS_NOTE = (
    "By how much the error on the further images is above that of the same runs on the test images of {data}. Over "
    "seeds run by run (Student's t); over images only, where both sets have the same images, image by image (Agresti "
    "and Min), else as of two samples (Newcombe)."
)


def excess_table(evidence: Evidence, asked: Sequence[Asked]) -> Table | None:
    """A row a test set and net, its error beside that of the own test; None without any."""
    rows = [
        (one.title, display_name(net), _own(found), *_ranged(_excess(evidence, net, found)))
        for one, net, found in _each(evidence.results, asked)
    ]
    note = EXCESS_NOTE.format(data=evidence.results.dataset.title)
    return Table(EXCESS, rows, text=2, note=note, name="further_excess") if rows else None


def _own(found: Measured) -> str:
    """The tested runs' own test error."""
    own = sample(found.own)
    return mean_std(own.mean, own.std, own.n)


PAIRS = (
    "test set", "first net", "second net", "seeds", "error: second − first, points", "95 %, seeds",
    "95 %, images only", "McNemar p",
)  # fmt: skip
PAIRS_NOTE = (
    "The nets of a row saw the same further images. Intervals as in the tables of pairs on their own test images. "
    "McNemar's test (mid-p, two-sided) is about the two trained nets of the first seed of each; – for means of several "
    "corruptions, where an image is not right or wrong."
)


def pairs_table(evidence: Evidence, asked: Sequence[Asked]) -> Table | None:
    """A row a test set and pair of nets that the page compares on its own test images; None without any."""
    rows = [row for one in asked for pair in evidence.pairs if (row := _pair_row(evidence, pair, one))]
    return Table(PAIRS, rows, text=3, note=PAIRS_NOTE, name="further_pairs") if rows else None


def _pair_row(evidence: Evidence, pair: Pair, asked: Asked) -> tuple[Cell, ...] | None:
    first, second = (measured(evidence.results, name, asked) for name in pair.names)
    if first is None or second is None or first.shares.shape[1] != second.shares.shape[1]:
        return None
    if pair.variant:  # seed by seed
        common = [seed for seed in first.seeds if seed in second.seeds]
        if not common:
            return None
        first, second = first.of_seeds(common), second.of_seeds(common)
    shares = {pair.names[0]: first.shares, pair.names[1]: second.shares}
    errors = [first.errors, second.errors]
    effect = effect_of(
        lambda names, _: floor_of(*(shares[name] for name in names)), pair.names, errors, paired=pair.variant
    )
    runs, seeds = (*first.runs, *second.runs), (len(first.seeds), len(second.seeds))
    names = [display_name(name) for name in pair.names]
    number = Number(
        id=evidence.id(pair.key, f"{asked.key}_error"),
        what=f"{names[1]} − {names[0]}, error on {asked.title}, difference{' seed by seed' * pair.variant}",
        value=effect.effect,
        n=min(seeds),
        ns=seeds[:1] if pair.variant else seeds[::-1],
        over_seeds=of_starts(evidence, within(effect.interval(), -100.0, 100.0), runs),
        over_images=paired_images(first.shares, second.shares),  # type: ignore[arg-type]  # shares of images
        runs=runs,
    )
    single = len(asked.keys) == 1
    p = p_words(mcnemar(first.shares[0], second.shares[0]).p_mid) if single else "–"
    return asked.title, *names, ", ".join(map(str, seeds)), *_ranged(number), p


def severity_table(evidence: Evidence, group: str, rows: Sequence[FurtherSet]) -> Table | None:
    """A row a net, its error at each severity: the mean of the corruptions that are there, but of no extra one."""
    used = [row for row in rows if not row.extra] or list(rows)
    parts = used[0].parts
    asked = [
        Asked.of(used, f"{GROUPS[group]} at severity {part}", f"{group}.severity-{part}", [part]) for part in parts
    ]
    found = [_net_row(evidence, net, asked) for net in map(str, evidence.results.nets.index)]
    what = f"the mean of {counted(len(used), 'corruption')}" if len(used) > 1 else used[0].title
    note = f"{GROUPS[group]} by severity, from the mildest: error in %, {what}. {_short(evidence)}"
    header = ("net", "own test images", *(f"severity {part}" for part in parts))
    kept = [row for row in found if row]
    return Table(header, kept, note=note, name=f"{group}-severities") if kept else None


def members_table(evidence: Evidence, group: str, rows: Sequence[FurtherSet], above: Sequence[Asked]) -> Table | None:
    """A row a corruption, the error of each net: the mean over the severities. None for one alone.

    above: what the first tables have rows of. A number that stands there has its anchor there, and none here.
    """
    anchored = {one.key for one in above}
    nets = [str(net) for net in evidence.results.nets.index]
    lines = []
    for row in rows if len(rows) > 1 else ():
        asked = Asked.of([row], row.title)
        found = [measured(evidence.results, net, asked) for net in nets]
        cells: list[Cell] = [_number(evidence, net, one) if one else "–" for net, one in zip(nets, found, strict=True)]
        cells = list(map(str, cells)) if asked.key in anchored else cells
        name = row.member_title
        lines.append((f"{name} (extra)" if row.extra else name, *cells))
    note = f"{GROUPS[group]} by corruption: error in %, the mean over the severities. {_short(evidence)}"
    if any(row.extra for row in rows):
        note += " The extra ones are the authors', too, and in no mean above."
    header = ("corruption", *map(display_name, nets))
    return Table(header, lines, note=note, name=f"{group}-corruptions") if lines else None


def _short(evidence: Evidence) -> str:
    return "One seed of each net (n)." if one_seed(evidence.results) else "Mean ± standard deviation over seeds (n)."


def _net_row(evidence: Evidence, net: str, asked: Sequence[Asked]) -> tuple[Cell, ...] | None:
    found = [measured(evidence.results, net, one) for one in asked]
    cells = [_number(evidence, net, one) if one else "–" for one in found]
    return (display_name(net), _own(found[0]), *cells) if found[0] else None


def _untested(evidence: Evidence, asked: Sequence[Asked], declared: Sequence[FurtherSet]) -> Iterator[str]:
    """What the sweep declares and no run has, and what some finished runs have not."""
    results = evidence.results
    for name in dict.fromkeys(row.group or row.name for row in declared):
        titles = [row.title for row in declared if name in (row.group, row.name)]
        words = titles[0] if len(titles) == 1 else f"{counted(len(titles), 'corruption')} of {GROUPS[name]}"
        yield f"Declared by the sweep and not tested yet: {words}."
    for one in asked:
        tested = [found for net in map(str, results.nets.index) if (found := measured(results, net, one))]
        if left := len(results.done) - sum(len(found.seeds) for found in tested):
            yield f"Of {counted(len(results.done), 'finished run')} {left:,} are not tested on all of {one.title}."
