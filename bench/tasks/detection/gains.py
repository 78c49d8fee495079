"""AP50 of detectors over other images, and what one net gains over another on the same ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.report.claims import floor_of
from bench.report.frame import Set, display_name, own_recipes
from bench.report.resampling import jackknife
from bench.report.stats import Interval, contrast, of_percent, sample, within
from bench.spec import FAMILIES, SOURCES
from bench.store import StoreError
from bench.tasks.detection.average_precision import Matches, MatchTable, mean_ap

POINTS = "101-point"
Runs = Sequence[Sequence[Matches]]  # of a net, of each class


@dataclass(frozen=True, slots=True)
class Gain:
    """What `second` has over `first` on the same images, in points of AP50 and of AP; means over seeds.

    over_images: of the gain in AP50, the trained nets as they are. over_seeds: Welch's, None below two of each.
    """

    words: str
    first: str
    second: str
    ap50: tuple[float, float]
    ap: tuple[float, float]
    over_seeds: Interval | None
    over_images: Interval | None
    seeds: tuple[int, int]
    runs: tuple[str, ...]

    @property
    def difference(self) -> float:
        """Points of AP50."""
        return self.ap50[1] - self.ap50[0]


@dataclass(frozen=True, slots=True)
class Detected:
    """Of each net its runs' matches and the interval of AP50 over images; and the gains."""

    matches: Mapping[str, Runs]
    over_images: Mapping[str, Interval | None]
    gains: tuple[Gain, ...]


def table_of(arrays: Mapping[str, NDArray[Any]], run: str, option: str = "") -> MatchTable:
    """A run's matches by an option of the test. Raises StoreError where they are missing or damaged."""
    start = f"{run}:{option}:"
    own = {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
    try:
        return MatchTable.of_arrays(own)
    except ValueError as error:
        raise StoreError(f"the matches of {run}{f' ({option})' * bool(option)} are damaged: {error}") from None


def detected(results: Set) -> Detected:
    """Computed once for all that prints it."""
    tables = {
        str(net): [table_of(results.matches, name).matches() for name in part["id"]]
        for net, part in results.done.groupby("net", sort=False)
        if all(f"{name}::label" in results.matches for name in part["id"])
    }
    over = {net: of_percent(_over_images(partial(_ap50, each), each)) for net, each in tables.items()}
    pairs = [pair for pair in _pairs(results) if pair[1] in tables and pair[2] in tables]
    gains = [_gain(results, tables, *pair) for pair in pairs if _same_images(results, *pair[1:])]
    return Detected(tables, over, tuple(gains))


def _same_images(results: Set, *nets: str) -> bool:
    """Whether all runs of the nets were tested on the same images, as runs of one recipe and data are."""
    runs = results.done[results.done["net"].isin(nets)]
    return len(runs[["data_sha256", "test_images"]].drop_duplicates()) == 1


def _over_images(statistic: Callable[[NDArray[np.int64]], float], runs: Runs) -> Interval | None:
    return jackknife(statistic, len(runs[0][0].positives))


def _ap50(runs: Runs, times: NDArray[np.int64]) -> float:
    """The mean over a net's runs where each image counts so many times."""
    return float(np.mean([mean_ap(classes, POINTS, times) for classes in runs]))


def _gain(results: Set, tables: Mapping[str, Runs], words: str, first: str, second: str) -> Gain:
    """The same images are left out for both nets."""
    parts, floor = [results.done[results.done["net"] == net] for net in (first, second)], floor_of(results)
    samples = [
        sample(part["ap50"]).at_least(floor((net,), "ap50")) for net, part in zip((first, second), parts, strict=True)
    ]
    over_images = _over_images(lambda t: _ap50(tables[second], t) - _ap50(tables[first], t), tables[first])
    ap50, ap = (tuple(float(part[metric].mean()) for part in parts) for metric in ("ap50", "ap"))
    return Gain(
        words=words,
        first=first,
        second=second,
        ap50=(ap50[0], ap50[1]),
        ap=(ap[0], ap[1]),
        over_seeds=within(contrast(samples, [-1, 1]).interval(), -100.0, 100.0),
        over_images=within(over_images, -100.0, 100.0),
        seeds=(len(parts[0]), len(parts[1])),
        runs=tuple(name for part in parts for name in part["id"]),
    )


def commits_apart(results: Set, gain: Gain) -> str:
    """That no run of one net is of a commit of the other's, so that the gain is also one between commits."""
    first, second = (
        list(dict.fromkeys(results.done.loc[results.done["net"] == net, "commit"].str[:10].sort_values()))
        for net in (gain.first, gain.second)
    )
    if set(first) & set(second):
        return ""
    return (
        f" All runs of {display_name(gain.first)} are of commit {' or '.join(first)}, those of "
        f"{display_name(gain.second).replace(', ', ' ')} of {' or '.join(second)}: what changed between them is in the "
        "gain too."
    )


def _pairs(results: Set) -> Iterator[tuple[str, str, str]]:
    """Words and two nets: every net over VGG-16, weights over none, residual over plain with weights alike."""
    about = own_recipes(results.done).drop_duplicates("net").fillna({"weights": ""})
    nets = [{str(key): value for key, value in row.items()} for row in about.to_dict("records")]
    for one in nets:
        for other in nets:
            names = f"{display_name(other['net'])} over {display_name(one['net'])}"
            alike = one["family"] == other["family"] and one["depth"] == other["depth"]
            if FAMILIES[one["family"]].one_net and not FAMILIES[other["family"]].one_net:
                yield names, one["net"], other["net"]
            elif alike and one["shortcut"] == other["shortcut"] and not one["weights"] and other["weights"]:
                name = display_name(one["net"])
                words = f"{name} with {_from(other['weights'])} over {name} with random weights"
                yield words, one["net"], other["net"]
            elif alike and one["shortcut"] == "none" != other["shortcut"] and _kind(one) == _kind(other):
                yield names, one["net"], other["net"]


def _kind(row: Mapping[str, Any]) -> str:
    """Where weights come from, without which of its runs."""
    return str(row["weights"]).partition("/")[0]


def _from(weights: str) -> str:
    """`weights of plain_vs_residual`, `torchvision's weights`."""
    source, _, name = weights.partition(":")
    return SOURCES[source].words.format(source=source, sweep=name.partition("/")[0])
