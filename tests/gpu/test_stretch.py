"""A stretch on a lent GPU: what is chosen, what travels. The rehearsal (tests/gpu/stretch rehearse) runs the rest."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.machine import FROZEN, commit
from tests.gpu import carrying
from tests.gpu.carrying import CarryError, arrive, find_parts, lay_out, missing, shares
from tests.gpu.steps import TIMED_OUT, Log, Step
from tests.gpu.stretching import PLAIN, Round, Speeds, choose, command_lines, main, parser, read_speeds

KNOWN = {"commit": "c0ffee", "dirty": False}


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


def test_a_mistake_of_prepare_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["prepare", "--allow-dirty", "--travel", str(tmp_path / "travel"), "--parts", str(tmp_path), "none-*"]

    assert main(words) == 2
    assert capsys.readouterr().err == f"stretch: {tmp_path} has no file none-*\n"
