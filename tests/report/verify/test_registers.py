"""A register that was changed is found, and a result that it tells of and that is left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.report.verify import result_problems
from bench.report.verify.registers import in_registers
from bench.store import register
from tests.report.verify.builders import (
    BEGAN,
    NAME,
    SWEEP,
    Lines,
    at,
    chain_in,
    chained,
    edit_rows,
    finish,
    folder_of,
    lines_of,
    problems,
    publish,
    start,
    train,
)

RUNS = SWEEP.runs("paper")
FIRST = RUNS[0]


def test_honest_results_have_no_problem(witnessed: Path) -> None:
    assert list(result_problems(witnessed)) == []


def lose(lines: Lines) -> None:
    """The forger's second seed is not there at all."""
    del lines[3:5]


def again(lines: Lines) -> None:
    lines.insert(2, lines[1])


def no_start(lines: Lines) -> None:
    del lines[1]


def earlier(lines: Lines) -> None:
    lines[4]["time"] = "2026-01-01T00:00:00Z"


def future(lines: Lines) -> None:
    lines[-1]["time"] = "2999-01-01T00:00:00Z"


def no_time(lines: Lines) -> None:
    lines[1]["time"] = "yesterday"


def no_beginning(lines: Lines) -> None:
    del lines[0]


def twice_begun(lines: Lines) -> None:
    lines.append(lines[0])


def unknown(lines: Lines) -> None:
    lines[1]["event"] = "dreamt"


def cut(lines: Lines) -> None:
    del lines[2]["curve_sha256"]


def of_another_chain(lines: Lines) -> None:
    lines[0]["chain"] = "0" * 32


def another_curve(lines: Lines) -> None:
    lines[2]["curve_sha256"] = "0" * 64


def other_weights(lines: Lines) -> None:
    lines[2]["weights_sha256"] = "0" * 64


CHANGES: dict[Callable[[Lines], None], str] = {
    again: "line 3: plain-20-paper-s0-7b1f84c0 is started a second time, and nothing ended its first start",
    no_start: "line 2: plain-20-paper-s0-7b1f84c0 is done without a start before it",
    earlier: "line 5: its time, 2026-01-01T00:00:00Z, is before that of a line before it",
    future: "its time, 2999-01-01T00:00:00Z, has not come yet",
    no_time: "line 2: its time is 'yesterday', not one such as 2026-11-28T10:00:00Z",
    no_beginning: "line 1: a register begins with the event `begun` and the 32 hex digits of its chain",
    twice_begun: "the register begins a second time",
    unknown: "line 2: there is no event 'dreamt'; the events are: begun, started, done",
    cut: "line 3: it is cut off or damaged: no curve_sha256",
    of_another_chain: "line 1: it is of chain 000000000000, which is not the file's name",
    another_curve: f"line 3: the curve of {FIRST.id} is another one than its row's (SHA-256)",
    other_weights: f"line 3: {FIRST.id} was done with weights that no row of runs.csv or repeats.csv has",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda one: one.__name__)
def test_a_register_written_anew_contradicts_itself_or_the_rows(results: Path, change: Callable[[Lines], None]) -> None:
    path = chain_in(results)
    lines = lines_of(path)
    change(lines)
    chained(path, lines)

    found = problems(results, in_registers)

    assert any(problem.startswith(str(path)) and CHANGES[change] in problem for problem in found), found


