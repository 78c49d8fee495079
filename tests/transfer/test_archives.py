"""Run folders travel: what arrives is whole and goes on to the same bits, and nothing that is further on is lost."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.cli.commands import main as bench
from bench.launch.worker import work, work_until
from bench.nets.weights import read_weights
from bench.report.collect import collect
from bench.report.rows import read_rows
from bench.spec import Run
from bench.speed.made_up import finish, finished_runs
from bench.store import RunFolder, sha256
from bench.train import checkpoint
from bench.transfer import archive
from tests.builders import tiny_run

MIB = 2**20
RUN = tiny_run()


class StopAt:
    """Asks a run to stop after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def make(runs: Path, run: Run = RUN) -> RunFolder:
    folder = RunFolder(runs / "tiny" / run.id)
    folder.create(run)
    return folder


def trained(runs: Path, steps: int, run: Run = RUN) -> RunFolder:
    """A run in sweep `tiny` stopped after so many of its 12 steps, or done."""
    folder = make(runs, run)
    if steps == run.recipe.steps:
        assert work(folder.path, runs) == "done"
    else:
        stop: Any = StopAt(steps)
        assert work_until(folder.path, runs, stop) == "stopped"
    return folder


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """runs/ of a run at steps 4 and 8, and done."""
    place = tmp_path_factory.mktemp("trained")
    for steps in (4, 8, 12):
        trained(place / str(steps), steps)
    return place


@pytest.fixture
def at(trained_once: Path, tmp_path: Path) -> Callable[[int, str], RunFolder]:
    """A copy of the run after so many steps, below tmp_path / name."""

    def copy(steps: int, name: str) -> RunFolder:
        shutil.copytree(trained_once / str(steps), tmp_path / name)
        return RunFolder(tmp_path / name / "tiny" / RUN.id)

    return copy


def pack(place: Path, *options: str, runs: str = "there", out: str = "out") -> int:
    return bench(["pack", str(place / out), "--runs", str(place / runs), *options])


def unpack(place: Path, *archives: str, runs: str = "here") -> int:
    return bench(["unpack", *(str(place / a) for a in archives or ("out",)), "--runs", str(place / runs)])


def numbers(folder: RunFolder) -> dict[str, Any]:
    result = folder.result()
    assert result is not None
    return {k: v for k, v in result.items() if k not in ("seconds", "images_per_s", "test_images_per_s")}


def files_of(place: Path) -> dict[str, bytes]:
    return {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()}


def noise(folder: RunFolder, run: Run, step: int, mib: float) -> None:
    """A checkpoint of this size, as far as a run's place in an archive goes."""
    rows = [{"step": step}] if step else []
    state = {"run": run.id, "step": step, "curve": rows, "ballast": torch.zeros(int(mib * MIB), dtype=torch.uint8)}
    folder.write_curve(rows)
    checkpoint.save(folder.checkpoint, state)


