"""What arrives is whole and goes on to the same bits, and nothing that is further on is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.launch.worker import work
from bench.nets.weights import read_weights
from bench.report.collect import collect
from bench.report.rows import read_rows
from bench.speed.made_up import finish
from bench.store import RunFolder, register
from bench.train import checkpoint
from tests.builders import numbers, with_momentum
from tests.report.builders import keep_tested
from tests.transfer.builders import HOME, RUN, carried, files_of, make, pack, unpack


def test_a_run_that_moves_half_way_ends_in_the_same_bits_as_one_that_stays(
    at: Callable[[int, str], RunFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stays, moves = at(12, "stays"), at(4, "there")
    moves.declare("c" * 64)

    moved = carried(tmp_path)

    assert moved.contents() == moves.contents()
    assert f"tiny/{RUN.id}: placed, begun, at step 4" in capsys.readouterr().out
    assert (moved.state(), moved.claims_digest()) == ("stopped", "c" * 64)
    assert (moved.heartbeat() or {})["step"] == 4
    assert work(moved.path, tmp_path) == "done"
    assert numbers(moved) == numbers(stays)
    assert moved.curve.read_bytes() == stays.curve.read_bytes()


def test_a_finished_run_travels_with_its_weights_and_without_its_optimiser(
    at: Callable[[int, str], RunFolder], tmp_path: Path
) -> None:
    there = at(12, "there")
    size = with_momentum(there)

    moved = carried(tmp_path)

    assert (moved.state(), moved.damage()) == ("done", None)
    assert numbers(moved) == numbers(there)
    assert moved.checkpoint.stat().st_size < 0.75 * size
    assert checkpoint.weights_digest(read_weights(moved.checkpoint).sets["net"]) == numbers(there)["weights_sha256"]
    rows = read_rows(collect(tmp_path / "results", [tmp_path / "here" / "tiny"], [RUN]))
    assert [row["state"] for row in rows] == ["done"]


def test_a_finished_run_without_its_optimiser_is_mended_as_any_other(
    at: Callable[[int, str], RunFolder], tmp_path: Path
) -> None:
    there, moved = at(12, "there"), carried(tmp_path)
    moved.curve.write_text("")

    assert work(moved.path, tmp_path) == "done"

    assert numbers(moved) == numbers(there)
    assert moved.curve.read_bytes() == there.curve.read_bytes()


def test_weights_that_stayed_behind_are_added_later(
    at: Callable[[int, str], RunFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at(12, "there")
    assert pack(tmp_path, "--no-weights") == 0
    unpack(tmp_path)
    moved = RunFolder(tmp_path / "here" / "tiny" / RUN.id)
    assert (moved.state(), moved.checkpoint.exists()) == ("done", False)

    pack(tmp_path)
    assert unpack(tmp_path) == 0
    assert moved.checkpoint.exists()
    assert "done here; its weights have been added" in capsys.readouterr().out
    assert unpack(tmp_path) == 0
    assert "kept as it is here, done" in capsys.readouterr().out


def test_of_a_run_that_is_further_on_nothing_of_the_earlier_one_stays(
    at: Callable[[int, str], RunFolder], tmp_path: Path
) -> None:
    """Its inputs and the checkpoint before its last; archives of earlier versions have no inputs."""
    at(12, "there")
    here = at(4, "here")
    (tmp_path / "there" / "tiny" / RUN.id / "inputs.json").unlink()
    here.previous.touch()
    pack(tmp_path)

    assert unpack(tmp_path) == 0

    assert here.state() == "done"
    assert not here.previous.exists()
    assert not (here.path / "inputs.json").exists()
    assert here.inputs() is not None, "by its provenance"


def test_old_and_new_archives_side_by_side_give_the_latest_of_each_run(
    at: Callable[[int, str], RunFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at(4, "early")
    at(8, "later")
    pack(tmp_path, runs="early", out="first")
    pack(tmp_path, runs="later", out="second")

    assert unpack(tmp_path, "second", "first/runs-1.tar") == 0
    assert "kept as it is here, begun, at step 8; what arrives is begun, at step 4" in capsys.readouterr().out
    assert unpack(tmp_path, "first", "second", runs="elsewhere") == 0

    words = capsys.readouterr().out
    assert "further on than here, begun, at step 8; here it was begun, at step 4" in words
    files = {"run.json", "inputs.json", "checkpoint.pt", "curve.jsonl", "heartbeat.json"}
    assert files_of(tmp_path / "here" / HOME).keys() - {"lock"} == files
    assert checkpoint.loads((tmp_path / "elsewhere" / "tiny" / RUN.id / "checkpoint.pt").read_bytes())["step"] == 8


def test_a_checkpoint_from_which_the_arriving_one_does_not_go_on_is_kept_beside_it(
    at: Callable[[int, str], RunFolder], tmp_path: Path
) -> None:
    here, _ = at(4, "here"), at(8, "there")
    state = checkpoint.loads(here.checkpoint.read_bytes())
    state["curve"][0]["loss"] += 1e-9
    checkpoint.save(here.checkpoint, state)
    mine = here.checkpoint.read_bytes()
    pack(tmp_path)

    assert unpack(tmp_path) == 0

    (aside,) = here.path.glob("checkpoint.pt.before-*")
    assert aside.read_bytes() == mine
    assert checkpoint.loads(here.checkpoint.read_bytes())["step"] == 8
    assert register.last_event(here.path.parent, RUN.id) == "given up"


def test_a_result_takes_the_place_of_an_unfinished_run_and_leaves_no_weights_of_an_earlier_step(
    at: Callable[[int, str], RunFolder], tmp_path: Path
) -> None:
    here, there = at(8, "here"), at(12, "there")
    here.fail("no memory", retry=True)
    pack(tmp_path, "--no-weights")

    assert unpack(tmp_path) == 0

    assert numbers(here) == numbers(there)
    assert here.error() is None
    assert not here.checkpoint.exists()
    assert len(list(here.path.glob("checkpoint.pt.before-*"))) == 1


def test_what_is_done_here_is_not_replaced_and_another_result_is_named(
    at: Callable[[int, str], RunFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at(8, "there")
    pack(tmp_path)
    at(12, "here")
    before = files_of(tmp_path / "here")
    assert unpack(tmp_path) == 0
    assert "kept as it is here, done" in capsys.readouterr().out

    finish(make(tmp_path / "other"), RUN, error=50)
    pack(tmp_path, runs="other", out="second")
    assert unpack(tmp_path, "second") == 1

    assert f"tiny/{RUN.id}: left as it is here: it is done with other weights" in capsys.readouterr().out
    after = files_of(tmp_path / "here")
    assert {name: after[name] for name in before if "heartbeat" not in name} == {
        name: data for name, data in before.items() if "heartbeat" not in name
    }


def test_a_diverged_run_travels_as_the_result_that_it_is(at: Callable[[int, str], RunFolder], tmp_path: Path) -> None:
    at(8, "here")
    at(8, "there").fail("the training loss is nan at step 11", retry=False)

    arrived = carried(tmp_path)

    assert (arrived.state(), arrived.diverged()) == ("failed", True)


def test_a_run_is_packed_while_it_is_being_trained_and_left_alone_where_it_is(
    at: Callable[[int, str], RunFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there, here = at(8, "there"), at(4, "here")
    with there.lock():
        assert pack(tmp_path) == 0
    before = here.contents()

    with here.lock():
        assert unpack(tmp_path) == 1

    assert f"left as it is here: {RUN.id} is being run by another process" in capsys.readouterr().out
    assert here.contents() == before
    assert unpack(tmp_path) == 0
    assert here.contents() == there.contents()


def test_further_tests_travel_and_are_added_to_a_run_that_is_done_here(
    at: Callable[[int, str], RunFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there, here = at(12, "there"), at(12, "here")
    keep_tested(there, "cifar10.1-v6", range(40))
    assert pack(tmp_path) == 0
    here.checkpoint.unlink()

    assert unpack(tmp_path) == 0

    assert f"tiny/{RUN.id}: done here; its weights and further tests have been added" in capsys.readouterr().out
    name = "test-cifar10.1-v6.json"
    assert (here.path / name).read_bytes() == (there.path / name).read_bytes()
    assert unpack(tmp_path) == 0
    assert "kept as it is here, done" in capsys.readouterr().out
    assert (carried(tmp_path).path / name).is_file()
