"""Tables as markdown: every number with its n, nothing typed by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bench.report.claims import answers_in, has_diverged
from bench.report.frame import Set
from bench.report.numbers import Cell, Number, parts
from bench.report.stats import Interval, wilson
from bench.spec import LEVEL as LEVEL_OF_CLAIMS

MIXED = {
    "commits": "commit", "hardware": "hardware", "data": "data_sha256", "torch versions": "torch",
    "Python versions": "python", "thread counts": "threads", "process counts": "processes",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """The first `text` columns are text, flush left, the others flush right. note: what stands below.

    name: of its LaTeX file, "" for none.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    text: int = 1
    note: str = ""
    name: str = ""

    def markdown(self) -> str:
        """The table without its note; each number after the anchor of its id, for links to it."""
        rule = [*["---"] * self.text, *["--:"] * (len(self.header) - self.text)]
        lines = (self.header, rule, *self.rows)
        return "\n".join("| " + " | ".join("; ".join(map(_within, parts(c))) for c in line) + " |" for line in lines)


def _within(part: str | Number) -> str:
    """A number after its anchor, a text that cannot end its cell or its row."""
    if isinstance(part, Number):
        return f'<a id="{part.id}"></a>{part}'
    return re.sub(r"(?<!\\)\|", r"\|", " ".join(part.splitlines()))


def plain(text: str) -> str:
    """A text from outside, such as a name, as markdown that shows it as it is: nothing in it is markup."""
    return re.sub(r"[\\`*\[\]<>|$~&]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", " ".join(text.split()))


def code(text: str) -> str:
    """A text from outside, such as an error, as it is: markdown finds nothing in it."""
    return "`" + " ".join(text.replace("`", "'").replace("|", "¦").split()) + "`"


def p_words(p: float) -> str:
    """`0.017`, `< 0.001`."""
    near = abs(p - LEVEL_OF_CLAIMS / 2) < 0.0005  # three digits would not tell on which side
    return "< 0.001" if p < 0.001 else f"{p:.4f}" if near else f"{p:.3f}"


def with_intervals(cell: Cell, over: float | Interval | None) -> tuple[Cell, str, str]:
    """A net's number, where its mean over other seeds would lie, and where it would on other images.

    over: that interval over images; or how many there are, of an error that counts them. A worst case beside the number
    has no interval: guesses and errors are no sample of one distribution.
    """
    one, *more = parts(cell)
    if isinstance(one, str):
        return cell, "–", "–"
    one = replace(one, over_images=wilson(one.value, int(over)) if isinstance(over, (int, float)) else over)
    return (one, *more) if more else one, one.range(one.over_seeds), one.range(one.over_images)


APART = (
    "The test set's own sampling error comes on top of the spread over seeds: more seeds do not shrink it, and two "
    "nets tested on the same images share part of it."
)
FLOOR = (
    "Seeds can agree by luck: for intervals their spread is raised to at least what chance alone gives on the images "
    f"on which they disagree (on all images where these are not stored). {APART}"
)
WORST_CASE = "The worst case counts each seed that diverged with the error of a guess, beside the mean over the others."
NEAR_CHANCE = 15.0  # points from it; an error so near is shown beside it


def chance_of(results: Set) -> float:
    """The test error of guessing, in percent; 0 where the test is no choice between answers."""
    answers = answers_in(results)
    return 100 * (1 - 1 / answers) if answers else 0.0


def chance_near(results: Set) -> float:
    """The test error of guessing where one is near it, else 0."""
    chance = chance_of(results)
    return chance if (abs(results.done["test_error"] - chance) < NEAR_CHANCE).any() else 0.0


def at_chance(results: Set) -> pd.Series[bool]:
    """Of each finished run, whether its test images do not tell it from guessing: its interval reaches chance."""
    done, chance = results.done, chance_of(results)
    errors = zip(done["test_error"], done["test_images"], strict=True)
    return pd.Series([wilson(error, int(n)).high >= chance > 0 for error, n in errors], done.index, dtype=bool)


def caption(
    results: Set,
    views: str = ", single view",
    what: str = "test images",
    measure: str = "test error",
    *,
    training: bool = True,
) -> str:
    """What stands under a table of what the test measures: protocol, n, and what is mixed, left out or failed.

    training: whether the table has the training error, too.
    """
    done, images = results.done, one_of(results.done["test_images"].map("{:,.0f}".format))
    window = "; the training error and loss are means over the last training window" * training
    step = " the last step's," if (results.runs["steps"] > 0).any() else ""  # weights that are only tested have none
    words = [
        f"{spread(results)} The {measure} is{step} on {images or 'the'} {what}{views}{window}.",
        *_intervals(results, what),
    ]
    if has_diverged(results.runs).any():
        words.append(WORST_CASE)
    mixed = [word for word, column in MIXED.items() if done[column].nunique() > 1]
    words += [f"The rows mix {' and '.join(mixed)}."] if mixed else []
    if chance := chance_near(results):
        words.append(f"Guessing gives {chance:.4g} %.")
    if results.others:
        words.append(f"{results.others} finished runs of other recipes than the sweep's present ones are left out.")
    failed = results.runs[results.runs["state"] == "failed"]
    words += [f"Failed: `{row['id']}`: {code(row['error_message'])}." for _, row in failed.iterrows()]
    return " ".join(words)


def one_seed(results: Set) -> bool:
    """Whether no net has two seeds with a number."""
    return bool(results.done.groupby("net").size().max() < 2)


def spread(results: Set) -> str:
    """What a cell is, `8.61 ± 0.16 (5)`; of one seed, `8.61 (1)`."""
    one = "One seed of each net (n = 1): no standard deviation and no interval over seeds."
    return one if one_seed(results) else "Mean ± standard deviation over seeds (n)."


def _intervals(results: Set, what: str) -> tuple[str, ...]:
    if one_seed(results):
        return (f"The 95 % interval is Wilson's over {what} only, the trained nets as they are.",)
    both = f"Student's t over seeds (n ≥ 2), and Wilson's over {what} only, the trained nets as they are."
    return f"Two 95 % intervals are given: {both}", FLOOR


def one_of(values: pd.Series[str]) -> str:
    """The one value, or all of them."""
    return "; ".join(sorted({str(v) for v in values}))


def missing(row: pd.Series[Any]) -> str:
    """What a row of `Set.nets` has to say of seeds without a number."""
    declared, failed = int(row["declared"]), int(row["failed"])
    words = [f"{failed} failed"] if failed else []
    if left := declared - int(row["n"]) - failed:
        words.append(f"{left} of {declared} not run")
    return f" ({', '.join(words)})" if words else ""


def change(difference: float, digits: int, unit: str = "") -> str:
    """`0.12 points lower`, `the same`."""
    size = f"{abs(difference):.{digits}f}"
    if float(size) == 0:
        return "the same"
    return f"{size}{unit} {'lower' if difference < 0 else 'higher'}"