@pytest.mark.parametrize("change", [lose, earlier, other_weights], ids=lambda one: one.__name__)
def test_a_line_that_was_changed_or_taken_out_breaks_the_chain(results: Path, change: Callable[[Lines], None]) -> None:
    path = chain_in(results)
    lines = lines_of(path)
    change(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert any("it does not follow from the line before" in problem for problem in problems(results, in_registers))


def test_a_register_that_is_cut_off_or_a_stray_file_is_found(results: Path) -> None:
    path = chain_in(results)
    path.write_text(path.read_text()[:-1])
    (path.parent / "notes.txt").write_text("hello")
    (path.parent / f"{'0' * 12}.jsonl").write_text("")

    found = problems(results, in_registers)

    assert f"{path} is empty, or its last line is cut off" in found
    assert f"{path.parent / ('0' * 12 + '.jsonl')} is empty, or its last line is cut off" in found
    assert f"{path.parent / 'notes.txt'} is no register" in found


def test_a_seed_that_was_dropped_is_found_with_its_line(results: Path) -> None:
    edit_rows(results, lambda rows: rows.drop(index=0))

    assert problems(results, in_registers) == [
        f"{chain_in(results)}, line 3: {FIRST.id} was done with weights that no row of runs.csv or repeats.csv has"
    ]


def diverge(runs: Path, folder_runs: int = 0) -> None:
    folder = folder_of(runs, RUNS[folder_runs])
    start(runs, RUNS[folder_runs])
    folder.create(RUNS[folder_runs])
    with at(BEGAN + 50):
        folder.fail("the training loss is nan at step 12", retry=False)


def test_a_seed_that_diverged_cannot_be_left_out(tmp_path: Path) -> None:
    runs = tmp_path / "runs" / NAME
    diverge(runs)
    train(runs, RUNS[2], 12.0, BEGAN + 300)
    results = publish(tmp_path, runs)
    assert problems(results, in_registers) == []

    edit_rows(results, lambda rows: rows.replace({"state": {"failed": "pending"}}))
    (pending,) = problems(results, in_registers)
    edit_rows(results, lambda rows: rows[rows["state"] == "done"])
    (gone,) = problems(results, in_registers)

    assert pending.endswith(f"line 3: {FIRST.id} diverged, and its row in runs.csv says that it is pending")
    assert gone.endswith(f"line 3: {FIRST.id} diverged, and runs.csv has no row of it")


def test_starts_that_ended_otherwise_are_no_problem(tmp_path: Path) -> None:
    """Tried again after it diverged, set aside and trained anew, on other data, still running, resumed."""
    runs = tmp_path / "runs" / NAME
    diverge(runs)
    train(runs, FIRST, 11.0, BEGAN + 300)
    train(runs, RUNS[1], 12.0, BEGAN + 600)
    with at(BEGAN + 900):
        aside = folder_of(runs, RUNS[1])
        aside.set_aside(aside.inputs(), "set aside by --again")
    train(runs, RUNS[1], 12.5, BEGAN + 1200, digest="v")
    start(runs, RUNS[2], BEGAN + 1500)
    stand_in = SWEEP.runs("quick")[0]
    finish(runs, stand_in, 50.0, start(runs, stand_in, BEGAN + 1800, data="e" * 64), BEGAN + 1800)
    results = publish(tmp_path, runs)
    edit_rows(results, lambda rows: rows[rows["id"] != stand_in.id])

    assert problems(results, in_registers) == []


def test_two_machines_that_trained_the_same_runs_have_no_problem(tmp_path: Path) -> None:
    """One result of each run stands, another one is in repeats.csv; a run begun on one was finished on the other."""
    here, there = tmp_path / "a" / NAME, tmp_path / "b" / NAME
    for folder, digest in ((here, "w"), (there, "v")):
        train(folder, FIRST, 10.0, digest=digest)
        train(folder, RUNS[1], 11.0, BEGAN + 300, digest=digest)
    start(here, RUNS[2], BEGAN + 600)
    register.keep(there / register.file_name((here / register.NAME).read_bytes()), (here / register.NAME).read_bytes())
    finish(there, RUNS[2], 12.0, start(there, RUNS[2], BEGAN + 700, step=40), BEGAN + 600)
    results = publish(tmp_path, here, there)

    assert len(list((results / "registers").glob("*.jsonl"))) == 2
    assert (results / "repeats.csv").exists()
    assert list(result_problems(results)) == []

    publish(tmp_path, there)
    assert list(result_problems(results)) == []
