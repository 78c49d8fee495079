"""A run that has begun is used again for the data and the start weights that it began with, and for no others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.cli.sweep import main
from bench.cli.sweep_files import load_sweep
from bench.launch.plan import Item
from bench.launch.reuse import Reuse
from bench.report.rows import read_rows
from bench.spec import Faces, Net, Recipe, Run
from bench.store import Inputs, RunFolder, StoreError, register
from bench.tasks.classification import experiment, synthetic
from bench.tasks.inputs import start_sha256
from bench.tasks.job import Job
from tests.builders import make, tiny_run

pytestmark = pytest.mark.usefixtures("figures_not_rendered")


def start(*options: str) -> int:
    return main(["tiny", "--scale", "quick", "--cluster", "inline", *options])


@pytest.fixture
def other_data(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Called, the data are others of the same name."""
    images = synthetic.stand_in()
    changed = replace(images, train_y=images.train_y.flip(0), digest="0" * 64)
    return lambda: monkeypatch.setattr(experiment, "load_images", lambda *_: changed)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.name not in ("lock", "heartbeat.json")
    }


def test_done_runs_on_other_data_are_refused_by_name_and_trained_anew_when_asked(
    tiny_sweep: Path, other_data: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert start() == 0
    runs = {path.parent: contents(path.parent) for path in (tiny_sweep.parent.parent / "runs/tiny").glob("*/run.json")}
    other_data()
    capsys.readouterr()

    assert start() == 2
    words = capsys.readouterr().err
    assert "2 runs here began with other data (SHA-256" in words
    assert "here 000000000000)" in words
    assert all(folder.name in words for folder in runs)
    assert "--again" in words
    assert start("--report-only") == 0
    assert {folder: contents(folder) for folder in runs} == runs

    assert start("--again") == 0
    aside = next(iter(runs)).parent / "aside"
    assert {folder: contents(aside / f"{folder.name}.1") for folder in runs} == runs
    for folder in runs:
        assert json.loads((folder / "env.json").read_text())["data_sha256"] == "0" * 64
    path = next(iter(runs)) / "env.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"commit": "e" * 40}))
    capsys.readouterr()
    assert start("--again") == 0  # they are of these data now: nothing is set aside
    said = capsys.readouterr().out
    assert "by their SHA-256 those of the 2 runs that have begun" in said
    assert "code: used again are 1 run of commit eeeeeeeeee (here" in said
    assert "covers its net, recipe, seed and data set, and not the code" in said
    assert len(list(aside.iterdir())) == 2


@pytest.mark.usefixtures("tiny_sweep")
def test_a_run_that_another_start_trains_on_other_data_is_refused_and_not_set_aside(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before its first checkpoint, too."""
    run = load_sweep("tiny")[1].runs("quick", data="stand-in")[0]
    folder = RunFolder(Path("runs/tiny") / run.id)
    folder.create(run)
    folder.begin(Inputs("e" * 64, ""))
    with folder.lock():
        assert start("--only", "plain-8") == 2
        assert f"1 run here began with other data (SHA-256 {'e' * 12}" in capsys.readouterr().err
        assert start("--only", "plain-8", "--again") == 2
        assert "is being trained on other data" in capsys.readouterr().err
    assert folder.path.exists()


@pytest.mark.usefixtures("tiny_sweep")
def test_a_result_that_another_start_made_on_other_data_is_not_taken_for_ones_own(
    other_data: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began after this start had looked."""
    assert start() == 0
    other_data()
    others = Reuse.others
    monkeypatch.setattr(Reuse, "others", lambda *words: {} if len(words) > 2 else others(*words))

    assert start() == 2


def test_a_run_that_has_been_set_aside_meanwhile_is_left_alone(tmp_path: Path) -> None:
    run = tiny_run()
    folder = begun(make(tmp_path / "runs", run, "tiny"), "d")
    item = Item(run, folder, "stopped", None)
    said: list[str] = []

    Reuse(tmp_path).set_aside({item: "other data"}, said.append)
    assert said == [f"{run.id}: begun with other data; set aside in {folder.path.parent / 'aside' / f'{run.id}.1'}"]
    ((_, begun_chain), (_, line)) = register.parsed((folder.path.parent / register.NAME).read_bytes())
    assert (begun_chain["event"], line["event"], line["run"]) == ("begun", "given up", run.id)
    assert line["reason"] == "set aside by --again: begun with other data"
    folder.begin(Inputs("e", ""))
    assert folder.set_aside(Inputs("d", "")) is None
    assert folder.inputs() == Inputs("e", "")


def test_what_was_trained_again_takes_the_place_of_the_old_result(
    tiny_sweep: Path, other_data: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert start("--only", "plain-8") == 0
    other_data()
    capsys.readouterr()

    assert start("--only", "plain-8", "--again") == 0

    assert "trained again on what is here, takes the place of" in capsys.readouterr().out
    results = tiny_sweep.parents[1] / "runs" / "tiny" / "results"
    rows = {
        name: [r for r in read_rows(results / name) if r["state"] == "done"] for name in ("runs.csv", "repeats.csv")
    }
    assert [row["data_sha256"] for row in rows["runs.csv"]] == ["0" * 64]
    assert [row["data_sha256"] == "0" * 64 for row in rows["repeats.csv"]] == [False]
    assert start("--only", "plain-8") == 0, "and keeps it"
    assert [row["data_sha256"] for row in read_rows(results / "runs.csv") if row["state"] == "done"] == ["0" * 64]


@pytest.mark.usefixtures("tiny_sweep")
def test_a_stopped_run_on_other_data_is_refused_too(other_data: Callable[[], None]) -> None:
    assert start("--only", "plain-8") in (0, 3)
    (result,) = Path("runs/tiny").glob("*/result.json")
    result.unlink()  # as if it had been stopped at its last step
    assert RunFolder(result.parent).state() == "stopped"
    other_data()

    assert start("--only", "plain-8") == 2
    assert start("--only", "plain-8", "--again") == 0


def begun(folder: RunFolder, data: str = "d", weights: str | None = "") -> RunFolder:
    folder.begin(Inputs(data, weights))
    folder.checkpoint.touch()
    return folder


@pytest.mark.parametrize(
    ("here", "words"),
    [
        (Inputs("d", ""), ""),
        (Inputs("e", ""), "other data (SHA-256 d, here e)"),
        (Inputs("d", "w"), "other start weights (SHA-256 of none, here w)"),
        (Inputs("d", None), ""),  # the weights are gone: nobody can say
        (Inputs("e", "w"), "other data (SHA-256 d, here e) and other start weights (SHA-256 of none, here w)"),
    ],
)
def test_what_differs_is_said(tmp_path: Path, here: Inputs, words: str) -> None:
    kept = begun(make(tmp_path, tiny_run())).inputs()
    assert kept is not None
    assert kept.unlike(here) == words


def test_a_run_that_has_kept_no_step_begins_with_what_is_here(tmp_path: Path) -> None:
    folder = make(tmp_path, tiny_run())
    folder.begin(Inputs("d", ""))
    folder.begin(Inputs("e", ""))
    assert folder.inputs() == Inputs("e", "")

    begun(folder, "e")
    with pytest.raises(StoreError, match=r"was begun with other data .* or start with --again"):
        folder.begin(Inputs("f", ""))


def test_a_run_of_an_earlier_version_is_judged_by_its_data_alone(tmp_path: Path) -> None:
    folder = make(tmp_path, tiny_run())
    row = {"test_error": 1.0, "images_per_s": 2.0, "seconds": 1.0, "weights_sha256": "w", "step": 12, "test_images": 40}
    env = {"hardware": "h", "started": 0.0, "ended": 1.0, "data_sha256": "d"}
    folder.finish({"id": folder.path.name, "curve_sha256": folder.write_curve([]), **row}, env)

    assert folder.inputs() == Inputs("d", None)


FACES = Recipe(steps=2, drops=(), warmup_steps=0, faces=Faces(side=32, embedding_size=8, loss="softmax", margin=0.0))


def faces(weights: str) -> Run:
    return Run("quick", Net("cifar", 8, "A", weights=weights), "lfw-view1", FACES, 0, task="verify")


def test_start_weights_are_known_by_their_file_or_by_the_run_that_trained_them(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    file = tmp_path / "weights" / "mine.pth"
    job = Job(RunFolder(tmp_path / "runs" / "tiny" / "run"), tmp_path, lambda: False)
    found = []
    for seed in (0, 1, 0):
        torch.save({"seed": torch.tensor(seed)}, file)
        found.append(start_sha256(faces("file:mine.pth"), job))
    assert found[0] == found[2] != found[1]
    assert found[0] is not None
    assert len(found[0]) == 64
    assert start_sha256(faces(""), job) == ""

    source = make(tmp_path / "runs", tiny_run(), "tiny")
    row = {"test_error": 1.0, "images_per_s": 2.0, "seconds": 1.0, "step": 12, "test_images": 40}
    env = {"hardware": "h", "started": 0.0, "ended": 1.0}
    curve = source.write_curve([])
    source.checkpoint.touch()
    for weights in ("v", "w"):
        source.finish({"id": source.path.name, "curve_sha256": curve, **row, "weights_sha256": weights}, env)
        assert start_sha256(faces(f"run:tiny/{source.path.name}"), job) == weights


def test_of_weights_that_timm_downloaded_nobody_can_say(tmp_path: Path) -> None:
    """Such as those that are saved beside the data later."""
    run = replace(faces(""), net=Net("timm", 0, "none", weights="timm:resnet18.tv_in1k"))
    folder = make(tmp_path, run)
    here = start_sha256(run, Job(folder, tmp_path, lambda: False))
    assert here is None

    folder.begin(Inputs("d", here))
    assert folder.inputs() == Inputs("d", None)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "resnet18.tv_in1k.pth").write_bytes(b"w")
    assert not Inputs("d", here).unlike(Inputs("d", start_sha256(run, Job(folder, tmp_path, lambda: False))))


def test_runs_with_other_start_weights_are_found_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").mkdir()
    file = tmp_path / "weights" / "mine.pth"
    torch.save({"a": torch.tensor(1)}, file)
    run = faces("file:mine.pth")
    folder = make(tmp_path / "runs", run, "tiny")
    item = Item(run, folder, "stopped", None)
    monkeypatch.setattr("bench.tasks.inputs.data_sha256", lambda *_: "d")
    begun(folder, "d", start_sha256(run, Job(folder, tmp_path, lambda: False)))

    assert not Reuse(tmp_path).others([item])
    torch.save({"a": torch.tensor(2)}, file)
    assert "other start weights" in Reuse(tmp_path).others([item])[item]
    file.unlink()
    assert not Reuse(tmp_path).others([item])
