"""What a page is made of: sections, each with words, tables and figures in their order; what a task gives for one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from bench.report.frame import Set, display_name
from bench.report.numbers import Number, listed, parts
from bench.report.stats import SEEDS, Interval
from bench.report.tables import Table, code, plain
from bench.spec import counted

Draw = Callable[[], Figure]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure. name: of its files, before the set's label. alt: what it shows. caption: how to read it."""

    name: str
    alt: str
    caption: str
    draw: Draw

    def image(self, label: str, folder: str = "") -> str:
        """It as markdown. label: of the set. folder: of the set's page, seen from the page that shows it."""
        return f"![{self.alt}]({folder}{self.name}-{label}.svg)"


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, and what stands below it: markdown, tables, figures; "" for what goes on under the one above."""

    heading: str
    parts: tuple[str | Table | Drawing, ...]

    def markdown(self, label: str) -> list[str]:
        """Its paragraphs. label: of the set, in the names of figures' files."""
        texts = [f"## {self.heading}"] if self.heading else []
        for part in self.parts:
            if isinstance(part, Drawing):
                texts += [part.image(label), part.caption]
            else:
                texts += filter(None, (part.markdown(), part.note) if isinstance(part, Table) else (part,))
        return texts


@dataclass(frozen=True, slots=True)
class Findings:
    """What a task has to say of a set: the first screen of its page, and what follows it.

    answer: what the numbers so far say to the sweep's question, without a verdict, a sentence each. figure, table: the
    ones that show it. said: further sentences. sections: what follows the claims.
    """

    answer: Sequence[str]
    figure: Drawing | None = None
    table: Section | None = None
    said: Sequence[str] = ()
    sections: Sequence[Section] = ()


def of_tables(*headed: tuple[str, Table | None]) -> list[Section]:
    """A section each for the tables that are there."""
    return [Section(heading, (table,)) for heading, table in headed if table]


def numbers_of(sections: Iterable[Section]) -> tuple[Number, ...]:
    """The numbers in the tables, as a page has them from top to bottom."""
    tables = (part for section in sections for part in section.parts if isinstance(part, Table))
    cells = (cell for table in tables for row in table.rows for cell in row)
    return tuple(part for cell in cells for part in parts(cell) if isinstance(part, Number))


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)


NO_DIFFERENCE = "No difference is detected."
MADE_UP = "**These numbers mean nothing: the images are a procedural stand-in, which shows that everything works.**"


def diverged(results: Set) -> list[str]:
    """A line a net of which runs failed, with what they died of and where."""
    failed = results.runs[results.runs["state"] == "failed"]
    lines = []
    for net, part in failed.groupby("net", sort=False):
        seeds = part.groupby("error_message", sort=False)["seed"].agg(list)
        causes = (f"{plain(str(cause))} (seed{'s' * (len(its) > 1)} {listed(its)})" for cause, its in seeds.items())
        runs = (results.runs["net"] == net).sum()
        lines.append(f"{display_name(str(net))} failed in {len(part)} of {counted(runs, 'run')}: {'; '.join(causes)}.")
    return lines


def shared_starts(results: Set) -> str:
    """Of nets all of whose seeds start from the same weights, that these have a seed of their own; "" without any."""
    started = results.done[results.done["weights"].fillna("") != ""]
    seeds = {1: "The seed", 2: "Both seeds"}
    return "".join(
        f" {seeds.get(len(weights), f'All {len(weights)} seeds')} of {display_name(str(net)).replace(', ', ' ')} start"
        f"{'s' * (len(weights) == 1)} from one source, {code(str(weights.iloc[0]))}, whose own seed no interval covers."
        for net, weights in started.groupby("net", sort=False)["weights"]
        if weights.nunique() == 1
    )


def over(number: Number) -> str:
    """`95 %: −4.80 to +12.46 over seeds, +1.34 to +6.33 over images only`; that there is no interval."""
    ranges = ", ".join(f"{number.range(one)} over {one.covers}" for one in number.intervals.values())
    return f"95 %: {ranges}" if ranges else "no interval"


def tells_apart(interval: Interval) -> bool:
    """Whether it excludes 0."""
    return interval.low > 0 or interval.high < 0


def told_apart(difference: Number) -> str:
    """`The interval over images excludes 0, that over seeds does not.`; that nothing tells where there is none."""
    clear: list[str] = []
    others: list[str] = []
    for one in difference.intervals.values():
        where = SEEDS if one.covers.startswith(SEEDS) else one.covers.removesuffix(" only")
        (clear if tells_apart(one) else others).append(where)
    if not clear:
        return NO_DIFFERENCE if others else "Nothing tells it from chance."
    rest = f", that over {others[0]} does not" if others else ""
    return f"The interval{'s' * (len(clear) > 1)} over {' and '.join(clear)} exclude{'s' * (len(clear) == 1)} 0{rest}."