def test_a_run_that_moves_half_way_ends_in_the_same_bits_as_one_that_stays(
    at: Callable[[int, str], RunFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stays, moves = at(12, "stays"), at(4, "there")
    moves.declare("c" * 64)

    assert pack(tmp_path) == 0
    assert unpack(tmp_path) == 0

    moved = RunFolder(tmp_path / "here" / "tiny" / RUN.id)
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
    pack(tmp_path)
    unpack(tmp_path)

    moved = RunFolder(tmp_path / "here" / "tiny" / RUN.id)
    assert (moved.state(), moved.damage()) == ("done", None)
    assert numbers(moved) == numbers(there)
    assert moved.checkpoint.stat().st_size < 0.75 * there.checkpoint.stat().st_size
    assert checkpoint.weights_digest(read_weights(moved.checkpoint)) == numbers(there)["weights_sha256"]
    rows = read_rows(collect(tmp_path / "results", [tmp_path / "here" / "tiny"], [RUN]))
    assert [row["state"] for row in rows] == ["done"]


def test_a_finished_run_without_its_optimiser_is_mended_as_any_other(
    at: Callable[[int, str], RunFolder], tmp_path: Path
) -> None:
    there = at(12, "there")
    pack(tmp_path)
    unpack(tmp_path)
    moved = RunFolder(tmp_path / "here" / "tiny" / RUN.id)
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
    assert done.checkpoint.stat().st_size > 0.4 * MIB
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


def archive_files(place: Path) -> list[Path]:
    return sorted((place / "out").iterdir())


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
    assert files_of(tmp_path / "here" / "tiny").keys() - {f"{RUN.id}/lock"} == {
        f"{RUN.id}/{name}" for name in ("run.json", "checkpoint.pt", "curve.jsonl", "heartbeat.json")
    }
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

    assert pack(tmp_path) == 0
    assert unpack(tmp_path) == 0

    arrived = RunFolder(tmp_path / "here" / "tiny" / RUN.id)
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


@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_a_checkpoint_that_is_no_use_is_left_behind_by_name(
    at: Callable[[int, str], RunFolder], tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    there = at(8, "there")
    content = there.checkpoint.read_bytes()
    if damage == "cut":
        there.checkpoint.write_bytes(content[: len(content) // 2])
    else:
        checkpoint.save(there.checkpoint, {**checkpoint.loads(content), "run": "another"})
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


def rewritten(path: Path, change: Callable[[dict[str, bytes]], object], *, honest: bool) -> None:
    """Changes the members of an archive; `honest`: with the digests and sizes that the manifest would have then."""
    with tarfile.open(path) as tar:
        members = {m.name: (tar.extractfile(m) or io.BytesIO()).read() for m in tar}
    change(members)
    if honest:
        manifest = json.loads(members["manifest.json"])
        (entry,) = manifest["runs"]
        home = f"{entry['sweep']}/{entry['id']}/"
        files = {name.removeprefix(home): data for name, data in members.items() if name.startswith(home)}
        entry["files"] = {name: {"bytes": len(data), "sha256": sha256(data)} for name, data in files.items()}
        members["manifest.json"] = json.dumps(manifest).encode()
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


HOME = f"tiny/{RUN.id}"


def other_run(members: dict[str, bytes]) -> None:
    members[f"{HOME}/run.json"] = json.dumps(tiny_run(seed=1).as_json()).encode()


def more_steps(members: dict[str, bytes]) -> None:
    members["manifest.json"] = members["manifest.json"].replace(b'"step": 8', b'"step": 9')


def not_a_checkpoint(members: dict[str, bytes]) -> None:
    members[f"{HOME}/checkpoint.pt"] = b"half of it"


def edited(members: dict[str, bytes]) -> None:
    members[f"{HOME}/curve.jsonl"] = members[f"{HOME}/curve.jsonl"].replace(b"loss", b"lost")


def later_format(members: dict[str, bytes]) -> None:
    members["manifest.json"] = members["manifest.json"].replace(b'"format": 1', b'"format": 2')


FORGED: dict[str, tuple[Callable[[dict[str, bytes]], object], bool, str]] = {
    "edited": (edited, False, "curve.jsonl has not the SHA-256 of the manifest"),
    "another run": (other_run, True, f"{HOME} holds the run {tiny_run(seed=1).id}"),
    "more steps": (more_steps, True, "it is of step 8, not 9"),
    "no checkpoint": (not_a_checkpoint, True, f"checkpoint.pt of {HOME}: it is damaged"),
    "no manifest": (lambda m: m.pop("manifest.json"), False, "it has no manifest.json: it was cut off"),
    "no run.json": (lambda m: m.pop(f"{HOME}/run.json"), True, "run.json"),
    "later format": (later_format, False, "it has format 2, this version of the suite reads 1"),
    "empty manifest": (lambda m: m.update({"manifest.json": b"[]"}), False, "is damaged or no archive"),
    "not in the manifest": (lambda m: m.update({f"{HOME}/env.json": b"{}"}), False, "env.json is in the manifest or"),
    "result alone": (lambda m: m.update({f"{HOME}/result.json": b"{}"}), True, "its files say otherwise"),
    "above": (lambda m: m.update({"../x/run.json": b"{}"}), False, "'../x/run.json' is no file of a run"),
    "up": (lambda m: m.update({"tiny/../run.json": b"{}"}), False, "'tiny/../run.json' is no file of a run"),
    "absolute": (lambda m: m.update({"/tiny/run.json": b"{}"}), False, "'/tiny/run.json' is no file of a run"),
    "unknown file": (lambda m: m.update({f"{HOME}/x.sh": b""}), False, "x.sh' is no file of a run"),
}


@pytest.mark.parametrize("case", FORGED)
def test_an_archive_that_is_not_what_it_says_is_refused_by_name_with_nothing_placed(
    at: Callable[[int, str], RunFolder], tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change, honest, words = FORGED[case]
    at(8, "there")
    run = tiny_run(seed=1)
    noise(make(tmp_path / "other", run), run, 3, 0.1)
    pack(tmp_path)
    pack(tmp_path, runs="other", out="good")
    rewritten(tmp_path / "out" / "runs-1.tar", change, honest=honest)

    assert unpack(tmp_path, "good", "out") == 2

    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "out/runs-1.tar" in error
    assert words in error
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize("left", [0.0, 0.3, 0.9])
def test_an_archive_that_was_cut_off_is_refused(
    at: Callable[[int, str], RunFolder], tmp_path: Path, left: float, capsys: pytest.CaptureFixture[str]
) -> None:
    at(8, "there")
    pack(tmp_path)
    path = tmp_path / "out" / "runs-1.tar"
    path.write_bytes(path.read_bytes()[: int(left * path.stat().st_size)])

    assert unpack(tmp_path) == 2
    assert re.search("bench: .*runs-1.tar is damaged or no archive of bench pack", capsys.readouterr().err)


def test_links_are_refused(at: Callable[[int, str], RunFolder], tmp_path: Path) -> None:
    at(8, "there")
    pack(tmp_path)
    with tarfile.open(tmp_path / "out" / "runs-1.tar", "a") as tar:
        link = tarfile.TarInfo(f"{HOME}/env.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)

    assert unpack(tmp_path) == 2
    assert not list((tmp_path / "here").iterdir())


MISTAKES = {
    "no runs": (["pack", "out", "--runs", "nowhere"], "no runs in nowhere; --runs names the folder"),
    "none begun": (["pack", "out"], "nothing to pack yet: 1 run in runs, of which none has begun or came to a chec"),
    "no match": (["pack", "out", "--only", "vgg*"], "--only 'vgg\\*' matches no run; the sweeps are: tiny"),
    "no archive": (["unpack", "out.tar"], "there is no archive out.tar"),
    "empty folder": (["unpack", "runs"], "runs has no archive runs-N.tar"),
    "not a tar": (["unpack", f"runs/{HOME}/run.json"], "run.json is damaged or no archive"),
    "out is a file": (["pack", f"runs/{HOME}/run.json"], "cannot write .*run.json"),
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
