"""The register of starts: a chain of lines that many may write to, and that nothing breaks for ever."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from bench.store import StoreError, register
from tests.builders import SPAWN


def start(sweep: Path, run: str = "a", step: int = 0, *, trains: bool = True) -> register.Start:
    facts = {"commit": "c", "dirty": False, "data_sha256": "d", "start_sha256": ""}
    return register.start(sweep, run, step, trains=trains, **facts)


def lines(sweep: Path) -> list[dict[str, Any]]:
    """The chain's lines; each names the one before it."""
    whole = (sweep / register.NAME).read_bytes().split(b"\n")
    assert whole.pop() == b""
    values = [json.loads(line) for line in whole]
    before = ["", *(hashlib.sha256(line).hexdigest() for line in whole)]
    assert [one["previous"] for one in values] == before[:-1]
    return values


def events(sweep: Path) -> list[str]:
    return [f"{one['event']} {one.get('run', '')}".strip() for one in lines(sweep)]


def test_a_chain_begins_with_its_name_and_has_a_line_a_start_and_an_end(tmp_path: Path) -> None:
    begun = start(tmp_path, step=3)
    register.end(tmp_path, "done", "a", weights_sha256="w", curve_sha256="k", manifest_sha256="m")

    first, second, third = lines(tmp_path)
    assert list(first) == ["previous", "time", "event", "chain", "sweep"]
    assert first["sweep"] == tmp_path.name
    assert list(second)[2:] == ["event", "run", "commit", "dirty", "data_sha256", "start_sha256", "step"]
    assert (second["event"], second["run"], second["step"]) == ("started", "a", 3)
    assert list(third)[2:] == ["event", "run", "weights_sha256", "curve_sha256", "manifest_sha256"]
    assert begun == register.Start(first["chain"], third["previous"])
    assert len(first["chain"]) == 32


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("start start", ["started a"]),
        ("start done done", ["started a", "done a"]),
        ("start done start", ["started a", "done a", "started a"]),
        ("start diverged start", ["started a", "diverged a", "started a"]),
        ("start failed failed", ["started a", "failed a"]),
        ("failed diverged", []),
        ("start done again again start", ["started a", "done a", "given up a", "started a"]),
        ("again", ["given up a"]),
    ],
)
def test_a_run_has_one_started_line_until_a_line_ends_it(tmp_path: Path, steps: str, expected: list[str]) -> None:
    for number, step in enumerate(steps.split()):
        if step == "start":
            start(tmp_path)
        elif step == "again":
            register.end(tmp_path, "given up", "a", reason=f"reason {number}")
        else:
            register.end(tmp_path, step, "a", message="m")

    assert events(tmp_path)[1:] == expected


def test_a_run_that_is_done_and_written_anew_is_not_started_again(tmp_path: Path) -> None:
    begun = start(tmp_path)
    register.end(tmp_path, "done", "a", manifest_sha256="m")

    assert start(tmp_path, step=12, trains=False) == begun
    register.end(tmp_path, "done", "a", manifest_sha256="other")

    assert events(tmp_path)[1:] == ["started a", "done a", "done a"]


@pytest.mark.parametrize("cut", [1, 30])
def test_a_line_that_a_crash_cut_off_is_dropped_by_the_next_writer(tmp_path: Path, cut: int) -> None:
    start(tmp_path)
    path = tmp_path / register.NAME
    before = path.read_bytes()
    start(tmp_path, "b")
    path.write_bytes(path.read_bytes()[:-cut])

    assert register.whole(path.read_bytes()) == before
    start(tmp_path, "c")

    assert events(tmp_path) == ["begun", "started a", "started c"]


def test_a_file_that_is_no_chain_is_moved_away_and_a_chain_begun(tmp_path: Path) -> None:
    (tmp_path / register.NAME).write_bytes(b"\xff\n[1]\n")

    start(tmp_path)

    assert events(tmp_path) == ["begun", "started a"]
    (moved,) = tmp_path.glob("damaged-register-*.jsonl")
    assert moved.read_bytes() == b"\xff\n[1]\n"


def test_after_an_edited_line_the_chain_goes_on_and_shows_it(tmp_path: Path) -> None:
    start(tmp_path)
    start(tmp_path, "b")
    path = tmp_path / register.NAME
    path.write_bytes(path.read_bytes().replace(b'"run": "a"', b"\xff[", 1))

    assert start(tmp_path, "b").chain == register.chain_of(path.read_bytes())
    start(tmp_path, "a")

    digests, values = zip(*register.parsed(path.read_bytes()), strict=True)
    assert values[1] == {}
    assert values[2]["previous"] != digests[1], "whoever checks the hashes finds it"
    assert values[3]["previous"] == digests[2]


def test_a_full_disk_leaves_the_chain_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path)
    before, write, room = (tmp_path / register.NAME).read_bytes(), os.write, iter([20])

    def full(handle: int, data: bytes) -> int:
        for part in room:
            return write(handle, data[:part])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match="No space left"):
        start(tmp_path, "b")

    assert (tmp_path / register.NAME).read_bytes() == before


def test_one_chain_extends_another() -> None:
    one, two = b"a\nb\n", b"a\nb\nc\n"
    assert register.extends(two, one)
    assert register.extends(one, one)
    assert register.extends(one, b"")
    assert register.extends(two, one + b"cut off"), "only whole lines count"
    assert not register.extends(one, two)
    assert not register.extends(b"a\nx\nc\n", one)


def test_the_longer_of_two_copies_of_a_chain_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "copy"

    assert register.keep(path, b"a\nb\ncut")
    assert register.keep(path, b"a\n")
    assert path.read_bytes() == b"a\nb\n"
    assert register.keep(path, b"a\nb\nc\n")
    assert not register.keep(path, b"a\nx\n")
    assert path.read_bytes() == b"a\nb\nc\n"


def write_many(sweep: Path, name: str) -> None:
    for number in range(20):
        start(sweep, f"{name}{number}")
        register.end(sweep, "done", f"{name}{number}", manifest_sha256=name)


def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    writers = [SPAWN.Process(target=write_many, args=(tmp_path, name)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)

    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    found = lines(tmp_path)
    assert len(found) == 1 + 3 * 20 * 2
    for name in "abc":
        own = [(one["event"], one["run"]) for one in found if one.get("run", "").startswith(name)]
        assert own == [(event, f"{name}{n}") for n in range(20) for event in ("started", "done")]
