"""The manifests: each says of its run what its row, the tables and the register say; the lists of packages beside."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.report import repeats
from bench.report.copied import MANIFESTS, REQUIREMENTS
from bench.report.rows import Row, cell, read_rows, run_of
from bench.report.verify.published import Published
from bench.report.verify.registers import SLACK, time_of
from bench.report.witnesses import DONE, SIGNATURE, STAMP, STARTED, Line, registers
from bench.spec import SpecError
from bench.store import sha256
from bench.store.manifest import CODE, ENVIRONMENT, FORMAT, predictions_digest

IN_ROW = (*CODE, "curve_sha256", "layers_sha256", "matches_sha256", "weights_sha256", "started", "ended")
LISTED = {  # where a list of packages says what a row's column does
    "python": r"^# Python ([^,\s]+)",
    "commit": r"^#.* (?:of no known|at) commit ?(\w*)",
    **{package: rf"^{package}==(\S+)" for package in ("torch", "torchvision")},
}
OF_MANIFESTS = ("isa", "requirements")  # of runs that have one; the tree follows from an older run's commit, too
Chains = Mapping[str, Sequence[Line]]  # by the name of the file


def in_manifests(published: Published) -> Iterator[str]:
    """Each manifest has a row, and says what it says; each row that was written with a manifest has it."""
    done = {row["id"]: row for row in published.done}
    chains = {path.stem: lines for path, lines in registers(published.folder).items() if lines}
    told = {(line["run"], line["weights_sha256"]) for its in chains.values() for line in its if line["event"] == DONE}
    found = {path.name: path for path in sorted((published.folder / MANIFESTS).glob("*")) if path.is_file()}
    for name, path in found.items():
        run = re.sub(rf"\.json({re.escape(SIGNATURE)}|{re.escape(STAMP)})?$", "", name)
        if run not in done or f"{run}.json" not in found or run == name:
            yield f"{path} is of no finished run in runs.csv" + " that has a manifest" * (run in done)
    for name, row in done.items():
        if there := found.get(f"{name}.json"):
            yield from (f"{there}: {problem}" for problem in _problems(published, row, chains, there.read_bytes()))
        elif any(row.get(column) for column in OF_MANIFESTS):
            yield published.at(row, f"its manifest is missing, and its {' and '.join(OF_MANIFESTS)} are there")
        elif (name, row["weights_sha256"]) in told:
            yield published.at(row, "its manifest is missing, of which a register tells")


def _problems(published: Published, row: Row, chains: Chains, content: bytes) -> Iterator[str]:
    try:
        values = json.loads(content)
        found = _flat(values) if isinstance(values, dict) else {}
        expected = {name: str(cell(value)) for name, value in _expected(published, row).items()}
    except (ValueError, RecursionError, SpecError, KeyError) as error:
        yield f"it cannot be read: {error}"
        return
    if not found:
        yield "it is no JSON object, or an empty one"
        return
    known = {**expected, "register.chain": "", "register.line": ""}
    if strange := set(found) ^ set(known):
        yield f"it lacks, or should not have: {', '.join(sorted(strange))}"
    for name, value in expected.items():
        if name in found and found[name] != value:
            yield f"{name} is {found[name] or 'nothing'}, and the results say {value or 'nothing'}"
    yield from _register_problems(row, found, chains, sha256(content))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """The values as texts as in a row, those of an object by `object.name`."""
    found: dict[str, str] = {}
    for name, value in values.items():
        more = _flat(value, f"{name}.") if isinstance(value, dict) and not prefix else {prefix + name: str(cell(value))}
        found |= more
    return found


def _expected(published: Published, row: Row) -> dict[str, Any]:
    """What a manifest of this row says, but for the register."""
    environment = {f"environment.{name}": row.get(name, "") for name in (*ENVIRONMENT, REQUIREMENTS)}
    result = {f"result.{name}": row[name] for name in ("test_error", "test_images", "seconds")}
    return {
        "format": FORMAT,
        "run": row["id"],
        "run_sha256": run_of(row).sha256,
        **{name: row.get(name, "") for name in IN_ROW},
        "predictions_sha256": predictions_digest(_predictions(published, row["id"])),
        **environment,
        **result,
        "result.step": row["steps"],
    }


def _predictions(published: Published, run: str) -> dict[str, Any]:
    """What was kept image by image and pair by pair, as it stood in the run's result."""
    kept: dict[str, Any] = {}
    if run in published.correct:
        kept["correct"] = published.correct[run].tobytes().hex()
    if others := {name for name in published.correct if name.startswith(f"{run}:")}:
        kept["correct_by"] = {name.partition(":")[2]: published.correct[name].tobytes().hex() for name in others}
    pairs = {"pair_scores": run, "pair_same": f"{run}:same", "pair_fold": f"{run}:fold"}
    return kept | {name: published.arrays[key].tolist() for name, key in pairs.items() if key in published.arrays}


