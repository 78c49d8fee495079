"""TensorBoard's own reader finds every number of a curve at its step and time, and the run's line of settings."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from bench.cli.commands import main as bench
from tests.builders import make, needs, tiny_run
from tests.report.builders import fake

pytestmark = needs("tensorboard")
DONE, BEGUN, FAILED = (tiny_run(seed=seed) for seed in range(3))
ROW = {"step": 6, "rate": 0.125, "loss": math.inf, "class_loss": 0.5, "error": 80.0}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """runs/tiny with a run that is done, one that has begun and one that failed before it had a curve."""
    fake(tmp_path / "runs" / "tiny", DONE, 12.5)
    begun = make(tmp_path / "runs", BEGUN, "tiny")
    begun.write_curve([ROW])
    begun.beat(8, steps_per_s=2.0)
    make(tmp_path / "runs", FAILED, "tiny").fail("the training loss is nan at step 2", retry=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs" / "tiny"


def scalars(folder: Path) -> dict[str, list[tuple[int, float, float]]]:
    """Step, time and value of all points by tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(one.step, one.wall_time, one.value) for one in found.Scalars(tag)] for tag in found.Tags()["scalars"]
    }


def settings(folder: Path) -> tuple[dict[str, Any], bool]:
    """The settings of a run, and whether it is said to have ended."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    content = EventAccumulator(str(folder)).Reload().SummaryMetadata
    begin = metadata.parse_session_start_info_plugin_data(content(metadata.SESSION_START_INFO_TAG).plugin_data.content)
    values = {name: value.number_value or value.string_value for name, value in begin.hparams.items()}
    return values, metadata.SESSION_END_INFO_TAG in EventAccumulator(str(folder)).Reload().summary_metadata


def test_every_point_of_a_curve_is_there_once_however_often_it_is_exported(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curve = [row for row in (runs / DONE.id / "curve.jsonl").read_text().splitlines() if row]

    for _ in range(2):
        assert bench(["export", "tiny", "--tensorboard", "there"]) == 0

    found = scalars(Path("there") / DONE.id)
    assert {tag: len(points) for tag, points in found.items() if "/training" in tag or tag == "learning rate"} == {
        tag: len(curve) for tag in ("error/training", "loss/training", "learning rate")
    }
    step, time, error = found["error/test"][-1]
    assert (step, time, error) == (12, 60.0, 12.5)
    assert found["result/test_error"] == [(12, 60.0, 12.5)]
    assert capsys.readouterr().out.endswith(
        f"there: the curves of 2 runs; tensorboard --logdir there shows them\nwithout a curve: {FAILED.id}\n"
    )


@pytest.mark.usefixtures("runs")
def test_a_run_that_goes_on_has_its_curve_so_far_and_no_result() -> None:
    assert bench(["export", "tiny", "--tensorboard", "there", "--only", "*-s1-*"]) == 0

    found = scalars(Path("there") / BEGUN.id)
    assert {tag: [(step, value) for step, _, value in points] for tag, points in found.items()} == {
        "learning rate": [(6, 0.125)],
        "loss/training": [(6, math.inf)],
        "loss/class": [(6, 0.5)],
        "error/training": [(6, 80.0)],
    }


@pytest.mark.usefixtures("runs")
def test_the_hparams_tab_has_a_line_a_run() -> None:
    assert bench(["export", "tiny", "--tensorboard", "there"]) == 0

    done, ended = settings(Path("there") / DONE.id)
    assert (done["lr"], done["net"], done["steps"], ended) == (0.1, "resnet-8-A", 12, True)
    assert settings(Path("there") / BEGUN.id)[1] is False


@pytest.mark.usefixtures("runs")
def test_others_files_in_the_folder_stay_and_a_file_is_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    other = Path("there") / DONE.id / "events.out.tfevents.1.host.2.3"
    other.parent.mkdir(parents=True)
    other.touch()

    assert bench(["export", "tiny", "--tensorboard", "there", "--csv", "--to", "tables"]) == 0

    assert other.exists()
    assert sorted(path.name for path in Path("tables").iterdir()) == ["curves.csv", "runs.csv"]
    assert bench(["export", "tiny", "--tensorboard", str(other)]) == 2
    assert f"--tensorboard {other} is a file: give a folder" in capsys.readouterr().err


def test_published_curves_are_shown_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert bench(["export", "plain_vs_residual", "--tensorboard", "there", "--only", "resnet-20-A-paper-s0-*"]) == 0

    (folder,) = Path("there").iterdir()
    step, _, error = scalars(folder)["error/test"][-1]
    assert step == 64_000
    assert error == pytest.approx(8.49)
