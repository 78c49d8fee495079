"""A stretch on a lent GPU: what is chosen, what travels. The rehearsal (tests/gpu/stretch rehearse) runs the rest."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.machine import FROZEN, commit
from tests.gpu import carrying, wheels
from tests.gpu.carrying import CarryError, arrive, find_parts, lay_out, missing, shares
from tests.gpu.planning import PLAIN, Round, Speeds, choose, read_speeds
from tests.gpu.steps import TIMED_OUT, Log, Step
from tests.gpu.stretching import command_lines, main, parser

KNOWN = {"commit": "c0ffee", "tree": "7ee", "dirty": False}


@pytest.mark.parametrize(
    ("seconds_a_seed", "depths"),
    [
        (510, ()),
        (511, (20, 32, 44, 56)),
        (879, (20, 32, 44, 56)),
        (880, (20, 32, 44)),
        (1378, (20, 32, 44)),
        (1379, (20,)),
    ],
)
def test_as_many_nets_train_as_end_in_600_seconds_with_a_reserve(
    seconds_a_seed: float, depths: tuple[int, ...]
) -> None:
    chosen = choose(600, Speeds(seconds_a_seed, 10))

    assert chosen == Round(depths, min(10, 2 * len(depths) or 10))


def test_without_speeds_the_20_layer_nets_train_eager_one_at_a_time(tmp_path: Path) -> None:
    assert choose(600, None) == PLAIN
    only = ["--only", "plain-20,resnet-20-A"]
    assert PLAIN.options() == [*only, "--at-once", "1", "--kernels", "eager"]
    assert Round((), 10).options() == ["--at-once", "10"], "all nets, the longest first, as measured"
    for text in ("", "{", "[]", '{"seconds_a_seed": null, "at_once": 3}', '{"seconds_a_seed": 0, "at_once": 3}'):
        (tmp_path / "speeds.json").write_text(text)
        assert read_speeds(tmp_path / "speeds.json") is None, text
    (tmp_path / "speeds.json").write_text('{"seconds_a_seed": 612.5, "at_once": 10, "way": {}}')
    assert read_speeds(tmp_path / "speeds.json") == Speeds(612.5, 10)


def test_wheels_that_the_machine_lacks_stay_there_from_the_first_call_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "NEEDED", "a_package_in_no_environment")
    monkeypatch.setattr(sys, "path", [*sys.path])
    with zipfile.ZipFile(tmp_path / "a-1.whl", "w") as wheel:
        wheel.writestr("a_package_in_no_environment.py", "")
    work = str(tmp_path / "work")

    wheels.unpack_wheels(["stretch", "first", "--work", work, "--share", str(tmp_path)])
    monkeypatch.setattr(sys, "path", sys.path[1:])
    wheels.unpack_wheels(["stretch", "campaign", "--work", work])

    assert find_spec("a_package_in_no_environment") is not None


def test_parts_are_shared_out_in_their_order_and_one_that_fits_no_transfer_is_refused() -> None:
    assert shares({"a": 3, "b": 3, "c": 3, "d": 1}, 7) == [["a", "b"], ["c", "d"]]
    assert shares({"a": 3}, 7) == [["a"], []], "there are two calls at least"
    assert shares({}, 7) == [[], []]
    with pytest.raises(CarryError, match="b has 8.0 MiB, and 7.0 travel with a call"):
        shares({"a": 3, "b": 8 * carrying.MIB}, 7 * carrying.MIB)


def test_parts_arrive_over_two_calls_and_the_code_knows_its_commit(tmp_path: Path) -> None:
    base, code, kept = tmp_path / "base", tmp_path / "code", tmp_path / "kept"
    (base / "sheets").mkdir(parents=True)
    code.mkdir()
    for name in ("unpack", "sheets/1", "sheets/2"):
        (base / name).write_text(name)
    parts = find_parts([[str(base), "unpack", "sheets/*"]])
    first, second = lay_out(tmp_path / "travel", parts, 15, KNOWN)
    shutil.rmtree(base)

    assert arrive(first, kept, code) == ["sheets/2"]
    assert commit(code) == KNOWN
    assert arrive(second, kept, code) == []
    assert {name: (kept / name).read_text() for name in parts} == {name: name for name in parts}
    (kept / "sheets" / "1").write_text("cut")
    assert missing(kept) == ["sheets/1"]
    with pytest.raises(CarryError, match="has no file sheets"):
        find_parts([[str(tmp_path), "sheets/*"]])


def test_code_without_a_commit_or_with_changes_does_not_travel(tmp_path: Path) -> None:
    with pytest.raises(CarryError, match="no git checkout"):
        carrying.known_commit(tmp_path, allow_dirty=True)
    (tmp_path / FROZEN).write_text(json.dumps({"commit": "c0ffee", "dirty": True}))
    with pytest.raises(CarryError, match="differs from its commit"):
        carrying.known_commit(tmp_path, allow_dirty=False)
    assert carrying.known_commit(tmp_path, allow_dirty=True)["dirty"]


def test_command_lines_are_short_and_are_understood() -> None:
    asked = ["prepare", "--unpack", "{python} unpack {data} 'a set'", "--resume", "runs-*.tar"]

    lines = command_lines(parser().parse_args(asked), 3)

    assert all(len(line) < 2_000 for line in lines)
    names = []
    for line in lines:
        python, script, *words = subprocess.run(
            ["bash", "-c", f'OUT=/tmp/out; printf "%s\\n" {line}'], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        args = parser().parse_args(["600" if word == "LIMIT" else word for word in words])
        names.append(args.work_of.__name__)
        assert (python, script, args.unpack) == ("python3", "tests/gpu/stretch", "{python} unpack {data} 'a set'")
        assert (args.out, args.share) == (Path("/tmp/out"), Path(f"travel/{len(names)}"))
    assert names == ["first", "keep", "campaign"]
    with pytest.raises(CarryError, match="fewer than 2,000"):
        command_lines(parser().parse_args(["prepare", "--unpack", "x" * 2_000]), 2)


def test_a_step_that_takes_too_long_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", time.monotonic())
    step = Step("slow", ["bash", "-c", "echo begins; sleep 60 & echo $!; wait"], log, tmp_path)
    time.sleep(0.3)

    assert step.wait(0.2) == TIMED_OUT
    words = (tmp_path / "log").read_text()
    child = int(words.split()[-1])
    assert "slow: begins" in words
    deadline = time.monotonic() + 10
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child)
    assert not log.check(Step("bad", [sys.executable, "-c", "raise SystemExit(3)"], log, tmp_path), 30)
    assert "TROUBLE: bad ended with exit code 3" in (tmp_path / "log").read_text()
    assert log.end() == 1


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


MISTAKES = {
    "--parts . none-*": "stretch: . has no file none-*",
    "--parts . /*": "stretch: . has no file /*",
    "--parts .": "stretch: --parts . names no files: write --parts BASE GLOB, such as --parts . '*'",
    "--parts . a --resume b": "stretch: --resume b names no part: give the archives as --parts, too",
    "--resume /a": "stretch: --resume /a names no part: give the archives as --parts, too",
    "--mib 0.01": "stretch: the tree alone has [0-9.]+ MiB, and a call carries --mib 0.01",
    "--mib -7": "argument --mib: '-7' is no number above 0; write one such as 60 or 1.5",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_of_prepare_is_one_line(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("")

    assert _code(["prepare", "--allow-dirty", "--travel", "travel", *words.split()]) == 2

    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert re.search(MISTAKES[words].replace("*", r"\*"), said.err), said.err


@pytest.mark.parametrize(
    "words",
    [
        *("first --seconds 0", "first --seconds 4.5", "campaign --limit -5", "campaign --limit nan"),
        *("campaign --limit 20", "campaign --limit 35 --margin 35", "campaign --limit 99 --margin 0"),
        *("campaign --limit 99 --every 0", "campaign --limit 99 --at-once 0", "campaign --limit 99 --seeds x"),
        "campaign --limit 99 --scale long",
    ],
)
def test_a_number_that_cannot_be_is_refused_before_anything_is_done(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    assert _code([*words.split(), "--out", str(out), "--work", str(tmp_path)]) == 2

    option, value = words.split()[-2:]
    assert re.fullmatch(f"(stretch|tests/gpu/stretch).*{option}.*{value}.*\n", capsys.readouterr().err)
    assert not out.exists()


def _code(words: list[str]) -> int | str | None:
    try:
        return main(words)
    except SystemExit as error:
        return error.code


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", ["no --resume: no earlier runs travel", "no --unpack: the machine gets no data"]),
        ("--unpack x", ["no --resume: no earlier runs travel", "no --parts: --unpack has nothing to make data of"]),
        ("--parts . a --unpack x --resume a", []),
        ("--parts . a --unpack x", ["no --resume: no earlier runs travel"]),
        ("--parts . a --resume a", ["no --unpack: the machine gets no data"]),
    ],
)
def test_what_does_not_travel_is_said(
    given: str, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("archive")

    assert main(["prepare", "--allow-dirty", "--travel", "travel", *given.split()]) == 0

    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("no ")]
    assert [line.startswith(words) for line, words in zip(lines, said, strict=True)] == [True] * len(said)