def _register_problems(row: Row, found: Mapping[str, str], chains: Chains, digest: str) -> Iterator[str]:
    """What of the run's start and end the register tells otherwise, or not at all."""
    name, run = found.get("register.chain", ""), row["id"]
    lines = chains.get(name[:12], ())
    if not lines or lines[0]["chain"] != name:
        yield f"its register, {name[:12] or 'none'}, is not among the published ones"
        return
    mine = [line for line in lines if line["run"] == run]
    start = next((line for line in mine if line.sha256 == found.get("register.line")), None)
    if start is None or start["event"] != STARTED:
        yield f"the line that it names as its start is none of the register {name[:12]}"
        return
    end = next((line for line in mine if line["event"] == DONE and line["manifest_sha256"] == digest), None)
    if end is None or end.number < start.number:
        yield f"no line of the register {name[:12]} says that the run was done with this manifest (SHA-256)"
    for fact in ("data_sha256", "start_sha256"):
        if row.get(fact, "") != str(cell(start.facts.get(fact))):
            yield f"it was started with another {fact} than its row has, says the register {name[:12]}"
    if start["commit"] not in row["commit"].split("; ") and start.facts.get("commit"):
        yield f"it was started at commit {start['commit'][:10]}, says the register {name[:12]}"
    yield from _time_problems(row, end, [line for its in chains.values() for line in its if line["run"] == run])


def _time_problems(row: Row, end: Line | None, lines: Sequence[Line]) -> Iterator[str]:
    """A run trains after the first line of it in any register, and ends before the line that says so.

    A run that came from where there was no register has trained before: its first line says from which step on.
    """
    started, ended = time_of(row["started"]), time_of(row["ended"])
    first = min((line for line in lines if line["event"] == STARTED), key=lambda line: line["time"], default=None)
    begun, over = first and time_of(first["time"]), end and time_of(end["time"])
    if started and begun and first and first["step"] == "0" and started < begun - SLACK:
        yield f"it started at {row['started']}, and its first line in a register is of {first['time']}"
    seconds = float(row["seconds"] or 0)
    if begun and over and first and end and first["step"] == "0" and seconds > (over - begun + SLACK).total_seconds():
        yield f"it trained for {seconds:.0f} s, and a register has it from {first['time']} to {end['time']}"
    if ended and over and end and ended > over + SLACK:
        yield f"it ended at {row['ended']}, and the register says that it was done at {end['time']}"


def in_requirements(published: Published) -> Iterator[str]:
    """The lists of packages are those that rows name, and have the versions that these name."""
    folder = published.folder / REQUIREMENTS
    texts = {path.name: path.read_bytes() for path in sorted(folder.glob("*")) if path.is_file()}
    for name, content in texts.items():
        if name != f"{sha256(content)[:12]}.txt":
            yield f"{folder / name} is not the file that was written (its name is not its SHA-256)"
    used = set[str]()
    for row in (*published.rows, *read_rows(published.folder / repeats.FILE)):
        names = [f"{name}.txt" for name in (row.get(REQUIREMENTS) or "").split("; ") if name]
        used |= set(names)
        for name in names:
            if name not in texts:
                yield published.at(row, f"its list of packages, {folder / name}, is missing")
        if names and set(names) <= set(texts):
            lists = [texts[name].decode(errors="replace") for name in names]
            yield from (published.at(row, problem) for problem in _version_problems(row, lists))
    yield from (f"{folder / name} is named by no row" for name in texts if name not in used)


def _version_problems(row: Row, lists: Sequence[str]) -> Iterator[str]:
    """Which versions in a run's lists of packages are not those in its row.

    A list has torch's version as pip knows it, without what torch itself says behind a "+". What a session of an
    earlier version had is in the row alone.
    """
    for column, pattern in LISTED.items():
        listed = {match for text in lists for match in re.findall(pattern, text, re.MULTILINE)}
        known = {"", *(row.get(column) or "").split("; ")}
        if not listed or {one.partition("+")[0] for one in listed} - {one.partition("+")[0] for one in known}:
            theirs = " and ".join(sorted(listed)) or "none"
            yield f"{column} is {row.get(column) or 'unknown'}, and its list of packages has {theirs}"
