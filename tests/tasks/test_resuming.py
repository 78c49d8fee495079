"""A run whose last checkpoint is damaged goes on from the one before, or its seed, to the same bits, and says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.launch.worker import work, work_until
from bench.store import RunFolder
from bench.train import checkpoint
from tests.builders import StopAt, make, numbers, tiny_run, with_momentum
from tests.fuzzing import FILES, mutated
from tests.tasks.builders import done

RUN = tiny_run(checkpoint_seconds=0.0)
STOPPED_AT = 8


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    place = tmp_path_factory.mktemp("straight")
    return done(place, RUN, place)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Stopped at step 8; the checkpoint before is of step 7."""
    folder = make(tmp_path_factory.mktemp("stopped"), RUN)
    assert work_until(folder.path, folder.path, StopAt(STOPPED_AT)) == "stopped"
    assert (step_of(folder.checkpoint), step_of(folder.previous)) == (8, 7)
    return folder


@pytest.fixture
def folder(stopped: RunFolder, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(stopped.path, tmp_path / stopped.path.name)))


def step_of(path: Path) -> int:
    return int(checkpoint.loads(path.read_bytes())["step"])


def cut(path: Path, size: int = 1000) -> None:
    path.write_bytes(path.read_bytes()[:-size])


def spoiled(**values: Any) -> Callable[[Path], None]:
    return lambda path: checkpoint.save(path, {**checkpoint.loads(path.read_bytes()), **values})


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(cut, id="cut"),
        pytest.param(spoiled(step="8"), id="step in text"),
        pytest.param(spoiled(net={"fc.weight": torch.zeros(10, 64)}), id="another net"),
        pytest.param(spoiled(sessions=[]), id="no data"),
    ],
)
def test_it_goes_on_from_the_checkpoint_before(
    folder: RunFolder, straight: RunFolder, damage: Callable[[Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    damage(folder.checkpoint)

    assert folder.state() == "stopped"
    assert folder.previous.name not in folder.contents(), "it does not travel"
    assert work(folder.path, folder.path) == "done", folder.error()

    said = capfd.readouterr()
    (line,) = [line for line in said.err.splitlines() if "cannot be used" in line]
    assert "checkpoint.pt cannot be used: it" in line
    assert "the run goes on from step 7, the checkpoint before, to the same numbers" in line
    assert "from step 7 on cpu" in said.out
    assert line.removeprefix("bench: ") == (folder.env() or {})["damage"]
    assert len(list(folder.path.glob("checkpoint.pt.damaged-*"))) == 1
    assert numbers(folder) == numbers(straight)


def test_without_one_that_can_be_used_it_goes_on_from_its_seed(folder: RunFolder, straight: RunFolder) -> None:
    cut(folder.checkpoint)
    cut(folder.previous)

    assert work(folder.path, folder.path) == "done", folder.error()

    assert (folder.env() or {})["damage"].endswith("the run goes on from its first step, to the same numbers")
    assert len(list(folder.path.glob("*.damaged-*"))) == 2
    assert numbers(folder) == numbers(straight)


def test_a_done_run_keeps_its_last_checkpoint_alone_without_momentum(straight: RunFolder, stopped: RunFolder) -> None:
    assert not straight.previous.exists()
    assert [checkpoint.has_momentum(path) for path in (stopped.checkpoint, straight.checkpoint)] == [True, False]
    assert straight.checkpoint.stat().st_size < 0.6 * stopped.checkpoint.stat().st_size
    assert "damage" not in (straight.env() or {})


@pytest.mark.parametrize("damaged", ["curve.jsonl", "env.json", "result.json"])
@pytest.mark.parametrize("version", ["this", "earlier"])
def test_a_damaged_result_is_repaired_from_the_checkpoint_of_this_version_and_of_earlier_ones(
    straight: RunFolder, tmp_path: Path, version: str, damaged: str
) -> None:
    folder = RunFolder(Path(shutil.copytree(straight.path, tmp_path / straight.path.name)))
    if version == "earlier":
        assert with_momentum(folder) > 1.5 * straight.checkpoint.stat().st_size
    before = folder.checkpoint.read_bytes()
    cut(folder.path / damaged, 10)

    assert work(folder.path, folder.path) == "done", folder.error()

    assert numbers(folder) == numbers(straight)
    assert folder.curve.read_bytes() == straight.curve.read_bytes()
    assert folder.checkpoint.read_bytes() == before


def test_a_checkpoint_of_another_run_is_not_taken_for_damaged(folder: RunFolder) -> None:
    spoiled(run="another", net={})(folder.checkpoint)

    assert work(folder.path, folder.path) == "failed"

    assert "checkpoint.pt is of the run another; move it away" in (folder.error() or {})["message"]
    assert (folder.error() or {})["retry"]
    assert not list(folder.path.glob("*.damaged-*"))


@pytest.mark.fuzz
def test_runs_with_damaged_checkpoints_go_on(folder: RunFolder, capfd: pytest.CaptureFixture[str]) -> None:
    """Each time as far as the first question whether to stop: a step after what could be used."""
    valid, previous = folder.checkpoint.read_bytes(), folder.previous.read_bytes()
    for content in mutated(valid, FILES // 30):
        folder.checkpoint.write_bytes(content)
        folder.previous.write_bytes(previous)

        assert work_until(folder.path, folder.path, StopAt(1)) == "stopped", folder.error()

        aside = [path.read_bytes() for path in folder.path.glob("*.damaged-*")]
        assert aside in ([], [content])
        assert step_of(folder.checkpoint) == (8 if aside else 9)
        for path in folder.path.glob("*.damaged-*"):
            path.unlink()
    assert "Traceback" not in capfd.readouterr().err
