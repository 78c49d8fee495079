"""Further images are prepared as those of the run's own test, and have to be what their row says."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.data.locate import DataError
from bench.spec.further import FurtherSet
from bench.store import RunFolder
from bench.tasks import further
from bench.tasks.classification.further import test as on_images
from bench.tasks.experiment import experiment_of
from bench.tasks.job import Job
from bench.train import checkpoint
from bench.train.loop import StoppedError
from bench.train.turns import finish
from tests import further_sets
from tests.builders import StopAt, tiny_run
from tests.tasks.builders import done


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    place = tmp_path_factory.mktemp("done")
    return done(place, tiny_run(), place)


def made_for(folder: RunFolder, data: Path, **changes: Any) -> further.Tester:
    result, env = folder.result() or {}, folder.env() or {}
    tensors = dict(checkpoint.raw(checkpoint.loads(folder.checkpoint.read_bytes())["net"]))
    made = further.Tester(folder.run(), tensors, result["weights_sha256"], env["data_sha256"], data, lambda: False)
    return replace(made, **changes)


@pytest.mark.parametrize("row", [further_sets.FAINT, further_sets.AGAIN], ids=lambda row: row.name)
def test_the_same_images_changed_must_have_the_labels_of_the_own_test(tmp_path: Path, row: FurtherSet) -> None:
    run = tiny_run()
    experiment: Any = experiment_of(run).of(run, Job(RunFolder(tmp_path), tmp_path, lambda: False), torch.device("cpu"))
    found = further_sets.read(tmp_path, row)
    turned = {part: (x, (y + 1) % 10) for part, (x, y) in found.parts.items()}
    work = on_images(experiment, experiment.net(), row, replace(found, parts=turned))

    if row.same_images:
        with pytest.raises(DataError, match="^from image 1 on its labels are not those of the test images"):
            finish(work)
    else:
        assert len(finish(work)[""].correct) == 40


def test_where_compiled_kernels_make_nan_the_others_are_taken(
    finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def to_nan(net: torch.nn.Module) -> None:
        net.register_forward_hook(lambda _net, _inputs, out: out * math.nan)

    further_sets.lay(tmp_path)
    monkeypatch.setattr(torch.nn.Module, "compile", to_nan)
    monkeypatch.setattr("bench.tasks.retest.cxx_compiler", lambda: "c++")
    run = finished.run()
    compiled = replace(run, resources=replace(run.resources, compile=True))

    ((_, kept),) = made_for(finished, tmp_path, run=compiled).on([further_sets.AGAIN])

    assert not isinstance(kept, DataError)
    assert kept["kernels"] == "eager"
    assert kept["parts"][""]["error"] == (finished.result() or {})["test_error"]


def test_a_stop_amid_a_test_keeps_nothing_of_it(finished: RunFolder, tmp_path: Path) -> None:
    further_sets.lay(tmp_path)
    work = made_for(finished, tmp_path, stop=StopAt(2)).on([further_sets.AGAIN, further_sets.FAINT])

    assert next(work)[0] == further_sets.AGAIN
    with pytest.raises(StoppedError):
        next(work)


def test_a_net_of_other_training_images_is_not_tested(finished: RunFolder, tmp_path: Path) -> None:
    further_sets.lay(tmp_path)

    with pytest.raises(DataError, match="was trained on other a procedural stand-in .*: give the folder of those"):
        list(made_for(finished, tmp_path, data_sha256="f" * 64).on([further_sets.AGAIN]))
