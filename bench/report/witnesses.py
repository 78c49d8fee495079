"""What bears witness to the runs beside their numbers: registers of starts, manifests, signatures, time stamps.

All of it lies in results/<sweep>/: registers/<chain>.jsonl, a line an event, each with the hash of the line before;
manifests/<run id>.json, beside it its signature (.sig) and its time stamp (.tsr). Older results have none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.report.copied import MANIFESTS, REGISTERS
from bench.store import StoreError, register
from bench.store.manifest import SIGNATURES

SIGNATURE, STAMP = SIGNATURES  # behind the name of a manifest
STARTED, DONE, GIVEN_UP = "started", "done", "given up"
SCALE_AND_SEED = re.compile(r"-([a-z]+)-s(\d{1,9})-[0-9a-f]{8}$")  # at the end of a run's id


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a register. number: from 1. sha256: what the next line names. facts: {} where it is no JSON object."""

    number: int
    sha256: str
    facts: Mapping[str, Any]

    def __getitem__(self, name: str) -> str:
        """A fact as text, "" where the line lacks it."""
        return str(self.facts.get(name, ""))


@dataclass(frozen=True, slots=True)
class Start:
    """A start of a run. chain: the register, by the name of its file. line: `started`. ends: what was noted after it.

    A run that ended can be given up later, so that there may be several ends.
    """

    chain: str
    line: Line
    ends: list[Line] = field(default_factory=list)

    @property
    def run(self) -> str:
        """Its id."""
        return self.line["run"]

    @property
    def end(self) -> Line:
        """The last that is known of it: `started` where nothing ended it."""
        return self.ends[-1] if self.ends else self.line


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Those of a sweep's results. starts: of all chains. The others are ids of runs that have such a file."""

    starts: Sequence[Start] = ()
    manifests: Collection[str] = ()
    signed: Collection[str] = ()
    stamped: Collection[str] = ()


NO_WITNESSES = Witnesses()


def witnesses(results: Path) -> Witnesses:
    """What is there in a sweep's results, not whether it holds. Raises StoreError where a register cannot be read."""
    starts = [start for path, lines in registers(results).items() for start in starts_of(path.stem, lines)]
    names = {path.name for path in (results / MANIFESTS).glob("*.json*")}
    ids = {name.removesuffix(".json") for name in names if name.endswith(".json")}
    signed, stamped = ({one for one in ids if f"{one}.json{kind}" in names} for kind in (SIGNATURE, STAMP))
    return Witnesses(starts, ids, signed, stamped)


def registers(results: Path) -> dict[Path, list[Line]]:
    """The lines of each register by its file, as far as they are whole. Raises StoreError where one cannot be read."""
    found = {}
    for path in sorted((results / REGISTERS).glob("*.jsonl")):
        try:
            lines = register.parsed(path.read_bytes())
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from None
        found[path] = [Line(number, *line) for number, line in enumerate(lines, 1)]
    return found


def starts_of(chain: str, lines: Iterable[Line]) -> list[Start]:
    """Each start in a chain, in its order, with what ended it; ends of no start are left out."""
    found: list[Start] = []
    last: dict[str, Start] = {}
    for line in lines:
        if line["event"] == STARTED:
            found.append(Start(chain, line))
            last[line["run"]] = found[-1]
        elif line["run"] in last:
            last[line["run"]].ends.append(line)
    return found
