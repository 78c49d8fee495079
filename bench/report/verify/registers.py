"""The registers of starts: each follows from itself, and no result that one tells of is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from bench.report import repeats
from bench.report.copied import REGISTERS
from bench.report.rows import Row, read_rows
from bench.report.verify.published import Published
from bench.report.witnesses import DONE, GIVEN_UP, STARTED, Line, Start, registers, starts_of
from bench.spec.datasets import is_official

BEGUN, DIVERGED = "begun", "diverged"
FACTS = {  # of each event, beside previous, time and event
    BEGUN: ("chain", "sweep"),
    STARTED: ("run", "commit", "dirty", "data_sha256", "start_sha256", "step"),
    DONE: ("run", "weights_sha256", "curve_sha256", "manifest_sha256"),
    DIVERGED: ("run", "message"),
    "failed": ("run", "message"),
    GIVEN_UP: ("run", "reason"),
}
ENDS = (DONE, DIVERGED, "failed")
SLACK = timedelta(seconds=60)  # that clocks of machines which write one register may differ by


def in_registers(published: Published) -> Iterator[str]:
    """Each chain by itself; the results of its runs are in the rows."""
    chains = registers(published.folder)
    for path in sorted((published.folder / REGISTERS).glob("*")):
        if path not in chains:
            yield f"{path} is no register"
    for path, lines in chains.items():
        if not lines or not path.read_bytes().endswith(b"\n"):
            yield f"{path} is empty, or its last line is cut off"
    chains = {path: lines for path, lines in chains.items() if lines}
    for path, lines in chains.items():
        yield from (f"{path}, line {line.number}: {problem}" for line, problem in _in_chain(path, lines))
    sweeps = sorted({lines[0]["sweep"] for lines in chains.values()})
    if len(sweeps) > 1:
        yield f"{published.folder / REGISTERS}: the registers are of several sweeps: {', '.join(sweeps)}"
    starts = {path: starts_of(path.stem, lines) for path, lines in chains.items()}
    for path, line, problem in _missing(published, starts):
        yield f"{path}, line {line.number}: {problem}"


def time_of(text: str) -> datetime | None:
    """A time as registers and rows write it, None for another text."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _in_chain(path: Path, lines: Sequence[Line]) -> Iterator[tuple[Line, str]]:
    """What is wrong with a chain, each with its line."""
    first = lines[0]
    if first["event"] != BEGUN or not re.fullmatch("[0-9a-f]{32}", first["chain"]):
        yield first, f"a register begins with the event `{BEGUN}` and the 32 hex digits of its chain"
    elif first["chain"][:12] != path.stem:
        yield first, f"it is of chain {first['chain'][:12]}, which is not the file's name"
    for line in lines:
        event = line["event"]
        if lacking := {"previous", "time", "event", *FACTS.get(event, ())} - line.facts.keys():
            yield line, f"it is cut off or damaged: no {', '.join(sorted(lacking))}"
        elif event not in FACTS:
            yield line, f"there is no event {event!r}; the events are: {', '.join(FACTS)}"
        elif event == BEGUN and line is not first:
            yield line, "the register begins a second time"
    if first["previous"]:
        yield first, "it names a line before it, which is not there"
    for before, line in pairwise(lines):
        if line["previous"] != before.sha256:
            yield line, "it does not follow from the line before, which was changed, or one was taken out (SHA-256)"
    yield from _times(lines)
    yield from _in_order(lines)


def _times(lines: Sequence[Line]) -> Iterator[tuple[Line, str]]:
    latest = None
    for line in lines:
        time = time_of(line["time"])
        if time is None:
            yield line, f"its time is {line['time']!r}, not one such as 2026-11-28T10:00:00Z"
        elif time > datetime.now(UTC) + SLACK:
            yield line, f"its time, {line['time']}, has not come yet"
        elif latest and time < latest - SLACK:
            yield line, f"its time, {line['time']}, is before that of a line before it"
        else:
            latest = max(time, latest or time)


def _in_order(lines: Sequence[Line]) -> Iterator[tuple[Line, str]]:
    """One start before each end. What is given up may have begun elsewhere, or before there were registers."""
    last: dict[str, Line] = {}
    for line in lines:
        run, event = line["run"], line["event"]
        before = last.get(run)
        going = before is not None and before["event"] == STARTED
        # what a run ends with is written once more where it was damaged
        anew = before is not None and before["event"] == DONE and line["weights_sha256"] == before["weights_sha256"]
        if event == STARTED and going:
            yield line, f"{run} is started a second time, and nothing ended its first start"
        elif event in ENDS and not going and not (event == DONE and anew):
            yield line, f"{run} is {event} without a start before it"
        last[run] = line


def _left_out(start: Start, rows: Mapping[str, Row]) -> bool:
    """Whether its result has no place beside one on the official data, being on others."""
    row = rows.get(start.run)
    if row is None or not is_official(row["data"], row["data_sha256"]):
        return False
    return is_official(row["data"], start.line["data_sha256"]) is False


def _missing(published: Published, starts: dict[Path, list[Start]]) -> Iterator[tuple[Path, Line, str]]:
    """Runs that ended, with a result or without a finite loss, on the data of the rows, and are in no row."""
    rows = {row["id"]: row for row in published.rows}
    further = read_rows(published.folder / repeats.FILE)
    results = {(row["id"], row["weights_sha256"]): row for row in (*further, *rows.values()) if row["state"] == "done"}
    data = {row["data_sha256"] for row in results.values()}
    data |= {start.line["data_sha256"] for its in starts.values() for start in its if start.run in rows}
    for path, its in starts.items():
        last = {start.run: start for start in its}
        # those on other data, such as a stand-in, are in other results or in none
        for start in (start for start in its if start.line["data_sha256"] in data):
            for line in start.ends:
                if row := results.get((start.run, line["weights_sha256"])):
                    if line["curve_sha256"] != row["curve_sha256"]:
                        yield path, line, f"the curve of {start.run} is another one than its row's (SHA-256)"
                elif line["event"] == DONE and start.end["event"] != GIVEN_UP and not _left_out(start, rows):
                    yield path, line, f"{start.run} was done with weights that no row of runs.csv or repeats.csv has"
            state = rows.get(start.run, dict[str, str]()).get("state")
            if start is last[start.run] and start.end["event"] == DIVERGED and state not in ("done", "failed"):
                yield path, start.end, f"{start.run} diverged, and {_instead(rows.get(start.run))}"


def _instead(row: Row | None) -> str:
    return f"its row in runs.csv says that it is {row['state']}" if row else "runs.csv has no row of it"
