"""A trained net tested once more from its weights alone: the same bits, and the margin of each image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.launch.retest import evaluated_with
from bench.store import RunFolder, StoreError
from bench.tasks.retest import Watched
from bench.train import checkpoint
from tests.builders import tiny_run
from tests.tasks.builders import done


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    place = tmp_path_factory.mktemp("done")
    return done(place, tiny_run(), place)


def test_a_run_is_tested_as_it_was_from_its_weights_alone(finished: RunFolder, tmp_path: Path) -> None:
    result, env = finished.result(), finished.env()
    assert result is not None
    assert env is not None
    net = checkpoint.loads(finished.checkpoint.read_bytes())["net"]

    found = evaluated_with(finished.run(), dict(checkpoint.raw(net)), tmp_path)

    assert found.correct is not None
    assert found.margins is not None
    assert np.packbits(found.correct).tobytes().hex() == result["correct"]
    assert found.error == result["test_error"]
    assert found.margins.shape == (40,)
    assert all(found.here[name] == env[name] for name in ("hardware", "torch", "threads", "kernels", "data_sha256"))


def test_where_compiled_kernels_make_nan_the_others_are_taken(
    finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def to_nan(net: torch.nn.Module) -> None:
        net.register_forward_hook(lambda _net, _inputs, out: out * float("nan"))

    monkeypatch.setattr(torch.nn.Module, "compile", to_nan)
    monkeypatch.setattr("bench.tasks.retest.cxx_compiler", lambda: "c++")
    run = finished.run()
    run = replace(run, resources=replace(run.resources, compile=True))
    net = checkpoint.loads(finished.checkpoint.read_bytes())["net"]

    found = evaluated_with(run, dict(checkpoint.raw(net)), tmp_path)

    assert found.here["kernels"] == "eager"
    assert found.error == (finished.result() or {})["test_error"]


def test_weights_of_another_net_are_refused(finished: RunFolder, tmp_path: Path) -> None:
    net = checkpoint.loads(finished.checkpoint.read_bytes())["net"]
    less = {name: value for name, value in net.items() if name != "fc.bias"}

    for tensors, words in ((less, "1 missing .fc_bias"), ({**net, "fc.bias": torch.zeros(3)}, "1 of another shape")):
        with pytest.raises(StoreError, match=f"another net than resnet-8-A: {words}"):
            evaluated_with(finished.run(), dict(checkpoint.raw(tensors)), tmp_path)


def test_margins_are_from_the_best_class_to_the_second_best() -> None:
    watched = Watched(torch.nn.Identity())

    watched(torch.tensor([[1.0, 4.0, 3.5], [2.0, 2.0, 0.0]]))
    watched(torch.tensor([[-1.0, -9.0, -4.0]], dtype=torch.bfloat16))

    assert torch.cat(watched.margins).tolist() == [0.5, 0.0, 3.0]
