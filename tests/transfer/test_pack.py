"""What goes into archives, in which order, how large they are, and what is left behind by name."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli.commands import main as bench
from bench.speed.made_up import finish, finished_runs
from bench.store import RunFolder
from bench.train import checkpoint
from bench.transfer import archive
from tests.builders import tiny_run
from tests.transfer.builders import HOME, MIB, RUN, archive_files, files_of, make, noise, pack, unpack


def test_results_come_first_then_what_has_least_left_then_weights_as_far_as_there_is_room(
    at: Callable[[int, str], RunFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = at(12, "there")
    runs = [tiny_run(seed=seed) for seed in range(1, 6)]
    for run, step, mib in zip(runs, (3, 9, 6, 11, 0), (0.8, 0.8, 0.8, 1.1, 0), strict=True):
        folder = make(tmp_path / "there", run)
        if step:
            noise(folder, run, step, mib)

    assert pack(tmp_path, "--files", "2", "--mib", "1") == 1

    words = capsys.readouterr().out
    assert re.search(f"{RUN.id}: done, 0.0. MiB, in runs-1.tar", words), words
    assert re.search(f"{runs[1].id}: begun, at step 9, 0.8. MiB, in runs-1.tar", words), words
    assert re.search(f"{runs[2].id}: begun, at step 6, 0.8. MiB, in runs-2.tar", words), words
    assert re.search(f"{runs[0].id}: left behind: no room is left for its 0.8. MiB in 2 archives of 1 MiB", words)
    assert re.search(f"{runs[3].id}: left behind: its 1.1. MiB are more than an archive of 1 MiB holds", words)
    assert runs[4].id not in words, "it has not begun"
    assert all(path.stat().st_size < MIB for path in (tmp_path / "out").iterdir())
    assert done.checkpoint.stat().st_size > 0.25 * MIB
    assert re.search(f"{RUN.id}: its weights are left behind: no room is left", words), words


def test_many_small_files_stay_below_the_limit(tmp_path: Path) -> None:
    finished_runs(tmp_path / "there" / "made_up", 60)

    assert pack(tmp_path, "--mib", "1") == 0

    sizes = [path.stat().st_size for path in (tmp_path / "out").iterdir()]
    assert len(sizes) > 1
    assert max(sizes) < MIB
    assert unpack(tmp_path) == 0
    assert len(list((tmp_path / "here" / "made_up").glob("*/result.json"))) == 60


def test_packing_again_renews_the_archives_and_removes_those_of_the_last_time(tmp_path: Path) -> None:
    runs = [tiny_run(seed=seed) for seed in range(3)]
    for run in runs:
        noise(make(tmp_path / "there", run), run, 3, 0.6)
    pack(tmp_path, "--mib", "1")
    assert [path.name for path in archive_files(tmp_path)] == ["runs-1.tar", "runs-2.tar", "runs-3.tar"]
    stale = tmp_path / ".out.packing"
    stale.mkdir()
    (stale / "runs-9.tar").write_text("of one that was killed")

    noise(make(tmp_path / "there", runs[1]), runs[1], 9, 0.1)
    assert pack(tmp_path, "--mib", "2") == 0

    assert [path.name for path in archive_files(tmp_path)] == ["runs-1.tar"]
    assert {parcel.id: parcel.step for parcel in archive.read(tmp_path / "out" / "runs-1.tar")}[runs[1].id] == 9
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "there"]
    before = files_of(tmp_path / "out")
    pack(tmp_path, "--mib", "2")
    assert files_of(tmp_path / "out") == before, "the same runs make the same bytes"


def test_an_archive_of_runs_that_are_nowhere_else_is_not_replaced(
    at: Callable[[int, str], RunFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at(8, "there")
    pack(tmp_path)
    run = tiny_run(seed=1)
    noise(make(tmp_path / "other", run), run, 3, 0.1)
    before = files_of(tmp_path / "out")

    assert pack(tmp_path, runs="other") == 2

    assert re.search(f"runs-1.tar has tiny/{RUN.id}, begun, which .*other has not", capsys.readouterr().err)
    assert files_of(tmp_path / "out") == before


def test_runs_that_train_and_have_no_checkpoint_yet_are_said_to(
    at: Callable[[int, str], RunFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, other = (make(tmp_path / "there", tiny_run(seed=seed)) for seed in (1, 2))
    with first.lock(), other.lock():
        assert pack(tmp_path) == 2
    assert capsys.readouterr().err == (
        f"bench: nothing to pack yet: 2 runs in {tmp_path / 'there'} under way, without a checkpoint so far: "
        "the first comes after at most 60 s of training\n"
    )

    shutil.copytree(at(8, "more").path.parent, tmp_path / "there" / "tiny", dirs_exist_ok=True)
    with first.lock():
        assert pack(tmp_path) == 0
    words = capsys.readouterr().out
    not_yet = "not yet, as it has no checkpoint so far: the first comes after at most 60 s of training"
    assert f"tiny/{first.path.name}: {not_yet}\n" in words
    assert words.count("not yet") == 1, "the other one is not under way any more"
    assert words.endswith(" MiB\n")
    assert f"{tmp_path / 'out'}: 1 run in 1 archive, " in words


SPOILED: dict[str, dict[str, object]] = {
    "foreign": {"run": "another"},
    "step in text": {"step": "8"},
    "no step": {"step": None},
    "no net": {"net": [1]},
}


@pytest.mark.parametrize("damage", ["cut", *SPOILED])
def test_a_checkpoint_that_is_no_use_is_left_behind_by_name(
    at: Callable[[int, str], RunFolder], tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    there = at(8, "there")
    content = there.checkpoint.read_bytes()
    if damage == "cut":
        there.checkpoint.write_bytes(content[: len(content) // 2])
    else:
        checkpoint.save(there.checkpoint, {**checkpoint.loads(content), **SPOILED[damage]})
    before = files_of(tmp_path / "there")

    assert pack(tmp_path) == 1

    assert re.search(f"{RUN.id}: left behind: .*checkpoint.pt: it is (damaged|of the run)", capsys.readouterr().out)
    assert files_of(tmp_path / "there") == before


def test_weights_that_are_not_those_of_the_result_are_left_behind(
    at: Callable[[int, str], RunFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there, earlier = at(12, "there"), at(8, "earlier")
    shutil.copy(earlier.checkpoint, there.checkpoint)

    assert pack(tmp_path) == 0

    assert "its weights are left behind: " in (words := capsys.readouterr().out)
    assert "its weights are not those that the run ended with" in words


MISTAKES = {
    "no runs": (["pack", "out", "--runs", "nowhere"], "no runs in nowhere; --out names the folder"),
    "none begun": (["pack", "out"], "nothing to pack yet: 1 run in runs, of which none has begun or came to a chec"),
    "no match": (["pack", "out", "--only", "vgg*"], "--only 'vgg\\*' matches none of 1 run; the sweeps are: tiny"),
    "no archive": (["unpack", "out.tar"], "there is no archive out.tar"),
    "empty folder": (["unpack", "runs"], "runs has no archive runs-N.tar"),
    "not a tar": (["unpack", f"runs/{HOME}/run.json"], "run.json is damaged or no archive"),
    "out is a file": (["pack", "/dev/null"], "cannot write /dev/null"),
    "out is in runs": (["pack", f"runs/{HOME}"], "is in runs, the folder of the runs: give one outside it"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, words = MISTAKES[case]
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "runs")

    assert bench(arguments) == 2

    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(words, error), error


def test_only_some_runs_are_packed_by_id_or_sweep(tmp_path: Path) -> None:
    finished_runs(tmp_path / "there" / "made_up", 10)
    finish(make(tmp_path / "there"), RUN, error=10)

    assert pack(tmp_path, "--only", "plain-20*,tiny") == 0

    names = {parcel.name for path in archive_files(tmp_path) for parcel in archive.read(path)}
    assert len(names) == 2
    assert HOME in names


def test_help_needs_no_torch() -> None:
    code = (
        "import sys, bench.cli.commands\n"
        "try: bench.cli.commands.main(['pack', '--help'])\n"
        "except SystemExit: assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
